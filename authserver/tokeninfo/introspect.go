package tokeninfo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// state is the answer to an introspection, in the order in which it is sent (RFC 7662 §2.2, and ours).
type state struct {
	Active   bool   `json:"active"`
	Scope    string `json:"scope,omitempty"`
	Client   string `json:"client_id,omitempty"`
	Username string `json:"username,omitempty"`
	Type     string `json:"token_type,omitempty"`
	Expires  int64  `json:"exp,omitempty"`
	IssuedAt int64  `json:"iat,omitempty"`
	Subject  string `json:"sub,omitempty"`
	Audience any    `json:"aud,omitempty"`
	Issuer   string `json:"iss,omitempty"`
	JTI      string `json:"jti,omitempty"`
	Session  string `json:"sid,omitempty"`
	Product  string `json:"product,omitempty"`
	Terminal string `json:"terminal,omitempty"`
	Version  int64  `json:"version,omitempty"`

	Reason       string              `json:"reason,omitempty"`
	ReasonCode   int                 `json:"code,omitempty"`
	SupersededBy *oauth.SupersededBy `json:"superseded_by,omitempty"`
}

// Introspect is the handler of the introspection endpoint (RFC 7662 §2).
func (e *Endpoint) Introspect(c *gin.Context) error {
	answer, err := e.introspect(c)
	if err != nil {
		e.count("introspect", resultRefused)
		return err
	}
	result := "inactive"
	if answer.Active {
		result = "active"
	}
	e.count("introspect", result)
	return web.JSON(c, http.StatusOK, answer)
}

func (e *Endpoint) introspect(c *gin.Context) (state, error) {
	r, err := e.request(c)
	if err != nil {
		return state{}, err
	}
	if r.client.Kind != storage.Confidential {
		return state{}, oauth.New(oauth.InvalidClient, "introspection is for clients that authenticate")
	}
	p, err := e.read(&r)
	switch {
	case err != nil:
		return state{}, err
	case p.access != nil:
		return e.accessState(c.Request.Context(), &r, p)
	case p.refresh != nil && p.refresh.Client == string(r.client.ID):
		return e.refreshState(c.Request.Context(), &r, p)
	}
	return e.boundState(&r)
}

// accessState asks the store about an access token that verifies. Its recorded end outranks expiry.
func (e *Endpoint) accessState(ctx context.Context, r *request, p presented) (state, error) {
	a := p.access
	concerned := concerns(r, a)
	told := concerned || e.watches(&r.client)
	err := e.cfg.Checks.Check(ctx, storage.Bearer{
		Session: storage.SessionID(a.Session), Client: storage.ClientID(a.Client), JTI: a.JTI, IssuedAt: a.IssuedAt,
	}, r.now)
	if end, ended := errors.AsType[*storage.EndedError](err); ended {
		return inactive(end.End, told), nil
	}
	if err != nil {
		return state{}, fmt.Errorf("introspect: %w", errors.Join(storage.ErrUnavailable, err))
	}
	if p.expired {
		return inactive(expiry(a.Expires), told), nil
	}
	s := state{
		Active: true, Scope: a.Scope, Client: a.Client, Type: "Bearer", Expires: a.Expires.Unix(), IssuedAt: a.IssuedAt.Unix(),
		Subject: a.Subject, Audience: audience(a.Audience), Issuer: a.Issuer, JTI: a.JTI,
		Session: a.Session, Product: a.Product, Terminal: a.Terminal, Version: a.Version,
	}
	if concerned && a.Session != "" {
		s.Username, err = e.username(ctx, a.Subject)
	}
	return s, err
}

// watches says whether a client may follow the feed of all that ends, where every reason is told.
func (e *Endpoint) watches(c *storage.Client) bool {
	return e.cfg.WatchScope != "" && slices.Contains(c.Scopes, e.cfg.WatchScope)
}

// boundState says of a connection token that it is good for nobody but the server of its connection.
func (e *Endpoint) boundState(r *request) (state, error) {
	b, err := e.cfg.Tokens.Connection(r.raw, r.now)
	expired, err := verdict(err)
	switch {
	case errors.Is(err, token.ErrInvalid):
		return state{}, nil
	case err != nil:
		return state{}, err
	}
	end := storage.End{Reason: guard.IllegalSource}
	if expired {
		end = expiry(b.Expires)
	}
	return inactive(end, concerns(r, &b.Access) || e.watches(&r.client)), nil
}

// concerns says whether a client may know why a token of a user does not stand.
func concerns(r *request, a *token.Access) bool {
	return a.Client == string(r.client.ID) || (a.Product != "" && slices.Contains(r.client.Products, a.Product))
}

// refreshState asks the store about a refresh token that verifies, for its own client.
func (e *Endpoint) refreshState(ctx context.Context, r *request, p presented) (state, error) {
	claims := p.refresh
	row, err := e.cfg.Refreshes.Refresh(ctx, hash(claims.JTI))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return state{}, fmt.Errorf("introspect: read refresh token: %w", err)
	}
	unknown := err != nil || row.Client != r.client.ID
	s, err := e.cfg.Book.Session(ctx, storage.SessionID(claims.Session))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return inactive(expiry(claims.Expires), true), nil // tombstones outlive their tokens
	case err != nil:
		return state{}, fmt.Errorf("introspect: read session: %w", err)
	}
	if end := s.EndedAt(r.now); end != nil {
		return inactive(*end, true), nil
	}
	switch {
	case p.expired:
		return inactive(expiry(claims.Expires), true), nil
	case unknown:
		return state{}, nil
	case row.UsedAt != nil && row.Next == (storage.RefreshHash{}):
		return inactive(storage.End{Reason: storage.SignedOut}, true), nil
	case row.UsedAt != nil:
		return state{}, nil
	}
	out := state{
		Active: true, Scope: row.Scope, Client: claims.Client, Expires: claims.Expires.Unix(), IssuedAt: claims.IssuedAt.Unix(),
		Subject: claims.Subject, Audience: claims.Issuer, Issuer: claims.Issuer, JTI: claims.JTI,
		Session: claims.Session, Product: s.Product, Terminal: string(s.Terminal), Version: s.Version,
	}
	out.Username, err = e.username(ctx, claims.Subject)
	return out, err
}

func (e *Endpoint) username(ctx context.Context, subject string) (string, error) {
	user, err := e.cfg.Users.User(ctx, storage.UserID(subject))
	if err != nil {
		return "", fmt.Errorf("introspect: read user: %w", err)
	}
	return user.Username, nil
}

func expiry(at time.Time) storage.End { return storage.End{Reason: storage.Expired, At: at} }

// inactive says that a token does not stand, and why, to those who are told.
func inactive(end storage.End, told bool) state {
	if !told {
		return state{}
	}
	s := state{Reason: string(end.Reason), ReasonCode: end.Reason.Code()}
	if end.By != nil {
		s.SupersededBy = &oauth.SupersededBy{Terminal: string(end.By.Terminal), DeviceName: end.By.DeviceName, At: end.By.At.UTC()}
	}
	return s
}

// audience is one text where there is one, as in the token.
func audience(all []string) any {
	if len(all) == 1 {
		return all[0]
	}
	return all
}
