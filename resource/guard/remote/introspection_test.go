package remote_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/guard/remote"
	"github.com/tallystick/tallystick/storage"
)

// oracle is an issuer of whom only the introspection matters.
type oracle struct {
	*httptest.Server

	answer http.HandlerFunc
	mu     sync.Mutex
	forms  []url.Values
	users  []string
}

func newOracle(t *testing.T, answer http.HandlerFunc) *oracle {
	t.Helper()
	o := &oracle{answer: answer}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":"%[1]s/t","jwks_uri":"%[1]s/k","introspection_endpoint":"%[1]s/i"}`, o.URL)
	})
	mux.HandleFunc("POST /i", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		id, pass, _ := r.BasicAuth()
		o.mu.Lock()
		o.forms, o.users = append(o.forms, r.PostForm), append(o.users, id+":"+pass)
		o.mu.Unlock()
		answer(w, r)
	})
	mux.HandleFunc("GET /k", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(signed.jwks) })
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

// ask checks a token with a guard that is not started, and so blind.
func (o *oracle) ask(t *testing.T, expires time.Time) (guard.Refusal, bool) {
	t.Helper()
	g, err := remote.New(remote.Config{
		Issuer: o.URL, ClientID: "par cels", ClientSecret: secret.New("hu:sh"), Audience: []string{"x"}, HTTPClient: o.Client(),
	})
	must(t, err)
	_, err = g.Check(t.Context(), signed.token(t, o.URL, expires))
	if err == nil {
		return guard.Refusal{}, true
	}
	refusal, ok := errors.AsType[*guard.Refusal](err)
	if !ok {
		t.Fatalf("%v is no refusal", err)
	}
	return *refusal, false
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestAnswersOfIntrospection(t *testing.T) {
	t.Parallel()
	soon, past := time.Now().Add(10*time.Minute), time.Now().Add(-time.Minute)
	const superseded = `{"active":false,"reason":"superseded","code":2,"superseded_by":{"terminal":"mobile","device_name":"new","at":"2026-11-20T08:00:00Z"}}`
	for name, c := range map[string]struct {
		answer  http.HandlerFunc
		expires time.Time
		status  int
		reason  storage.Reason
	}{
		"active":                       {says(200, `{"active":true,"scope":"x"}`), soon, 0, ""},
		"superseded":                   {says(200, superseded), soon, 401, storage.Superseded},
		"inactive, and not told why":   {says(200, `{"active":false}`), soon, 401, ""},
		"of a reason of tomorrow":      {says(200, `{"active":false,"reason":"moved","code":2}`), soon, 401, "moved"},
		"expired and superseded":       {says(200, superseded), past, 401, storage.Superseded},
		"expired, and told so":         {says(200, `{"active":false,"reason":"expired","code":1}`), past, 401, storage.Expired},
		"expired, and not told why":    {says(200, `{"active":false}`), past, 401, storage.Expired},
		"expired, and nobody can tell": {says(503, `{"error":"temporarily_unavailable"}`), past, 503, ""},
		"away":                         {says(503, `{}`), soon, 503, ""},
		"failing":                      {says(500, ``), soon, 503, ""},
		"refusing the client":          {says(401, `{"error":"invalid_client"}`), soon, 503, ""},
		"another page":                 {says(200, `<html>`), soon, 503, ""},
		"silent on what matters":       {says(200, `{}`), soon, 503, ""},
		"active in words":              {says(200, `{"active":"true"}`), soon, 503, ""},
		"endless":                      {says(200, `{"active":true,"x":"`+strings.Repeat("x", 1<<20)+`"}`), soon, 503, ""},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, soon, 503, ""},
		"slower than the bound": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, soon, 503, ""},
		"cut off in the middle of a yes": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"active":true}`)
		}, soon, 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOracle(t, c.answer)
			began := time.Now()
			refusal, in := o.ask(t, c.expires)
			if took := time.Since(began); took > guard.DefaultDirectTimeout+slack {
				t.Errorf("took %v", took)
			}
			if in != (c.status == 0) || refusal.Status != c.status || refusal.Reason() != c.reason {
				t.Fatalf("let in: %v, %d %q; want %d %q; %v", in, refusal.Status, refusal.Reason(), c.status, c.reason, refusal.Cause)
			}
			if c.reason == storage.Superseded && (refusal.End.By == nil || refusal.End.By.DeviceName != "new" || refusal.End.By.At.IsZero()) {
				t.Errorf("%+v", refusal.End)
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			if len(o.forms) != 1 || o.forms[0].Get("token") == "" || o.forms[0].Get("token_type_hint") != "access_token" || o.users[0] != "par+cels:hu%3Ash" {
				t.Errorf("asked %v as %v", o.forms, o.users)
			}
			if refusal.Cause != nil && strings.Contains(refusal.Error(), "hu:sh") {
				t.Error("the secret is told")
			}
		})
	}
}

// signed makes tokens of any issuer.
var signed = func() (s signer) {
	s.ring, s.jwks = openRing()
	return s
}()

type signer struct {
	ring token.Ring
	jwks []byte
}

func (s signer) token(t *testing.T, issuer string, expires time.Time) string {
	t.Helper()
	raw, err := token.NewMinter(issuer, s.ring).Access(token.Access{
		Subject: "u", Audience: []string{"x"}, Client: "shop-app", JTI: "j", Session: "s", Product: "shop", Terminal: "mobile", Version: 1,
		IssuedAt: expires.Add(-15 * time.Minute), Expires: expires,
	}, "")
	must(t, err)
	return raw
}
