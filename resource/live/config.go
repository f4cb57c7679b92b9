package live

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
)

// Guard judges tokens, and principals that were let in before. [guard.Guard] is one.
type Guard interface {
	Check(ctx context.Context, raw string) (guard.Principal, error)
	Suffices(ctx context.Context, p guard.Principal, need guard.Need) error
}

// Tokens verifies connection tokens. [token.Parser] is one.
type Tokens interface {
	Connection(raw string, now time.Time) (token.Connection, error)
}

// Origin says on which connection a frame came, and from where.
type Origin struct{ Connection, Address, UserAgent string }

// SignIn answers the frame login: the parameters of a grant in, the token of the connection and the
// members of the answer out.
type SignIn func(ctx context.Context, body json.RawMessage, from Origin) (token string, answer any, err error)

// SignOut answers the frame sign_out: it ends the session of a principal. When it has, the connection is told
// that the session was signed out.
type SignOut func(ctx context.Context, p guard.Principal, from Origin) error

// Command answers a type of frame of a signed-in connection.
type Command struct {
	// Need is what the connection's session must be good for, as on a route over HTTP.
	Need guard.Need
	// Run answers. body is the frame without the members id, type and token; the answer must be rendered
	// as a JSON object, and its members must not have those names. A refusal is a [*Failure], a
	// [*guard.Refusal], or anything else that [guard.RefusalOf] understands.
	Run func(ctx context.Context, p guard.Principal, body json.RawMessage) (answer any, err error)
}

// Failure is a refusal as the sender of a frame sees it, and a cause, which is for the log.
type Failure struct { //nolint:errname // it is presented as what it is
	// Status is the HTTP status of the same refusal, Code its code.
	Status int
	Code   string
	// Body is the JSON object that is the body of the same refusal over HTTP.
	Body json.RawMessage
	// RetryAfter, if not zero, is sent in whole seconds, rounded up.
	RetryAfter time.Duration
	// Replayed says that the refusal was given before, under the same idempotency key.
	Replayed bool
	// Cause is never sent.
	Cause error
}

// Error implements error. It is for logs and holds the cause.
func (f *Failure) Error() string {
	if f.Cause == nil {
		return "refused: " + f.Code
	}
	return "refused: " + f.Code + ": " + f.Cause.Error()
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Cause }

// The defaults of [Limits].
const (
	DefaultMaxConnections = 20_000
	DefaultMaxPerUser     = 16
	DefaultMaxPerAddress  = 512
	DefaultMaxFrame       = 16 << 10
	DefaultFrames         = 20
	DefaultBurst          = 40
	DefaultMaxInFlight    = 8
	DefaultMaxQueued      = 64
	DefaultSignInTime     = 10 * time.Second
	DefaultPingEvery      = 30 * time.Second
	DefaultPongTime       = 10 * time.Second
	DefaultWriteTime      = 5 * time.Second
)

// MaxMalformed is how many frames of a connection may be no JSON object with a type.
const MaxMalformed = 3

// Limits bound what a connection, a user, an address and all together may do; 0 for the defaults.
type Limits struct {
	// MaxConnections bounds the connections of this process, MaxPerAddress those of one address (of one
	// /64 for IPv6), MaxPerUser those of a user: one more closes the user's oldest.
	MaxConnections, MaxPerAddress, MaxPerUser int
	// MaxFrame is the size of the longest frame that is read, in bytes.
	MaxFrame int
	// Frames is how many frames a second a connection may send for long, Burst how many at once.
	Frames, Burst int
	// MaxInFlight is how many frames of a connection are being answered at once.
	MaxInFlight int
	// MaxQueued is how many frames may wait for a connection that does not read; one more drops it.
	MaxQueued int
	// SignInTime is how long a connection may stay before it has signed in.
	SignInTime time.Duration
	// PingEvery is the pause between two pings to a connection that is silent, PongTime how long its
	// answer may take.
	PingEvery, PongTime time.Duration
	// WriteTime is how long the peer may take to read one frame.
	WriteTime time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		value *int
		usual int
	}{
		{&l.MaxConnections, DefaultMaxConnections},
		{&l.MaxPerAddress, DefaultMaxPerAddress},
		{&l.MaxPerUser, DefaultMaxPerUser},
		{&l.MaxFrame, DefaultMaxFrame},
		{&l.Frames, DefaultFrames},
		{&l.Burst, DefaultBurst},
		{&l.MaxInFlight, DefaultMaxInFlight},
		{&l.MaxQueued, DefaultMaxQueued},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&l.SignInTime, DefaultSignInTime},
		{&l.PingEvery, DefaultPingEvery},
		{&l.PongTime, DefaultPongTime},
		{&l.WriteTime, DefaultWriteTime},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	return l
}

func (l Limits) negative() bool {
	return slices.Min([]int{
		l.MaxConnections, l.MaxPerAddress, l.MaxPerUser, l.MaxFrame, l.Frames, l.Burst, l.MaxInFlight, l.MaxQueued,
	}) < 0 || min(l.SignInTime, l.PingEvery, l.PongTime, l.WriteTime) < 0
}

// Config is what a [Live] needs: Guard and Tokens; SignIn and Commands as far as they are served here.
type Config struct {
	Guard  Guard
	Tokens Tokens
	// SignIn answers login; nil where it is not served.
	SignIn SignIn
	// SignOut answers sign_out; nil where it is not served.
	SignOut SignOut
	// Commands are the other types of frame by name.
	Commands map[string]Command
	// Elsewhere are the types of frame that another process of this installation answers.
	Elsewhere []string
	// Origins are the origins of pages that may connect, such as https://shop.example.com, beside those
	// of the same host.
	Origins []string
	Limits  Limits
	// CommandTime bounds the answer to a frame. Required.
	CommandTime time.Duration
	// Seen, if not nil, is told whose frames are answered.
	Seen func(p guard.Principal)
	// Now tells the time; nil for time.Now.
	Now func() time.Time
	// Log is told what operators should know; nil for nothing.
	Log *slog.Logger
	// Metrics takes the metrics; nil for none.
	Metrics prometheus.Registerer
}

func (c *Config) validate() error {
	switch {
	case c.Guard == nil || c.Tokens == nil:
		return errors.New("live: the guard and the parser of tokens are needed")
	case c.CommandTime <= 0:
		return errors.New("live: a time for the answers to frames is needed")
	case c.Limits.negative():
		return errors.New("live: limits must not be negative")
	}
	for name := range c.Commands {
		if reserved(name) || slices.Contains(c.Elsewhere, name) {
			return errors.New("live: the type " + name + " is answered in two ways")
		}
	}
	for _, o := range c.Origins {
		if !IsOrigin(o) {
			return errors.New("live: " + o + " is not an origin such as https://shop.example.com")
		}
	}
	return nil
}

// IsOrigin says whether a text is an origin as browsers send it: scheme, host and port alone, in small
// letters (RFC 6454 §6.2).
func IsOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && s == u.Scheme+"://"+u.Host && s == strings.ToLower(s)
}
