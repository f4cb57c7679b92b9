package guard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

// Defaults of [Config].
const (
	DefaultCacheSize     = 65536
	DefaultMaxEnded      = 2_000_000
	DefaultPoll          = 200 * time.Millisecond
	DefaultBlind         = time.Second
	DefaultDirectTimeout = 500 * time.Millisecond
	DefaultStrictTimeout = 5 * time.Second
)

const (
	// maxToken is the longest token that is looked at.
	maxToken = 8 << 10
	// usualToken is the length up to which tokens are hashed without an allocation.
	usualToken = 1 << 10
	// verifiedFor is how long a signature is taken as checked: a signing key that is retired in haste
	// is not trusted for longer than this.
	verifiedFor = time.Minute
	// settledFor is how long a direct answer about an expired token is kept, if it may still change.
	settledFor = time.Second
	// maxSettled bounds the answers kept about expired tokens.
	maxSettled = 16384
)

// Tokens verifies access tokens. A [token.Parser] is one.
type Tokens interface {
	// Access returns the claims of a token that verifies; for one that is past its time and otherwise
	// good, the claims together with [token.ErrExpired]; [token.ErrInvalid] for any that is not good;
	// another error when it cannot tell.
	Access(raw string, now time.Time) (token.Access, error)
}

// Hurry delivers events sooner than the feed is polled. It may lose any of them.
type Hurry interface {
	// Follow calls deliver for each event until ctx ends. It heals broken connections by itself.
	Follow(ctx context.Context, deliver func(storage.Event)) error
}

// Config is what a guard needs: Tokens, one of Feed and Source, and one of Sessions and Authority.
type Config struct {
	Tokens Tokens
	// Feed is read every Poll. Source is what tells of ends where there is no such feed.
	Feed   storage.Feed
	Source Source
	// Sessions answers where the guard is blind, and strict checks. Authority does so where there are no
	// sessions to read.
	Sessions  Sessions
	Authority Authority
	// Hurry may be nil: ends are then seen by polling alone.
	Hurry Hurry
	// Relay, if not nil, is handed on what the guard takes in, after the guard has.
	Relay Relay
	// Realm is named in challenges, if it is not empty.
	Realm string
	// CacheSize is how many verified tokens are kept; about 400 bytes each.
	CacheSize int
	// MaxEnded is how many ended sessions, clients and tokens are kept. Beyond it the guard asks the
	// store about everything that it does not know to have ended.
	MaxEnded int
	// Poll is the pause between two readings of the feed.
	Poll time.Duration
	// Blind is how long the guard trusts what it last heard. It is the bound within which a local
	// check refuses a superseded token, whatever fails.
	Blind time.Duration
	// DirectTimeout bounds the direct check of a blind guard, the wait for its turn included. At most
	// Blind.
	DirectTimeout time.Duration
	// StrictTimeout bounds the direct check of a strict route, the wait for its turn included, within
	// the time that the request has.
	StrictTimeout time.Duration
	// Observe, if not nil, is told of each request that passed through a middleware: its principal,
	// nil if there is none that verified, and the refusal, nil if it was let in. It is for access records.
	Observe func(ctx context.Context, p *Principal, refusal *Refusal)
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() Config {
	c.CacheSize = positive(c.CacheSize, DefaultCacheSize)
	c.MaxEnded = positive(c.MaxEnded, DefaultMaxEnded)
	c.Poll = positive(c.Poll, DefaultPoll)
	c.Blind = positive(c.Blind, DefaultBlind)
	c.DirectTimeout = positive(c.DirectTimeout, DefaultDirectTimeout)
	c.StrictTimeout = positive(c.StrictTimeout, DefaultStrictTimeout)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// roads makes the general of the particular: a source of the feed, an authority of the sessions.
func (c Config) roads() Config {
	if c.Feed != nil {
		c.Source = &polling{feed: c.Feed, every: c.Poll, bound: c.Blind, now: c.Now, log: c.Log}
	}
	if c.Sessions != nil {
		c.Authority = bySessions{c.Sessions}
	}
	return c
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func (c Config) validate() error {
	var faults []error
	if c.Tokens == nil {
		faults = append(faults, errors.New("guard: Tokens are required"))
	}
	if (c.Feed == nil) == (c.Source == nil) {
		faults = append(faults, errors.New("guard: one of Feed and Source is required, and not both"))
	}
	if (c.Sessions == nil) == (c.Authority == nil) {
		faults = append(faults, errors.New("guard: one of Sessions and Authority is required, and not both"))
	}
	if c.CacheSize < 0 || c.MaxEnded < 0 || c.Poll < 0 || c.Blind < 0 || c.DirectTimeout < 0 || c.StrictTimeout < 0 {
		faults = append(faults, errors.New("guard: sizes and times must not be negative"))
	}
	if c.Poll >= c.Blind {
		faults = append(faults, errors.New("guard: Poll must be shorter than Blind"))
	}
	if c.DirectTimeout > c.Blind {
		faults = append(faults, errors.New("guard: DirectTimeout must not be longer than Blind"))
	}
	return errors.Join(faults...)
}

// Guard tells whose request it is, and refuses those that no live session stands behind. Its methods
// may be called at any time from any goroutine; before [Guard.Start] and after [Guard.Stop] it is
// blind and asks the store each time.
type Guard struct {
	tokens  Tokens
	source  Source
	hurry   Hurry
	relay   Relay
	realm   string
	poll    time.Duration
	bound   time.Duration // Blind
	observe func(context.Context, *Principal, *Refusal)
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics

	verified *cache[[sha256.Size]byte, *verified]
	settled  *cache[digest, storage.End] // about expired tokens
	ended    *ended
	direct   *direct

	epoch time.Time
	heard atomic.Int64 // when the feed was last complete, as time since epoch; never is a long time ago

	lifecycle sync.Mutex
	stop      context.CancelFunc
	running   sync.WaitGroup

	lost bool // whether the watch has said that nothing is heard; of the watch alone
}

// verified is a token whose signature and profile are good, with its subjects' digests at hand.
type verified struct {
	principal              Principal
	session, client, token digest
}

// New builds a guard. It reads nothing before [Guard.Start].
func New(c Config) (*Guard, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	c = c.roads()
	m := newMetrics()
	g := &Guard{
		tokens: c.Tokens, source: c.Source, hurry: c.Hurry, relay: c.Relay, realm: c.Realm,
		poll: c.Poll, bound: c.Blind, observe: c.Observe, now: c.Now, log: c.Log, metrics: m,
		verified: newCache[[sha256.Size]byte, *verified](c.CacheSize, func(k [sha256.Size]byte) byte { return k[0] }),
		settled:  newCache[digest, storage.End](maxSettled, func(k digest) byte { return k[0] }),
		ended:    newEnded(c.MaxEnded),
		direct:   newDirect(&c, m),
		epoch:    c.Now(),
	}
	g.heard.Store(int64(never))
	if err := m.register(c.Metrics, g); err != nil {
		return nil, err
	}
	return g, nil
}

// Check verifies an access token and says whose it is, locally. Its error is always a [*Refusal].
func (g *Guard) Check(ctx context.Context, raw string) (Principal, error) {
	return g.checked(ctx, raw, false)
}

// CheckStrictly is Check, and asks the store as well: a sign-in that was answered before the call is
// seen, without exception.
func (g *Guard) CheckStrictly(ctx context.Context, raw string) (Principal, error) {
	return g.checked(ctx, raw, true)
}

func (g *Guard) checked(ctx context.Context, raw string, strict bool) (Principal, error) {
	p, refusal := g.check(ctx, raw, strict)
	if refusal != nil {
		g.count(refusal)
		return Principal{}, refusal
	}
	return *p, nil
}

// Standing says whether a principal that was let in before still stands, locally: nil, or a
// [*Refusal]. It is for connections that live longer than a request. It has no token to show: a guard
// whose authority needs one (package remote) refuses with 503 while it is blind, and where the token is at
// hand, [Guard.Check] is the better question.
func (g *Guard) Standing(ctx context.Context, p Principal) error {
	return g.Suffices(ctx, p, Need{})
}

// Suffices is [Guard.Standing], and says as well whether the principal may do what need asks for, as a
// middleware would: for what comes on a connection that lives longer than a request.
func (g *Guard) Suffices(ctx context.Context, p Principal, need Need) error {
	if refusal := g.suffices(ctx, p, &need); refusal != nil {
		g.count(refusal)
		return refusal
	}
	return nil
}

func (g *Guard) suffices(ctx context.Context, p Principal, need *Need) *Refusal {
	now := g.now()
	v := newVerified(p)
	if refusal := g.standing(ctx, v, "", now, need.Strict); refusal != nil {
		return refusal
	}
	if !now.Before(p.ExpiresAt) {
		return g.expired(ctx, v, "", now)
	}
	return p.lacks(need)
}

// check is the order of the house: signature and profile, then ended, then expiry. The principal is
// returned with the refusal of a token that verifies.
func (g *Guard) check(ctx context.Context, raw string, strict bool) (*Principal, *Refusal) {
	now := g.now()
	v, err := g.verify(raw, now)
	switch {
	case err == nil:
		return &v.principal, g.standing(ctx, v, raw, now, strict)
	case errors.Is(err, token.ErrExpired):
		return &v.principal, g.expired(ctx, v, raw, now)
	case errors.Is(err, token.ErrSource):
		return nil, refuseSource(err)
	case errors.Is(err, token.ErrInvalid):
		return nil, refuseInvalid(err)
	}
	return nil, refuseUnavailable(err) // the key is not known, and cannot be asked for
}

// verify returns the claims of a token that verifies, and [token.ErrExpired] with them if it is past
// its time. Any error but that one and [token.ErrInvalid] says that there is no telling.
func (g *Guard) verify(raw string, now time.Time) (*verified, error) {
	if len(raw) > maxToken {
		return nil, fmt.Errorf("%w: longer than %d bytes", token.ErrInvalid, maxToken)
	}
	sum := fingerprint(raw)
	// A token past its time goes to the parser again: it alone knows what leeway there is.
	if v, ok := g.verified.get(sum, now); ok && now.Before(v.principal.ExpiresAt) {
		g.metrics.hits.Inc()
		return v, nil
	}
	g.metrics.misses.Inc()
	claims, err := g.tokens.Access(raw, now)
	if err != nil && !errors.Is(err, token.ErrExpired) {
		return nil, err
	}
	v := newVerified(PrincipalOf(&claims))
	if err == nil {
		g.verified.put(sum, v, now.Add(verifiedFor))
	}
	return v, err
}

// fingerprint is the SHA-256 of a token. One of the usual length is copied to the stack: a hash of a
// text would otherwise cost an allocation of its length with each request.
func fingerprint(raw string) [sha256.Size]byte {
	var usual [usualToken]byte
	if len(raw) <= len(usual) {
		return sha256.Sum256(usual[:copy(usual[:], raw)])
	}
	return sha256.Sum256([]byte(raw))
}

// newVerified works out under which digests the set of ended things would name the token.
func newVerified(p Principal) *verified {
	return &verified{
		principal: p,
		session:   subjectDigest(storage.SubjectSession, string(p.Session)),
		client:    subjectDigest(storage.SubjectClient, string(p.Client)),
		token:     subjectDigest(storage.SubjectToken, p.JTI),
	}
}

// presented is the token for an authority.
func (v *verified) presented(raw string) Presented {
	return Presented{Bearer: v.principal.Bearer(), Raw: raw}
}

// standing says whether what a token names still stands.
func (g *Guard) standing(ctx context.Context, v *verified, raw string, now time.Time, strict bool) *Refusal {
	if t, dead := g.ended.find(v); dead {
		return refuseEnded(g.endOf(ctx, v, raw, t))
	}
	var err error
	switch {
	case strict:
		err = g.direct.ask(ctx, v.presented(raw))
	case g.blind(now) || !g.ended.complete(now):
		err = g.direct.share(ctx, v.presented(raw))
	}
	if err == nil {
		return nil
	}
	return presented(err)
}

// endOf unpacks an end. A text for which the set had no room is asked for; if nobody answers, the
// refusal stands without it.
func (g *Guard) endOf(ctx context.Context, v *verified, raw string, t tomb) storage.End {
	end, partial := g.ended.end(t)
	if !partial {
		return end
	}
	if full, ok := errors.AsType[*storage.EndedError](g.direct.share(ctx, v.presented(raw))); ok {
		return full.End
	}
	return end
}

// expired says why a token past its time is refused: supersession outranks expiry, so it asks how
// the session ended before it says `expired`, and when nobody can tell, it does not say it.
func (g *Guard) expired(ctx context.Context, v *verified, raw string, now time.Time) *Refusal {
	if t, dead := g.ended.find(v); dead {
		return refuseEnded(g.endOf(ctx, v, raw, t))
	}
	key := v.token
	if end, ok := g.settled.get(key, now); ok {
		return refuseEnded(end)
	}
	end := storage.End{Reason: storage.Expired, At: v.principal.ExpiresAt, Actor: "system"}
	keep := settledFor
	err := g.direct.share(ctx, v.presented(raw))
	if ended, ok := errors.AsType[*storage.EndedError](err); ok {
		if ended.End.Reason != "" { // all that is known otherwise is what is known here as well
			end = ended.End
		}
	} else if err != nil {
		return refuseUnavailable(err)
	}
	if end.Reason != storage.Expired {
		keep = verifiedFor // an end is final; a session that lives or has run out may yet be superseded
	}
	g.settled.put(key, end, now.Add(keep))
	return refuseEnded(end)
}

func (g *Guard) count(r *Refusal) {
	label := string(r.Reason())
	if label == "" {
		label = string(r.Code)
	}
	if label == "" {
		label = "no_token"
	}
	g.metrics.refusals.WithLabelValues(label).Inc()
}
