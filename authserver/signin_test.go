package authserver_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestPasswordSignInAnswersWithBothTokens(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile", "device_id", "d1", "device_name", "Tom's phone").ok(t)
	want := answer{
		Type: "Bearer", ExpiresIn: 900, RefreshIn: 7 * 86400, Scope: "wallet:read wallet:transfer",
		Product: "shop", Terminal: "mobile", Version: 1,
	}
	got := a
	got.status, got.header, got.raw, got.Access, got.Refresh, got.Session = 0, nil, "", "", "", ""
	if d := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); d != "" {
		t.Error(d)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" || a.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("headers: %v", a.header)
	}
	claims, err := k.parser.Access(a.Access, k.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if claims.Subject != string(k.users["tom"]) || claims.Session != a.Session || claims.Client != "shop-app" || claims.Version != 1 {
		t.Errorf("claims: %+v", claims)
	}
	s, err := k.db.Session(t.Context(), storage.SessionID(a.Session))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(storage.Device{ID: "d1", Name: "Tom's phone", Address: "192.0.2.1", UserAgent: "kit/1.0"}, s.Device); d != "" {
		t.Error(d)
	}
}

func TestClientWithoutTheRefreshGrantGetsNoRefreshToken(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("no-refresh", "mobile").ok(t)
	if a.Refresh != "" || strings.Contains(a.raw, "refresh") {
		t.Errorf("got %s", a.raw)
	}
}

func TestKickoutEndsTheSessionBeforeAtOnce(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		var told []storage.Event
		k.ended = func(events []storage.Event) { told = append(told, events...) }
		web := k.signIn("shop-app", "browser").ok(t)
		first := k.signIn("shop-app", "mobile", "device_name", "old phone").ok(t)
		k.clock.Advance(time.Minute)
		second := k.signIn("shop-app", "mobile", "device_name", "new phone").ok(t)
		if second.Version != first.Version+1 {
			t.Errorf("versions %d and %d", first.Version, second.Version)
		}
		ended, ok := errors.AsType[*storage.EndedError](k.check(first.Access))
		if !ok || ended.End.Reason != storage.Superseded {
			t.Errorf("the old access token: %v", ended)
		}
		refused := k.refresh("shop-app", first.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "superseded", 2)
		if refused.By == nil || refused.By.Terminal != "mobile" || refused.By.DeviceName != "new phone" || !refused.By.At.Equal(storage.Instant(k.clock.Now())) {
			t.Errorf("superseded_by: %s", refused.raw)
		}
		for _, token := range []string{web.Access, second.Access} {
			if err := k.check(token); err != nil {
				t.Errorf("another terminal's or the new token: %v", err)
			}
		}
		if len(told) != 1 || told[0].Key != first.Session {
			t.Errorf("this process was told %v", told)
		}
		if d := cmp.Diff(told, k.announcer.all()); d != "" {
			t.Errorf("announced: %s", d)
		}
	})
}

func TestSupersessionOutranksExpiry(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	first := k.signIn("shop-app", "mobile").ok(t)
	k.clock.Advance(7*24*time.Hour + time.Minute)
	k.refresh("shop-app", first.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "expired", 1)
	k.signIn("shop-app", "mobile", "device_name", "other").ok(t)
	k.refresh("shop-app", first.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "superseded", 2)
}

func TestSharedJoinersGetTheSameBytes(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		first := k.signIn("shop-app", "browser").ok(t)
		k.clock.Advance(5 * time.Minute)
		second := k.signIn("shop-app", "browser").ok(t)
		if first.Access != second.Access || first.Session != second.Session {
			t.Error("the joiner's access token or session is another")
		}
		if second.ExpiresIn != 600 {
			t.Errorf("expires_in %d: the expiry moved", second.ExpiresIn)
		}
		if first.Refresh == second.Refresh {
			t.Error("the joiner shares the refresh token")
		}
		otherScope := k.signIn("shop-app", "browser", "scope", "wallet:read").ok(t)
		otherClient := k.signIn("shop-web", "browser").ok(t)
		again := k.signIn("shop-web", "browser").ok(t)
		if otherScope.Access == first.Access || otherClient.Access == first.Access || otherClient.Access == otherScope.Access {
			t.Error("other claims gave the same token")
		}
		if again.Access != otherClient.Access {
			t.Error("two joiners with the same client and scope got different tokens")
		}
		jtis := map[string]bool{}
		for _, a := range []answer{first, otherScope, otherClient} {
			claims, err := k.parser.Access(a.Access, k.clock.Now())
			if err != nil || claims.Session != first.Session || jtis[claims.JTI] {
				t.Errorf("claims %+v: %v", claims, err)
			}
			jtis[claims.JTI] = true
		}
		k.restart()
		if after := k.signIn("shop-app", "browser").ok(t); after.Access != first.Access {
			t.Error("after a restart the joiner's token is another")
		}
		k.clock.Advance(11 * time.Minute)
		if late := k.signIn("shop-app", "browser").ok(t); late.Access == first.Access || late.Session != first.Session {
			t.Error("an expired access token must be replaced, in the same session")
		}
	})
}

func (k *kit) restart() {
	k.t.Helper()
	k.must(k.db.Close())
	k.start()
}

func TestConcurrentEvictsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	all := make([]answer, 0, 11)
	for range 10 {
		k.clock.Advance(time.Second)
		all = append(all, k.signIn("shop-app", "api").ok(t))
	}
	k.clock.Advance(time.Second)
	all[0] = k.refresh("shop-app", all[0].Refresh).ok(t) // used: not the least recent any more
	all = append(all, k.signIn("shop-app", "api").ok(t))
	for i, a := range all {
		err := k.check(a.Access)
		ended, evicted := errors.AsType[*storage.EndedError](err)
		if want := i == 1; want != evicted || (evicted && ended.End.Reason != storage.Evicted) {
			t.Errorf("session %d: %v", i, err)
		}
	}
	k.refresh("shop-app", all[1].Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "evicted", 2)
}

func TestSessionDataIsKeptForConfidentialClients(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.postAs("shop-server", "grant_type", "password", "username", "tom", "password", tomsSecret, "session_data", ` {"cart": [1, 2]} `).ok(t)
	s, err := k.db.Session(t.Context(), storage.SessionID(a.Session))
	if err != nil || string(s.Data) != `{"cart":[1,2]}` {
		t.Errorf("session data %s, %v", s.Data, err)
	}
}

func TestEndsAreActedOnBeforeTheAnswerLeaves(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	k.signIn("shop-app", "mobile").ok(t)
	w := &watched{header: http.Header{}}
	acted := false
	k.ended = func([]storage.Event) {
		acted = true
		if w.written {
			t.Error("the answer was being written already")
		}
		if len(k.announcer.all()) != 0 {
			t.Error("other processes were told before this one")
		}
	}
	k.http.ServeHTTP(w, tokenRequest(form("grant_type", "password", "client_id", "shop-app", "terminal", "mobile", "username", "tom", "password", tomsSecret)))
	if !acted || w.status != http.StatusOK || len(k.announcer.all()) != 1 {
		t.Errorf("acted %v, status %d, announced %d", acted, w.status, len(k.announcer.all()))
	}
}

// watched notes whether an answer has begun.
type watched struct {
	header  http.Header
	written bool
	status  int
}

func (w *watched) Header() http.Header { return w.header }
func (w *watched) Write(p []byte) (int, error) {
	w.written = true
	return len(p), nil
}

func (w *watched) WriteHeader(status int) {
	w.written = true
	w.status = status
}
