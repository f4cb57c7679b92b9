package tokeninfo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

// What came of a revocation, for the metrics.
const (
	resultRevoked = "revoked"
	resultNothing = "nothing"
	resultRefused = "refused"
)

// Revoke is the handler of the revocation endpoint (RFC 7009 §2).
func (e *Endpoint) Revoke(c *gin.Context) error {
	r, err := e.request(c)
	if err != nil {
		e.count("revoke", resultRefused)
		return err
	}
	events, err := e.revoke(c.Request.Context(), &r)
	if err != nil {
		e.count("revoke", resultRefused)
		return err
	}
	result := resultNothing
	if len(events) > 0 {
		result = resultRevoked
	}
	e.count("revoke", result)
	web.NoStore(c)
	c.Status(http.StatusOK)
	c.Writer.WriteHeaderNow()
	return nil
}

// revoke ends what a token stands for, and returns the events of what has ended.
func (e *Endpoint) revoke(ctx context.Context, r *request) ([]storage.Event, error) {
	p, err := e.read(r)
	switch {
	case err != nil:
		return nil, err
	case p.refresh != nil:
		return e.revokeRefresh(ctx, r, p.refresh)
	case p.access != nil && p.access.Client != string(r.client.ID):
		return nil, anothers()
	case p.access == nil || p.expired:
		return nil, nil
	case p.access.Session == "":
		return e.cfg.Book.Revoke(ctx, p.access.JTI, r.client.ID, p.access.Expires, r.from)
	}
	return e.revokeSession(ctx, r, p.access)
}

func anothers() error {
	return oauth.New(oauth.InvalidGrant, "the token was issued to another client")
}

// revokeRefresh signs out the family of a refresh token. One that is past its time says as well as any
// other whose it is.
func (e *Endpoint) revokeRefresh(ctx context.Context, r *request, claims *token.Refresh) ([]storage.Event, error) {
	if claims.Client != string(r.client.ID) {
		return nil, anothers()
	}
	events, err := e.cfg.Book.Leave(ctx, hash(claims.JTI), r.client.ID, r.from)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil // not kept any more
	}
	return events, err
}

// revokeSession ends the session of an access token, if nobody else may hold the same token.
func (e *Endpoint) revokeSession(ctx context.Context, r *request, claims *token.Access) ([]storage.Event, error) {
	s, err := e.cfg.Book.Session(ctx, storage.SessionID(claims.Session))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("revoke: read session: %w", err)
	}
	if s.EndedAt(r.now) != nil {
		return nil, nil
	}
	sole, err := e.cfg.Book.Sole(ctx, s.ID, r.client.ID)
	if err != nil {
		return nil, err
	}
	if !sole {
		return nil, oauth.New(oauth.UnsupportedTokenType,
			"the session is or was shared, and all who share it have the same access token; revoke the refresh token of the one to sign out")
	}
	return e.cfg.Book.End(ctx, storage.EndOrder{User: s.User, Session: s.ID, Reason: storage.SignedOut}, r.from)
}

func hash(jti string) storage.RefreshHash { return sha256.Sum256([]byte(jti)) }
