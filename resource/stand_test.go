package resource_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource"
	"github.com/tallystick/tallystick/resource/books"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	issuer   = "https://accounts.example"
	allScope = "wallet:read wallet:transfer wallet:deposit"
	appID    = storage.ClientID("shop-app")
	billing  = storage.ClientID("billing")
)

// stand is a wallet service over a real store, with real tokens and a real guard.
type stand struct {
	t      testing.TB
	engine engine.Engine
	db     *sqlstore.DB
	guard  *guard.Guard
	minter *token.Minter
	locker *locker
	outbox *outbox.Runner
	server *resource.Server
	http   *httptest.Server
	log    *syncBuffer
	// contract is what every request and answer is held against.
	contract *contract
}

// option changes a stand before it is built.
type option func(*wallet.Config)

func newStand(t testing.TB, e engine.Engine, options ...option) *stand {
	t.Helper()
	s := &stand{t: t, engine: e, db: e.Open(t), locker: &locker{held: map[storage.UserID]chan struct{}{}}, log: &syncBuffer{}}
	ctx := context.Background()
	kek := make([]byte, 32)
	rand.Read(kek)
	ring, err := keys.Open(ctx, keys.Config{
		Store: keyStore{s.db}, EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(kek)), Keep: time.Hour,
	})
	must(t, err)
	s.minter = token.NewMinter(issuer, ring)
	parser, err := token.NewParser(token.ParserConfig{Issuer: issuer, Audience: []string{issuer}, Ring: ring})
	must(t, err)
	// On a loaded machine with the race detector a read may take its time; that is not what is tested here.
	s.guard, err = guard.New(guard.Config{Tokens: parser, Feed: s.db, Sessions: s.db, Blind: time.Minute, DirectTimeout: time.Minute})
	must(t, err)
	must(t, s.guard.Start(ctx))
	t.Cleanup(s.guard.Stop)
	for _, id := range []storage.ClientID{appID, billing} {
		now := storage.Instant(time.Now())
		must(t, s.db.CreateClient(ctx, storage.Client{ID: id, Name: string(id), Kind: storage.Confidential, CreatedAt: now, UpdatedAt: now}, nil))
	}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	cfg := wallet.Config{Ledger: s.db, Locker: s.locker, Currencies: []money.Currency{"CNY", "USD"}, MaxAmount: 1_000_000_000, Log: log}
	for _, o := range options {
		o(&cfg)
	}
	s.outbox, err = outbox.New(outbox.Config{Store: s.db, Interval: 5 * time.Millisecond})
	must(t, err)
	s.outbox.Start(ctx)
	t.Cleanup(s.outbox.Stop)
	s.server, err = resource.New(resource.Config{
		Outbox: s.outbox, Webhooks: newDesk(t, s.db),
		Wallet: cfg, Books: s.db, Guard: s.guard, RequestID: func(context.Context) string { return "req-1" },
	})
	must(t, err)
	s.contract = newContract(t)
	r := gin.New()
	s.server.Register(r)
	s.server.RegisterAdmin(r)
	s.http = httptest.NewServer(r)
	t.Cleanup(s.http.Close)
	return s
}

func newDesk(t testing.TB, db *sqlstore.DB) *outbox.Desk {
	t.Helper()
	box, err := keys.NewBox(secret.New(base64.StdEncoding.EncodeToString(make([]byte, 32))), "webhooks of tests")
	must(t, err)
	sender, err := outbox.NewSender(outbox.SenderConfig{Box: box})
	must(t, err)
	desk, err := outbox.NewDesk(outbox.DeskConfig{Store: db, Box: box, Sender: sender})
	must(t, err)
	return desk
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// user creates a user.
func (s *stand) user(name string) storage.UserID {
	s.t.Helper()
	id, now := storage.NewUserID(), storage.Instant(time.Now())
	must(s.t, s.db.CreateUser(s.t.Context(), storage.User{ID: id, Username: name + "-" + string(id), CreatedAt: now, UpdatedAt: now}))
	return id
}

// signIn opens a kickout session and returns its access token.
func (s *stand) signIn(user storage.UserID, scope string) string {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	exp := now.Add(15 * time.Minute)
	kid, err := s.minter.KeyID(now)
	must(s.t, err)
	opened, err := s.db.Open(s.t.Context(), storage.Opening{
		Session: storage.Session{
			ID: storage.SessionID(storage.NewID(now)), User: user, Product: "shop", Terminal: storage.Mobile, Mode: storage.Kickout,
			Client: appID, Scope: scope, Device: storage.Device{Name: "phone"}, CreatedAt: now, LastSeenAt: now,
			ExpiresAt: now.Add(time.Hour), IdleAt: now.Add(time.Hour), AccessUntil: exp,
			Access: storage.Stamp{JTI: storage.NewID(now), KeyID: kid, IssuedAt: now, ExpiresAt: exp},
		},
		MaxSessions: 1, Now: storage.Instant(time.Now()),
	})
	must(s.t, err)
	s.guard.Apply(opened.Ended)
	raw, err := s.minter.Access(token.Access{
		Subject: string(user), Audience: []string{issuer}, Client: string(appID), JTI: opened.Session.Access.JTI, Scope: scope,
		IssuedAt: now, Expires: exp, Session: string(opened.Session.ID), Product: "shop", Terminal: "mobile", Version: opened.Session.Version,
	}, kid)
	must(s.t, err)
	return raw
}

// internal returns a token of client credentials.
func (s *stand) internal(scope string) string {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Second).Add(time.Second) // after the client's creation
	raw, err := s.minter.Access(token.Access{
		Subject: string(billing), Audience: []string{issuer}, Client: string(billing), JTI: storage.NewID(now), Scope: scope,
		IssuedAt: now, Expires: now.Add(time.Hour),
	}, "")
	must(s.t, err)
	return raw
}

// rich creates a user with money and signs in.
func (s *stand) rich(name string, fen int64) (storage.UserID, string) {
	s.t.Helper()
	id := s.user(name)
	if fen > 0 {
		out, err := s.server.Wallet().Deposit(s.t.Context(), wallet.DepositOrder{
			Bearer: storage.Bearer{Client: billing, IssuedAt: time.Now()}, User: id,
			Amount: money.Amount{Minor: fen, Currency: "CNY"}, Reference: "opening", Key: storage.NewID(time.Now()),
		})
		must(s.t, err)
		if out.Code != "" {
			s.t.Fatalf("deposit: %s", out.Code)
		}
	}
	return id, s.signIn(id, allScope)
}

// balance is what a user has in CNY.
func (s *stand) balance(user storage.UserID) int64 {
	s.t.Helper()
	list, err := s.server.Wallet().Balances(context.WithoutCancel(s.t.Context()), user)
	must(s.t, err)
	return list[0].Total
}

// verify proves the books.
func (s *stand) verify() books.Report {
	s.t.Helper()
	report, err := books.Verify(s.t.Context(), s.db, books.Options{})
	must(s.t, err)
	for _, f := range report.Faults {
		s.t.Errorf("books: %s", f)
	}
	return report
}

// call is a request; the zero value of a field leaves it out.
type call struct {
	method, path, token, body string
	header                    http.Header
}

// got is an answer.
type got struct {
	status int
	header http.Header
	body   []byte
}

func (g got) text() string { return string(g.body) }

// code is the code of a problem.
func (g got) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(g.body, &p) // no code then
	return p.Code
}

func (s *stand) do(c call) got {
	s.t.Helper()
	g, err := s.try(context.WithoutCancel(s.t.Context()), c)
	must(s.t, err)
	return g
}

func (s *stand) try(ctx context.Context, c call) (got, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, s.http.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		return got{}, err
	}
	if c.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	maps.Copy(req.Header, c.header)
	resp, err := s.http.Client().Do(req)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return got{}, err
	}
	g := got{resp.StatusCode, resp.Header, body}
	s.contract.check(s.t, req, c.body, g)
	return g, nil
}

func key(k string) http.Header { return http.Header{"Idempotency-Key": {k}} }

func (s *stand) transfer(token, k, body string) got {
	s.t.Helper()
	return s.do(call{http.MethodPost, "/v1/transfers", token, body, key(k)})
}

func transferBody(to storage.UserID, amount int64) string {
	b, _ := json.Marshal(map[string]any{"to": to, "amount": amount, "currency": "CNY"}) // cannot fail
	return string(b)
}

// locker keeps order in this process alone, and does on demand what Redis does on a bad day.
type locker struct {
	mu   sync.Mutex
	held map[storage.UserID]chan struct{}
	away error // returned by Lock, if set
	// forget lets everybody in at once, as if locks had run out.
	forget   bool
	released int
}

func (l *locker) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// Lock implements storage.Locker.
func (l *locker) Lock(ctx context.Context, user storage.UserID, wait time.Duration) (storage.Lease, error) {
	l.mu.Lock()
	if l.away != nil || l.forget {
		defer l.mu.Unlock()
		return lease{l, nil}, l.away
	}
	slot := l.held[user]
	if slot == nil {
		slot = make(chan struct{}, 1)
		l.held[user] = slot
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case slot <- struct{}{}:
		return lease{l, slot}, nil
	default:
	}
	select {
	case slot <- struct{}{}:
		return lease{l, slot}, nil
	case <-ctx.Done():
		return nil, errors.Join(storage.ErrBusy, ctx.Err())
	}
}

type lease struct {
	l    *locker
	slot chan struct{}
}

// Release implements storage.Lease.
func (l lease) Release(ctx context.Context) {
	if ctx.Err() == nil {
		l.l.set(func() { l.l.released++ })
	}
	if l.slot != nil {
		<-l.slot
	}
}

// keyStore keeps signing keys in the store.
type keyStore struct{ db *sqlstore.DB }

func (k keyStore) ListKeys(ctx context.Context) ([]keys.Record, error) {
	list, err := k.db.ListKeys(ctx)
	out := make([]keys.Record, len(list))
	for i := range list {
		out[i] = keys.Record(list[i])
	}
	return out, err
}

func (k keyStore) AddKey(ctx context.Context, r keys.Record, after string) error {
	return k.db.AddKey(ctx, storage.Key(r), after)
}

func (k keyStore) RetireKey(ctx context.Context, id string, at time.Time) error {
	return k.db.RetireKey(ctx, id, at)
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// bearer is a new sign-in of a user, without a token around it.
func (s *stand) bearer(user storage.UserID) storage.Bearer {
	s.t.Helper()
	s.signIn(user, allScope)
	return s.bearerOf(user)
}

// bearerOf is the one sign-in of a user.
func (s *stand) bearerOf(user storage.UserID) storage.Bearer {
	s.t.Helper()
	live, err := s.db.LiveSessions(s.t.Context(), user, storage.Instant(time.Now()))
	must(s.t, err)
	return storage.Bearer{Session: live[0].ID, Client: appID, JTI: live[0].Access.JTI, IssuedAt: live[0].Access.IssuedAt}
}

func cny(fen int64) money.Amount { return money.Amount{Minor: fen, Currency: "CNY"} }
