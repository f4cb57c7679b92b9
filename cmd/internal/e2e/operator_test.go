package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// asClient sends a form with the credentials of a client.
func asClient(t *testing.T, target story.Target, id, path string, pairs ...string) reply {
	t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	h := form()
	if secret := target.Clients[id].Secret; secret != "" {
		(&http.Request{Header: h}).SetBasicAuth(id, secret)
	} else {
		v.Set("client_id", id)
	}
	return mustCall(t, http.MethodPost, target.Issuer+path, h, v.Encode())
}

// administrator returns an access token of the administration client.
func administrator(t *testing.T, target story.Target) string {
	t.Helper()
	r := asClient(t, target, "admin", "/oauth2/token", "grant_type", "client_credentials", "scope", "admin")
	if r.status != http.StatusOK {
		t.Fatalf("client credentials: %d %s", r.status, r.body)
	}
	return r.field("access_token")
}

func jsonBearer(access string) http.Header {
	h := bearer(access)
	h.Set("Content-Type", "application/json")
	return h
}

// refusedWithin asks the wallet with a token until it is refused for a reason, for as long as the bound
// from the end of what was done allows.
func refusedWithin(t *testing.T, target story.Target, access, reason string) {
	t.Helper()
	done := time.Now()
	for {
		began := time.Since(done)
		r := mustCall(t, http.MethodGet, target.API+"/v1/wallet", bearer(access), "")
		if r.status == http.StatusUnauthorized {
			if r.field("reason") != reason {
				t.Fatalf("refused with %s, want %s", r.body, reason)
			}
			t.Logf("%s seen %s after it was done", reason, time.Since(done).Round(100*time.Microsecond))
			return
		}
		if r.status != http.StatusOK || began > bound {
			t.Fatalf("a request that began %s after it was done: %d %s", began, r.status, r.body)
		}
	}
}

// TestOperatorsEndSessions: what the command line and administration end, a wallet process that runs refuses
// within the bound, and its writes at once.
func TestOperatorsEndSessions(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	i.serve(t, "auth")
	i.serve(t, "wallet")
	tom := i.target.Users["tom"].Sub
	var made story.Client
	out := command(t, "", "client", "create", "admin", "--grant", "client_credentials", "--scope", "admin", "--config", i.config, "--output", "json")
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	i.target.Clients["admin"] = made
	access := administrator(t, i.target)
	for name, c := range map[string]struct {
		reason string
		end    func(t *testing.T)
		after  func(t *testing.T)
	}{
		"user kick": {
			reason: "kicked",
			end:    func(t *testing.T) { command(t, "", "user", "kick", "tom", "--config", i.config) },
		},
		"user ban": {
			reason: "banned",
			end:    func(t *testing.T) { command(t, "", "user", "ban", "tom", "--for", "1h", "--config", i.config) },
			after:  func(t *testing.T) { command(t, "", "user", "unban", "tom", "--config", i.config) },
		},
		"kick over HTTP": {
			reason: "kicked",
			end: func(t *testing.T) {
				administer(t, i.target, access, "/users/"+tom+"/kick", `{"product":"shop","terminal":"mobile"}`)
			},
		},
		"ban over HTTP": {
			reason: "banned",
			end:    func(t *testing.T) { administer(t, i.target, access, "/users/"+tom+"/ban", `{"reason":"test"}`) },
			after:  func(t *testing.T) { administer(t, i.target, access, "/users/"+tom+"/unban", "{}") },
		},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: they are about one slot
			old := warm(t, i, "phone")
			c.end(t)
			body := transfer(i.target.Users["amy"].Sub, 1)
			if r := mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(old, "k"+old[len(old)-20:]), body); r.status != http.StatusUnauthorized || r.field("reason") != c.reason {
				t.Fatalf("strict check: %d %s", r.status, r.body)
			}
			refusedWithin(t, i.target, old, c.reason)
			if c.after != nil {
				c.after(t)
			}
			warm(t, i, "phone")
		})
	}
}

func administer(t *testing.T, target story.Target, access, path, body string) {
	t.Helper()
	r := mustCall(t, http.MethodPost, target.Issuer+"/admin/v1"+path, jsonBearer(access), body)
	if r.status/100 != 2 {
		t.Fatalf("%s: %d %s", path, r.status, r.body)
	}
}

// TestRevocationCrossesProcesses: what is revoked at the authorization server is dead at the wallet.
func TestRevocationCrossesProcesses(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	i.serve(t, "auth")
	i.serve(t, "wallet")
	r := signIn(t, i.target, "tom", "mobile", "phone")
	if w := mustCall(t, http.MethodGet, i.target.API+"/v1/wallet", bearer(r.field("access_token")), ""); w.status != http.StatusOK {
		t.Fatalf("a live token: %d %s", w.status, w.body)
	}
	if a := asClient(t, i.target, "shop-app", "/oauth2/revoke", "token", r.field("refresh_token")); a.status != http.StatusOK {
		t.Fatalf("revoke: %d %s", a.status, a.body)
	}
	refusedWithin(t, i.target, r.field("access_token"), "signed_out")
	if a := asClient(t, i.target, "billing", "/oauth2/introspect", "token", r.field("access_token")); string(a.body) != `{"active":false}` {
		t.Errorf("introspection: %d %s", a.status, a.body)
	}

	app := billing(t, i.target)
	deposit := `{"user":"` + i.target.Users["tom"].Sub + `","amount":1,"currency":"CNY","reference":"r"}`
	if d := mustCall(t, http.MethodPost, i.target.API+"/v1/deposits", write(app, "before"), deposit); d.status != http.StatusCreated {
		t.Fatalf("deposit: %d %s", d.status, d.body)
	}
	if a := asClient(t, i.target, "billing", "/oauth2/revoke", "token", app); a.status != http.StatusOK {
		t.Fatalf("revoke: %d %s", a.status, a.body)
	}
	if d := mustCall(t, http.MethodPost, i.target.API+"/v1/deposits", write(app, "after"), deposit); d.status != http.StatusUnauthorized || d.field("reason") != "signed_out" {
		t.Errorf("a deposit with a revoked token: %d %s", d.status, d.body)
	}
}

// TestDevicesOfAUser plays the device list against an instance of dev, with its state kept over a restart.
func TestDevicesOfAUser(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	p, target := startDev(t, dir, addr)
	phone := signIn(t, target, "tom", "mobile", "Tom's phone").field("access_token")
	tablet := signIn(t, target, "tom", "api", "Tom's tablet")
	seen := lastSeen(t, target, phone, tablet.field("session_id"))
	if r := mustCall(t, http.MethodGet, target.API+"/v1/wallet", bearer(tablet.field("access_token")), ""); r.status != http.StatusOK {
		t.Fatalf("wallet: %d %s", r.status, r.body)
	}
	p.Stop() // writes who was seen
	_, target = startDev(t, dir, addr)
	if now := lastSeen(t, target, phone, tablet.field("session_id")); !now.After(seen) {
		t.Errorf("the tablet was last seen at %s, before it was used", now)
	}
	info := mustCall(t, http.MethodGet, target.Issuer+"/oauth2/userinfo", bearer(phone), "")
	if info.status != http.StatusOK || info.field("preferred_username") != "tom" || info.field("sub") != target.Users["tom"].Sub {
		t.Errorf("userinfo: %d %s", info.status, info.body)
	}
	if r := mustCall(t, http.MethodDelete, target.API+"/v1/sessions/"+tablet.field("session_id"), bearer(phone), ""); r.status != http.StatusNoContent {
		t.Fatalf("end one: %d %s", r.status, r.body)
	}
	refusedWithin(t, target, tablet.field("access_token"), "kicked")
	body := `{"current_password":` + quoted(target.Users["tom"].Password) + `,"new_password":"another good password"}`
	other := signIn(t, target, "tom", "browser", "a browser").field("access_token")
	if r := mustCall(t, http.MethodPost, target.API+"/v1/password", jsonBearer(phone), body); r.status != http.StatusNoContent {
		t.Fatalf("change of password: %d %s", r.status, r.body)
	}
	refusedWithin(t, target, other, "password_changed")
	if r := mustCall(t, http.MethodDelete, target.API+"/v1/sessions/current", bearer(phone), ""); r.status != http.StatusNoContent {
		t.Fatalf("sign out: %d %s", r.status, r.body)
	}
	refusedWithin(t, target, phone, "signed_out")

	records := mustCall(t, http.MethodGet, target.Issuer+"/admin/v1/audit?limit=500", bearer(administrator(t, target)), "")
	for _, action := range []string{"session.opened", "session.ended", "user.password_set"} {
		if !strings.Contains(string(records.body), `"action":"`+action+`"`) {
			t.Errorf("no audit record of %s", action)
		}
	}
}

func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// lastSeen is when a session was last seen, by the list of another one.
func lastSeen(t *testing.T, target story.Target, access, session string) time.Time {
	t.Helper()
	r := mustCall(t, http.MethodGet, target.API+"/v1/sessions", bearer(access), "")
	var list struct {
		Sessions []struct {
			ID   string    `json:"session_id"`
			Seen time.Time `json:"last_seen_at"`
		} `json:"sessions"`
	}
	if err := json.Unmarshal(r.body, &list); err != nil || r.status != http.StatusOK {
		t.Fatalf("sessions: %d %s", r.status, r.body)
	}
	for _, s := range list.Sessions {
		if s.ID == session {
			return s.Seen
		}
	}
	t.Fatalf("the session %s is not listed: %s", session, r.body)
	return time.Time{}
}
