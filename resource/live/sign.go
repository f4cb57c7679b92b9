package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// sign answers a login or an auth; one at a time.
func (c *conn) sign(f frame, run func(context.Context, frame) (any, error)) {
	c.mu.Lock()
	busy := c.signing
	c.signing = true
	c.mu.Unlock()
	if busy {
		c.refuse(f, slowDown("another login or auth of this connection is under way"))
		return
	}
	begun := c.begin(f, nil, func(ctx context.Context) (any, error) {
		defer c.signed()
		return run(ctx, f)
	})
	if !begun {
		c.signed()
	}
}

// signed lets the next login or auth begin.
func (c *conn) signed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signing = false
	if !c.gone {
		c.schedule(c.live.now())
	}
}

// login signs in on this connection: what comes of it is good here alone.
func (c *conn) login(ctx context.Context, f frame) (any, error) {
	raw, answer, err := c.live.cfg.SignIn(ctx, f.body, c.origin())
	if err != nil {
		return nil, err
	}
	bound, err := c.live.cfg.Tokens.Connection(raw, c.live.now())
	if err != nil {
		return nil, fmt.Errorf("read the connection token that was made: %w", err)
	}
	if err := c.sit(ctx, guard.PrincipalOf(&bound.Access)); err != nil {
		return nil, err
	}
	return answer, nil
}

// signOut ends the session that the connection speaks for.
func (c *conn) signOut(ctx context.Context, p guard.Principal, body json.RawMessage) (any, error) {
	if string(body) != "{}" {
		return nil, invalid("sign_out has no members of its own")
	}
	return none{}, c.live.cfg.SignOut(ctx, p, c.origin())
}

func (c *conn) origin() Origin {
	return Origin{Connection: c.id, Address: c.address, UserAgent: c.agent}
}

// authenticated is the answer to auth.
type authenticated struct {
	Subject   string `json:"sub"`
	SessionID string `json:"session_id"`
	Product   string `json:"product"`
	Terminal  string `json:"terminal"`
	Version   int64  `json:"version"`
	Scope     string `json:"scope,omitempty"`
	ExpiresIn int64  `json:"expires_in"`
}

// auth takes over the session of a token.
func (c *conn) auth(ctx context.Context, f frame) (any, error) {
	var raw string
	err := eachMember(f.body, func(name string, _, value json.RawMessage) (err error) {
		if name != "access_token" {
			return invalid("%q: unknown field; there is access_token", shown(name))
		}
		raw, err = text(name, value)
		return err
	})
	if err == nil && raw == "" {
		err = invalid("access_token: is missing")
	}
	if err != nil {
		return nil, err
	}
	p, err := c.live.principal(ctx, raw, c.id)
	if err != nil {
		return nil, err
	}
	if err := c.sit(ctx, p); err != nil {
		return nil, err
	}
	return authenticated{
		string(p.User), string(p.Session), p.Product, string(p.Terminal), p.Version, p.Scope,
		max(0, int64(p.ExpiresAt.Sub(c.live.now())/time.Second)),
	}, nil
}

// sit makes a principal the identity of the connection. Its seat is taken before the guard is asked: an end
// that the guard has not been told of by then is told to the seat.
func (c *conn) sit(ctx context.Context, p guard.Principal) error {
	if p.User == "" {
		return &guard.Refusal{
			Status: http.StatusForbidden, Code: guard.InsufficientScope, Description: "a connection needs the token of a signed-in user",
		}
	}
	s := &seat{conn: c, who: p}
	c.live.seats.add(s)
	if err := c.live.cfg.Guard.Suffices(ctx, p, guard.Need{Holder: guard.UserToken}); err != nil {
		c.live.seats.remove(s)
		return err
	}
	former, err := c.change(s)
	c.live.seats.remove(former)
	if err != nil {
		return err
	}
	if c.live.cfg.Seen != nil {
		c.live.cfg.Seen(p)
	}
	if oldest := c.live.seats.surplus(p.User, c.live.limits.MaxPerUser); oldest != nil {
		oldest.conn.replaced()
	}
	return nil
}

// change puts a seat in the place of the former one, which it returns. On an error that is the seat itself.
func (c *conn) change(s *seat) (former *seat, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.end != nil:
		return s, &storage.EndedError{End: *s.end}
	case c.over || c.gone:
		return s, context.Canceled
	}
	former, c.seat, c.expires = c.seat, s, s.who.ExpiresAt
	c.schedule(c.live.now())
	return former, nil
}

// expired asks how a session ended whose time is over, and tells. Where there is no telling it is asked again.
func (c *conn) expired(s *seat) {
	ctx, cancel := context.WithTimeout(c.ctx, c.live.cfg.CommandTime)
	defer cancel()
	c.heed(s, c.live.cfg.Guard.Suffices(ctx, s.who, guard.Need{}))
}

// proof checks the token that a frame may carry, to be sure for whom it is answered: a token of the
// connection's session, and if it is bound, to this connection.
func (c *conn) proof(ctx context.Context, raw string, s *seat) error {
	if raw == "" {
		return nil
	}
	p, err := c.live.principal(ctx, raw, c.id)
	if err != nil {
		return err
	}
	if p.Session != s.who.Session || p.User != s.who.User {
		return &guard.Refusal{
			Status: http.StatusUnauthorized, Code: guard.InvalidToken, Description: "the token is of another session than the one that this connection is signed in to",
		}
	}
	return nil
}
