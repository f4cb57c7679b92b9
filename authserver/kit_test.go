package authserver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

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
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	issuerURL  = "https://id.example.com"
	tomsSecret = "correct horse battery"
)

// The keys of the tests: anybody may know them.
var (
	encryptionKey = secret.New(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	clientKey     = bytes.Repeat([]byte{2}, 32)
	chainKey      = secret.New(strings.Repeat("c", 32))
	brakeKey      = bytes.Repeat([]byte{3}, brake.KeyLength)
)

// clock is turned by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 20, 8, 0, 0, 250_000_000, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// ringStore is the key store over SQL, as the binary wires it.
type ringStore struct{ db *sqlstore.DB }

func (s ringStore) ListKeys(ctx context.Context) ([]keys.Record, error) {
	all, err := s.db.ListKeys(ctx)
	records := make([]keys.Record, len(all))
	for i, k := range all {
		records[i] = keys.Record(k)
	}
	return records, err
}

func (s ringStore) AddKey(ctx context.Context, k keys.Record, after string) error {
	err := s.db.AddKey(ctx, storage.Key(k), after)
	if errors.Is(err, storage.ErrStale) {
		return keys.ErrStale
	}
	return err
}

func (s ringStore) RetireKey(ctx context.Context, id string, at time.Time) error {
	return s.db.RetireKey(ctx, id, at)
}

// announcer remembers what was announced.
type announcer struct {
	mu      sync.Mutex
	events  []storage.Event
	context func(context.Context) // called with each announcement's, when set
}

func (a *announcer) Announce(ctx context.Context, events []storage.Event) {
	if a.context != nil {
		a.context(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, events...)
}

func (a *announcer) all() []storage.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]storage.Event(nil), a.events...)
}

// kit is a whole authorization server with what a test may want to reach behind it.
type kit struct {
	t         testing.TB
	engine    engine.Engine
	clock     *clock
	db        *sqlstore.DB
	ring      *keys.Ring
	sealing   *keys.Encryption
	checker   *password.Checker
	brake     *brake.Brake
	parser    *token.Parser
	users     map[string]storage.UserID
	secrets   map[string]string
	log       *bytes.Buffer
	metrics   *prometheus.Registry
	announcer *announcer
	ended     func([]storage.Event) // called by the server, when set
	change    func(*authserver.Config)
	http      http.Handler
}

type option func(*kit)

// with changes the configuration of the server.
func with(change func(*authserver.Config)) option { return func(k *kit) { k.change = change } }

// withFeed serves the feed of ended sessions. Nobody feeds it.
func withFeed(t testing.TB) option {
	return with(func(cfg *authserver.Config) {
		hub, err := events.NewHub(events.HubConfig{})
		if err != nil {
			t.Fatal(err)
		}
		db, isFeed := cfg.Sessions.(storage.Feed)
		if !isFeed {
			t.Fatal("the sessions are not kept where the feed is")
		}
		if cfg.Events, err = events.New(events.Config{Hub: hub, Feed: db, Guard: cfg.Guard}); err != nil {
			t.Fatal(err)
		}
	})
}

// newKit starts a server over a fresh database, with users tom and amy and the demo's clients.
func newKit(t testing.TB, e engine.Engine, options ...option) *kit {
	t.Helper()
	k := &kit{
		t: t, engine: e, clock: newClock(), users: map[string]storage.UserID{}, secrets: map[string]string{},
		announcer: &announcer{},
	}
	for _, o := range options {
		o(k)
	}
	k.start()
	for _, name := range []string{"tom", "amy"} {
		k.addUser(name)
	}
	all := storage.Terminals()
	signIn := []string{oauth.GrantPassword, oauth.GrantRefreshToken}
	k.addClient(client.Draft{ID: "shop-app", Kind: storage.Public, Grants: signIn, Products: []string{"shop"}, Terminals: all, Scopes: []string{"wallet:read", "wallet:transfer"}})
	k.addClient(client.Draft{ID: "shop-web", Kind: storage.Public, Grants: signIn, Products: []string{"shop"}, Terminals: []storage.Terminal{storage.Browser}, Scopes: []string{"wallet:read"}})
	k.addClient(client.Draft{
		ID: "shop-server", Kind: storage.Confidential, Grants: append([]string{oauth.GrantClientCredentials}, signIn...),
		Products: []string{"shop"}, Terminals: all, Scopes: []string{"wallet:read", "wallet:transfer"},
	})
	k.addClient(client.Draft{ID: "billing", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{"wallet:deposit", "wallet:read_any"}})
	k.addClient(client.Draft{ID: "no-refresh", Kind: storage.Public, Grants: []string{oauth.GrantPassword}, Products: []string{"music"}, Terminals: all, Scopes: []string{"wallet:read"}})
	return k
}

// start opens everything on the engine's data: calling it again is a restart.
func (k *kit) start() {
	k.t.Helper()
	k.db = k.engine.Open(k.t)
	var err error
	k.ring, err = keys.Open(k.t.Context(), keys.Config{Store: ringStore{k.db}, EncryptionKey: encryptionKey, Keep: 8 * 24 * time.Hour, Now: k.clock.Now})
	k.must(err)
	k.sealing, err = keys.OpenEncryption(k.t.Context(), keys.Config{Store: ringStore{k.db}, EncryptionKey: encryptionKey, Keep: time.Hour, Now: k.clock.Now})
	k.must(err)
	k.checker, err = password.New(password.Config{Users: k.db, Memory: 8, Time: 1, Threads: 1, Unsafe: true, Now: k.clock.Now})
	k.must(err)
	trail, err := audit.New(audit.Config{Store: k.db})
	k.must(err)
	k.brake, err = brake.New(brake.Config{Key: brakeKey, Trail: trail, Now: k.clock.Now})
	k.must(err)
	registry, err := client.New(client.Config{Store: k.db, SecretKey: clientKey, CacheTTL: time.Minute, Brake: k.brake, Now: k.clock.Now})
	k.must(err)
	k.parser, err = token.NewParser(token.ParserConfig{Issuer: issuerURL, Audience: []string{issuerURL}, Ring: k.ring})
	k.must(err)
	// A guard that was not started asks the store each time.
	watch, err := guard.New(guard.Config{Tokens: k.parser, Feed: k.db, Sessions: k.db, DirectTimeout: time.Second, Now: k.clock.Now})
	k.must(err)
	k.log, k.metrics = &bytes.Buffer{}, prometheus.NewRegistry()
	cfg := authserver.Config{
		Issuer: issuerURL, Audience: []string{issuerURL}, Products: product.Config{"shop": nil, "music": nil},
		Sessions: k.db, Refreshes: k.db, Users: k.db, Audit: k.db, Wallets: k.db, Currencies: []money.Currency{"CNY"}, Handoffs: k.db, Announcer: k.announcer, Ended: func(e []storage.Event) {
			if k.ended != nil {
				k.ended(e)
			}
		},
		Checker: k.checker, Manager: k.manager(registry.Forget), Guard: watch,
		Clients: registry, Passwords: k.checker, Brake: k.brake, Minter: token.NewMinter(issuerURL, k.ring), Parser: k.parser,
		Keys: keys.Published{Signing: k.ring, Encryption: k.sealing}, Opener: k.sealing, Nonces: k.db,
		ChainKey: chainKey, Now: k.clock.Now, Metrics: k.metrics,
		Log: slog.New(slog.NewTextHandler(&lockedWriter{w: k.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if k.change != nil {
		k.change(&cfg)
	}
	server, err := authserver.New(cfg)
	k.must(err)
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	k.must(router.SetTrustedProxies(nil))
	server.Fallback(router)
	server.Register(router)
	k.http = router
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) addUser(name string) {
	k.t.Helper()
	hash, err := k.checker.Hash(k.t.Context(), secret.New(tomsSecret))
	k.must(err)
	now := storage.Instant(k.clock.Now())
	k.users[name] = storage.NewUserID()
	k.must(k.db.CreateUser(k.t.Context(), storage.User{ID: k.users[name], Username: name, Password: hash, Credential: 1, CreatedAt: now, UpdatedAt: now}))
}

func (k *kit) manager(changed func(storage.ClientID)) *client.Manager {
	k.t.Helper()
	m, err := client.NewManager(client.ManagerConfig{
		Store: k.db, SecretKey: clientKey, Products: []string{"music", "shop"}, LongestAccess: time.Hour, Changed: changed, Now: k.clock.Now,
		Ended: func(ctx context.Context, events []storage.Event) { k.announcer.Announce(ctx, events) },
	})
	k.must(err)
	return m
}

func (k *kit) addClient(d client.Draft) {
	k.t.Helper()
	_, text, err := k.manager(nil).Create(k.t.Context(), audit.System(), d)
	k.must(err)
	k.secrets[string(d.ID)] = text.Reveal()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string

	Access      string `json:"access_token"`
	Type        string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	Refresh     string `json:"refresh_token"`
	RefreshIn   int64  `json:"refresh_token_expires_in"`
	Scope       string `json:"scope"`
	Session     string `json:"session_id"`
	Product     string `json:"product"`
	Terminal    string `json:"terminal"`
	Version     int64  `json:"version"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Reason      string `json:"reason"`
	Code        int    `json:"code"`
	By          *struct {
		Terminal   string    `json:"terminal"`
		DeviceName string    `json:"device_name"`
		At         time.Time `json:"at"`
	} `json:"superseded_by"`
}

func (k *kit) do(r *http.Request) answer {
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, r)
	a := answer{status: w.Code, header: w.Result().Header, raw: w.Body.String()}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			k.t.Errorf("%s %s: not JSON: %v: %s", r.Method, r.URL, err, w.Body)
		}
	}
	return a
}

// form makes a form of alternating names and values.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func tokenRequest(f url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/oauth2/token", strings.NewReader(f.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "kit/1.0")
	return r
}

// post sends a form as a public client does.
func (k *kit) post(pairs ...string) answer { return k.do(tokenRequest(form(pairs...))) }

// postAs sends a form as a confidential client does, with Basic.
func (k *kit) postAs(id string, pairs ...string) answer {
	r := tokenRequest(form(pairs...))
	r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(k.secrets[id]))
	return k.do(r)
}

// signIn signs tom in with a public client.
func (k *kit) signIn(clientID, terminal string, more ...string) answer {
	return k.post(append([]string{
		"grant_type", "password", "client_id", clientID, "terminal", terminal, "username", "tom", "password", tomsSecret,
	}, more...)...)
}

func (k *kit) refresh(clientID, raw string, more ...string) answer {
	return k.post(append([]string{"grant_type", "refresh_token", "client_id", clientID, "refresh_token", raw}, more...)...)
}

// check asks the store about an access token, as a strict guard does.
func (k *kit) check(raw string) error {
	k.t.Helper()
	claims, err := k.parser.Access(raw, k.clock.Now())
	if err != nil {
		return err
	}
	return k.db.Check(k.t.Context(), storage.Bearer{
		Session: storage.SessionID(claims.Session), Client: storage.ClientID(claims.Client), JTI: claims.JTI, IssuedAt: claims.IssuedAt,
	}, k.clock.Now())
}

// ok fails the test unless the answer is a success.
func (a answer) ok(t testing.TB) answer {
	t.Helper()
	if a.status != http.StatusOK || a.Access == "" || a.Type != "Bearer" {
		t.Fatalf("got %d %s", a.status, a.raw)
	}
	return a
}

// refused fails the test unless the answer is a refusal with these words.
func (a answer) refused(t testing.TB, status int, code, reason string, number int) answer {
	t.Helper()
	if a.status != status || a.Error != code || a.Reason != reason || a.Code != number || a.Access != "" {
		t.Fatalf("got %d %s; want %d %s %q %d", a.status, a.raw, status, code, reason, number)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q", a.header.Get("Cache-Control"))
	}
	return a
}

// fresh makes another database on the same kind of engine.
func fresh(t *testing.T, e engine.Engine) engine.Engine {
	t.Helper()
	if e.Name == "mysql" {
		return engine.MySQL(t)
	}
	return engine.SQLite(t)
}
