package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
)

// Config is what a guard needs. Issuer, ClientID, ClientSecret and Audience are required.
type Config struct {
	// Issuer is the address of the authorization server, as in the iss of its tokens.
	Issuer string
	// ClientID and ClientSecret are those of a confidential client that may use client credentials and
	// the scope sessions:watch.
	ClientID     string
	ClientSecret secret.Text
	// Audience are the names under which the service accepts tokens; the aud of a token must contain
	// one of them.
	Audience []string
	// Insecure lets the issuer be plain http on a host that is not loopback. The secret, the tokens and
	// the keys that everything hangs on then cross the network readable and changeable.
	Insecure bool
	// HTTPClient is used for everything, without its Timeout, its redirects and its cookies; nil for
	// one with connections of its own.
	HTTPClient *http.Client

	// Realm, CacheSize, MaxEnded, Blind, StrictTimeout, Observe, Now, Log and Metrics are those of
	// [guard.Config].
	Realm         string
	CacheSize     int
	MaxEnded      int
	Blind         time.Duration
	StrictTimeout time.Duration
	Observe       func(ctx context.Context, p *guard.Principal, refusal *guard.Refusal)
	Now           func() time.Time
	Log           *slog.Logger
	Metrics       prometheus.Registerer
}

func (c *Config) validate() error {
	var faults []error
	if c.ClientID == "" || c.ClientSecret.Empty() {
		faults = append(faults, errors.New("ClientID and ClientSecret are required"))
	}
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(c.Issuer, "?#") || strings.HasSuffix(c.Issuer, "/"):
		faults = append(faults, errors.New("the issuer must be the address of the authorization server, without a final slash"))
	case u.Scheme == "https", u.Scheme == "http" && (c.Insecure || loopback(u.Hostname())):
	case u.Scheme == "http":
		faults = append(faults, errors.New("the issuer must be https, or Insecure set"))
	default:
		faults = append(faults, errors.New("the issuer must be https"))
	}
	return errors.Join(faults...)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// New builds a guard. It asks nobody before [guard.Guard.Start].
func New(c Config) (*guard.Guard, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("remote guard: %w", err)
	}
	server := newIssuer(&c)
	ring := &keySet{issuer: server, now: c.Now, log: c.Log}
	parser, err := token.NewParser(token.ParserConfig{Issuer: c.Issuer, Audience: c.Audience, Ring: ring})
	if err != nil {
		return nil, fmt.Errorf("remote guard: %w", err)
	}
	g, err := guard.New(guard.Config{
		Tokens: parser, Source: &source{issuer: server, keys: ring, now: c.Now}, Authority: &introspection{server},
		Realm: c.Realm, CacheSize: c.CacheSize, MaxEnded: c.MaxEnded, Blind: c.Blind, StrictTimeout: c.StrictTimeout,
		Observe: c.Observe, Now: c.Now, Log: c.Log, Metrics: c.Metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("remote guard: %w", err)
	}
	return g, nil
}
