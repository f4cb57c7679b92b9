package remote_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/brake"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/events"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/guard/remote"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	pass     = "correct horse battery"
	patience = 20 * time.Second // for what must happen
	// bound is the promise: no local check lets a superseded token in for longer. Slack is for machines
	// that do several things at once.
	bound = time.Second
	slack = 2 * time.Second
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// accounts is a whole authorization server on a port of its own, behind a proxy, at whose address its
// clients know it.
type accounts struct {
	t      testing.TB
	engine engine.Engine
	addr   string // of the server itself
	proxy  *proxy
	issuer string // the proxy's address
	secret secret.Text

	db     *sqlstore.DB
	guard  *guard.Guard
	server *http.Server
	cancel context.CancelFunc
}

func newAccounts(t testing.TB) *accounts {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	a := &accounts{t: t, engine: engine.SQLite(t), addr: l.Addr().String()}
	a.proxy = newProxy(t, a.addr)
	a.issuer = "http://" + a.proxy.addr
	a.startOn(l)
	t.Cleanup(a.stop)
	hash, err := a.checker().Hash(t.Context(), secret.New(pass))
	must(t, err)
	now := storage.Instant(time.Now())
	must(t, a.db.CreateUser(t.Context(), storage.User{ID: storage.NewUserID(), Username: "tom", Password: hash, Credential: 1, CreatedAt: now, UpdatedAt: now}))
	a.add(client.Draft{
		ID: "shop-app", Kind: storage.Public, Grants: []string{oauth.GrantPassword, oauth.GrantRefreshToken}, Products: []string{"shop"},
		Terminals: storage.Terminals(), Scopes: []string{"parcels:read"},
	})
	a.secret = a.add(client.Draft{
		ID: "parcels", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Products: []string{"shop"}, Terminals: storage.Terminals(),
		Scopes: []string{events.Scope, "parcels:read"},
	})
	return a
}

func (a *accounts) checker() *password.Checker {
	a.t.Helper()
	c, err := password.New(password.Config{Users: a.db, Memory: 8, Time: 1, Threads: 1, Unsafe: true})
	must(a.t, err)
	return c
}

func (a *accounts) manager() *client.Manager {
	a.t.Helper()
	m, err := client.NewManager(client.ManagerConfig{
		Store: a.db, SecretKey: bytes.Repeat([]byte{2}, 32), Products: []string{"shop"}, LongestAccess: time.Hour,
		Ended: func(_ context.Context, e []storage.Event) { a.guard.Apply(e) },
	})
	must(a.t, err)
	return m
}

func (a *accounts) add(d client.Draft) secret.Text {
	a.t.Helper()
	_, made, err := a.manager().Create(a.t.Context(), audit.System(), d)
	must(a.t, err)
	return made
}

// ring keeps the keys in SQL, as the binary does.
type ring struct{ *sqlstore.DB }

func (r ring) ListKeys(ctx context.Context) ([]keys.Record, error) {
	all, err := r.DB.ListKeys(ctx)
	records := make([]keys.Record, len(all))
	for i, k := range all {
		records[i] = keys.Record(k)
	}
	return records, err
}

func (r ring) AddKey(ctx context.Context, k keys.Record, after string) error {
	err := r.DB.AddKey(ctx, storage.Key(k), after)
	if errors.Is(err, storage.ErrStale) {
		return keys.ErrStale
	}
	return err
}

// start brings the server up again where it was.
func (a *accounts) start() {
	a.t.Helper()
	l, err := net.Listen("tcp", a.addr)
	must(a.t, err)
	a.startOn(l)
}

func (a *accounts) startOn(l net.Listener) {
	a.t.Helper()
	log := slog.New(slog.NewTextHandler(a.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	a.db = a.engine.Open(a.t)
	keyring, err := keys.Open(a.t.Context(), keys.Config{
		Store: ring{a.db}, EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))), Keep: 8 * 24 * time.Hour,
	})
	must(a.t, err)
	parser, err := token.NewParser(token.ParserConfig{Issuer: a.issuer, Audience: []string{a.issuer}, Ring: keyring})
	must(a.t, err)
	hub, err := events.NewHub(events.HubConfig{Log: log})
	must(a.t, err)
	a.guard, err = guard.New(guard.Config{Tokens: parser, Feed: a.db, Sessions: a.db, Relay: hub, Poll: 100 * time.Millisecond, Log: log})
	must(a.t, err)
	must(a.t, a.guard.Start(a.t.Context()))
	watch, err := events.New(events.Config{Hub: hub, Feed: a.db, Guard: a.guard})
	must(a.t, err)
	trail, err := audit.New(audit.Config{Store: a.db})
	must(a.t, err)
	held, err := brake.New(brake.Config{Key: bytes.Repeat([]byte{3}, 32), Trail: trail})
	must(a.t, err)
	registry, err := client.New(client.Config{Store: a.db, SecretKey: bytes.Repeat([]byte{2}, 32), Brake: held})
	must(a.t, err)
	server, err := authserver.New(authserver.Config{
		Issuer: a.issuer, Audience: []string{a.issuer}, Products: product.Config{"shop": nil},
		Sessions: a.db, Refreshes: a.db, Users: a.db, Audit: a.db, Wallets: a.db, Handoffs: a.db, Ended: a.guard.Apply,
		Checker: a.checker(), Manager: a.manager(), Guard: a.guard, Events: watch,
		Clients: registry, Passwords: a.checker(), Brake: held, Minter: token.NewMinter(a.issuer, keyring), Parser: parser, Keys: keyring,
		ChainKey: secret.New(strings.Repeat("c", 32)), Log: log,
	})
	must(a.t, err)
	router := gin.New()
	server.Fallback(router)
	server.Register(router)
	ctx, cancel := context.WithCancel(context.Background())
	a.cancel = cancel
	a.server = &http.Server{Handler: router, BaseContext: func(net.Listener) context.Context { return ctx }}
	go a.server.Serve(l)
}

// stop kills the server: connections are cut in the middle.
func (a *accounts) stop() {
	a.cancel()
	_ = a.server.Close()
	a.guard.Stop()
	_ = a.db.Close()
}

// signIn signs tom in on his phone.
func (a *accounts) signIn(device string) string {
	a.t.Helper()
	answer, err := http.PostForm("http://"+a.addr+"/oauth2/token", url.Values{
		"grant_type": {"password"}, "client_id": {"shop-app"}, "terminal": {"mobile"}, "username": {"tom"}, "password": {pass}, "device_name": {device},
	})
	must(a.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(a.t, err)
	var got struct {
		Access string `json:"access_token"`
	}
	must(a.t, json.Unmarshal(body, &got))
	if got.Access == "" {
		a.t.Fatalf("sign-in: %d %s", answer.StatusCode, body)
	}
	return got.Access
}

// service is a service that has nothing but HTTP access to the issuer.
type service struct {
	t     testing.TB
	guard *guard.Guard
	http  http.Handler
}

func (a *accounts) config() remote.Config {
	return remote.Config{
		Issuer: a.issuer, ClientID: "parcels", ClientSecret: a.secret, Audience: []string{a.issuer},
		Log: slog.New(slog.NewTextHandler(a.t.Output(), nil)),
	}
}

func (a *accounts) service(change ...func(*remote.Config)) *service {
	a.t.Helper()
	c := a.config()
	for _, f := range change {
		f(&c)
	}
	g, err := remote.New(c)
	must(a.t, err)
	must(a.t, g.Start(a.t.Context()))
	a.t.Cleanup(g.Stop)
	r := gin.New()
	hello := func(c *gin.Context) { c.Status(http.StatusNoContent) }
	r.GET("/local", g.Require("parcels:read"), hello)
	r.GET("/strict", g.Strict("parcels:read"), hello)
	return &service{a.t, g, r}
}

// reply is what the service said.
type reply struct {
	status int
	retry  string
	raw    string

	Error  string         `json:"error"`
	Reason storage.Reason `json:"reason"`
	Code   int            `json:"code"`
	By     *struct {
		Device string `json:"device_name"`
	} `json:"superseded_by"`
}

func (s *service) ask(path, raw string) reply {
	s.t.Helper()
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("Authorization", "Bearer "+raw)
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, req)
	r := reply{status: w.Code, retry: w.Header().Get("Retry-After"), raw: w.Body.String()}
	if w.Body.Len() > 0 {
		must(s.t, json.Unmarshal(w.Body.Bytes(), &r))
	}
	return r
}

// within waits until a condition holds, and returns how long that took.
func within(t testing.TB, what string, limit time.Duration, holds func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		<-tick.C
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
	return time.Since(began)
}

// memoryKeys keeps keys in memory.
type memoryKeys struct{ keys []keys.Record }

func (m *memoryKeys) ListKeys(context.Context) ([]keys.Record, error) { return m.keys, nil }

func (m *memoryKeys) AddKey(_ context.Context, r keys.Record, _ string) error {
	m.keys = append(m.keys, r)
	return nil
}

func (m *memoryKeys) RetireKey(context.Context, string, time.Time) error { return nil }

// openRing makes a key ring and what it publishes.
func openRing() (*keys.Ring, []byte) {
	r, err := keys.Open(context.Background(), keys.Config{
		Store: &memoryKeys{}, EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))), Keep: time.Hour,
	})
	if err != nil {
		panic(err) // a memory and a key of 32 bytes
	}
	jwks, _ := r.JWKS()
	return r, jwks
}
