package sdk_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/brake"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/authserver/sdk"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const pass = "correct horse battery"

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

// clock is turned by hand, for the server and for its clients.
type clock struct {
	mu  sync.Mutex
	now time.Time
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

// stand is a whole authorization server on a port of its own, and a gate before it that counts and
// disturbs.
type stand struct {
	t       *testing.T
	clock   *clock
	db      *sqlstore.DB
	url     string
	secrets map[string]string

	mu    sync.Mutex
	calls map[string]int // requests by path, and by grant type
	// gate, if not nil, answers in place of the server; server is what stands behind it.
	gate func(w http.ResponseWriter, r *http.Request, server http.Handler)
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{
		t: t, clock: &clock{now: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}, db: engine.Open(t),
		calls: map[string]int{}, secrets: map[string]string{},
	}
	server := httptest.NewUnstartedServer(nil)
	s.url = "http://" + server.Listener.Addr().String()
	router := s.assemble()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[r.URL.Path]++
		gate := s.gate
		s.mu.Unlock()
		if gate != nil {
			gate(w, r, router)
			return
		}
		router.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	return s
}

func (s *stand) assemble() http.Handler {
	t := s.t
	t.Helper()
	now := s.clock.Now
	keyring, err := keys.Open(t.Context(), keys.Config{
		Store: ring{s.db}, EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32))), Keep: 8 * 24 * time.Hour, Now: now,
	})
	must(t, err)
	parser, err := token.NewParser(token.ParserConfig{Issuer: s.url, Audience: []string{s.url}, Ring: keyring})
	must(t, err)
	// A guard that was not started asks the store each time.
	guarded, err := guard.New(guard.Config{Tokens: parser, Feed: s.db, Sessions: s.db, Blind: 20 * time.Second, DirectTimeout: 10 * time.Second, Now: now})
	must(t, err)
	checker, err := password.New(password.Config{Users: s.db, Memory: 8, Time: 1, Threads: 1, Unsafe: true, Now: now})
	must(t, err)
	trail, err := audit.New(audit.Config{Store: s.db})
	must(t, err)
	held, err := brake.New(brake.Config{Key: bytes.Repeat([]byte{3}, brake.KeyLength), Trail: trail, Now: now})
	must(t, err)
	clientKey := bytes.Repeat([]byte{2}, 32)
	registry, err := client.New(client.Config{Store: s.db, SecretKey: clientKey, Brake: held, Now: now})
	must(t, err)
	manager, err := client.NewManager(client.ManagerConfig{Store: s.db, SecretKey: clientKey, Products: []string{"shop"}, LongestAccess: time.Hour, Now: now})
	must(t, err)
	server, err := authserver.New(authserver.Config{
		Issuer: s.url, Audience: []string{s.url}, Products: product.Config{"shop": nil},
		Sessions: s.db, Refreshes: s.db, Users: s.db, Audit: s.db, Wallets: s.db, Handoffs: s.db, Checker: checker, Manager: manager, Guard: guarded,
		Clients: registry, Passwords: checker, Brake: held, Minter: token.NewMinter(s.url, keyring), Parser: parser, Keys: keyring,
		ChainKey: secret.New(strings.Repeat("c", 32)), Now: now,
	})
	must(t, err)
	hash, err := checker.Hash(t.Context(), secret.New(pass))
	must(t, err)
	at := storage.Instant(now())
	must(t, s.db.CreateUser(t.Context(), storage.User{ID: storage.NewUserID(), Username: "tom", Password: hash, Credential: 1, CreatedAt: at, UpdatedAt: at}))
	signIn := []string{oauth.GrantPassword, oauth.GrantRefreshToken}
	handed := []string{oauth.GrantDeviceCode, oauth.GrantLoginToken}
	for _, d := range []client.Draft{
		{ID: "shop-app", Kind: storage.Public, Grants: slices.Concat(signIn, handed), Products: []string{"shop"}, Terminals: storage.Terminals(), Scopes: []string{"wallet:read"}},
		{ID: "no-refresh", Kind: storage.Public, Grants: signIn[:1], Products: []string{"shop"}, Terminals: storage.Terminals()},
		{ID: "billing", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{"wallet:deposit"}},
	} {
		_, text, err := manager.Create(t.Context(), audit.System(), d)
		must(t, err)
		s.secrets[string(d.ID)] = text.Reveal()
	}
	router := gin.New()
	server.Fallback(router)
	server.Register(router)
	// An API of the product: it says what was sent to it.
	admit := guarded.Admit(guard.Need{})
	echo := func(c *gin.Context) {
		var body bytes.Buffer
		_, _ = body.ReadFrom(c.Request.Body)
		c.String(http.StatusOK, "%s", body.String())
	}
	router.GET("/echo", admit, echo)
	router.POST("/echo", admit, echo)
	return router
}

// disturb puts a gate before the server.
func (s *stand) disturb(gate func(w http.ResponseWriter, r *http.Request, server http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

// count is how many requests came to a path.
func (s *stand) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[path]
}

// open makes a client of the shop's app, on phones where nothing else is said.
func (s *stand) open(change func(*sdk.Config)) *sdk.Client {
	s.t.Helper()
	base := &http.Transport{MaxConnsPerHost: 100}
	cfg := sdk.Config{Issuer: s.url, ClientID: "shop-app", Terminal: "mobile", DeviceName: "old phone", Base: base, Now: s.clock.Now}
	if change != nil {
		change(&cfg)
	}
	c, err := sdk.Open(s.t.Context(), cfg)
	must(s.t, err)
	s.t.Cleanup(func() {
		c.Close()
		base.CloseIdleConnections()
	})
	return c
}

// signedIn is open and a sign-in by password.
func (s *stand) signedIn(change func(*sdk.Config)) *sdk.Client {
	s.t.Helper()
	c := s.open(change)
	_, err := c.SignIn(s.t.Context(), sdk.Password("tom", pass))
	must(s.t, err)
	return c
}

// get asks the API with the client's token.
func (s *stand) get(c *sdk.Client) (int, error) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/echo", nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.HTTP().Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// all runs f in n goroutines at once.
func all(n int, f func(i int)) {
	var group sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	group.Wait()
}

// contextOf is a context of a test that can be cancelled before its end.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}
