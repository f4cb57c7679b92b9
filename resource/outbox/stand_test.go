package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// patience is how long a test waits for what happens at once.
const patience = 30 * time.Second

// stand is a ledger with users and money.
type stand struct {
	testing.TB
	engine engine.Engine
	db     *sqlstore.DB
	bearer storage.Bearer
	users  []storage.UserID
	posted []storage.JournalID
}

func newStand(t testing.TB, e engine.Engine, users int) *stand {
	t.Helper()
	s := &stand{TB: t, engine: e, db: e.Open(t), bearer: storage.Bearer{Client: "billing", IssuedAt: time.Now()}}
	now := storage.Instant(time.Now()).Add(-time.Minute)
	s.ok(s.db.CreateClient(t.Context(), storage.Client{ID: "billing", Name: "Billing", Kind: storage.Confidential, CreatedAt: now, UpdatedAt: now}, nil))
	for i := range users {
		id := storage.NewUserID()
		s.ok(s.db.CreateUser(t.Context(), storage.User{ID: id, Username: fmt.Sprint("user", i), CreatedAt: now, UpdatedAt: now}))
		s.users = append(s.users, id)
	}
	return s
}

func (s *stand) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// deposit posts money for a user, and returns what it is called.
func (s *stand) deposit(user storage.UserID) storage.JournalID {
	s.Helper()
	now := storage.Instant(time.Now())
	j := storage.Journal{
		ID: storage.JournalID(storage.NewID(now)), Kind: storage.KindDeposit, To: user, Amount: money.Amount{Minor: 1, Currency: "CNY"},
		Reference: "r", Client: "billing", CreatedAt: now,
	}
	p := storage.Posting{
		Key: storage.IdempotencyKey{Client: "billing", Key: string(j.ID)}, Bearer: s.bearer, Journal: j,
		From: storage.WorldAccount("CNY"), To: storage.WalletAccount(user, "CNY"), Now: now,
		Success: func(j storage.Journal) storage.Answer {
			return storage.Answer{Journal: j.ID, Body: json.RawMessage(`{}`)}
		},
		Refuse: func(err error) storage.Answer { return storage.Answer{Code: err.Error(), Body: json.RawMessage(`{}`)} },
	}
	out, err := s.db.Post(context.WithoutCancel(s.Context()), p)
	s.ok(err)
	if out.Answer.Code != "" {
		s.Fatal(out.Answer.Code)
	}
	s.posted = append(s.posted, j.ID)
	return j.ID
}

// seal seals all that waits.
func (s *stand) seal() {
	s.Helper()
	for {
		n, err := s.db.Seal(context.WithoutCancel(s.Context()), storage.MaxSeal, time.Now())
		s.ok(err)
		if n == 0 {
			return
		}
	}
}

// log is a log that is kept.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// eventually waits until something holds.
func (s *stand) eventually(what string, holds func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.Context()), patience)
	defer cancel()
	for !holds() {
		if !pause(ctx, 2*time.Millisecond) {
			s.Fatalf("in %s it has not come to that: %s", patience, what)
		}
	}
}

// run starts a runner, which ends with the test at the latest.
func (s *stand) run(c Config) *Runner {
	s.Helper()
	c.Store = &mortal{Store: s.db}
	if c.Interval == 0 {
		c.Interval = 5 * time.Millisecond
	}
	r, err := New(c)
	s.ok(err)
	r.Start(s.Context())
	s.Cleanup(r.Stop)
	return r
}
