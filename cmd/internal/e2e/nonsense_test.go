package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// prompt is how soon every piece of nonsense must be answered.
const prompt = 10 * time.Second

// limit is the longest body that is read.
const limit = 64 << 10

// sweep sends nonsense to an instance.
type sweep struct {
	target story.Target
	tokens map[holder]string
	keys   int
	moved  int // by what was not nonsense after all
}

// TestNonsense sends to every endpoint of the built binary what no client should: nothing of it may be
// answered with 5xx, nothing may hang, and every refusal has the documented shape. It goes one by one, so
// that the answer to each is the answer to it.
func TestNonsense(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, target := startDev(t, dir, freeAddr(t))
	s := &sweep{target: target, tokens: map[holder]string{
		ofUser: signIn(t, target, "tom", "api", "terminal").field("access_token"), ofApp: machine(t, target, "billing"), ofAdmin: machine(t, target, "admin"),
	}}
	before := available(t, target, s.tokens[ofUser])
	for _, e := range existing(t, target) {
		s.bodies(t, e)
		s.headers(t, e)
		s.methods(t, e)
	}
	s.queries(t)
	s.forms(t)
	if after := available(t, target, s.tokens[ofUser]); before+s.moved != after {
		t.Errorf("%d were there, %d were moved by the answers, %d are there", before, s.moved, after)
	}
	t.Logf("%s", command(t, "", "ledger", "verify", "--data-dir", dir))
}

// machine signs an internal app in.
func machine(t *testing.T, target story.Target, client string) string {
	t.Helper()
	r := mustCall(t, http.MethodPost, target.Issuer+"/oauth2/token", form(), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {target.Clients[client].Secret},
	}.Encode())
	if r.status != http.StatusOK {
		t.Fatalf("client credentials of %s: %d %s", client, r.status, r.body)
	}
	return r.field("access_token")
}

// send sends one request and holds its answer to what all answers must be.
func (s *sweep) send(t *testing.T, what, method, path string, h http.Header, body string) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), prompt)
	defer cancel()
	r, err := call(ctx, method, s.target.API+path, h, body)
	switch {
	case err != nil:
		t.Errorf("%s %s, %s: %v", method, path, what, err)
	case r.status >= http.StatusInternalServerError:
		t.Errorf("%s %s, %s: %d %s", method, path, what, r.status, r.body)
	case !documented(r):
		t.Errorf("%s %s, %s: no documented shape: %d %q %s", method, path, what, r.status, r.header.Get("Content-Type"), r.body)
	}
	return r
}

// header is that of a request in good order, under a key of its own.
func (s *sweep) header(e endpoint) http.Header {
	s.keys++
	return e.header(s.tokens[e.who], fmt.Sprint("nonsense-", s.keys))
}

// bodies sends what is no body, and bodies of which one member is wrong.
func (s *sweep) bodies(t *testing.T, e endpoint) {
	t.Helper()
	if e.body == "" {
		return
	}
	for what, body := range map[string]string{
		"no body": "", "blanks": "  \n\t ", "half an object": e.body[:len(e.body)/2], "two objects": e.body + e.body, "an array": "[" + e.body + "]",
		"null": "null", "a number": "1", "a text": `"text"`, "no JSON": "to=amy&amount=1", "a byte order mark": "\xef\xbb\xbf" + e.body,
		"invalid UTF-8": strings.Replace(e.body, `":"`, "\":\"\xff\xfe", 1) + "\xc3", "NUL": e.body + "\x00", "deep": strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
		"deep arrays": strings.Repeat("[", 30000),
	} {
		if r := s.send(t, what, e.method, e.path, s.header(e), body); r.status < 400 && what != "no body" && what != "blanks" {
			t.Errorf("%s %s takes %s: %d %s", e.method, e.path, what, r.status, r.body)
		}
	}
	huge := `{"to":"` + strings.Repeat("a", limit) + `"}`
	if r := s.send(t, "over the limit", e.method, e.path, s.header(e), huge); r.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%s %s, a body of %d bytes: %d %s", e.method, e.path, len(huge), r.status, r.body)
	}
	unknown := strings.Replace(e.body, "{", `{"no_such_field":1`+comma(e.body), 1)
	if r := s.send(t, "an unknown field", e.method, e.path, s.header(e), unknown); r.status != http.StatusBadRequest || !strings.Contains(string(r.body), "no_such_field") {
		t.Errorf("%s %s, an unknown field: %d %s", e.method, e.path, r.status, r.body)
	}
	s.members(t, e)
}

func comma(object string) string {
	if object == "{}" {
		return ""
	}
	return ","
}

// members sends the body with one member at a time replaced, left out and repeated.
func (s *sweep) members(t *testing.T, e endpoint) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(e.body), &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		for _, value := range []string{
			"null", "true", "-1", "0", "1.5", "1e3", "1E400", "-0", "01", "9007199254740991", "9007199254740992", "9223372036854775807",
			"9223372036854775808", "-9223372036854775809", strings.Repeat("9", 400), `""`, `" "`, `"1"`, `"-1"`, `[]`, `{}`, `[1]`, `{"a":1}`,
			`"\u0000"`, `"\ud800"`, `"\u202e"`, `"'; DROP TABLE users; --"`, `"` + strings.Repeat("x", 60000) + `"`, `"🦀🦀🦀"`, `"../../etc/passwd"`, "NaN",
		} {
			r := s.send(t, name+" is "+shorten(value), e.method, e.path, s.header(e), object1(members, name, value))
			s.count(t, e, r)
			if name == "amount" && r.status < 400 && value != "9007199254740991" {
				t.Errorf("%s %s moves an amount of %s: %d %s", e.method, e.path, shorten(value), r.status, r.body)
			}
		}
		left := maps.Clone(members)
		delete(left, name)
		text, err := json.Marshal(left)
		if err != nil {
			t.Fatal(err)
		}
		s.count(t, e, s.send(t, "without "+name, e.method, e.path, s.header(e), string(text)))
		twice := strings.Replace(e.body, "{", `{"`+name+`":`+string(members[name])+",", 1)
		if r := s.send(t, name+" twice", e.method, e.path, s.header(e), twice); r.status != http.StatusBadRequest {
			t.Errorf("%s %s with %s twice: %d %s", e.method, e.path, name, r.status, r.body)
		}
	}
}

// count notes what a request that was in order after all has moved, such as one without a memo.
func (s *sweep) count(t *testing.T, e endpoint, r reply) {
	t.Helper()
	if r.status != http.StatusCreated || !e.write {
		return
	}
	var moved struct {
		From, To, User string
		Amount         int
	}
	if err := json.Unmarshal(r.body, &moved); err != nil {
		t.Errorf("%s %s: %v in %s", e.method, e.path, err, r.body)
	}
	switch e.path {
	case "/v1/transfers", "/v1/holds", "/v1/withdrawals":
		s.moved -= moved.Amount
	case "/v1/deposits":
		s.moved += moved.Amount
	}
}

func object1(members map[string]json.RawMessage, name, value string) string {
	var b bytes.Buffer
	for _, one := range slices.Sorted(maps.Keys(members)) {
		v := string(members[one])
		if one == name {
			v = value
		}
		fmt.Fprintf(&b, ",%q:%s", one, v)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

func shorten(s string) string {
	if len(s) > 30 {
		return s[:30] + "…"
	}
	return s
}

// headers sends headers that no client should.
func (s *sweep) headers(t *testing.T, e endpoint) {
	t.Helper()
	for what, change := range map[string]func(http.Header){
		"no content type":        func(h http.Header) { h.Del("Content-Type") },
		"another content type":   func(h http.Header) { h.Set("Content-Type", "text/plain") },
		"no such content type":   func(h http.Header) { h.Set("Content-Type", ";;;") },
		"two content types":      func(h http.Header) { h.Add("Content-Type", "application/json") },
		"another charset":        func(h http.Header) { h.Set("Content-Type", "application/json; charset=utf-16") },
		"compressed":             func(h http.Header) { h.Set("Content-Encoding", "gzip") },
		"no key":                 func(h http.Header) { h.Del("Idempotency-Key") },
		"an empty key":           func(h http.Header) { h.Set("Idempotency-Key", "") },
		"a long key":             func(h http.Header) { h.Set("Idempotency-Key", strings.Repeat("k", 65)) },
		"two keys":               func(h http.Header) { h.Add("Idempotency-Key", "another") },
		"a key in other letters": func(h http.Header) { h.Set("Idempotency-Key", "schlüssel") },
		"an odd wait":            func(h http.Header) { h.Set("Prefer", "wait=-1, wait=99999999999999999999, wait=\"") },
		"an odd Accept":          func(h http.Header) { h.Set("Accept", "text/csv;q=x, */*;q=9") },
		"an odd If-None-Match":   func(h http.Header) { h.Set("If-None-Match", `W/"`) },
		"an odd Last-Event-ID":   func(h http.Header) { h.Set("Last-Event-ID", "99999999999999999999999") },
		"an odd forwarded":       func(h http.Header) { h.Set("X-Forwarded-For", "not, an, address") },
		"an odd request id":      func(h http.Header) { h.Set("X-Request-ID", strings.Repeat("é", 300)) },
		"another scheme":         func(h http.Header) { h.Set("Authorization", "Basic dG9tOnRvbQ==") },
		"an empty token":         func(h http.Header) { h.Set("Authorization", "Bearer ") },
		"a token of blanks":      func(h http.Header) { h.Set("Authorization", "Bearer a b c") },
		"two authorizations":     func(h http.Header) { h.Add("Authorization", "Bearer x") },
		"a very long token":      func(h http.Header) { h.Set("Authorization", "Bearer "+strings.Repeat("A", 100_000)) },
	} {
		if streams(e) && !strings.Contains(what, "token") && !strings.Contains(what, "authorization") && what != "another scheme" {
			continue
		}
		h := s.header(e)
		change(h)
		r := s.send(t, what, e.method, e.path, h, e.body)
		s.count(t, e, r)
		if e.write && strings.Contains(what, "key") && r.status < 400 {
			t.Errorf("%s %s takes %s: %d %s", e.method, e.path, what, r.status, r.body)
		}
	}
}

// streams says that an endpoint goes on answering for as long as it is listened to.
func streams(e endpoint) bool { return e.path == "/v1/session-events" }

// methods asks in ways that the endpoint does not know.
func (s *sweep) methods(t *testing.T, e endpoint) {
	t.Helper()
	for _, method := range []string{http.MethodPut, http.MethodTrace, "BREW"} {
		if r := s.send(t, "this method", method, e.path, s.header(e), e.body); r.status < 400 {
			t.Errorf("%s %s: %d %s", method, e.path, r.status, r.body)
		}
	}
	for _, path := range []string{e.path + "/", e.path + "/%2e%2e/", e.path + "/%00", e.path + "/" + strings.Repeat("x", 5000)} {
		path, _, _ = strings.Cut(path, "?")
		s.send(t, "this path", e.method, path, s.header(e), e.body)
	}
}

// queries asks for pages and things that there cannot be.
func (s *sweep) queries(t *testing.T) {
	t.Helper()
	for _, query := range []string{
		"limit=0", "limit=-1", "limit=1.5", "limit=abc", "limit=99999999999999999999", "limit=1&limit=2", "cursor=x", "cursor=" + strings.Repeat("A", 3000),
		"cursor=%00", "cursor=%ff%fe", "currency=", "currency=XYZ", "currency=cny", "currency=CNY&currency=CNY", "currency=%ff", "since=yesterday",
		"since=9999999999999", "%zz", "a=1;b=2", "access_token=x", strings.Repeat("&a=1", 2000),
	} {
		for path, who := range map[string]holder{"/v1/wallet": ofUser, "/v1/wallet/entries": ofUser, "/v1/sessions": ofUser, "/admin/v1/users": ofAdmin, "/admin/v1/clients": ofAdmin, "/admin/v1/audit": ofAdmin} {
			s.send(t, "this query", http.MethodGet, path+"?"+query, bearer(s.tokens[who]), "")
		}
	}
	for _, id := range []string{"%00", "%ff", "..%2f..", strings.Repeat("a", 3000), "%F0%9F%A6%80", "'%20OR%201=1", "%2e"} {
		for path, who := range map[string]holder{"/v1/transfers/": ofUser, "/admin/v1/users/": ofAdmin} {
			s.send(t, "this identifier", http.MethodGet, path+id, bearer(s.tokens[who]), "")
		}
		s.send(t, "this identifier", http.MethodDelete, "/v1/sessions/"+id, bearer(s.tokens[ofUser]), "")
		s.send(t, "this identifier", http.MethodDelete, "/admin/v1/clients/"+id, bearer(s.tokens[ofAdmin]), "")
	}
}

// forms sends forms that no client should to the endpoints that take forms.
func (s *sweep) forms(t *testing.T) {
	t.Helper()
	tom := s.target.Users["tom"]
	good := url.Values{
		"grant_type": {"password"}, "client_id": {"shop-app"}, "username": {tom.Username}, "password": {"not " + tom.Password}, "terminal": {"mobile"},
		"device_name": {"d"}, "device_id": {"i"}, "scope": {"wallet:read"}, "product": {"shop"}, "session_data": {"{}"}, "refresh_token": {"r"},
		"token": {"t"}, "token_type_hint": {"access_token"},
	}
	whole := []string{
		"", "&", "&&&=&", "=", "a", "grant_type", "grant_type=", "grant_type=password&grant_type=password", "%", "%zz=1", "grant_type=%ff%fe", "grant_type=%00",
		"{\"grant_type\":\"password\"}", strings.Repeat("a=1&", 5000), "a=" + strings.Repeat("b", limit), strings.Repeat("a", limit+1),
		"grant_type=authorization_code&client_id=shop-app", "grant_type=password&client_id=nobody", "grant_type=password&client_id=shop-app;username=tom",
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/device_authorization"} {
		for _, body := range whole {
			s.refused(t, "this form: "+shorten(body), path, form(), body)
		}
		for _, name := range slices.Sorted(maps.Keys(good)) {
			for _, value := range []string{"", " ", "\x00", "\xff", "\u202e", strings.Repeat("x", 5000), strings.Repeat("é", 200), "-1", "null", "[]", "'; --", "a\r\nB: c"} {
				changed := maps.Clone(good)
				changed[name] = []string{value}
				s.refused(t, fmt.Sprintf("%s is %q", name, shorten(value)), path, form(), changed.Encode())
			}
		}
		for what, change := range map[string]func(http.Header){
			"no content type":      func(h http.Header) { h.Del("Content-Type") },
			"another content type": func(h http.Header) { h.Set("Content-Type", "application/json") },
			"a multipart form":     func(h http.Header) { h.Set("Content-Type", "multipart/form-data; boundary=x") },
			"another charset":      func(h http.Header) { h.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-16") },
			"no such credentials":  func(h http.Header) { h.Set("Authorization", "Basic !!!") },
			"half credentials":     func(h http.Header) { h.Set("Authorization", "Basic c2hvcC1zZXJ2ZXI=") },
			"odd credentials":      func(h http.Header) { h.Set("Authorization", "Basic /////w==") },
			"a bearer token":       func(h http.Header) { h.Set("Authorization", "Bearer "+s.tokens[ofUser]) },
			"two authorizations":   func(h http.Header) { h["Authorization"] = []string{"Basic YTpi", "Basic YTpi"} },
			"compressed":           func(h http.Header) { h.Set("Content-Encoding", "gzip") },
		} {
			h := form()
			change(h)
			s.refused(t, what, path, h, good.Encode())
		}
		s.refused(t, "parameters in the query", path+"?grant_type=password", form(), good.Encode())
	}
}

// refused sends a form. Nobody signs in with any of these: the password is wrong in all of them.
func (s *sweep) refused(t *testing.T, what, path string, h http.Header, body string) {
	t.Helper()
	r := s.send(t, what, http.MethodPost, path, h, body)
	if r.status < 400 && strings.HasPrefix(path, "/oauth2/token") {
		t.Errorf("%s, %s: %d %s", path, what, r.status, r.body)
	}
}
