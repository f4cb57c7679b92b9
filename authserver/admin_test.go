package authserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// desk is an administration client with its token.
type desk struct {
	*kit

	access string
}

func newDesk(t *testing.T, e engine.Engine) *desk {
	t.Helper()
	k := newKit(t, e)
	k.addClient(client.Draft{
		ID: "admin", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{"admin", "sessions:watch"},
	})
	return &desk{k, k.machine("admin").Access}
}

func (d *desk) get(path string) answer { return d.ask(http.MethodGet, "/admin/v1"+path, d.access, "") }

func (d *desk) post(path, body string) answer {
	return d.ask(http.MethodPost, "/admin/v1"+path, d.access, body)
}

func (d *desk) user(name string) string { return "/users/" + string(d.users[name]) }

// into reads an answer of a status.
func (a answer) into(t testing.TB, status int, v any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	if strings.Contains(a.raw, "hash") || strings.Contains(a.raw, "argon2") || strings.Contains(a.raw, "hmac-") || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("an answer that may be kept, or shows a hash: %v %s", a.header, a.raw)
	}
	if err := json.Unmarshal([]byte(a.raw), v); err != nil {
		t.Fatal(err)
	}
}

// shownUser is a user as administration answers with it.
type shownUser struct {
	Sub      string     `json:"sub"`
	Username string     `json:"username"`
	Disabled *time.Time `json:"disabled_at"`
	Ban      *struct {
		Until  *time.Time `json:"until"`
		Reason string     `json:"reason"`
	} `json:"ban"`
	Sessions []struct {
		ID     string `json:"session_id"`
		Client string `json:"client_id"`
	} `json:"sessions"`
}

type endedSessions struct {
	IDs []string `json:"ended_sessions"`
}

func TestAdministrationIsForAdministrators(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	user := d.signIn("shop-app", "mobile").ok(t)
	machine := d.machine("billing")
	watcher := d.postAs("admin", "grant_type", "client_credentials", "scope", "sessions:watch").ok(t)
	for _, route := range []struct{ method, path string }{
		{http.MethodGet, "/users"}, {http.MethodPost, "/users"}, {http.MethodGet, d.user("tom")}, {http.MethodPost, d.user("tom") + "/kick"},
		{http.MethodPost, d.user("tom") + "/ban"}, {http.MethodPost, d.user("tom") + "/unban"}, {http.MethodPost, d.user("tom") + "/password"},
		{http.MethodGet, d.user("tom") + "/wallet"}, {http.MethodPatch, d.user("tom") + "/wallet"},
		{http.MethodGet, "/clients"}, {http.MethodPost, "/clients"}, {http.MethodGet, "/clients/billing"}, {http.MethodPatch, "/clients/billing"},
		{http.MethodDelete, "/clients/billing"}, {http.MethodPost, "/clients/billing/secret"}, {http.MethodGet, "/audit"},
	} {
		for name, access := range map[string]string{"a user": user.Access, "another client": machine.Access, "a token without the scope": watcher.Access} {
			if a := d.ask(route.method, "/admin/v1"+route.path, access, ""); a.status != http.StatusForbidden || a.Error != "insufficient_scope" {
				t.Errorf("%s %s by %s: %d %s", route.method, route.path, name, a.status, a.raw)
			}
		}
		if a := d.ask(route.method, "/admin/v1"+route.path, "nonsense", ""); a.status != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %d %s", route.method, route.path, a.status, a.raw)
		}
	}
	d.must(d.manager(nil).Disable(t.Context(), audit.System(), "admin"))
	d.get("/users").refused(t, http.StatusUnauthorized, "invalid_token", "kicked", 2)
}

func TestUsersAreMadeAndFound(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		d := newDesk(t, e)
		for _, name := range []string{"tommy", "Tomas", "zoe", "to"} {
			var made shownUser
			a := d.post("/users", fmt.Sprintf(`{"username": %q, "password": %q}`, name, tomsSecret))
			a.into(t, http.StatusCreated, &made)
			if made.Username != strings.ToLower(name) || a.header.Get("Location") != "/admin/v1/users/"+made.Sub {
				t.Errorf("made %+v at %s", made, a.header.Get("Location"))
			}
		}
		var without shownUser
		d.post("/users", `{"username": "nopassword"}`).into(t, http.StatusCreated, &without)
		for query, want := range map[string][]string{
			"":                            {"amy", "nopassword", "to", "tom", "tomas", "tommy", "zoe"},
			"?prefix=tom":                 {"tom", "tomas", "tommy"},
			"?prefix=TO":                  {"to", "tom", "tomas", "tommy"},
			"?prefix=tomm":                {"tommy"},
			"?prefix=x":                   {},
			"?limit=500&prefix=z&cursor=": {"zoe"},
		} {
			if diff := cmp.Diff(want, d.names(query)); diff != "" {
				t.Errorf("%s: %s", query, diff)
			}
		}
		for _, limit := range []int{1, 2, 3} {
			for _, prefix := range []string{"", "tom"} {
				if diff := cmp.Diff(d.names("?prefix="+prefix), d.pages(prefix, limit)); diff != "" {
					t.Errorf("%q in pages of %d: %s", prefix, limit, diff)
				}
			}
		}
		if n := d.audited(audit.UserCreated); n != 5 {
			t.Errorf("%d audit records", n)
		}
	})
}

func (d *desk) page(query string) (names []string, next *string) {
	d.t.Helper()
	var list struct {
		Users []shownUser `json:"users"`
		Next  *string     `json:"next_cursor"`
	}
	d.get("/users"+query).into(d.t, http.StatusOK, &list)
	names = []string{}
	for _, u := range list.Users {
		names = append(names, u.Username)
	}
	return names, list.Next
}

func (d *desk) names(query string) []string {
	names, _ := d.page(query)
	return names
}

// pages reads a list page by page.
func (d *desk) pages(prefix string, limit int) []string {
	d.t.Helper()
	all, cursor := []string{}, ""
	for range 20 {
		names, next := d.page(fmt.Sprintf("?prefix=%s&limit=%d&cursor=%s", prefix, limit, cursor))
		all = append(all, names...)
		if next == nil {
			return all
		}
		cursor = *next
	}
	d.t.Fatal("the pages have no end")
	return nil
}

func TestUserWithSessions(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	phone := d.signIn("shop-app", "mobile", "device_name", "Tom's phone").ok(t)
	d.clock.Advance(time.Second)
	web := d.signIn("shop-web", "browser").ok(t)
	got := d.get(d.user("tom"))
	var user shownUser
	got.into(t, http.StatusOK, &user)
	golden(t, "admin_user.json", d.stable(got.raw, phone, web))
	d.get(d.user("amy")).into(t, http.StatusOK, &user)
	if user.Sessions == nil || len(user.Sessions) != 0 {
		t.Errorf("amy has %v", user.Sessions)
	}
}

func TestKicking(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		d := newDesk(t, e)
		phone, web := d.signIn("shop-app", "mobile").ok(t), d.signIn("shop-app", "browser").ok(t)
		music := d.kit.post("grant_type", "password", "client_id", "no-refresh", "username", "tom", "password", tomsSecret).ok(t)
		var told []storage.Event
		d.ended = func(events []storage.Event) { told = append(told, events...) }

		var out endedSessions
		d.post(d.user("tom")+"/kick", `{"product": "shop", "terminal": "mobile"}`).into(t, http.StatusOK, &out)
		if diff := cmp.Diff([]string{phone.Session}, out.IDs); diff != "" {
			t.Error(diff)
		}
		d.endedAs(phone, storage.Kicked)
		d.lives(web)
		d.refresh("shop-app", phone.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "kicked", 2)

		d.post(d.user("tom")+"/kick", "").into(t, http.StatusOK, &out)
		if len(out.IDs) != 2 {
			t.Errorf("ended %v", out.IDs)
		}
		d.endedAs(web, storage.Kicked)
		d.endedAs(music, storage.Kicked)
		d.post(d.user("tom")+"/kick", "{}").into(t, http.StatusOK, &out)
		if out.IDs == nil || len(out.IDs) != 0 {
			t.Errorf("ended %v", out.IDs)
		}
		if len(told) != 3 || len(d.announcer.all()) != 3 || told[0].End.Actor != "client:admin" {
			t.Errorf("told %v", told)
		}
		d.signIn("shop-app", "mobile").ok(t)
		if n := d.audited(audit.UserKicked); n != 3 {
			t.Errorf("%d audit records", n)
		}
	})
}

func TestBanning(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		d := newDesk(t, e)
		phone := d.signIn("shop-app", "mobile").ok(t)
		until := storage.Instant(d.clock.Now().Add(48 * time.Hour)).Truncate(time.Second)
		var out endedSessions
		d.post(d.user("tom")+"/ban", fmt.Sprintf(`{"until": %q, "reason": "card testing"}`, until.Format(time.RFC3339))).into(t, http.StatusOK, &out)
		if diff := cmp.Diff([]string{phone.Session}, out.IDs); diff != "" {
			t.Error(diff)
		}
		d.endedAs(phone, storage.Banned)
		d.signIn("shop-app", "mobile").refused(t, http.StatusBadRequest, "invalid_grant", "banned", 2)
		var user shownUser
		d.get(d.user("tom")).into(t, http.StatusOK, &user)
		if user.Ban == nil || user.Ban.Until == nil || !user.Ban.Until.Equal(until) || user.Ban.Reason != "card testing" {
			t.Errorf("the ban is %+v", user.Ban)
		}
		d.post(d.user("tom")+"/unban", "").done(t)
		d.signIn("shop-app", "mobile").ok(t)

		d.post(d.user("tom")+"/ban", "").into(t, http.StatusOK, &out) // until lifted
		d.clock.Advance(20 * time.Minute)
		d.signIn("shop-app", "mobile").refused(t, http.StatusBadRequest, "invalid_grant", "banned", 2)
		d.post(d.user("tom")+"/unban", "{}").done(t)
		if n, m := d.audited(audit.UserBanned), d.audited(audit.UserUnbanned); n != 2 || m != 2 {
			t.Errorf("%d and %d audit records", n, m)
		}
	})
}

// TestBanAgainstSignIn: whoever comes first, no session of the user lives afterwards.
func TestBanAgainstSignIn(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		d := newDesk(t, e)
		for range 8 {
			var opened, banned answer
			together(2, func(i int) {
				if i == 0 {
					opened = d.signIn("shop-app", "mobile")
				} else {
					banned = d.post(d.user("tom")+"/ban", "")
				}
			})
			banned.into(t, http.StatusOK, &endedSessions{})
			if opened.status == http.StatusOK {
				d.endedAs(opened, storage.Banned)
			} else {
				opened.refused(t, http.StatusBadRequest, "invalid_grant", "banned", 2)
			}
			live, err := d.db.LiveSessions(t.Context(), d.users["tom"], d.clock.Now())
			d.must(err)
			if len(live) != 0 {
				t.Fatalf("%d sessions live", len(live))
			}
			d.post(d.user("tom")+"/unban", "").done(t)
		}
	})
}

func TestSettingAPassword(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	phone := d.signIn("shop-app", "mobile").ok(t)
	var out endedSessions
	a := d.post(d.user("tom")+"/password", `{"password": "another good password"}`)
	a.into(t, http.StatusOK, &out)
	if diff := cmp.Diff([]string{phone.Session}, out.IDs); diff != "" || strings.Contains(a.raw, "another") {
		t.Error(diff, a.raw)
	}
	d.endedAs(phone, storage.PasswordChanged)
	d.signIn("shop-app", "mobile").refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
	d.kit.post("grant_type", "password", "client_id", "shop-app", "username", "tom", "password", "another good password").ok(t)
}

func TestFreezingAndLimitingWallets(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	path := d.user("tom") + "/wallet"
	type wallet struct {
		Sub      string     `json:"sub"`
		Frozen   bool       `json:"frozen"`
		FrozenAt *time.Time `json:"frozen_at"`
		Reason   string     `json:"reason"`
		Accounts []struct {
			Currency string `json:"currency"`
			Limits   struct{ Single, Daily *int64 }
		} `json:"accounts"`
	}
	patch := func(body string) (w wallet) {
		t.Helper()
		d.ask(http.MethodPatch, "/admin/v1"+path, d.access, body).into(t, http.StatusOK, &w)
		return w
	}
	var w wallet
	d.get(path).into(t, http.StatusOK, &w)
	if w.Sub != string(d.users["tom"]) || w.Frozen || w.Accounts == nil || len(w.Accounts) != 0 {
		t.Errorf("at first: %+v", w)
	}
	phone := d.signIn("shop-app", "mobile").ok(t)
	if w = patch(`{"frozen": true, "reason": "card testing", "limits": {"CNY": {"single": 100, "daily": 0}}}`); !w.Frozen || w.FrozenAt == nil ||
		w.Reason != "card testing" || len(w.Accounts) != 1 || w.Accounts[0].Currency != "CNY" || *w.Accounts[0].Limits.Single != 100 ||
		*w.Accounts[0].Limits.Daily != 0 {
		t.Errorf("frozen and limited: %+v", w)
	}
	at := *w.FrozenAt
	d.clock.Advance(time.Minute)
	if w = patch(`{"frozen": true, "reason": "fraud"}`); !w.FrozenAt.Equal(at) || w.Reason != "fraud" || *w.Accounts[0].Limits.Single != 100 {
		t.Errorf("frozen again: %+v", w)
	}
	if a := d.ask(http.MethodGet, "/v1/sessions", phone.Access, ""); a.status != http.StatusOK {
		t.Errorf("the owner of a frozen wallet is signed out: %d %s", a.status, a.raw)
	}
	patch(`{"frozen": false, "limits": {"CNY": {"single": null, "daily": null}}}`)
	d.get(path).into(t, http.StatusOK, &w)
	if w.Frozen || w.Accounts[0].Limits.Single != nil || w.Accounts[0].Limits.Daily != nil {
		t.Errorf("thawed: %+v", w)
	}
	if n := d.audited(audit.WalletChanged); n != 3 {
		t.Errorf("%d audit records", n)
	}
}

func TestRefusalsAboutUsers(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	tom := d.user("tom")
	var all strings.Builder
	for _, c := range []struct{ name, method, path, body string }{
		{"a name that is taken", "POST", "/users", `{"username": "TOM"}`},
		{"a name that is none", "POST", "/users", `{"username": "to m"}`},
		{"no name", "POST", "/users", `{}`},
		{"a weak password", "POST", "/users", `{"username": "new", "password": "short"}`},
		{"an empty password", "POST", "/users", `{"username": "new", "password": ""}`},
		{"an unknown member", "POST", "/users", `{"username": "new", "admin": true}`},
		{"an unknown user", "GET", "/users/nobody", ""},
		{"a long sub", "GET", "/users/" + strings.Repeat("x", 300), ""},
		{"kicking an unknown user", "POST", "/users/nobody/kick", ""},
		{"banning an unknown user", "POST", "/users/nobody/ban", ""},
		{"unbanning an unknown user", "POST", "/users/nobody/unban", ""},
		{"the password of an unknown user", "POST", "/users/nobody/password", `{"password": "another good password"}`},
		{"an unknown product", "POST", tom + "/kick", `{"product": "shpo"}`},
		{"an unknown terminal", "POST", tom + "/kick", `{"terminal": "fridge"}`},
		{"a misspelt member", "POST", tom + "/kick", `{"prodct": "shop"}`},
		{"a list", "POST", tom + "/kick", `["shop"]`},
		{"a ban that is over", "POST", tom + "/ban", `{"until": "2001-01-01T00:00:00Z"}`},
		{"a ban until whenever", "POST", tom + "/ban", `{"until": "tomorrow"}`},
		{"a long reason", "POST", tom + "/ban", `{"reason": "` + strings.Repeat("x", 257) + `"}`},
		{"unban with a member", "POST", tom + "/unban", `{"reason": "x"}`},
		{"the wallet of an unknown user", "GET", "/users/nobody/wallet", ""},
		{"freezing an unknown user", "PATCH", "/users/nobody/wallet", `{"frozen": true}`},
		{"a change of nothing", "PATCH", tom + "/wallet", `{}`},
		{"limits of nothing", "PATCH", tom + "/wallet", `{"limits": {}}`},
		{"a reason of a thaw", "PATCH", tom + "/wallet", `{"frozen": false, "reason": "x"}`},
		{"a long reason of a freeze", "PATCH", tom + "/wallet", `{"frozen": true, "reason": "` + strings.Repeat("x", 257) + `"}`},
		{"frozen in words", "PATCH", tom + "/wallet", `{"frozen": "yes"}`},
		{"one limit of two", "PATCH", tom + "/wallet", `{"limits": {"CNY": {"single": 1}}}`},
		{"a limit by another name", "PATCH", tom + "/wallet", `{"limits": {"CNY": {"single": 1, "daily": 1, "weekly": 1}}}`},
		{"a limit twice", "PATCH", tom + "/wallet", `{"limits": {"CNY": {"single": 1, "single": 2, "daily": 1}}}`},
		{"a currency twice", "PATCH", tom + "/wallet", `{"limits": {"CNY": {"single": 1, "daily": 1}, "CNY": {"single": 2, "daily": 1}}}`},
		{"a limit below zero", "PATCH", tom + "/wallet", `{"limits": {"CNY": {"single": -1, "daily": null}}}`},
		{"a limit with a point", "PATCH", tom + "/wallet", `{"limits": {"CNY": {"single": 1.0, "daily": null}}}`},
		{"a limit beyond all money", "PATCH", tom + "/wallet", `{"limits": {"CNY": {"single": 9007199254740992, "daily": null}}}`},
		{"limits in an unknown currency", "PATCH", tom + "/wallet", `{"limits": {"XXX": {"single": 1, "daily": 1}}}`},
		{"limits in a list", "PATCH", tom + "/wallet", `{"limits": [1]}`},
		{"no new password", "POST", tom + "/password", `{}`},
		{"a weak new password", "POST", tom + "/password", `{"password": "short"}`},
		{"a limit of none", "GET", "/users?limit=0", ""},
		{"a limit of many", "GET", "/users?limit=501", ""},
		{"a limit in words", "GET", "/users?limit=ten", ""},
		{"a cursor of nowhere", "GET", "/users?cursor=!", ""},
		{"an unknown parameter", "GET", "/users?name=tom", ""},
		{"a kick whose product is in the query", "POST", tom + "/kick?product=shop", ""},
		{"a ban whose end is in the query", "POST", tom + "/ban?until=2099-01-01T00:00:00Z", "{}"},
		{"a prefix that begins no name", "GET", "/users?prefix=a%20b", ""},
		{"a method there is not", "DELETE", "/users", ""},
	} {
		a := d.ask(c.method, "/admin/v1"+c.path, d.access, c.body)
		if a.status < 400 || a.status >= 500 || a.status == http.StatusUnauthorized {
			t.Errorf("%s: got %d %s", c.name, a.status, a.raw)
		}
		fmt.Fprintf(&all, "%s\n\t%d %s\n", c.name, a.status, a.raw)
	}
	golden(t, "refused_users.txt", all.String())
	d.signIn("shop-app", "mobile").ok(t)
}

// shownClient is a client as administration answers with it.
type shownClient struct {
	ID       string     `json:"client_id"`
	Secret   string     `json:"client_secret"`
	Name     string     `json:"name"`
	Type     string     `json:"type"`
	Grants   []string   `json:"grants"`
	Scopes   []string   `json:"scopes"`
	Disabled *time.Time `json:"disabled_at"`
	OldUntil *time.Time `json:"old_secret_until"`
}

func TestClientsAreMadeChangedAndDisabled(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		d := newDesk(t, e)
		var made shownClient
		a := d.post("/clients", `{"client_id": "till", "type": "confidential", "grants": ["client_credentials"], "scopes": ["wallet:deposit", "ledger:read"]}`)
		a.into(t, http.StatusCreated, &made)
		if a.header.Get("Location") != "/admin/v1/clients/till" || a.header.Get("ETag") != `"1"` || made.Secret == "" || made.Name != "till" {
			t.Fatalf("made %+v %v", made, a.header)
		}
		d.secrets["till"] = made.Secret
		token := d.machine("till")

		var shown shownClient
		got := d.get("/clients/till")
		got.into(t, http.StatusOK, &shown)
		if shown.Secret != "" || got.header.Get("ETag") != `"1"` {
			t.Errorf("shown %+v %v", shown, got.header)
		}

		changed := d.ask(http.MethodPatch, "/admin/v1/clients/till", d.access, `{"name": "The till", "scopes": ["wallet:deposit"]}`, "If-Match", `"1"`)
		changed.into(t, http.StatusOK, &shown)
		if shown.Name != "The till" || !slices.Equal(shown.Scopes, []string{"wallet:deposit"}) || changed.header.Get("ETag") != `"2"` {
			t.Errorf("changed %+v %v", shown, changed.header)
		}
		// The registry of this process has been told.
		if again := d.machine("till"); again.Scope != "wallet:deposit" {
			t.Errorf("the scope is %q", again.Scope)
		}
		d.ask(http.MethodPatch, "/admin/v1/clients/till", d.access, `{"name": "x"}`, "If-Match", `"1"`).
			refused(t, http.StatusPreconditionFailed, "changed_in_between", "", 0)
		d.ask(http.MethodPatch, "/admin/v1/clients/till", d.access, `{"name": ""}`, "If-Match", "*").into(t, http.StatusOK, &shown)
		if shown.Name != "till" {
			t.Errorf("changed %+v", shown)
		}

		d.ask(http.MethodDelete, "/admin/v1/clients/till", d.access, "").done(t)
		d.postAs("till", "grant_type", "client_credentials").refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
		if err := d.check(token.Access); err == nil {
			t.Error("the token of a disabled client stands")
		}
		if events := d.announcer.all(); len(events) != 1 || events[0].Subject != storage.SubjectClient || events[0].End.Actor != "client:admin" {
			t.Errorf("announced %v", events)
		}
		d.ask(http.MethodPatch, "/admin/v1/clients/till", d.access, `{"disabled": false}`).into(t, http.StatusOK, &shown)
		d.clock.Advance(2 * time.Second)
		d.machine("till")
		for action, want := range map[string]int{audit.ClientUpdated: 2, audit.ClientDisabled: 1, audit.ClientEnabled: 1} {
			if n := d.audited(action); n != want {
				t.Errorf("%d audit records of %s", n, action)
			}
		}
	})
}

func TestSecretsAreRotated(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	before := d.secrets["billing"]
	var shown shownClient
	d.post("/clients/billing/secret", `{"overlap_seconds": 60}`).into(t, http.StatusOK, &shown)
	if shown.Secret == "" || shown.Secret == before || shown.OldUntil == nil {
		t.Fatalf("rotated %+v", shown)
	}
	d.machine("billing") // with the one before
	d.secrets["billing"] = shown.Secret
	d.machine("billing")
	d.clock.Advance(2 * time.Minute)
	d.secrets["billing"] = before
	d.postAs("billing", "grant_type", "client_credentials").refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
	d.post("/clients/billing/secret", "").into(t, http.StatusOK, &shown)
	if want := storage.Instant(d.clock.Now().Add(24 * time.Hour)); shown.OldUntil == nil || !shown.OldUntil.Equal(want) {
		t.Errorf("the old one is good until %v, want %v", shown.OldUntil, want)
	}
	if records := d.get("/audit").raw; strings.Contains(records, shown.Secret) || strings.Contains(records, before) {
		t.Error("the audit record shows a secret")
	}
}

func TestListOfClients(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	want := []string{"admin", "billing", "no-refresh", "shop-app", "shop-server", "shop-web"}
	for _, limit := range []int{1, 4, 6, 100} {
		var all []string
		cursor := ""
		for range 10 {
			var list struct {
				Clients []shownClient `json:"clients"`
				Next    *string       `json:"next_cursor"`
			}
			d.get(fmt.Sprintf("/clients?limit=%d&cursor=%s", limit, cursor)).into(t, http.StatusOK, &list)
			for _, c := range list.Clients {
				all = append(all, c.ID)
				if c.Secret != "" {
					t.Errorf("%s is listed with a secret", c.ID)
				}
			}
			if list.Next == nil {
				break
			}
			cursor = *list.Next
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("in pages of %d: %s", limit, diff)
		}
	}
	got := d.get("/clients/shop-app")
	if got.status != http.StatusOK {
		t.Fatal(got.raw)
	}
	golden(t, "admin_client.json", d.stable(got.raw))
}

func TestRefusalsAboutClients(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	var all strings.Builder
	for _, c := range []struct{ name, method, path, body, match string }{
		{"a name that is taken", "POST", "/clients", `{"client_id": "billing", "type": "confidential", "grants": ["client_credentials"]}`, ""},
		{"all that can be wrong", "POST", "/clients", `{"client_id": "No", "type": "open", "grants": ["implicit"], "scopes": ["a b"], "redirect_uris": ["x"]}`, ""},
		{"a chosen secret", "POST", "/clients", `{"client_id": "new", "client_secret": "x"}`, ""},
		{"a product there is not", "POST", "/clients", `{"client_id": "new", "type": "public", "grants": ["password"], "products": ["shpo"], "terminals": ["api"]}`, ""},
		{"a text for a list", "POST", "/clients", `{"client_id": "new", "grants": "password"}`, ""},
		{"an unknown client", "GET", "/clients/nobody", "", ""},
		{"changing an unknown client", "PATCH", "/clients/nobody", `{"name": "x"}`, ""},
		{"disabling an unknown client", "DELETE", "/clients/nobody", "", ""},
		{"the secret of an unknown client", "POST", "/clients/nobody/secret", "", ""},
		{"the secret of a public client", "POST", "/clients/shop-app/secret", "", ""},
		{"a long overlap", "POST", "/clients/billing/secret", `{"overlap_seconds": 2592001}`, ""},
		{"an overlap below zero", "POST", "/clients/billing/secret", `{"overlap_seconds": -1}`, ""},
		{"half a second of overlap", "POST", "/clients/billing/secret", `{"overlap_seconds": 0.5}`, ""},
		{"nothing to change", "PATCH", "/clients/billing", `{}`, ""},
		{"the kind", "PATCH", "/clients/billing", `{"type": "public"}`, ""},
		{"no grants", "PATCH", "/clients/billing", `{"grants": []}`, ""},
		{"a stale tag", "PATCH", "/clients/billing", `{"name": "x"}`, `"7"`},
		{"a tag that is none", "PATCH", "/clients/billing", `{"name": "x"}`, `7`},
		{"two tags", "PATCH", "/clients/billing", `{"name": "x"}`, `"1", "2"`},
		{"disabled with more", "PATCH", "/clients/billing", `{"name": "x", "disabled": true}`, ""},
		{"disabled under a tag", "PATCH", "/clients/billing", `{"disabled": true}`, `"1"`},
		{"oneself", "DELETE", "/clients/admin", "", ""},
		{"oneself in another way", "PATCH", "/clients/admin", `{"disabled": true}`, ""},
		{"a cursor of nowhere", "GET", "/clients?cursor=%3D", "", ""},
		{"a search", "GET", "/clients?prefix=b", "", ""},
	} {
		var header []string
		if c.match != "" {
			header = []string{"If-Match", c.match}
		}
		a := d.ask(c.method, "/admin/v1"+c.path, d.access, c.body, header...)
		if a.status < 400 || a.status >= 500 || a.status == http.StatusUnauthorized {
			t.Errorf("%s: got %d %s", c.name, a.status, a.raw)
		}
		fmt.Fprintf(&all, "%s\n\t%d %s\n", c.name, a.status, a.raw)
	}
	golden(t, "refused_clients.txt", all.String())
	d.machine("billing")
}

func TestChangesOfAClientRace(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		d := newDesk(t, e)
		answers := make([]answer, 4)
		together(len(answers), func(i int) {
			answers[i] = d.ask(http.MethodPatch, "/admin/v1/clients/billing", d.access, fmt.Sprintf(`{"name": "n%d"}`, i), "If-Match", `"1"`)
		})
		won := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				won++
				continue
			}
			a.refused(t, http.StatusPreconditionFailed, "changed_in_between", "", 0)
		}
		if won != 1 {
			t.Errorf("%d have changed version 1", won)
		}
	})
}

func TestAuditRecord(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		d := newDesk(t, e)
		type record struct {
			ID      string            `json:"id"`
			At      time.Time         `json:"at"`
			Action  string            `json:"action"`
			Result  string            `json:"result"`
			Actor   string            `json:"actor"`
			Sub     string            `json:"sub"`
			Client  string            `json:"client_id"`
			Address string            `json:"address"`
			Detail  map[string]string `json:"detail"`
		}
		read := func(query string) (list []record, next *string) {
			var page struct {
				Records []record `json:"records"`
				Next    *string  `json:"next_cursor"`
			}
			d.get("/audit"+query).into(t, http.StatusOK, &page)
			return page.Records, page.Next
		}
		d.clock.Advance(time.Hour / 2)
		since := d.clock.Now().UTC().Format(time.RFC3339)
		d.clock.Advance(time.Second)
		d.signIn("shop-app", "mobile").ok(t)
		d.clock.Advance(time.Second)
		d.post(d.user("tom")+"/kick", `{"product": "shop"}`)
		d.clock.Advance(time.Second)
		d.kit.post(signInForm("password", "wrong")...).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)

		all, _ := read("?since=" + since)
		var got []string
		for _, r := range all {
			got = append(got, r.Action+" "+r.Result+" by "+strings.ReplaceAll(r.Actor, string(d.users["tom"]), "TOM")+" from "+r.Address)
		}
		want := []string{
			"session.opened ok by user:TOM from 192.0.2.1", "user.kicked ok by client:admin from 192.0.2.1",
			"signin.refused invalid_grant by client:shop-app from 192.0.2.1",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if kick := all[1]; kick.Sub != string(d.users["tom"]) || kick.Client != "admin" || kick.Detail["product"] != "shop" || kick.At.Before(all[0].At) {
			t.Errorf("the kick is recorded as %+v", kick)
		}
		// Page by page, and on from the last record.
		first, next := read("?limit=2&since=" + since)
		if len(first) != 2 || next == nil || *next != first[1].ID {
			t.Fatalf("the first page is %v, then %v", first, next)
		}
		rest, next := read("?limit=2&since=" + since + "&cursor=" + *next)
		if diff := cmp.Diff(all[2:], rest); diff != "" || next != nil {
			t.Error(diff, next)
		}
		if more, _ := read("?cursor=" + all[2].ID); len(more) != 0 {
			t.Errorf("after the last one there are %v", more)
		}
		everything, _ := read("")
		if len(everything) < len(all)+6 {
			t.Errorf("since ever there are %d", len(everything))
		}
		for _, query := range []string{"?since=yesterday", "?cursor=" + strings.Repeat("x", 27), "?limit=501", "?action=x"} {
			d.get("/audit"+query).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
		}
	})
}

func TestOutageAtAdministration(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	d.restartWith(func(cfg *authserver.Config) { cfg.Sessions = away{cfg.Sessions} })
	d.must(d.db.Close())
	for _, a := range []answer{d.get("/users"), d.get("/audit"), d.post(d.user("tom")+"/kick", "")} {
		a.refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
	}
}

func TestNoAnswerShowsAPassword(t *testing.T) {
	t.Parallel()
	d := newDesk(t, engine.SQLite(t))
	pw := secret.New("a password to look for")
	d.post("/users", `{"username": "new", "password": "`+pw.Reveal()+`"}`)
	d.post(d.user("tom")+"/password", `{"password": "`+pw.Reveal()+`"}`)
	for _, path := range []string{"/users", d.user("tom"), "/audit"} {
		if a := d.get(path); strings.Contains(a.raw, pw.Reveal()) || strings.Contains(a.raw, "$argon2id$") {
			t.Errorf("%s shows it: %s", path, a.raw)
		}
	}
	if strings.Contains(d.log.String(), pw.Reveal()) {
		t.Error("the log shows it")
	}
}
