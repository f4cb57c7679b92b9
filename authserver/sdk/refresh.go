package sdk

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

const (
	// tries and tryWithin keep all presentations of one refresh token within the ten seconds in which the
	// server gives the same answer again.
	tries     = 3
	tryWithin = 4 * time.Second
	replay    = 9 * time.Second
	// shortPause lies before a second try, firstPause and longestPause between refreshes that fail.
	shortPause   = 100 * time.Millisecond
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// flight is a refresh that runs. Its outcome may be read when done is closed.
type flight struct {
	done chan struct{}
	held *held
	err  error
}

// errSpent says that the access token of a client without refresh tokens has expired, and with it the
// sign-in.
var errSpent = errors.New("sdk: the access token has expired, and there is no refresh token")

// Token gives an access token that is good now, and waits for a refresh only if there is none. Its
// Expiry is by the wall clock, for display. RefreshToken is empty: to refresh is this client's business.
//
// Errors: [ErrSignedOut], [*EndedError], [*UnavailableError], [ErrClosed], and those of ctx.
func (c *Client) Token(ctx context.Context) (*oauth2.Token, error) {
	h, err := c.good(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{
		AccessToken: string(h.access), TokenType: "Bearer", Expiry: h.staleAt, ExpiresIn: int64(h.staleAt.Sub(c.cfg.Now()) / time.Second),
	}, nil
}

// TokenSource is the client as an [oauth2.TokenSource]; its calls to Token end with ctx. Wrap it in
// nothing that caches: it would serve tokens of ended sessions.
func (c *Client) TokenSource(ctx context.Context) oauth2.TokenSource { return source{ctx, c} }

type source struct {
	ctx    context.Context //nolint:containedctx // oauth2.TokenSource has no other place for it
	client *Client
}

// Token implements oauth2.TokenSource.
func (s source) Token() (*oauth2.Token, error) { return s.client.Token(s.ctx) }

// good returns a pair whose access token is good now. refused, if not nil, is a pair whose token a server
// has just called expired: that very token is then not good, whatever the clock says.
func (c *Client) good(ctx context.Context, refused *held) (*held, error) {
	f, h, err := c.look(refused) //nolint:contextcheck // a refresh outlives the request that causes it
	switch {
	case errors.Is(err, errSpent):
		return nil, c.end(h, &EndedError{Reason: ReasonExpired, Code: CodeSignInAgain}) //nolint:contextcheck // the end is stored whether the request lives or not
	case f == nil:
		return h, err
	}
	select {
	case <-f.done:
		return f.held, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// look returns a good pair, or the refresh to wait for, or why there is neither. It starts the refresh
// if one is due.
func (c *Client) look(refused *held) (*flight, *held, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held
	switch {
	case c.closed:
		return nil, nil, ErrClosed
	case c.ended != nil:
		return nil, nil, c.ended
	case h == nil && !c.cfg.Machine:
		return nil, nil, ErrSignedOut
	case refused != nil && h != nil && h.epoch != refused.epoch:
		// The token was of a sign-in that this application has replaced since.
		return nil, nil, &EndedError{Reason: ReasonSignedOut, Code: CodeSignInAgain, SessionID: refused.id}
	}
	now := c.cfg.Now()
	good := h != nil && now.Before(h.staleAt) && (refused == nil || refused.access != h.access)
	if good && now.Before(h.renewAt) {
		return nil, h, nil
	}
	if c.flight == nil && !now.Before(c.notBefore) && (h == nil || h.refresh != "" || c.cfg.Machine) {
		c.flight = &flight{done: make(chan struct{})}
		c.running.Add(1)
		go c.fly(c.flight, h, refused)
	}
	switch {
	case good:
		return nil, h, nil
	case c.flight != nil:
		return c.flight, nil, nil
	case h != nil && h.refresh == "" && !c.cfg.Machine:
		return nil, h, errSpent
	}
	return nil, nil, &UnavailableError{RetryAfter: c.notBefore.Sub(now), Err: c.lastErr}
}

// fly refreshes once and lets those who wait know.
func (c *Client) fly(f *flight, from, refused *held) {
	defer c.running.Done()
	next, err := c.next(from, refused)
	if ended, over := errors.AsType[*EndedError](err); over {
		err = c.end(from, ended)
	}
	c.mu.Lock()
	var epoch uint64
	if from != nil {
		epoch = from.epoch
	}
	replaced := c.epoch != epoch && from != nil
	switch {
	case replaced && err == nil:
		// Signed out or in anew while this was on its way. Nobody is to get a token of the old session.
		err = &EndedError{Reason: ReasonSignedOut, Code: CodeSignInAgain, SessionID: from.id}
	case err == nil:
		next.epoch = c.epoch
		c.hold(next)
	case !replaced && c.held != nil || c.cfg.Machine:
		err = c.backOff(err)
	}
	c.mu.Unlock()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.life), saveTimeout)
		if serr := c.save(ctx); serr != nil {
			c.cfg.Log.Warn("sdk: the refreshed sign-in could not be stored; a restart would take up an old one", "err", serr)
		}
		cancel()
	}
	c.mu.Lock()
	f.held, f.err = next, err
	if err != nil {
		f.held = nil
	}
	c.flight = nil
	c.mu.Unlock()
	close(f.done)
}

// backOff notes a refresh that failed, and makes its error. The caller holds mu.
func (c *Client) backOff(err error) error {
	if c.life.Err() != nil {
		return ErrClosed
	}
	pause := longestPause
	if c.failures < 5 { // 1, 2, 4, 8, 16 seconds
		pause = firstPause << c.failures
	}
	pause = pause/2 + rand.N(pause/2) //nolint:gosec // G404: spreads load, keeps no secret
	if refused, is := errors.AsType[*OAuthError](err); is {
		pause = max(pause, refused.RetryAfter)
	}
	c.failures++
	c.notBefore, c.lastErr = c.cfg.Now().Add(pause), err
	c.cfg.Log.Warn("sdk: refreshing failed", "err", err, "next", pause)
	return &UnavailableError{RetryAfter: pause, Err: err}
}

// next gets the pair after one: from the store if another process was there first, else from the
// server. An *EndedError says that there is none.
func (c *Client) next(from, refused *held) (*held, error) {
	if from != nil {
		other, err := c.read(c.life)
		if err != nil {
			c.cfg.Log.Warn("sdk: going on without the store", "err", err)
		}
		if other != nil && other.newerThan(from) {
			if c.cfg.Now().Before(other.renewAt) && (refused == nil || refused.access != other.access) {
				return other, nil
			}
			from = other
		}
	}
	var form url.Values
	if c.cfg.Machine {
		form = c.signInForm(Grant{map[string]string{"grant_type": "client_credentials"}})
	} else {
		form = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {string(from.refresh)}}
	}
	a, err := c.persist(form)
	if err != nil {
		return nil, err
	}
	if from == nil || c.cfg.Machine {
		return newHeld(a, 0, 0, c.cfg.Now()), nil
	}
	if a.Refresh == "" { // RFC 6749 §6: then the old one stays
		a.Refresh = string(from.refresh)
	}
	if a.SessionID == "" {
		a.SessionID = from.id
	}
	return newHeld(a, 0, from.rotations+1, c.cfg.Now()), nil
}

// persist asks for a pair again at once if the answer was lost, or may have been: the server gives the
// same answer to the same refresh token for a while.
func (c *Client) persist(form url.Values) (answer, error) {
	begin, pause := time.Now(), shortPause
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(c.life, tryWithin)
		a, err := c.exchange(ctx, form)
		cancel()
		if err == nil {
			return a, nil
		}
		if refused, is := errors.AsType[*OAuthError](err); is {
			if refused.Code == "invalid_grant" && !c.cfg.Machine {
				return answer{}, refused.ended()
			}
			if refused.Status != http.StatusInternalServerError && refused.Status != http.StatusBadGateway && refused.Status != http.StatusGatewayTimeout {
				return answer{}, err // asked again at once, it would say the same
			}
		}
		if try == tries || time.Since(begin)+pause > replay {
			return answer{}, err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // G404: spreads load, keeps no secret
		case <-c.life.Done():
			return answer{}, ErrClosed
		}
		pause *= 4
	}
}
