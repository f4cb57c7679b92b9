package authserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// ask sends a request with an access token, and a JSON body unless that is empty.
func (k *kit) ask(method, path, access, body string, header ...string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+access)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return k.do(r)
}

// done fails the test unless a request was answered with nothing but that it is done.
func (a answer) done(t testing.TB) {
	t.Helper()
	if a.status != http.StatusNoContent || a.raw != "" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
}

// endedAs fails the test unless the session of a sign-in has ended for a reason.
func (k *kit) endedAs(a answer, reason storage.Reason) {
	k.t.Helper()
	s, err := k.db.Session(k.t.Context(), storage.SessionID(a.Session))
	k.must(err)
	if s.End == nil || s.End.Reason != reason {
		k.t.Errorf("the end of the session on %s is %+v, want %s", s.Terminal, s.End, reason)
	}
}

func (k *kit) lives(a answer) {
	k.t.Helper()
	if err := k.check(a.Access); err != nil {
		k.t.Errorf("a session that nobody ended: %v", err)
	}
}

func TestListOfSessions(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	phone := k.signIn("shop-app", "mobile", "device_id", "d1", "device_name", "Tom's phone").ok(t)
	k.clock.Advance(time.Minute)
	web := k.signIn("shop-web", "browser").ok(t)
	k.clock.Advance(time.Second)
	music := k.signIn("no-refresh", "mobile").ok(t)
	amys := k.post("grant_type", "password", "client_id", "shop-app", "username", "amy", "password", tomsSecret).ok(t)
	k.clock.Advance(time.Minute)
	got := k.ask(http.MethodGet, "/v1/sessions", web.Access, "")
	if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %s", got.status, got.raw)
	}
	golden(t, "sessions.json", k.stable(got.raw, phone, web, music))
	if strings.Contains(got.raw, amys.Session) {
		t.Error("it lists somebody else's session")
	}
	k.clock.Advance(3 * 24 * time.Hour) // the browser's is past its time, the phone's is not
	phone = k.refresh("shop-app", phone.Refresh).ok(t)
	var list struct {
		Sessions []struct {
			ID      string `json:"session_id"`
			Current bool   `json:"current"`
		} `json:"sessions"`
	}
	k.must(json.Unmarshal([]byte(k.ask(http.MethodGet, "/v1/sessions", phone.Access, "").raw), &list))
	if len(list.Sessions) != 2 || list.Sessions[1].ID != phone.Session || !list.Sessions[1].Current || list.Sessions[0].Current {
		t.Errorf("listed %+v", list.Sessions)
	}
}

func TestEndingSessions(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		phone, web, api := k.signIn("shop-app", "mobile").ok(t), k.signIn("shop-app", "browser").ok(t), k.signIn("shop-app", "api").ok(t)
		var told []storage.Event
		k.ended = func(events []storage.Event) { told = append(told, events...) }

		k.ask(http.MethodDelete, "/v1/sessions/"+web.Session, phone.Access, "").done(t)
		k.endedAs(web, storage.Kicked)
		k.ask(http.MethodDelete, "/v1/sessions/"+web.Session, phone.Access, "").done(t) // again
		k.refresh("shop-app", web.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "kicked", 2)
		k.ask(http.MethodGet, "/v1/sessions", web.Access, "").refused(t, http.StatusUnauthorized, "invalid_token", "kicked", 2)

		k.ask(http.MethodDelete, "/v1/sessions/current", api.Access, "").done(t)
		k.endedAs(api, storage.SignedOut)
		k.ask(http.MethodDelete, "/v1/sessions/current", api.Access, "").refused(t, http.StatusUnauthorized, "invalid_token", "signed_out", 1)

		web, api = k.signIn("shop-app", "browser").ok(t), k.signIn("shop-app", "api").ok(t)
		k.ask(http.MethodDelete, "/v1/sessions?except=current", phone.Access, "").done(t)
		k.endedAs(web, storage.Kicked)
		k.endedAs(api, storage.Kicked)
		k.lives(phone)
		k.ask(http.MethodDelete, "/v1/sessions/"+phone.Session, phone.Access, "").done(t)
		k.endedAs(phone, storage.Kicked)

		if len(told) != 5 || len(k.announcer.all()) != 5 {
			t.Errorf("told of %d, announced %d", len(told), len(k.announcer.all()))
		}
		for _, event := range told {
			if event.End.Actor != "user:"+string(k.users["tom"]) {
				t.Errorf("the actor of %s is %s", event.Key, event.End.Actor)
			}
		}
	})
}

func TestEndingWhatIsNotOnesOwn(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	toms := k.signIn("shop-app", "mobile").ok(t)
	amys := k.post("grant_type", "password", "client_id", "shop-app", "username", "amy", "password", tomsSecret).ok(t)
	unknown := k.ask(http.MethodDelete, "/v1/sessions/"+storage.NewID(k.clock.Now()), toms.Access, "").
		refused(t, http.StatusNotFound, "not_found", "", 0)
	for _, id := range []string{amys.Session, "x", "CURRENT", strings.Repeat("x", 3000)} {
		got := k.ask(http.MethodDelete, "/v1/sessions/"+id, toms.Access, "").refused(t, http.StatusNotFound, "not_found", "", 0)
		if id == amys.Session && got.raw != unknown.raw {
			t.Errorf("somebody else's session is told from an unknown one: %s", got.raw)
		}
	}
	k.lives(amys)
	for _, query := range []string{"", "?except=", "?except=" + toms.Session, "?exept=current", "?except=current&except=current", "?except=current&all=1"} {
		k.ask(http.MethodDelete, "/v1/sessions"+query, toms.Access, "").refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	}
	k.ask(http.MethodDelete, "/v1/sessions/current?except=x", toms.Access, "").refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	k.ask(http.MethodGet, "/v1/sessions?user=amy", toms.Access, "").refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	k.lives(toms)
}

func TestOneWhoSharesASessionDoesNotEndItForOthers(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a, b := k.signIn("shop-app", "browser").ok(t), k.signIn("shop-app", "browser").ok(t)
	got := k.ask(http.MethodDelete, "/v1/sessions/current", a.Access, "").refused(t, http.StatusConflict, "session_shared", "", 0)
	if !strings.Contains(got.Description, "revoke its refresh token") {
		t.Errorf("it does not say what to do: %s", got.raw)
	}
	k.revoke("shop-app", a.Refresh).revoked(t)
	k.ask(http.MethodDelete, "/v1/sessions/current", a.Access, "").refused(t, http.StatusConflict, "session_shared", "", 0)
	k.lives(b)
	k.ask(http.MethodDelete, "/v1/sessions/"+b.Session, b.Access, "").done(t) // for all of them
	k.endedAs(b, storage.Kicked)
}

// TestASupersededPhoneEndsNothing: what changes something is strict.
func TestASupersededPhoneEndsNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	old, fresh := k.signIn("shop-app", "mobile").ok(t), k.signIn("shop-app", "mobile").ok(t)
	for _, try := range []struct{ method, path, body string }{
		{http.MethodDelete, "/v1/sessions/" + fresh.Session, ""},
		{http.MethodDelete, "/v1/sessions/current", ""},
		{http.MethodDelete, "/v1/sessions?except=current", ""},
		{http.MethodPost, "/v1/password", change(tomsSecret, "another good password")},
		{http.MethodGet, "/v1/sessions", ""},
	} {
		k.ask(try.method, try.path, old.Access, try.body).refused(t, http.StatusUnauthorized, "invalid_token", "superseded", 2)
	}
	k.lives(fresh)
}

func TestAccountIsForUsers(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	machine := k.machine("shop-server")
	for _, try := range []struct{ method, path, body string }{
		{http.MethodGet, "/v1/sessions", ""},
		{http.MethodDelete, "/v1/sessions/current", ""},
		{http.MethodDelete, "/v1/sessions?except=current", ""},
		{http.MethodPost, "/v1/password", "{}"},
	} {
		if got := k.ask(try.method, try.path, machine.Access, try.body); got.status != http.StatusForbidden || got.Error != "insufficient_scope" {
			t.Errorf("%s %s: %d %s", try.method, try.path, got.status, got.raw)
		}
		if got := k.ask(try.method, try.path, "nonsense", try.body); got.status != http.StatusUnauthorized || got.Reason != "" {
			t.Errorf("%s %s with nonsense: %d %s", try.method, try.path, got.status, got.raw)
		}
	}
}

func change(present, chosen string) string {
	body, err := json.Marshal(map[string]string{"current_password": present, "new_password": chosen})
	if err != nil {
		panic(err)
	}
	return string(body)
}

func TestChangeOfPassword(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		phone, web, api := k.signIn("shop-app", "mobile").ok(t), k.signIn("shop-app", "browser").ok(t), k.signIn("shop-app", "api").ok(t)
		k.ask(http.MethodPost, "/v1/password", phone.Access, change(tomsSecret, "another good password")).done(t)
		k.lives(phone)
		k.refresh("shop-app", phone.Refresh).ok(t)
		for _, other := range []answer{web, api} {
			k.endedAs(other, storage.PasswordChanged)
			k.refresh("shop-app", other.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "password_changed", 2)
		}
		k.signIn("shop-app", "browser").refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		k.signIn("shop-app", "browser", "password", "x").refused(t, http.StatusBadRequest, "invalid_request", "", 0)
		k.post("grant_type", "password", "client_id", "shop-app", "username", "tom", "password", "another good password").ok(t)
		if n := len(k.announcer.all()); n != 3 { // the two, and the phone that the last sign-in superseded
			t.Errorf("%d announced", n)
		}
		if n := k.audited(audit.UserPassword); n != 1 {
			t.Errorf("%d audit records", n)
		}
	})
}

func TestRefusedChangesOfPassword(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	phone := k.signIn("shop-app", "mobile").ok(t)
	var all strings.Builder
	for _, c := range []struct{ name, body string }{
		{"wrong", change("not it", "another good password")},
		{"short", change(tomsSecret, "short")},
		{"the user name", change(tomsSecret, "tom")},
		{"the worst", change(tomsSecret, "password1234")},
		{"long", change(tomsSecret, strings.Repeat("x1", 200))},
		{"long present one", change(strings.Repeat("x", 1025), "another good password")},
		{"no present one", `{"new_password": "another good password"}`},
		{"no new one", `{"current_password": "x"}`},
		{"empty", change("", "")},
		{"unknown member", `{"current_password": "x", "new_password": "another good password", "logout": false}`},
		{"misspelt letters", `{"Current_Password": "x", "new_password": "another good password"}`},
		{"twice", `{"current_password": "x", "current_password": "x", "new_password": "another good password"}`},
		{"a number", `{"current_password": 1, "new_password": "another good password"}`},
		{"null", `{"current_password": null, "new_password": "another good password"}`},
		{"half a pair", `{"current_password": "\ud800", "new_password": "another good password"}`},
		{"a list", `[]`},
		{"no JSON", `{"current_password"`},
		{"more than one", `{}{}`},
	} {
		a := k.ask(http.MethodPost, "/v1/password", phone.Access, c.body)
		if a.status < 400 || a.status == http.StatusUnauthorized {
			t.Errorf("%s: got %d %s", c.name, a.status, a.raw)
		}
		fmt.Fprintf(&all, "%s\n\t%d %s\n", c.name, a.status, a.raw)
	}
	golden(t, "refused_passwords.txt", all.String())
	k.ask(http.MethodPost, "/v1/password", phone.Access, "").refused(t, http.StatusUnsupportedMediaType, "invalid_request", "", 0)
	k.ask(http.MethodPost, "/v1/password", phone.Access, change(tomsSecret, strings.Repeat("x", 70_000))).
		refused(t, http.StatusRequestEntityTooLarge, "invalid_request", "", 0)
	k.signIn("shop-app", "api").ok(t)
}

func TestGuessingByChangeOfPasswordIsBraked(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	phone := k.signIn("shop-app", "mobile").ok(t)
	const most = 200
	for n := range most {
		a := k.ask(http.MethodPost, "/v1/password", phone.Access, change("guess number", "another good password"))
		if a.status == http.StatusTooManyRequests {
			if a.Error != "slow_down" || a.header.Get("Retry-After") == "" || n == 0 {
				t.Errorf("after %d: %s %v", n, a.raw, a.header)
			}
			// The brake is that of the sign-in, and leaves the session alone.
			k.signIn("shop-app", "api").refused(t, http.StatusTooManyRequests, "slow_down", "", 0)
			k.refresh("shop-app", phone.Refresh).ok(t)
			return
		}
		a.refused(t, http.StatusForbidden, "wrong_password", "", 0)
	}
	t.Errorf("%d guesses were let through", most)
}

func TestChangesOfPasswordRace(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		phone := k.signIn("shop-app", "mobile").ok(t)
		const racers = 4
		answers := make([]answer, racers)
		together(racers, func(i int) {
			answers[i] = k.ask(http.MethodPost, "/v1/password", phone.Access, change(tomsSecret, fmt.Sprintf("another good password %d", i)))
		})
		winner := -1
		for i, a := range answers {
			if a.status == http.StatusNoContent {
				if winner >= 0 {
					t.Errorf("%d and %d have both changed it", winner, i)
				}
				winner = i
				continue
			}
			a.refused(t, http.StatusForbidden, "wrong_password", "", 0)
		}
		if winner < 0 {
			t.Fatal("nobody has changed it")
		}
		k.post("grant_type", "password", "client_id", "shop-app", "username", "tom", "password", fmt.Sprintf("another good password %d", winner)).ok(t)
		if n := k.audited(audit.UserPassword); n != 1 {
			t.Errorf("%d audit records", n)
		}
	})
}

// TestSignInAgainstChangeOfPassword: a session opened with the old password does not outlive its change.
func TestSignInAgainstChangeOfPassword(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		phone := k.signIn("shop-app", "mobile").ok(t)
		present := tomsSecret
		for n := range 5 {
			chosen := fmt.Sprintf("another good password %d", n)
			var changed, opened answer
			together(2, func(i int) {
				if i == 0 {
					changed = k.ask(http.MethodPost, "/v1/password", phone.Access, change(present, chosen))
				} else {
					opened = k.post("grant_type", "password", "client_id", "shop-app", "terminal", "api", "username", "tom", "password", present)
				}
			})
			changed.done(t)
			if opened.status == http.StatusOK {
				k.endedAs(opened, storage.PasswordChanged)
			} else {
				opened.refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
			}
			present = chosen
		}
	})
}

func TestOutageOfTheStoreAtTheAccount(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	phone := k.signIn("shop-app", "mobile").ok(t)
	k.restartWith(func(cfg *authserver.Config) { cfg.Sessions = away{cfg.Sessions} })
	// The guard reads the store by itself and lets these in.
	k.ask(http.MethodDelete, "/v1/sessions/"+phone.Session, phone.Access, "").refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
	if w := k.userinfo(http.MethodGet, phone.Access); w.Code != http.StatusServiceUnavailable {
		t.Errorf("userinfo: %d %s", w.Code, w.Body)
	}
}

func TestLastSeenOfTheCallerIsNow(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	phone := k.signIn("shop-app", "mobile").ok(t)
	k.clock.Advance(5 * time.Minute)
	var list struct {
		Sessions []struct {
			Seen time.Time `json:"last_seen_at"`
		} `json:"sessions"`
	}
	k.must(json.Unmarshal([]byte(k.ask(http.MethodGet, "/v1/sessions", phone.Access, "").raw), &list))
	if d := cmp.Diff(storage.Instant(k.clock.Now()), list.Sessions[0].Seen); d != "" {
		t.Error(d)
	}
	stored, err := k.db.Session(context.Background(), storage.SessionID(phone.Session))
	k.must(err)
	if !stored.LastSeenAt.Before(list.Sessions[0].Seen) {
		t.Error("a request has written to the store")
	}
}
