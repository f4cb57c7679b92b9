package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// socket is a live connection.
type socket struct {
	t    *testing.T
	ws   *websocket.Conn
	id   string // connection_id
	sent int
}

// reached is a frame of the server.
type reached map[string]any

func (r reached) text(name string) string {
	var at any = map[string]any(r)
	for part := range strings.SplitSeq(name, "/") {
		m, _ := at.(map[string]any)
		at = m[part]
	}
	if at == nil {
		return ""
	}
	return fmt.Sprint(at)
}

// connect opens a live connection and takes the hello.
func connect(t *testing.T, base string) *socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(strings.TrimPrefix(base, "http"), "ws")+"/v1/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	s := &socket{t: t, ws: ws}
	first := s.next()
	s.id = first.text("connection_id")
	if first.text("type") != "hello" || s.id == "" {
		t.Fatalf("the first frame is %v", first)
	}
	return s
}

// read takes the next frame, or the close.
func (s *socket) read() (reached, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	_, data, err := s.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	var f reached
	if err := json.Unmarshal(data, &f); err != nil {
		s.t.Fatalf("a frame that is no JSON object: %v: %s", err, data)
	}
	return f, nil
}

func (s *socket) next() reached {
	s.t.Helper()
	f, err := s.read()
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// send sends a frame and returns its id.
func (s *socket) send(typ string, members map[string]any) (id string) {
	s.t.Helper()
	s.sent++
	id = fmt.Sprintf("q%d", s.sent)
	f := map[string]any{"id": id, "type": typ}
	maps.Copy(f, members)
	data, err := json.Marshal(f)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if err := s.ws.Write(ctx, websocket.MessageText, data); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// ask sends a frame and takes its answer.
func (s *socket) ask(typ string, members map[string]any) reached {
	s.t.Helper()
	id := s.send(typ, members)
	a := s.next()
	if a.text("id") != id {
		s.t.Fatalf("%s: the answer to %s is %v", typ, id, a)
	}
	return a
}

// closed takes the close.
func (s *socket) closed(want websocket.StatusCode) {
	s.t.Helper()
	f, err := s.read()
	if websocket.CloseStatus(err) != want {
		s.t.Fatalf("expected to be closed with %d, got %v %v", want, f, err)
	}
}

func login(target story.Target, user, terminal, device string) map[string]any {
	u := target.Users[user]
	return map[string]any{
		"grant_type": "password", "client_id": "shop-app", "username": u.Username, "password": u.Password,
		"terminal": terminal, "device_name": device,
	}
}

func TestLiveHearsThatItWasKicked(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	signed := signIn(t, target, "tom", "mobile", "first phone")
	byToken, byLogin := connect(t, target.API), connect(t, target.API)
	if a := byToken.ask("auth", map[string]any{"access_token": signed.field("access_token")}); a.text("type") != "auth" || a.text("session_id") != signed.field("session_id") {
		t.Fatalf("auth: %v", a)
	}
	in := byLogin.ask("login", login(target, "tom", "browser", "a browser"))
	if in.text("connection_token") == "" || in.text("access_token") != "" || in.text("refresh_token") != "" {
		t.Fatalf("login: %v", in)
	}
	signIn(t, target, "tom", "mobile", "second phone")
	last := byToken.next()
	if last.text("type") != "session.ended" || last.text("reason") != "superseded" || last.text("code") != "2" ||
		last.text("superseded_by/device_name") != "second phone" || last.text("superseded_by/terminal") != "mobile" {
		t.Fatalf("the superseded connection was told %v", last)
	}
	byToken.closed(4001)
	// The other terminal is untouched.
	if a := byLogin.ask("wallet.get", nil); a.text("type") != "wallet.get" {
		t.Fatalf("wallet.get: %v", a)
	}
}

func TestLiveTokenIsGoodOnItsConnectionAlone(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	mine, other := connect(t, target.API), connect(t, target.API)
	token := mine.ask("login", login(target, "tom", "mobile", "a phone")).text("connection_token")
	with := map[string]any{"token": token}
	if a := mine.ask("wallet.get", with); a.text("type") != "wallet.get" {
		t.Errorf("on its own connection: %v", a)
	}
	if a := mine.ask("auth", map[string]any{"access_token": token}); a.text("type") != "auth" {
		t.Errorf("auth on its own connection: %v", a)
	}
	refused := func(where string, a reached, prefix string) {
		t.Helper()
		if a.text(prefix+"error") != "invalid_token" || a.text(prefix+"reason") != "illegal_source" {
			t.Errorf("%s: %v", where, a)
		}
	}
	refused("auth on another connection", other.ask("auth", map[string]any{"access_token": token}), "error/")
	other.ask("login", login(target, "amy", "mobile", "a phone"))
	refused("a frame on another connection", other.ask("wallet.get", with), "error/")
	for _, path := range []string{"/v1/wallet", "/v1/sessions", "/oauth2/userinfo"} {
		r := mustCall(t, http.MethodGet, target.API+path, bearer(token), "")
		var body reached
		_ = json.Unmarshal(r.body, &body)
		refused("GET "+path, body, "")
		if r.status != http.StatusUnauthorized || !strings.Contains(r.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("GET %s: %d %v", path, r.status, r.header)
		}
	}
	r := mustCall(t, http.MethodPost, target.API+"/v1/transfers", write(token, "k1"), transfer(target.Users["amy"].Sub, 1))
	if r.status != http.StatusUnauthorized || r.field("reason") != "illegal_source" {
		t.Errorf("transfer over HTTP: %d %s", r.status, r.body)
	}
	r = mustCall(t, http.MethodPost, target.Issuer+"/oauth2/token", form(), url.Values{
		"grant_type": {"refresh_token"}, "client_id": {"shop-app"}, "refresh_token": {token},
	}.Encode())
	if r.field("error") != "invalid_grant" {
		t.Errorf("as a refresh token: %d %s", r.status, r.body)
	}
	h := form()
	(&http.Request{Header: h}).SetBasicAuth("shop-server", target.Clients["shop-server"].Secret)
	r = mustCall(t, http.MethodPost, target.Issuer+"/oauth2/introspect", h, url.Values{"token": {token}}.Encode())
	if r.field("active") != "false" || r.field("reason") != "illegal_source" {
		t.Errorf("introspection: %d %s", r.status, r.body)
	}
}

func TestLiveAnswersLikeHTTP(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	s := connect(t, target.API)
	if a := s.ask("wallet.get", nil); a.text("error/error") != "invalid_token" {
		t.Errorf("not signed in: %v", a)
	}
	if a := s.ask("ping", nil); a.text("type") != "pong" {
		t.Errorf("ping: %v", a)
	}
	if a := s.ask("login", map[string]any{"grant_type": "refresh_token", "client_id": "shop-app", "refresh_token": "x"}); a.text("error/error") != "unsupported_grant_type" {
		t.Errorf("refreshing on a connection: %v", a)
	}
	wrong := login(target, "tom", "mobile", "a phone")
	wrong["password"] = "wrong"
	if a := s.ask("login", wrong); a.text("error/error") != "invalid_grant" || a.text("error/status") != "400" {
		t.Errorf("wrong password: %v", a)
	}
	s.ask("login", login(target, "tom", "mobile", "a phone"))
	amy := target.Users["amy"].Sub
	pay := map[string]any{"to": amy, "amount": 1250, "currency": "CNY", "memo": "lunch", "idempotency_key": "k1"}
	first, again := s.ask("transfer", pay), s.ask("transfer", pay)
	if first.text("transfer/status") == "" || first.text("replayed") != "false" || again.text("replayed") != "true" || again.text("transfer/id") != first.text("transfer/id") {
		t.Errorf("transfer: %v, again: %v", first, again)
	}
	for name, c := range map[string]struct {
		typ     string
		members map[string]any
		code    string
		names   string
	}{
		"unknown type":   {"wallet.steal", nil, "invalid_request", "wallet.steal"},
		"unknown field":  {"transfer", map[string]any{"to": amy, "amont": 1}, "invalid_request", "amont"},
		"no key":         {"transfer", map[string]any{"to": amy, "amount": 1, "currency": "CNY"}, "idempotency_key_required", ""},
		"key reused":     {"transfer", map[string]any{"to": amy, "amount": 2, "currency": "CNY", "idempotency_key": "k1"}, "idempotency_key_reused", ""},
		"too much":       {"transfer", map[string]any{"to": amy, "amount": 99999999, "currency": "CNY", "idempotency_key": "k2"}, "insufficient_funds", ""},
		"to nobody":      {"transfer", map[string]any{"to": "nobody", "amount": 1, "currency": "CNY", "idempotency_key": "k3"}, "unknown_recipient", ""},
		"odd limit":      {"wallet.entries", map[string]any{"limit": 0}, "invalid_request", "limit"},
		"field of get":   {"wallet.get", map[string]any{"currency": "CNY"}, "invalid_request", "currency"},
		"field of lists": {"sessions.list", map[string]any{"all": true}, "invalid_request", "sessions.list"},
	} {
		a := s.ask(c.typ, c.members)
		if a.text("type") != "error" || a.text("error/error") != c.code || !strings.Contains(a.text("error/detail")+a.text("error/error_description"), c.names) {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a := s.ask("wallet.entries", map[string]any{"limit": 1}); a["entries"] == nil || len(a["entries"].([]any)) != 1 {
		t.Errorf("wallet.entries: %v", a)
	}
	if a := s.ask("sessions.list", nil); a["sessions"] == nil {
		t.Errorf("sessions.list: %v", a)
	}
}
