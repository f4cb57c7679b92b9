package guard_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

var update = flag.Bool("update", false, "write the golden files")

func TestLetsInWhoMayCome(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	in := s.signIn(s.user("amy"), "phone", "wallet:read wallet:transfer", time.Now())
	g := s.guard()
	for _, path := range []string{"/local", "/strict", "/user"} {
		w := ask(routes(g), path, in.raw)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
			continue
		}
		var got guard.Principal
		must(t, json.Unmarshal(w.Body.Bytes(), &got))
		want := guard.Principal{
			User: in.session.User, Client: app, Session: in.session.ID, Product: "shop", Terminal: storage.Mobile, Version: 1,
			Scope: "wallet:read wallet:transfer", JTI: in.session.Access.JTI,
			IssuedAt: in.session.Access.IssuedAt, ExpiresAt: in.session.Access.ExpiresAt,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: principal (-want +got):\n%s", path, diff)
		}
	}
	internal := s.clientToken(billing, "wallet:read", time.Now())
	for _, path := range []string{"/local", "/strict", "/client"} {
		w := ask(routes(g), path, internal)
		var got guard.Principal
		if err := json.Unmarshal(w.Body.Bytes(), &got); w.Code != http.StatusOK || err != nil || got.User != "" || got.Client != billing {
			t.Errorf("%s for a client: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(routes(g), "/unguarded", in.raw); w.Code != http.StatusTeapot {
		t.Errorf("a route without a guard has a principal: %d %s", w.Code, w.Body)
	}
}

func TestWhereATokenMayStand(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	in := s.signIn(s.user("amy"), "phone", "wallet:read", time.Now())
	h := routes(s.guard())
	for name, c := range map[string]struct {
		headers []string
		query   string
		form    string
		status  int
		code    string
	}{
		"header":                    {headers: []string{"Bearer " + in.raw}, status: 200},
		"scheme in lower case":      {headers: []string{"bearer " + in.raw}, status: 200},
		"two spaces":                {headers: []string{"Bearer  " + in.raw + " "}, status: 200},
		"nowhere":                   {status: 401},
		"another scheme":            {headers: []string{"Basic YTpi"}, status: 401},
		"no scheme":                 {headers: []string{in.raw}, status: 401},
		"empty header":              {headers: []string{""}, status: 401},
		"query":                     {query: "?access_token=" + in.raw, status: 401},
		"form":                      {form: "access_token=" + in.raw, status: 401},
		"scheme alone":              {headers: []string{"Bearer"}, status: 400, code: "invalid_request"},
		"scheme and space":          {headers: []string{"Bearer "}, status: 400, code: "invalid_request"},
		"two tokens":                {headers: []string{"Bearer " + in.raw + " " + in.raw}, status: 400, code: "invalid_request"},
		"two tokens with a comma":   {headers: []string{"Bearer " + in.raw + ", Bearer " + in.raw}, status: 400, code: "invalid_request"},
		"two headers":               {headers: []string{"Bearer " + in.raw, "Bearer " + in.raw}, status: 400, code: "invalid_request"},
		"two schemes":               {headers: []string{"Basic YTpi", "Bearer " + in.raw}, status: 400, code: "invalid_request"},
		"header and query":          {headers: []string{"Bearer " + in.raw}, query: "?access_token=x", status: 400, code: "invalid_request"},
		"header and another query":  {headers: []string{"Bearer " + in.raw}, query: "?my_access_token=x", status: 200},
		"garbage":                   {headers: []string{"Bearer abc.def.ghi"}, status: 401, code: "invalid_token"},
		"not even base64":           {headers: []string{"Bearer \x01\xff"}, status: 401, code: "invalid_token"},
		"longer than any token is":  {headers: []string{"Bearer " + strings.Repeat("a", 100_000)}, status: 401, code: "invalid_token"},
		"signature of another":      {headers: []string{"Bearer " + in.raw[:len(in.raw)-4] + "AAAA"}, status: 401, code: "invalid_token"},
		"not signed":                {headers: []string{"Bearer " + in.raw[:strings.LastIndexByte(in.raw, '.')+1]}, status: 401, code: "invalid_token"},
		"for another audience":      {headers: []string{"Bearer " + s.foreign(in, "https://other.example")}, status: 401, code: "invalid_token"},
		"refresh token of the user": {headers: []string{"Bearer " + s.refresh(in)}, status: 401, code: "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/local"+c.query, strings.NewReader(c.form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, v := range c.headers {
				r.Header.Add("Authorization", v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, c.status)
			}
			if c.status == 200 {
				return
			}
			a, challenge := body(t, w), w.Header().Get("WWW-Authenticate")
			told := c.code
			if told == "" {
				told = "invalid_token" // in the body alone, for programs
			}
			if a.Error != told || a.Reason != "" || a.Code != 0 || a.Description == "" {
				t.Errorf("body %s, want error %q and no reason", w.Body, told)
			}
			if c.code == "" && challenge != "Bearer" {
				t.Errorf("challenge %q, want a bare one: a request without a token is told no error", challenge)
			}
			if c.code != "" && !strings.HasPrefix(challenge, `Bearer error="`+c.code+`", error_description="`) {
				t.Errorf("challenge %q", challenge)
			}
			if c.code == "invalid_token" && a.Description != "the access token is not valid" {
				t.Errorf("told a stranger %q", a.Description)
			}
		})
	}
}

// foreign mints the same token for another audience.
func (s *stand) foreign(in signedIn, audience string) string {
	c := claims(&in.session)
	c.Audience = []string{audience}
	raw, err := s.minter.Access(c, "")
	must(s.t, err)
	return raw
}

func (s *stand) refresh(in signedIn) string {
	raw, err := s.minter.Refresh(token.Refresh{
		Subject: string(in.session.User), Client: string(app), JTI: "r", Session: string(in.session.ID),
		IssuedAt: in.session.Access.IssuedAt, Expires: in.session.ExpiresAt,
	}, "")
	must(s.t, err)
	return raw
}

func TestScopesAndHolders(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	user := s.signIn(s.user("amy"), "phone", "wallet:read profile wallet:transferx", time.Now()).raw
	client := s.clientToken(billing, "wallet:deposit", time.Now())
	h := routes(s.guard())
	for _, c := range []struct {
		path, raw, scope string
	}{
		{"/both", user, "wallet:transfer wallet:hold"},
		{"/local", client, "wallet:read"},
		{"/strict", client, "wallet:read"},
		{"/user", client, ""},
		{"/client", user, ""},
		// The scope is named first where the holder is the wrong one as well.
		{"/user/hold", client, "wallet:hold"},
		{"/client/hold", user, "wallet:hold"},
	} {
		w := ask(h, c.path, c.raw)
		a := body(t, w)
		if w.Code != http.StatusForbidden || a.Error != "insufficient_scope" || a.Scope != c.scope {
			t.Errorf("%s: %d %s, want 403 and the scope %q", c.path, w.Code, w.Body, c.scope)
		}
		challenge := w.Header().Get("WWW-Authenticate")
		if !strings.HasPrefix(challenge, `Bearer error="insufficient_scope"`) || strings.Contains(challenge, `scope="`+c.scope+`"`) != (c.scope != "") {
			t.Errorf("%s: challenge %q", c.path, challenge)
		}
	}
}

// TestRefusalsOnTheWire keeps every refusal as it is sent in testdata/refusals.golden.
func TestRefusalsOnTheWire(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	end := func(reason storage.Reason, by *storage.Superseder) error {
		return fmt.Errorf("post: %w", &storage.EndedError{End: storage.End{Reason: reason, At: at, Actor: "user:x", By: by}})
	}
	by := &storage.Superseder{Terminal: storage.Mobile, DeviceName: "Tom’s \"phone\"", At: at}
	var b strings.Builder
	show := func(name string, err error) {
		w := httptest.NewRecorder()
		guard.Refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		fmt.Fprintf(&b, "== %s\n%d\n", name, w.Code)
		for _, h := range []string{"WWW-Authenticate", "Retry-After", "Cache-Control", "Content-Type"} {
			if v := w.Header().Get(h); v != "" {
				fmt.Fprintf(&b, "%s: %s\n", h, v)
			}
		}
		fmt.Fprintf(&b, "%s\n\n", w.Body)
	}
	for _, reason := range []storage.Reason{
		storage.Expired, storage.Kicked, storage.SignedOut, storage.PasswordChanged, storage.Banned, storage.ReuseDetected, "of_tomorrow",
	} {
		show(string(reason), end(reason, nil))
	}
	show("superseded", end(storage.Superseded, by))
	show("evicted", end(storage.Evicted, by))
	show("a refusal made elsewhere", &guard.Refusal{
		Status: 403, Code: guard.InsufficientScope, Scope: "a b", Description: "quotes \" and \\ and\r\nbreaks", Realm: "wallet", Cause: errors.New("private"),
	})
	show("no token", &guard.Refusal{Status: 401, Description: "this resource needs an access token in the Authorization header"})
	show("ended, and nobody told why", end("", nil))
	show("a store that is away", fmt.Errorf("post: %w", errors.Join(storage.ErrUnavailable, errors.New("private"))))
	show("a lock that is held", fmt.Errorf("lock: %w", storage.ErrBusy))
	show("what nobody expected", errors.New("private"))
	golden(t, "refusals.golden", b.String())
	if strings.Contains(b.String(), "private") {
		t.Error("a cause was sent")
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestRealmStandsInEveryChallenge(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	in := s.signIn(s.user("amy"), "phone", "wallet:read", time.Now())
	g := s.guard(func(c *guard.Config) { c.Realm = "wallet" })
	if got := ask(routes(g), "/local", "").Header().Get("WWW-Authenticate"); got != `Bearer realm="wallet"` {
		t.Errorf("without a token: %q", got)
	}
	if got := ask(routes(g), "/local", "x").Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="wallet", error="invalid_token"`) {
		t.Errorf("with a bad token: %q", got)
	}
	// A handler behind the guard refuses with the realm of that guard.
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard.Refuse(w, r, &storage.EndedError{End: storage.End{Reason: storage.Kicked}})
	}), guard.Need{})
	if got := ask(h, "/", in.raw).Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="wallet", error="invalid_token"`) {
		t.Errorf("from a handler: %q", got)
	}
}

func TestHandlerGuardsNetHTTP(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	amy := s.user("amy")
	old := s.signIn(amy, "phone", "wallet:read", time.Now())
	g := s.guard()
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := guard.From(r.Context())
		fmt.Fprint(w, p.User)
	}), guard.Need{Scopes: []string{"wallet:read"}, Holder: guard.UserToken, Strict: true})
	if w := ask(h, "/", old.raw); w.Code != 200 || w.Body.String() != string(amy) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.signIn(amy, "tablet", "wallet:read", time.Now())
	refused(t, ask(h, "/", old.raw), 401, storage.Superseded)
	if w := ask(h, "/", ""); w.Code != 401 {
		t.Errorf("without a token: %d", w.Code)
	}
}

func TestObserverSeesEveryRequest(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	in := s.signIn(s.user("amy"), "phone", "wallet:read", time.Now())
	var seen []string
	g := s.guard(func(c *guard.Config) {
		c.Observe = func(_ context.Context, p *guard.Principal, refusal *guard.Refusal) {
			line := "nobody"
			if p != nil {
				line = string(p.Client)
			}
			if refusal != nil {
				line += " " + string(refusal.Code) + string(refusal.Reason())
			}
			seen = append(seen, line)
		}
	})
	h := routes(g)
	ask(h, "/local", in.raw)
	ask(h, "/both", in.raw)
	ask(h, "/local", "")
	g.Apply([]storage.Event{ending(in, storage.Kicked)})
	ask(h, "/local", in.raw)
	want := []string{"shop-app", "shop-app insufficient_scope", "nobody ", "shop-app invalid_tokenkicked"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

// ending is the event of a session's end.
func ending(in signedIn, reason storage.Reason) storage.Event {
	return storage.Event{
		ID: storage.EventID(storage.NewID(time.Now())), Subject: storage.SubjectSession, Key: string(in.session.ID), User: in.session.User,
		End: storage.End{Reason: reason, At: storage.Instant(time.Now()), Actor: "operator:test"}, Until: in.session.AccessUntil,
	}
}

func FuzzAuthorizationHeader(f *testing.F) {
	s := newStand(f)
	in := s.signIn(s.user("amy"), "phone", "wallet:read", time.Now())
	h := routes(s.guard())
	for _, seed := range []string{"", "Bearer", "Bearer ", "bearer x", "Bearer a.b.c", "Basic x", "Bearer " + in.raw, "Bearer eyJhbGciOiJub25lIn0.e30."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/local", nil)
		r.Header["Authorization"] = []string{header}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		good := strings.Contains(header, in.raw)
		if w.Code == http.StatusOK && !good || w.Code >= 500 {
			t.Errorf("%q: %d %s", header, w.Code, w.Body)
		}
		if w.Code != http.StatusOK && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d without a challenge", header, w.Code)
		}
	})
}

func TestGinStopsAtARefusal(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r := gin.New()
	r.GET("/", s.guard().Require("x"), func(*gin.Context) { t.Error("the handler ran") })
	if w := ask(r, "/", ""); w.Code != 401 {
		t.Errorf("%d", w.Code)
	}
}
