package guard_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	issuer   = "https://accounts.example"
	app      = storage.ClientID("shop-app")
	billing  = storage.ClientID("billing")
	patience = 20 * time.Second // for what must happen; what must not is decided by events
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// stand is a store with users and tokens, before which guards can be put.
type stand struct {
	t      testing.TB
	engine engine.Engine
	db     *sqlstore.DB
	minter *token.Minter
	parser *token.Parser
}

func newStand(t testing.TB) *stand { return newStandOn(t, engine.SQLite(t)) }

func newStandOn(t testing.TB, e engine.Engine) *stand {
	t.Helper()
	s := &stand{t: t, engine: e, db: e.Open(t)}
	s.minter, s.parser = mint(t)
	for _, id := range []storage.ClientID{app, billing} {
		at := storage.Instant(time.Now().Add(-time.Hour))
		c := storage.Client{ID: id, Name: string(id), Kind: storage.Confidential, CreatedAt: at, UpdatedAt: at}
		must(t, s.db.CreateClient(t.Context(), c, nil))
	}
	return s
}

// mint makes tokens with keys that are kept in memory.
func mint(t testing.TB) (*token.Minter, *token.Parser) {
	t.Helper()
	kek := make([]byte, 32)
	rand.Read(kek)
	ring, err := keys.Open(t.Context(), keys.Config{
		Store: &memoryKeys{}, EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(kek)), Keep: 24 * time.Hour,
	})
	must(t, err)
	parser, err := token.NewParser(token.ParserConfig{Issuer: issuer, Audience: []string{issuer}, Ring: ring})
	must(t, err)
	return token.NewMinter(issuer, ring), parser
}

// memoryKeys is a store of keys.
type memoryKeys struct {
	mu   sync.Mutex
	keys []keys.Record
}

func (m *memoryKeys) ListKeys(context.Context) ([]keys.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.keys), nil
}

func (m *memoryKeys) AddKey(_ context.Context, r keys.Record, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = append(m.keys, r)
	return nil
}

func (m *memoryKeys) RetireKey(context.Context, string, time.Time) error { return nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// guard builds and starts a guard before the stand's store.
func (s *stand) guard(change ...func(*guard.Config)) *guard.Guard {
	s.t.Helper()
	c := guard.Config{Tokens: s.parser, Feed: s.db, Sessions: s.db, Log: slog.New(slog.NewTextHandler(s.t.Output(), nil))}
	for _, f := range change {
		f(&c)
	}
	g, err := guard.New(c)
	must(s.t, err)
	must(s.t, g.Start(s.t.Context()))
	s.t.Cleanup(g.Stop)
	return g
}

// onlyHurry makes polling too rare to matter.
func onlyHurry(h guard.Hurry) func(*guard.Config) {
	return func(c *guard.Config) { c.Hurry, c.Poll, c.Blind = h, time.Hour, 2*time.Hour }
}

// user creates a user.
func (s *stand) user(name string) storage.UserID {
	s.t.Helper()
	id, now := storage.NewUserID(), storage.Instant(time.Now())
	must(s.t, s.db.CreateUser(s.t.Context(), storage.User{ID: id, Username: name, CreatedAt: now, UpdatedAt: now}))
	return id
}

// signedIn is a sign-in and what it ended.
type signedIn struct {
	raw     string
	session storage.Session
	ended   []storage.Event
}

// signIn opens a kickout session, whose access token lives for 15 minutes from the time issued.
func (s *stand) signIn(user storage.UserID, device, scope string, issued time.Time) signedIn {
	s.t.Helper()
	issued = issued.UTC().Truncate(time.Second)
	exp := issued.Add(15 * time.Minute)
	kid, err := s.minter.KeyID(time.Now())
	must(s.t, err)
	opened, err := s.db.Open(s.t.Context(), storage.Opening{
		Session: storage.Session{
			ID: storage.SessionID(storage.NewID(time.Now())), User: user, Product: "shop", Terminal: storage.Mobile, Mode: storage.Kickout,
			Client: app, Scope: scope, Device: storage.Device{Name: device}, CreatedAt: issued, LastSeenAt: issued,
			ExpiresAt: issued.Add(24 * time.Hour), IdleAt: issued.Add(24 * time.Hour), AccessUntil: exp,
			Access: storage.Stamp{JTI: storage.NewID(time.Now()), KeyID: kid, IssuedAt: issued, ExpiresAt: exp},
		},
		MaxSessions: 1, Now: storage.Instant(time.Now()),
	})
	must(s.t, err)
	raw, err := s.minter.Access(claims(&opened.Session), kid)
	must(s.t, err)
	return signedIn{raw, opened.Session, opened.Ended}
}

func claims(s *storage.Session) token.Access {
	return token.Access{
		Subject: string(s.User), Audience: []string{issuer}, Client: string(s.Client), JTI: s.Access.JTI, Scope: s.Scope,
		IssuedAt: s.Access.IssuedAt, Expires: s.Access.ExpiresAt,
		Session: string(s.ID), Product: s.Product, Terminal: string(s.Terminal), Version: s.Version,
	}
}

// clientToken mints a token of client credentials.
func (s *stand) clientToken(client storage.ClientID, scope string, issued time.Time) string {
	s.t.Helper()
	raw, err := s.minter.Access(token.Access{
		Subject: string(client), Audience: []string{issuer}, Client: string(client), JTI: storage.NewID(issued), Scope: scope,
		IssuedAt: issued.UTC().Truncate(time.Second), Expires: issued.UTC().Truncate(time.Second).Add(time.Hour),
	}, "")
	must(s.t, err)
	return raw
}

// routes is a server with a route for each need, which answers with the principal.
func routes(g *guard.Guard) http.Handler {
	r := gin.New()
	hello := func(c *gin.Context) {
		p, ok := guard.From(c.Request.Context())
		if !ok {
			c.Status(http.StatusTeapot)
			return
		}
		c.JSON(http.StatusOK, p)
	}
	r.Any("/local", g.Require("wallet:read"), hello)
	r.GET("/both", g.Require("wallet:read", "wallet:transfer", "wallet:hold"), hello)
	r.GET("/strict", g.Strict("wallet:read"), hello)
	r.GET("/user", g.Admit(guard.Need{Holder: guard.UserToken}), hello)
	r.GET("/client", g.Admit(guard.Need{Holder: guard.ClientToken}), hello)
	r.GET("/user/hold", g.Admit(guard.Need{Scopes: []string{"wallet:hold"}, Holder: guard.UserToken}), hello)
	r.GET("/client/hold", g.Admit(guard.Need{Scopes: []string{"wallet:hold"}, Holder: guard.ClientToken}), hello)
	r.GET("/unguarded", hello)
	return r
}

// ask sends a request with a token.
func ask(h http.Handler, path, raw string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if raw != "" {
		r.Header.Set("Authorization", "Bearer "+raw)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// answer is the part of a refusal that tests branch on.
type answer struct {
	Error        string `json:"error"`
	Description  string `json:"error_description"`
	Reason       string `json:"reason"`
	Code         int    `json:"code"`
	SupersededBy *struct {
		Terminal   string    `json:"terminal"`
		DeviceName string    `json:"device_name"`
		At         time.Time `json:"at"`
	} `json:"superseded_by"`
	Scope string `json:"scope"`
}

func body(t testing.TB, w *httptest.ResponseRecorder) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	return a
}

// refused fails the test unless the answer is that status and reason.
func refused(t testing.TB, w *httptest.ResponseRecorder, status int, reason storage.Reason) {
	t.Helper()
	if w.Code != status || body(t, w).Reason != string(reason) {
		t.Errorf("answered %d %s, want %d with reason %q", w.Code, w.Body, status, reason)
	}
}

// within waits until a condition holds that nothing announces.
func within(t testing.TB, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(limit)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
