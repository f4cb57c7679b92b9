package e2e_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// loginToken has a user's session give a sign-in away.
func loginToken(t *testing.T, target story.Target, access, body string) string {
	t.Helper()
	h := bearer(access)
	h.Set("Content-Type", "application/json")
	r := mustCall(t, http.MethodPost, target.API+"/v1/login-tokens", h, body)
	if r.status != http.StatusCreated && r.status != http.StatusOK {
		t.Fatalf("login token: %d %s", r.status, r.body)
	}
	return r.field("login_token")
}

// sessions are the identifiers of a user's sessions.
func sessions(t *testing.T, target story.Target, access string) map[string]bool {
	t.Helper()
	var list struct {
		Sessions []struct {
			ID string `json:"session_id"`
		} `json:"sessions"`
	}
	r := mustCall(t, http.MethodGet, target.API+"/v1/sessions", bearer(access), "")
	if err := json.Unmarshal(r.body, &list); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, s := range list.Sessions {
		ids[s.ID] = true
	}
	return ids
}

func TestLiveSignsInByALoginTokenAndOut(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	giver := signIn(t, target, "tom", "browser", "a browser").field("access_token")
	token := loginToken(t, target, giver, `{"terminal":"mobile","data":{"cart":["7","9"]}}`)
	redeem := map[string]any{"grant_type": "urn:tallystick:grant-type:login-token", "client_id": "shop-app", "login_token": token, "device_name": "a phone"}
	s := connect(t, target.API)
	in := s.ask("login", redeem)
	data, _ := json.Marshal(in["login_data"])
	if in.text("type") != "login" || in.text("terminal") != "mobile" || string(data) != `{"cart":["7","9"]}` {
		t.Fatalf("login: %v", in)
	}
	if a := s.ask("login", redeem); a.text("error/error") != "invalid_grant" {
		t.Errorf("the login token a second time: %v", a)
	}
	id := in.text("session_id")
	if !sessions(t, target, giver)[id] {
		t.Fatal("the session of the connection is not in the list of devices")
	}
	s.send("sign_out", nil)
	if f := s.next(); f.text("type") != "session.ended" || f.text("reason") != "signed_out" || f.text("code") != "1" {
		t.Errorf("sign_out: %v", f)
	}
	s.closed(4001)
	if sessions(t, target, giver)[id] {
		t.Error("the session lives on")
	}
}

func TestLiveSignsInAsTheRunModeSays(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	in := func(terminal string) (*socket, reached) {
		s := connect(t, target.API)
		a := s.ask("login", login(target, "tom", terminal, "a device"))
		if a.text("type") != "login" {
			t.Fatalf("%s: %v", terminal, a)
		}
		return s, a
	}
	// shared: whoever comes joins, over HTTP and on connections alike.
	access := signIn(t, target, "tom", "browser", "a browser")
	first, a := in("browser")
	second, b := in("browser")
	for _, joined := range []reached{a, b} {
		if joined.text("session_id") != access.field("session_id") || joined.text("version") != access.field("version") {
			t.Errorf("joined %v, want %s", joined, access.body)
		}
	}
	if a.text("connection_token") == b.text("connection_token") {
		t.Error("two connections have one token")
	}
	if f := first.ask("sign_out", nil); f.text("error/error") != "session_shared" {
		t.Errorf("signing out of a shared session: %v", f)
	}
	if f := second.ask("wallet.get", nil); f.text("type") != "wallet.get" {
		t.Errorf("who shared it: %v", f)
	}
	if r := mustCall(t, http.MethodGet, target.API+"/v1/wallet", bearer(access.field("access_token")), ""); r.status != http.StatusOK {
		t.Errorf("who shared it over HTTP: %d %s", r.status, r.body)
	}
	// concurrent: each is its own.
	opened := map[string]*socket{}
	one, a := in("api")
	opened[a.text("session_id")] = one
	for range 2 {
		s, a := in("api")
		opened[a.text("session_id")] = s
	}
	if len(opened) != 3 {
		t.Fatalf("sessions: %v", slices.Collect(maps.Keys(opened)))
	}
	for _, s := range opened {
		if f := s.ask("ping", nil); f.text("type") != "pong" {
			t.Errorf("side by side: %v", f)
		}
	}
	one.send("sign_out", nil)
	if f := one.next(); f.text("reason") != "signed_out" {
		t.Errorf("sign_out: %v", f)
	}
	for _, s := range opened {
		if s == one {
			continue
		}
		if f := s.ask("wallet.get", nil); f.text("type") != "wallet.get" {
			t.Errorf("the others: %v", f)
		}
	}
}

func TestMetadataNamesLiveConnections(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	at := mustCall(t, http.MethodGet, target.Issuer+"/.well-known/oauth-authorization-server", nil, "").field("tallystick_live_endpoint")
	base, found := strings.CutSuffix(at, "/v1/live")
	if !found || !strings.HasPrefix(base, "ws://") {
		t.Fatalf("advertised: %q", at)
	}
	connect(t, base)
}
