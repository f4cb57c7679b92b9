package guard_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// TestSufficesIsWhatAMiddlewareWouldSay asks about principals of a long connection what routes ask about tokens.
func TestSufficesIsWhatAMiddlewareWouldSay(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	g := s.guard()
	app := routes(g)
	user := s.signIn(s.user("tom"), "phone", "wallet:read", time.Now()).raw
	client := s.clientToken(billing, "wallet:hold", time.Now())
	for path, need := range map[string]guard.Need{
		"/local":       {Scopes: []string{"wallet:read"}},
		"/both":        {Scopes: []string{"wallet:read", "wallet:transfer", "wallet:hold"}},
		"/strict":      {Scopes: []string{"wallet:read"}, Strict: true},
		"/user":        {Holder: guard.UserToken},
		"/client":      {Holder: guard.ClientToken},
		"/client/hold": {Scopes: []string{"wallet:hold"}, Holder: guard.ClientToken},
	} {
		for who, raw := range map[string]string{"user": user, "client": client} {
			p, err := g.Check(t.Context(), raw)
			must(t, err)
			status := http.StatusOK
			if r, refused := errors.AsType[*guard.Refusal](g.Suffices(t.Context(), p, need)); refused {
				status = r.Status
			}
			if w := ask(app, path, raw); w.Code != status {
				t.Errorf("%s %s: the route answers %d, Suffices %d", who, path, w.Code, status)
			}
		}
	}
}

// TestSufficesIsStrictWhereItIsAskedTo ends a session that nobody has announced yet.
func TestSufficesIsStrictWhereItIsAskedTo(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	g := s.guard(func(c *guard.Config) { c.Poll, c.Blind = time.Hour, 2*time.Hour })
	tom := s.user("tom")
	p, err := g.Check(t.Context(), s.signIn(tom, "old phone", "wallet:read", time.Now()).raw)
	must(t, err)
	ended := s.signIn(tom, "new phone", "wallet:read", time.Now()).ended
	if got := reasonOf(g.Suffices(t.Context(), p, guard.Need{Strict: true})); got != storage.Superseded {
		t.Errorf("strict: %q", got)
	}
	g.Apply(ended)
	// What has ended is told before what is missing.
	if got := reasonOf(g.Suffices(t.Context(), p, guard.Need{Scopes: []string{"admin"}})); got != storage.Superseded {
		t.Errorf("after it was announced, and with a scope that is missing: %q", got)
	}
}
