package authserver_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestRefreshRotatesAndKeepsTheSession(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	first := k.signIn("shop-app", "mobile").ok(t)
	k.clock.Advance(time.Hour)
	second := k.refresh("shop-app", first.Refresh).ok(t)
	if second.Refresh == first.Refresh || second.Access == first.Access {
		t.Error("a token stayed the same")
	}
	if second.Session != first.Session || second.Version != first.Version || second.Scope != first.Scope {
		t.Errorf("the session changed: %s", second.raw)
	}
	if second.ExpiresIn != 900 || second.RefreshIn != 7*86400-3600 {
		t.Errorf("expires in %d and %d", second.ExpiresIn, second.RefreshIn)
	}
	k.refresh("shop-app", second.Refresh).ok(t)
}

func TestRefreshedAccessTokenNeverOutlivesTheSession(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	first := k.signIn("shop-app", "mobile").ok(t)
	k.clock.Advance(7*24*time.Hour - 5*time.Minute)
	if a := k.refresh("shop-app", first.Refresh).ok(t); a.ExpiresIn != 300 || a.RefreshIn != 300 {
		t.Errorf("expires in %d and %d, and the session in 300", a.ExpiresIn, a.RefreshIn)
	}
}

func TestRefreshTokenPresentedAgainGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		for _, terminal := range []string{"mobile", "browser", "api"} {
			k := newKit(t, fresh(t, e))
			first := k.signIn("shop-app", terminal).ok(t)
			k.clock.Advance(14 * time.Minute)
			second := k.refresh("shop-app", first.Refresh).ok(t)
			k.restart()
			k.clock.Advance(9 * time.Second)
			again := k.refresh("shop-app", first.Refresh).ok(t)
			if again.Access != second.Access || again.Refresh != second.Refresh {
				t.Errorf("%s: the answer changed", terminal)
			}
			if again.ExpiresIn != second.ExpiresIn-9 {
				t.Errorf("%s: expires_in %d after %d", terminal, again.ExpiresIn, second.ExpiresIn)
			}
			k.refresh("shop-app", second.Refresh).ok(t)
		}
	})
}

func TestRefreshTokenReused(t *testing.T) {
	t.Parallel()
	for name, reuse := range map[string]func(k *kit, tokens []string) string{
		"after the window": func(k *kit, tokens []string) string {
			k.clock.Advance(11 * time.Second)
			return tokens[1]
		},
		"after its successor was used": func(_ *kit, tokens []string) string { return tokens[0] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, engine.SQLite(t))
			var told []storage.Event
			k.ended = func(events []storage.Event) { told = append(told, events...) }
			first := k.signIn("shop-app", "mobile").ok(t)
			second := k.refresh("shop-app", first.Refresh).ok(t)
			third := k.refresh("shop-app", second.Refresh).ok(t)
			stolen := reuse(k, []string{first.Refresh, second.Refresh})
			for range 2 { // the second time it is the session's end that speaks
				k.refresh("shop-app", stolen).refused(t, http.StatusBadRequest, "invalid_grant", "reuse_detected", 2)
			}
			k.refresh("shop-app", third.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "reuse_detected", 2)
			if k.check(third.Access) == nil {
				t.Error("the access token lives on")
			}
			if len(told) != 1 || told[0].End.Reason != storage.ReuseDetected {
				t.Errorf("told %v", told)
			}
			if n := k.audited("session.ended"); n != 1 {
				t.Errorf("%d audit records of the end", n)
			}
		})
	}
}

func (k *kit) audited(action string) int {
	k.t.Helper()
	all, err := k.db.ListAudit(k.t.Context(), time.Unix(0, 0), "", 1000)
	k.must(err)
	n := 0
	for _, r := range all {
		if r.Action == action {
			n++
		}
	}
	return n
}

func TestRefreshTokensThatSayNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	for name, refused := range map[string]answer{
		"garbage":              k.refresh("shop-app", "garbage"),
		"a bit flipped":        k.refresh("shop-app", a.Refresh[:len(a.Refresh)-5]+flip(a.Refresh[len(a.Refresh)-5:])),
		"an access token":      k.refresh("shop-app", a.Access),
		"another client's":     k.refresh("shop-web", a.Refresh),
		"too long for a token": k.refresh("shop-app", strings.Repeat("x", 5000)),
	} {
		t.Run(name, func(t *testing.T) {
			refused.refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		})
	}
	k.refresh("shop-app", a.Refresh).ok(t) // none of it did any harm
}

func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

func TestRefreshNarrowsTheScopeOfTheAccessTokenOnly(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile", "scope", "wallet:read").ok(t)
	k.refresh("shop-app", a.Refresh, "scope", "wallet:read wallet:transfer").refused(t, http.StatusBadRequest, "invalid_scope", "", 0)
	k.clock.Advance(time.Minute) // the refused request must not have used the token up
	k.refresh("shop-app", a.Refresh).ok(t)

	b := k.signIn("shop-app", "mobile").ok(t)
	narrow := k.refresh("shop-app", b.Refresh, "scope", "wallet:transfer").ok(t)
	if narrow.Scope != "wallet:transfer" {
		t.Errorf("scope %q", narrow.Scope)
	}
	wide := k.refresh("shop-app", b.Refresh).ok(t) // the same exchange, repeated for all of the scope
	if wide.Refresh != narrow.Refresh || wide.Access == narrow.Access || wide.Scope != b.Scope {
		t.Errorf("got %s", wide.raw)
	}
	if next := k.refresh("shop-app", narrow.Refresh).ok(t); next.Scope != b.Scope {
		t.Errorf("the successor lost scope: %q", next.Scope)
	}
}

func TestManyCallersWithOneRefreshTokenGetOneSuccessor(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		for _, terminal := range []string{"mobile", "browser"} {
			k := newKit(t, fresh(t, e))
			first := k.signIn("shop-app", terminal).ok(t)
			k.clock.Advance(14 * time.Minute)
			answers := race(10, func(int) answer { return k.refresh("shop-app", first.Refresh) })
			for _, a := range answers {
				a.ok(t)
				if a.Refresh != answers[0].Refresh || a.Access != answers[0].Access {
					t.Fatalf("%s: the callers got different answers", terminal)
				}
			}
			k.refresh("shop-app", answers[0].Refresh).ok(t)
		}
	})
}

func TestRacingSignInsLeaveOneLiveSession(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		answers := race(10, func(int) answer { return k.signIn("shop-app", "mobile") })
		live, versions := 0, map[int64]bool{}
		for _, a := range answers {
			a.ok(t)
			versions[a.Version] = true
			if k.check(a.Access) == nil {
				live++
			} else {
				k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "superseded", 2)
			}
		}
		if live != 1 || len(versions) != len(answers) {
			t.Errorf("%d live, versions %v", live, versions)
		}
	})
}

func TestRacingSharedSignInsShareOneSession(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		refreshes := map[string]bool{}
		answers := race(10, func(int) answer { return k.signIn("shop-app", "browser") })
		for _, a := range answers {
			a.ok(t)
			refreshes[a.Refresh] = true
			if a.Access != answers[0].Access || a.Session != answers[0].Session {
				t.Error("two sessions on one shared slot")
			}
		}
		if len(refreshes) != len(answers) {
			t.Errorf("%d refresh tokens for %d joiners", len(refreshes), len(answers))
		}
	})
}

// race calls f n times at once.
func race(n int, f func(i int) answer) []answer {
	answers := make([]answer, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			answers[i] = f(i)
		})
	}
	close(begin)
	all.Wait()
	return answers
}

func TestJoinersRotateWithoutTouchingEachOther(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	one := k.signIn("shop-app", "browser").ok(t)
	two := k.signIn("shop-app", "browser").ok(t)
	k.clock.Advance(5 * time.Minute)
	renewed := k.refresh("shop-app", one.Refresh).ok(t)
	if renewed.Access != one.Access {
		t.Error("more than half of its life was left, and the token was replaced")
	}
	k.clock.Advance(5 * time.Minute)
	renewed = k.refresh("shop-app", renewed.Refresh).ok(t)
	if renewed.Access == one.Access || renewed.ExpiresIn != 900 {
		t.Error("less than half of its life was left, and the token was kept")
	}
	if other := k.refresh("shop-app", two.Refresh).ok(t); other.Access != renewed.Access {
		t.Error("the members hold different tokens")
	}
}

func TestIdleSessionExpiresAndUseKeepsItAlive(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t), with(func(cfg *authserver.Config) {
		cfg.Products = product.Config{"shop": {storage.Mobile: {IdleTTL: time.Hour}}}
	}))
	a := k.signIn("shop-app", "mobile").ok(t)
	if a.RefreshIn != 3600 {
		t.Errorf("refresh_token_expires_in %d", a.RefreshIn)
	}
	for range 3 {
		k.clock.Advance(50 * time.Minute)
		a = k.refresh("shop-app", a.Refresh).ok(t)
	}
	k.clock.Advance(61 * time.Minute)
	k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "expired", 1)
}

func TestRotatedAndRetiredKeysKeepEverybodySignedIn(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	one := k.signIn("shop-app", "browser").ok(t)
	before := k.ringKeys()[0]
	if _, err := k.ring.RotateNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if two := k.signIn("shop-app", "browser").ok(t); two.Access != one.Access {
		t.Error("a joiner after the rotation got other bytes")
	}
	k.must(k.ring.Retire(t.Context(), before, true))
	three := k.signIn("shop-app", "browser").ok(t)
	claims, err := k.parser.Access(three.Access, k.clock.Now())
	if err != nil || claims.Session != one.Session || three.Access == one.Access {
		t.Errorf("after the retirement: %+v, %v", claims, err)
	}
	k.refresh("shop-app", three.Refresh).ok(t)
}

func (k *kit) ringKeys() []string {
	k.t.Helper()
	all, err := k.ring.List(k.t.Context())
	k.must(err)
	ids := make([]string, len(all))
	for i, info := range all {
		ids[i] = info.ID
	}
	return ids
}
