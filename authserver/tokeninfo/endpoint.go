package tokeninfo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

// Clients says who is calling; [client.Registry] does.
type Clients interface {
	Authenticate(ctx context.Context, c client.Credentials) (storage.Client, error)
}

// Tokens verifies tokens; [token.Parser] does.
type Tokens interface {
	Access(raw string, now time.Time) (token.Access, error)
	Refresh(raw string, now time.Time) (token.Refresh, error)
	Connection(raw string, now time.Time) (token.Connection, error)
}

// Book ends sessions and tells everybody who must know; the book of package session does.
type Book interface {
	Session(ctx context.Context, id storage.SessionID) (storage.Session, error)
	Sole(ctx context.Context, id storage.SessionID, client storage.ClientID) (bool, error)
	Leave(ctx context.Context, hash storage.RefreshHash, client storage.ClientID, from audit.Origin) ([]storage.Event, error)
	Revoke(ctx context.Context, jti string, client storage.ClientID, until time.Time, from audit.Origin) ([]storage.Event, error)
	End(ctx context.Context, order storage.EndOrder, from audit.Origin) ([]storage.Event, error)
}

// Checks says whether what an access token names still stands; [storage.Sessions] does.
type Checks interface {
	Check(ctx context.Context, b storage.Bearer, now time.Time) error
}

// Refreshes reads refresh tokens by their hash; [storage.Refreshes] does.
type Refreshes interface {
	Refresh(ctx context.Context, hash storage.RefreshHash) (storage.Refresh, error)
}

// Users reads users; [storage.Users] does.
type Users interface {
	User(ctx context.Context, id storage.UserID) (storage.User, error)
}

// Config is what an [Endpoint] needs.
type Config struct {
	Clients   Clients
	Tokens    Tokens
	Book      Book
	Checks    Checks
	Refreshes Refreshes
	Users     Users
	// WatchScope is the scope of the feed of ended sessions: clients registered with it are told at
	// introspection why a token does not stand, as the feed tells them. Empty where there is no feed.
	WatchScope string
	// Now tells the time; nil for time.Now.
	Now func() time.Time
	// Metrics counts requests; nil for not.
	Metrics prometheus.Registerer
}

// Endpoint holds the handlers.
type Endpoint struct {
	cfg     Config
	metrics *prometheus.CounterVec
}

// New makes the endpoint. It refuses a configuration in which something is missing.
func New(cfg Config) (*Endpoint, error) {
	if cfg.Clients == nil || cfg.Tokens == nil || cfg.Book == nil || cfg.Checks == nil || cfg.Refreshes == nil || cfg.Users == nil {
		return nil, errors.New("tokeninfo: clients, tokens, book, checks, refreshes and users are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Endpoint{cfg: cfg, metrics: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tallystick_token_info_requests_total", Help: "Revocations and introspections by result.",
	}, []string{"endpoint", "result"})}
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(e.metrics); err != nil {
			return nil, fmt.Errorf("register token info metrics: %w", err)
		}
	}
	return e, nil
}

func (e *Endpoint) count(endpoint, result string) { e.metrics.WithLabelValues(endpoint, result).Inc() }

// request is a request about a token, by an authenticated client.
type request struct {
	client storage.Client
	raw    string
	hint   string
	from   audit.Origin
	now    time.Time
}

func (e *Endpoint) request(c *gin.Context) (request, error) {
	form, err := web.ParseForm(c.Request)
	if err != nil {
		return request{}, err
	}
	headers := c.Request.Header["Authorization"]
	if len(headers) > 1 {
		return request{}, oauth.New(oauth.InvalidRequest, "more than one Authorization header")
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		return request{}, oauth.New(oauth.InvalidClient, "this server does not take client assertions")
	}
	credentials := client.Credentials{ID: form.Get("client_id"), Address: c.ClientIP()}
	if len(headers) == 1 {
		credentials.Basic = headers[0]
	}
	if given := form.Get("client_secret"); given != "" {
		text := secret.New(given)
		credentials.Secret = &text
	}
	r := request{raw: form.Get("token"), hint: form.Get("token_type_hint"), now: e.cfg.Now().UTC()}
	if r.client, err = e.cfg.Clients.Authenticate(c.Request.Context(), credentials); err != nil {
		return request{}, err
	}
	if r.raw == "" {
		return request{}, oauth.New(oauth.InvalidRequest, "the parameter token is missing")
	}
	r.from = audit.Origin{Actor: "client:" + string(r.client.ID), Client: r.client.ID, Address: c.ClientIP()}
	return r, nil
}

// presented is a token that verifies: one of the two, or neither if it does not verify.
type presented struct {
	access  *token.Access
	refresh *token.Refresh
	expired bool
}

// hintRefresh is the token_type_hint of a refresh token (RFC 7009 §2.1); no other one is of use.
const hintRefresh = "refresh_token"

// read finds out what a token is. Its error says that there is no telling.
func (e *Endpoint) read(r *request) (presented, error) {
	kinds := []func(*request) (presented, error){e.readAccess, e.readRefresh}
	if r.hint == hintRefresh {
		kinds[0], kinds[1] = kinds[1], kinds[0]
	}
	for _, kind := range kinds {
		p, err := kind(r)
		if !errors.Is(err, token.ErrInvalid) {
			return p, err
		}
	}
	return presented{}, nil
}

func (e *Endpoint) readAccess(r *request) (presented, error) {
	claims, err := e.cfg.Tokens.Access(r.raw, r.now)
	expired, err := verdict(err)
	return presented{access: &claims, expired: expired}, err
}

func (e *Endpoint) readRefresh(r *request) (presented, error) {
	claims, err := e.cfg.Tokens.Refresh(r.raw, r.now)
	expired, err := verdict(err)
	return presented{refresh: &claims, expired: expired}, err
}

// verdict takes expiry out of what a parser says.
func verdict(err error) (expired bool, rest error) {
	switch {
	case errors.Is(err, token.ErrExpired):
		return true, nil
	case errors.Is(err, keys.ErrUnavailable):
		return false, fmt.Errorf("read token: %w", errors.Join(storage.ErrUnavailable, err))
	}
	return false, err
}
