package pages

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/grant"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

const (
	// renewAfter is how old the refresh token of a session with an idle limit gets before it is exchanged.
	renewAfter = 5 * time.Minute
	// exchangedWithin is how long the one before is still taken, from another tab.
	exchangedWithin = 10 * time.Second
)

// visitor is a browser that is signed in.
type visitor struct {
	guard.Principal

	hash storage.RefreshHash
	from audit.Origin
}

func (v *visitor) by() handoff.By { return handoff.By{Principal: v.Principal, Address: v.from.Address} }

// errSignedOut says that nobody is signed in.
var errSignedOut = errors.New("nobody is signed in")

// visitor says who is signed in, as the cookie of a browser has it. It gives errSignedOut, or a [*storage.EndedError] for a sign-in that has ended.
func (p *Pages) visitor(c *gin.Context) (*visitor, error) {
	raw := p.unseal(c, cookieSession)
	if raw.Empty() {
		return nil, errSignedOut
	}
	ctx, now := c.Request.Context(), p.now()
	claims, err := p.cfg.Parser.Refresh(raw.Reveal(), now)
	switch {
	case errors.Is(err, token.ErrExpired):
		return nil, &storage.EndedError{End: storage.End{Reason: storage.Expired}}
	case errors.Is(err, token.ErrInvalid):
		return nil, errSignedOut
	case err != nil:
		return nil, fmt.Errorf("read the cookie: %w", err)
	}
	v := &visitor{hash: sha256.Sum256([]byte(claims.JTI))}
	row, err := p.cfg.Refreshes.Refresh(ctx, v.hash)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, errSignedOut
	}
	if err != nil {
		return nil, fmt.Errorf("read the sign-in: %w", err)
	}
	s, err := p.cfg.Book.Session(ctx, row.Session)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, &storage.EndedError{End: storage.End{Reason: storage.Expired}}
	}
	if err != nil {
		return nil, fmt.Errorf("read the session: %w", err)
	}
	v.Principal = guard.Principal{
		User: s.User, Client: row.Client, Session: s.ID, Product: s.Product, Terminal: s.Terminal, Version: s.Version,
		Scope: row.Scope, IssuedAt: claims.IssuedAt, ExpiresAt: s.ExpiresAt,
	}
	v.from = audit.Origin{Actor: "user:" + string(s.User), Client: row.Client, Address: c.ClientIP()}
	if err := p.stands(ctx, v, &row, now); err != nil {
		return nil, err
	}
	if p.cfg.Observe != nil {
		p.cfg.Observe(ctx, &v.Principal, nil)
	}
	if row.UsedAt == nil && s.IdleAt.Before(s.ExpiresAt) && now.Sub(claims.IssuedAt) >= renewAfter {
		return v, p.renew(c, raw)
	}
	return v, nil
}

// stands asks the store whether a sign-in still stands, and whether it is ours.
func (p *Pages) stands(ctx context.Context, v *visitor, row *storage.Refresh, now time.Time) error {
	if v.Client != p.cfg.Client {
		return errSignedOut // the configuration has another client since
	}
	if err := p.cfg.Checks.Check(ctx, v.Bearer(), now); err != nil {
		return fmt.Errorf("check the session: %w", err)
	}
	// A token that has a successor was exchanged a moment ago, for another tab; one without was signed out.
	if row.UsedAt != nil && (row.Next == (storage.RefreshHash{}) || now.Sub(*row.UsedAt) > exchangedWithin) {
		return errSignedOut
	}
	return nil
}

// renew exchanges the token in the cookie, which moves the idle limit of its session.
func (p *Pages) renew(c *gin.Context, raw secret.Text) error {
	answer, err := p.redeem(c, "grant_type", oauth.GrantRefreshToken, "refresh_token", raw.Reveal())
	if err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	return p.keep(c, answer)
}

// redeem sends a token request of the client of the pages.
func (p *Pages) redeem(c *gin.Context, pairs ...string) (grant.Answer, error) {
	form, err := web.Form{}.With("client_id", string(p.cfg.Client))
	for i := 0; i+1 < len(pairs) && err == nil; i += 2 {
		form, err = form.With(pairs[i], pairs[i+1])
	}
	if err != nil {
		return grant.Answer{}, err
	}
	answer, err := p.cfg.Tokens.Redeem(c.Request.Context(), &grant.Request{Form: form, Address: c.ClientIP(), UserAgent: c.Request.UserAgent()})
	if refused, ok := errors.AsType[*oauth.Error](err); ok && (refused.Code == oauth.InvalidClient || refused.Code == oauth.UnauthorizedClient) {
		// That is not for people to mend, but for operators: it goes to the log.
		err = oauth.ServerError(fmt.Errorf("the client %s of the pages (pages.client) is not fit for them: %w", p.cfg.Client, err))
	}
	return answer, err
}

// keep puts a sign-in into the cookie of its browser.
func (p *Pages) keep(c *gin.Context, a grant.Answer) error {
	if a.Refresh.Empty() || a.Session == nil {
		return fmt.Errorf("the client %s of the pages gets no refresh token: give it the grant refresh_token", p.cfg.Client)
	}
	p.seal(c, cookieSession, a.Refresh, a.RefreshExpires.Sub(a.At))
	return nil
}

// enter makes a browser that of a new sign-in. What it held before is never adopted; it is signed out.
func (p *Pages) enter(c *gin.Context, a grant.Answer) error {
	before := p.unseal(c, cookieSession)
	if err := p.keep(c, a); err != nil {
		return err
	}
	p.dropCookie(c, cookieAsk)
	if before.Empty() {
		return nil
	}
	if claims, err := p.cfg.Parser.Refresh(before.Reveal(), p.now()); err == nil {
		from := audit.Origin{Actor: "user:" + claims.Subject, Client: p.cfg.Client, Address: c.ClientIP()}
		if err := p.leave(c, sha256.Sum256([]byte(claims.JTI)), from); err != nil {
			p.cfg.Log.WarnContext(c.Request.Context(), "a former sign-in of a browser was not signed out", "request_id", p.cfg.RequestID(c.Request.Context()), "err", err)
		}
	}
	return nil
}

// leave signs one browser out; the others that share its session stay.
func (p *Pages) leave(c *gin.Context, hash storage.RefreshHash, from audit.Origin) error {
	_, err := p.cfg.Book.Leave(c.Request.Context(), hash, p.cfg.Client, from)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}
