package remote_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/events"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/guard/remote"
	"github.com/tallystick/tallystick/storage"
)

func TestKickOutIsSeenOverHTTP(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	old := a.signIn("old phone")
	one, two := a.service(), a.service()
	for _, s := range []*service{one, two} {
		if got := s.ask("/local", old); got.status != http.StatusNoContent {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		if got := s.ask("/strict", old); got.status != http.StatusNoContent {
			t.Fatalf("strict: %d %s", got.status, got.raw)
		}
	}
	for range 5 {
		fresh := a.signIn("new phone")
		if got := one.ask("/strict", old); got.status != http.StatusUnauthorized || got.Reason != storage.Superseded {
			t.Errorf("strict, right after the sign-in: %d %s", got.status, got.raw)
		}
		for _, s := range []*service{one, two} {
			took := within(t, "the kick-out is seen", bound, func() bool { return s.ask("/local", old).status == http.StatusUnauthorized })
			t.Logf("seen %v after the strict check", took)
			got := s.ask("/local", old)
			if got.Error != "invalid_token" || got.Reason != storage.Superseded || got.Code != 2 || got.By == nil || got.By.Device != "new phone" {
				t.Errorf("%s", got.raw)
			}
			if got := s.ask("/local", fresh); got.status != http.StatusNoContent {
				t.Errorf("the new session: %d %s", got.status, got.raw)
			}
		}
		old = fresh
	}
}

// TestAWatcherNeedsNoProductToBeToldWhy asks with a guard that is blind from the beginning, and strictly.
func TestAWatcherNeedsNoProductToBeToldWhy(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	operator := a.add(client.Draft{
		ID: "admin", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{"admin", events.Scope},
	})
	old := a.signIn("old phone")
	fresh := a.signIn("new phone")
	c := a.config()
	c.ClientID, c.ClientSecret = "admin", operator
	blind, err := remote.New(c)
	must(t, err)
	seeing := a.service(func(own *remote.Config) { own.ClientID, own.ClientSecret = c.ClientID, c.ClientSecret })
	for what, check := range map[string]func(string) error{
		"blind":             func(raw string) error { _, err := blind.Check(t.Context(), raw); return err },
		"strict, and blind": func(raw string) error { _, err := blind.CheckStrictly(t.Context(), raw); return err },
		"strict":            func(raw string) error { _, err := seeing.guard.CheckStrictly(t.Context(), raw); return err },
	} {
		refusal, ok := errors.AsType[*guard.Refusal](check(old))
		if !ok || refusal.Status != http.StatusUnauthorized || refusal.Reason() != storage.Superseded || refusal.End.By == nil || refusal.End.By.DeviceName != "new phone" {
			t.Errorf("%s: %+v", what, refusal)
		}
		if err := check(fresh); err != nil {
			t.Errorf("%s, the live session: %v", what, err)
		}
		refusal, ok = errors.AsType[*guard.Refusal](check(old[:len(old)-8] + "AAAAAAAA"))
		if !ok || refusal.Status != http.StatusUnauthorized || refusal.Reason() != "" {
			t.Errorf("%s, a token that does not verify: %+v", what, refusal)
		}
	}
}

func TestWhatTheSnapshotHolds(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	old := a.signIn("old phone")
	a.signIn("new phone")
	s := a.service()
	if got := s.ask("/local", old); got.status != http.StatusUnauthorized || got.Reason != storage.Superseded {
		t.Errorf("ended before the service started: %d %s", got.status, got.raw)
	}
}

func TestIssuerIsKilledAndComesBack(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	old := a.signIn("old phone")
	live := a.signIn("new phone")
	s := a.service()
	if got := s.ask("/local", live); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	a.stop()
	killed := time.Now()
	within(t, "the guard cannot tell", bound+slack, func() bool {
		switch got := s.ask("/local", live); {
		case got.status == http.StatusUnauthorized:
			t.Fatalf("a live session is refused for good: %s", got.raw)
		case got.status == http.StatusNoContent && time.Since(killed) > bound+slack:
			t.Fatalf("let in %v after the issuer was killed", time.Since(killed))
		case got.status == http.StatusServiceUnavailable:
			return got.retry != "" && got.Error == "temporarily_unavailable"
		}
		return false
	})
	if got := s.ask("/local", old); got.status != http.StatusUnauthorized || got.Reason != storage.Superseded {
		t.Errorf("what is known for certain: %d %s", got.status, got.raw)
	}
	if got := s.ask("/strict", live); got.status != http.StatusServiceUnavailable {
		t.Errorf("strict: %d %s", got.status, got.raw)
	}
	if got := s.ask("/local", "x.y.z"); got.status != http.StatusUnauthorized || got.Reason != "" {
		t.Errorf("garbage: %d %s", got.status, got.raw)
	}
	a.start()
	newest := a.signIn("newest phone") // ends what was live, while the service hears nothing
	within(t, "the service hears again", patience, func() bool { return s.ask("/local", newest).status == http.StatusNoContent })
	within(t, "what ended meanwhile is refused", bound, func() bool {
		got := s.ask("/local", live)
		return got.status == http.StatusUnauthorized && got.Reason == storage.Superseded
	})
}

// TestStalledStreamIsNoticed holds back the stream, and leaves the way to introspection open.
func TestStalledStreamIsNoticed(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	old := a.signIn("old phone")
	s := a.service()
	a.proxy.hold()
	live := a.signIn("new phone")
	within(t, "the kick-out is seen by asking", bound+slack, func() bool { return s.ask("/local", old).status == http.StatusUnauthorized })
	if got := s.ask("/local", old); got.Reason != storage.Superseded || got.By == nil || got.By.Device != "new phone" {
		t.Errorf("%s", got.raw)
	}
	if got := s.ask("/local", live); got.status != http.StatusNoContent {
		t.Errorf("the live session: %d %s", got.status, got.raw)
	}
}

// TestBurstOfOldMessages holds back everything, delivers what has become old, and refuses all else.
func TestBurstOfOldMessages(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	live := a.signIn("phone")
	s := a.service()
	a.proxy.hold()
	a.proxy.forbid(true)
	held := time.Now()
	within(t, "blind and without an answer", bound+slack, func() bool { return s.ask("/local", live).status == http.StatusServiceUnavailable })
	within(t, "old messages wait", patience, func() bool { return time.Since(held) > 2*time.Second })
	if n := a.proxy.burst(time.Now().Add(-1200 * time.Millisecond)); n == 0 {
		t.Fatal("nothing was held back")
	}
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		if got := s.ask("/local", live); got.status != http.StatusServiceUnavailable {
			t.Fatalf("after a burst of old messages: %d %s: it believes that it sees", got.status, got.raw)
		}
	}
	a.proxy.forbid(false)
	a.proxy.cut()
	within(t, "the service hears again", patience, func() bool { return s.ask("/local", live).status == http.StatusNoContent })
}

func TestOwnClientIsDisabled(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	live := a.signIn("phone")
	s := a.service()
	must(t, a.manager().Disable(t.Context(), audit.System(), "parcels"))
	within(t, "the service is told nothing any more", bound+slack, func() bool { return s.ask("/local", live).status == http.StatusServiceUnavailable })
}

func TestStartWithoutIssuer(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	live := a.signIn("phone")
	a.stop()
	g, err := remote.New(a.config())
	must(t, err)
	t.Cleanup(g.Stop)
	if err := g.Start(t.Context()); err == nil {
		t.Fatal("started without an issuer")
	}
	refusal, ok := errors.AsType[*guard.Refusal](func() error { _, err := g.Check(t.Context(), live); return err }())
	if !ok || refusal.Status != http.StatusServiceUnavailable {
		t.Errorf("a guard without keys: %v", refusal)
	}
	a.start()
	must(t, g.Start(t.Context()))
	if p, err := g.Check(t.Context(), live); err != nil || p.Client != "shop-app" || p.User == "" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestStandingHasNoTokenToShow(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	live := a.signIn("phone")
	s := a.service()
	p, err := s.guard.Check(t.Context(), live)
	must(t, err)
	must(t, s.guard.Standing(t.Context(), p))
	s.guard.Stop()
	refusal, ok := errors.AsType[*guard.Refusal](s.guard.Standing(t.Context(), p))
	if !ok || refusal.Status != http.StatusServiceUnavailable {
		t.Errorf("blind: %v", refusal)
	}
	if _, err := s.guard.Check(t.Context(), live); err != nil {
		t.Errorf("blind, with the token at hand: %v", err)
	}
}

func TestForAnotherAudience(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	live := a.signIn("phone")
	s := a.service(func(c *remote.Config) { c.Audience = []string{"https://other.example"} })
	if got := s.ask("/local", live); got.status != http.StatusUnauthorized || got.Reason != "" {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	good := remote.Config{
		Issuer: "https://id.example/tenant", ClientID: "parcels", ClientSecret: secret.New("hush"), Audience: []string{"x"},
	}
	for name, change := range map[string]func(*remote.Config){
		"no issuer":            func(c *remote.Config) { c.Issuer = "" },
		"no host":              func(c *remote.Config) { c.Issuer = "https:///x" },
		"a final slash":        func(c *remote.Config) { c.Issuer += "/" },
		"a query":              func(c *remote.Config) { c.Issuer += "?x" },
		"a user":               func(c *remote.Config) { c.Issuer = "https://a:b@id.example" },
		"plain http":           func(c *remote.Config) { c.Issuer = "http://id.example" },
		"another scheme":       func(c *remote.Config) { c.Issuer, c.Insecure = "ftp://id.example", true },
		"no client":            func(c *remote.Config) { c.ClientID = "" },
		"no secret":            func(c *remote.Config) { c.ClientSecret = secret.Text{} },
		"no audience":          func(c *remote.Config) { c.Audience = nil },
		"an empty audience":    func(c *remote.Config) { c.Audience = []string{""} },
		"a negative bound":     func(c *remote.Config) { c.MaxEnded = -1 },
		"blind before it sees": func(c *remote.Config) { c.Blind = time.Millisecond },
	} {
		c := good
		change(&c)
		if _, err := remote.New(c); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
	registry := prometheus.NewRegistry()
	for name, change := range map[string]func(*remote.Config){
		"as it is": func(*remote.Config) {}, "loopback": func(c *remote.Config) { c.Issuer = "http://[::1]:8080" }, "localhost": func(c *remote.Config) { c.Issuer = "http://localhost" },
		"told to be insecure": func(c *remote.Config) { c.Issuer, c.Insecure = "http://id.example", true }, "metrics": func(c *remote.Config) { c.Metrics = registry },
	} {
		c := good
		change(&c)
		if _, err := remote.New(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	good.Metrics = registry
	if _, err := remote.New(good); err == nil {
		t.Error("metrics of two guards under one name")
	}
}

func TestObserverAndRealm(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	live := a.signIn("phone")
	var seen []string
	s := a.service(func(c *remote.Config) {
		c.Realm = "parcels"
		c.Observe = func(_ context.Context, p *guard.Principal, _ *guard.Refusal) { seen = append(seen, string(p.Client)) }
	})
	s.ask("/local", live)
	if len(seen) != 1 || seen[0] != "shop-app" {
		t.Errorf("%v", seen)
	}
}
