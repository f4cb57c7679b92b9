package guard_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

func TestExpiry(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	h := routes(s.guard())
	past := time.Now().Add(-time.Hour) // tokens live for 15 minutes, sessions for a day

	alive := s.signIn(s.user("alive"), "phone", "wallet:read", past)
	w := ask(h, "/local", alive.raw)
	refused(t, w, 401, storage.Expired)
	if a := body(t, w); a.Code != 1 || a.SupersededBy != nil {
		t.Errorf("expired: %s", w.Body)
	}

	// Supersession outranks expiry, also when no event tells of it any more.
	user := s.user("both")
	old := s.signIn(user, "phone", "wallet:read", past)
	s.signIn(user, "tablet", "wallet:read", time.Now())
	w = ask(h, "/local", old.raw)
	refused(t, w, 401, storage.Superseded)
	if a := body(t, w); a.Code != 2 || a.SupersededBy == nil || a.SupersededBy.DeviceName != "tablet" {
		t.Errorf("expired and superseded: %s", w.Body)
	}
	refused(t, ask(h, "/strict", old.raw), 401, storage.Superseded)

	// What was `expired` a moment ago can be superseded now.
	s.signIn(alive.session.User, "tablet", "wallet:read", time.Now())
	within(t, "an expired token is found to be superseded", bound, func() bool {
		return body(t, ask(h, "/local", alive.raw)).Reason == string(storage.Superseded)
	})

	must(t, s.db.Close())
	unknown := s.signedElsewhere(past)
	if w := ask(h, "/local", unknown); w.Code != 503 {
		t.Errorf("expired, and nobody knows whether superseded: %d %s, want 503", w.Code, w.Body)
	}
	refused(t, ask(h, "/local", old.raw), 401, storage.Superseded) // was looked up before
}

// signedElsewhere mints a token of a session that no store here knows.
func (s *stand) signedElsewhere(issued time.Time) string {
	issued = issued.UTC().Truncate(time.Second)
	raw, err := s.minter.Access(token.Access{
		Subject: "u", Audience: []string{issuer}, Client: string(app), JTI: "j", Scope: "wallet:read", Session: "elsewhere",
		Product: "shop", Terminal: "mobile", Version: 1, IssuedAt: issued, Expires: issued.Add(time.Minute),
	}, "")
	must(s.t, err)
	return raw
}

func TestStrictSeesWhatNobodyAnnounced(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	h := routes(s.guard(onlyHurry(nil)))
	amy := s.user("amy")
	old := s.signIn(amy, "phone", "wallet:read", time.Now())
	if w := ask(h, "/strict", old.raw); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	s.signIn(amy, "tablet", "wallet:read", time.Now())
	refused(t, ask(h, "/strict", old.raw), 401, storage.Superseded)
	if w := ask(h, "/local", old.raw); w.Code != 200 {
		t.Errorf("local without a feed: %d, want 200: this test shows what strict adds", w.Code)
	}
}

func TestApplyIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	g := s.guard(onlyHurry(nil))
	h := routes(g)
	amy := s.user("amy")
	old := s.signIn(amy, "phone", "wallet:read", time.Now())
	in := s.signIn(amy, "tablet", "wallet:read", time.Now())
	g.Apply(in.ended)
	g.Apply(in.ended)
	refused(t, ask(h, "/local", old.raw), 401, storage.Superseded)
	if w := ask(h, "/local", in.raw); w.Code != 200 {
		t.Errorf("the new session: %d %s", w.Code, w.Body)
	}
}

func TestDisabledClientsTokensAreDead(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	h := routes(s.guard())
	now := storage.Instant(time.Now())
	user := s.signIn(s.user("amy"), "phone", "wallet:read", now.Add(-time.Minute)).raw
	before := s.clientToken(billing, "wallet:read", now.Add(-time.Minute))
	if w := ask(h, "/local", before); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	_, err := s.db.DisableClient(t.Context(), billing, "operator:x", now.Add(time.Hour), nil, now)
	must(t, err)
	within(t, "the client's tokens are dead", bound, func() bool { return ask(h, "/local", before).Code == 401 })
	refused(t, ask(h, "/strict", before), 401, storage.Kicked)
	if w := ask(h, "/local", user); w.Code != 200 {
		t.Errorf("a token of another client: %d %s", w.Code, w.Body)
	}
	must(t, s.db.EnableClient(t.Context(), billing, nil, now))
	after := s.clientToken(billing, "wallet:read", now.Add(2*time.Second))
	for _, path := range []string{"/local", "/strict"} {
		if w := ask(h, path, after); w.Code != 200 {
			t.Errorf("%s: a token after the client was let in again: %d %s", path, w.Code, w.Body)
		}
		if w := ask(h, path, before); w.Code != 401 {
			t.Errorf("%s: a token from before: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestOneTokenAlone(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	g := s.guard()
	h := routes(g)
	one := s.clientToken(billing, "wallet:read", time.Now())
	other := s.clientToken(billing, "wallet:read", time.Now())
	claims, err := s.parser.Access(one, time.Now())
	must(t, err)
	g.Apply([]storage.Event{{
		Subject: storage.SubjectToken, Key: claims.JTI, End: storage.End{Reason: storage.SignedOut, At: time.Now()}, Until: claims.Expires,
	}})
	refused(t, ask(h, "/local", one), 401, storage.SignedOut)
	if w := ask(h, "/local", other); w.Code != 200 {
		t.Errorf("another token of the client: %d %s", w.Code, w.Body)
	}
}

func TestClientThatIsDisabledTwice(t *testing.T) {
	t.Parallel()
	f := &feed{}
	inBubble(t, f, nil, func(t *testing.T, g *guard.Guard) {
		from := time.Now() // of every token here
		disabled := func(at time.Time) storage.Event {
			return storage.Event{
				Subject: storage.SubjectClient, Key: "shop-app", End: storage.End{Reason: storage.Kicked, At: at}, Until: from.Add(time.Hour),
			}
		}
		g.Apply([]storage.Event{disabled(from.Add(-time.Second))})
		if got, _ := status(t, g, "s"); got != 200 {
			t.Errorf("a token issued after the first end: %d", got)
		}
		g.Apply([]storage.Event{disabled(from), disabled(from.Add(-time.Second))})
		if got, _ := status(t, g, "s"); got != 401 {
			t.Errorf("a token issued up to the second end: %d", got)
		}
	})
}

func TestKickedOutWhileManyAsk(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	amy := s.user("amy")
	old := s.signIn(amy, "phone", "wallet:read", time.Now())
	g := s.guard()
	h := routes(g)
	var answered atomic.Bool // the sign-in has been answered
	var late, before atomic.Int64
	var wg sync.WaitGroup
	gone := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				after := answered.Load()
				switch w := ask(h, "/local", old.raw); {
				case w.Code == 401:
					select {
					case <-gone:
						return
					default:
					}
				case after:
					late.Add(1)
				default:
					before.Add(1)
				}
			}
		})
	}
	within(t, "the old session is used", bound, func() bool { return before.Load() > 100 })
	g.Apply(s.signIn(amy, "tablet", "wallet:read", time.Now()).ended)
	answered.Store(true)
	close(gone)
	wg.Wait()
	if late.Load() != 0 {
		t.Errorf("let in %d times after the sign-in was answered", late.Load())
	}
}

func TestBlindCallersShareAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{gate: make(chan struct{})}
		g, err := guard.New(guard.Config{Tokens: plainTokens{time.Now()}, Feed: f, Sessions: f})
		must(t, err)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if got, _ := status(t, g, "s"); got != 200 {
					t.Errorf("%d", got)
				}
			})
		}
		synctest.Wait()
		close(f.gate)
		wg.Wait()
		if f.asked() != 1 {
			t.Errorf("%d direct checks for a thousand callers with one token", f.asked())
		}
	})
}

func TestStrictCallersDoNotShareAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{gate: make(chan struct{})}
		g, err := guard.New(guard.Config{Tokens: plainTokens{time.Now()}, Feed: f, Sessions: f})
		must(t, err)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := g.CheckStrictly(t.Context(), "s"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(f.gate)
		wg.Wait()
		if f.asked() != 10 {
			t.Errorf("%d direct checks for ten strict callers", f.asked())
		}
	})
}

func TestDirectChecksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{gate: make(chan struct{})} // a store that never answers
		g, err := guard.New(guard.Config{Tokens: plainTokens{time.Now()}, Feed: f, Sessions: f})
		must(t, err)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				if got, _ := status(t, g, fmt.Sprint("s", i)); got != 503 {
					t.Errorf("%d, want 503", got)
				}
			})
		}
		synctest.Wait()
		if f.asked() != 64 {
			t.Errorf("%d direct checks at once, want 64", f.asked())
		}
		wg.Wait()
		if took := time.Since(began); took != guard.DefaultDirectTimeout {
			t.Errorf("all were answered after %v, want %v", took, guard.DefaultDirectTimeout)
		}
	})
}

func TestCallerWhoLeavesDoesNotSpoilTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &feed{gate: make(chan struct{})}
		g, err := guard.New(guard.Config{Tokens: plainTokens{time.Now()}, Feed: f, Sessions: f})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := g.Check(ctx, "s"); !errors.Is(err, context.Canceled) {
				t.Errorf("who left was told %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := g.Check(t.Context(), "s"); err != nil {
				t.Errorf("who stayed was told %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(f.gate)
		wg.Wait()
	})
}

// fallibleTokens is a parser whose keys are away.
type fallibleTokens struct{ err error }

func (f fallibleTokens) Access(string, time.Time) (token.Access, error) { return token.Access{}, f.err }

func TestUnknownKeyThatCannotBeAskedForIsNoRefusal(t *testing.T) {
	t.Parallel()
	f := &feed{}
	g, err := guard.New(guard.Config{Tokens: fallibleTokens{errors.New("key store unavailable")}, Feed: f, Sessions: f})
	must(t, err)
	if got, _ := status(t, g, "s"); got != 503 {
		t.Errorf("%d, want 503", got)
	}
}

func TestStandingOfALongConnection(t *testing.T) {
	t.Parallel()
	f := &feed{}
	inBubble(t, f, nil, func(t *testing.T, g *guard.Guard) {
		p, err := g.Check(t.Context(), "s")
		must(t, err)
		must(t, g.Standing(t.Context(), p))
		time.Sleep(time.Hour)
		if got := reasonOf(g.Standing(t.Context(), p)); got != storage.Expired {
			t.Errorf("an hour later: %q, want expired", got)
		}
		f.end(storage.Event{
			Subject: storage.SubjectSession, Key: "s", End: storage.End{Reason: storage.Superseded, At: time.Now()}, Until: time.Now().Add(time.Second),
		})
		time.Sleep(10 * time.Second)
		if got := reasonOf(g.Standing(t.Context(), p)); got != storage.Superseded {
			t.Errorf("after its end: %q, want superseded", got)
		}
	})
}

func reasonOf(err error) storage.Reason {
	if r, ok := errors.AsType[*guard.Refusal](err); ok {
		return r.Reason()
	}
	return ""
}

func TestPrincipalInAContext(t *testing.T) {
	t.Parallel()
	want := guard.Principal{User: "u", Client: "c", Session: "s", JTI: "j", Scope: "a bc", IssuedAt: time.Unix(1, 0)}
	got, ok := guard.From(guard.NewContext(t.Context(), want))
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Error(diff)
	}
	if _, ok := guard.From(t.Context()); ok {
		t.Error("a principal out of nothing")
	}
	if b := want.Bearer(); b != (storage.Bearer{Session: "s", Client: "c", JTI: "j", IssuedAt: time.Unix(1, 0)}) {
		t.Errorf("bearer %+v", b)
	}
	for scope, has := range map[string]bool{"a": true, "bc": true, "b": false, "c": false, "a bc": false, "": true} {
		if want.Has(scope) != has {
			t.Errorf("Has(%q) is %v", scope, !has)
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	t.Parallel()
	f := &feed{}
	good := guard.Config{Tokens: plainTokens{}, Feed: f, Sessions: f}
	for name, spoil := range map[string]func(*guard.Config){
		"no tokens":              func(c *guard.Config) { c.Tokens = nil },
		"no feed":                func(c *guard.Config) { c.Feed = nil },
		"no sessions":            func(c *guard.Config) { c.Sessions = nil },
		"negative size":          func(c *guard.Config) { c.MaxEnded = -1 },
		"poll as long as blind":  func(c *guard.Config) { c.Poll = time.Second },
		"direct longer than all": func(c *guard.Config) { c.DirectTimeout = time.Minute },
	} {
		c := good
		spoil(&c)
		if _, err := guard.New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	registry := prometheus.NewRegistry()
	g := s.guard(func(c *guard.Config) { c.Metrics = registry })
	in := s.signIn(s.user("amy"), "phone", "wallet:read", time.Now())
	h := routes(g)
	for range 3 {
		ask(h, "/local", in.raw)
	}
	ask(h, "/local", "")
	ask(h, "/both", in.raw)
	g.Apply([]storage.Event{ending(in, storage.Kicked)})
	ask(h, "/local", in.raw)
	got := gather(t, registry)
	for name, want := range map[string]float64{
		"tallystick_guard_ended_entries":                     1,
		"tallystick_guard_ended_overflow":                    0,
		"tallystick_guard_refusals_total insufficient_scope": 1,
		"tallystick_guard_refusals_total kicked":             1,
		"tallystick_guard_refusals_total no_token":           1,
		"tallystick_guard_token_cache_hits_total":            4,
		"tallystick_guard_token_cache_misses_total":          1,
		"tallystick_guard_token_cache_entries":               1,
		"tallystick_guard_events_total applied":              1,
		"tallystick_guard_blind":                             0,
		"tallystick_guard_blind_seconds_total":               0,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s is %v (there: %v), want %v", name, value, there, want)
		}
	}
	if lag := got["tallystick_guard_feed_lag_seconds"]; lag < 0 || lag > 1 {
		t.Errorf("lag of the feed %v", lag)
	}
	if _, err := guard.New(guard.Config{Tokens: s.parser, Feed: s.db, Sessions: s.db, Metrics: registry}); err == nil {
		t.Error("two guards on one registry")
	}
}

// gather reads all metrics by name and label.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}
