package resource_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/redisstore/embedded"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// redisStand is a stand with the real locker over an embedded server.
func redisStand(t *testing.T, e engine.Engine, options ...option) (*stand, *embedded.Server) {
	t.Helper()
	server, err := embedded.Start(embedded.Config{})
	must(t, err)
	t.Cleanup(server.Stop)
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL()})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	return newStand(t, e, append([]option{func(c *wallet.Config) { c.Locker = store }}, options...)...), server
}

func TestRedisMayLoseEverythingWhileMoneyMoves(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s, redis := redisStand(t, e)
		tom, tomToken := s.rich("tom", 100)
		amy := s.user("amy")
		var once, twice sync.Once
		posted := 0
		for _, g := range together(40, func(i int) got {
			g := s.transfer(tomToken, fmt.Sprint("k", i), transferBody(amy, 9))
			once.Do(redis.Flush)
			if i > 20 {
				twice.Do(redis.Stop)
			}
			return g
		}) {
			switch {
			case g.status == http.StatusCreated:
				posted++
			case g.status == 422 && g.code() == "insufficient_funds":
			case g.status == 423: // its lock was lost as often as it may be
			default:
				t.Errorf("got %d %s", g.status, g.body)
			}
		}
		if left := s.balance(tom); left != 100-9*int64(posted) || left < 0 || s.balance(amy) != 9*int64(posted) {
			t.Errorf("tom has %d and amy %d after %d transfers of 9", left, s.balance(amy), posted)
		}
		s.verify()
	})
}

func TestALockThatRanOutLetsTheNextPassFirst(t *testing.T) {
	t.Parallel()
	l := &paused{}
	s, redis := redisStand(t, engine.SQLite(t), func(c *wallet.Config) { l.Ledger, c.Ledger = c.Ledger, l })
	other, err := redisstore.Open(t.Context(), redisstore.Config{URL: redis.URL()})
	must(t, err)
	t.Cleanup(func() { must(t, other.Close()) })
	tom, tomToken := s.rich("tom", 100)
	amy := s.user("amy")
	second, err := wallet.New(wallet.Config{Ledger: s.db, Locker: other, Currencies: []money.Currency{"CNY"}})
	must(t, err)
	order := wallet.TransferOrder{Bearer: s.bearerOf(tom), User: tom, To: amy, Amount: cny(60), Key: "second"}
	// Between the first's reading of the fence and its posting, its lock runs out and another process
	// takes the lock and the money.
	l.between = func() {
		redis.Advance(2 * redisstore.DefaultLockTTL)
		if out, err := second.Transfer(t.Context(), order); err != nil || out.Code != "" {
			t.Errorf("the second: %+v, %v", out, err)
		}
	}
	g := s.transfer(tomToken, "first", transferBody(amy, 60))
	if g.status != 422 || g.code() != "insufficient_funds" {
		t.Errorf("the first: %d %s, want insufficient_funds", g.status, g.body)
	}
	if l.stale != 1 {
		t.Errorf("the first was stopped by its fence %d times, want once", l.stale)
	}
	if b := s.balance(tom); b != 40 {
		t.Errorf("tom has %d, want 40", b)
	}
	s.verify()
}

// paused is a ledger that does something once between the reading of a fence and the posting.
type paused struct {
	storage.Ledger
	once    sync.Once
	between func()
	stale   int
}

// Post implements storage.Ledger.
func (p *paused) Post(ctx context.Context, posting storage.Posting) (storage.Posted, error) {
	if p.between != nil {
		p.once.Do(p.between)
	}
	posted, err := p.Ledger.Post(ctx, posting)
	if errors.Is(err, storage.ErrStale) {
		p.stale++
	}
	return posted, err
}

func TestALockInRedisIsWaitedForNoLongerThanAsked(t *testing.T) {
	t.Parallel()
	s, redis := redisStand(t, engine.SQLite(t))
	other, err := redisstore.Open(t.Context(), redisstore.Config{URL: redis.URL()})
	must(t, err)
	t.Cleanup(func() { must(t, other.Close()) })
	tom, tomToken := s.rich("tom", 100)
	held, err := other.Lock(t.Context(), tom, 0)
	must(t, err)
	h := key("k")
	h.Set("Prefer", "wait=0")
	c := call{http.MethodPost, "/v1/transfers", tomToken, transferBody(s.user("amy"), 1), h}
	if g := s.do(c); g.status != 423 || g.code() != "wallet_busy" || g.header.Get("Retry-After") != "1" {
		t.Errorf("held by another process: %d %s", g.status, g.body)
	}
	held.Release(t.Context())
	if g := s.do(c); g.status != http.StatusCreated {
		t.Errorf("let go: %d %s", g.status, g.body)
	}
	// The lock was let go after the transfer as well.
	if again, err := other.Lock(t.Context(), tom, 0); err != nil {
		t.Errorf("after the transfer: %v", err)
	} else {
		again.Release(context.WithoutCancel(t.Context()))
	}
}

// TestAStopEndsTheWaitForALock: with nothing done, so that another process can do it under the same key.
func TestAStopEndsTheWaitForALock(t *testing.T) {
	t.Parallel()
	stopping, stop := context.WithCancel(context.Background())
	defer stop()
	waiting := &noted{begun: make(chan struct{})}
	s, redis := redisStand(t, engine.SQLite(t), func(c *wallet.Config) { waiting.Locker, c.Locker, c.Stopping = c.Locker, waiting, stopping })
	other, err := redisstore.Open(t.Context(), redisstore.Config{URL: redis.URL()})
	must(t, err)
	t.Cleanup(func() { must(t, other.Close()) })
	tom, tomToken := s.rich("tom", 100)
	amy := s.user("amy")
	held, err := other.Lock(t.Context(), tom, 0)
	must(t, err)
	answer := make(chan got, 1)
	began := time.Now()
	go func() { answer <- s.transfer(tomToken, "k", transferBody(amy, 60)) }()
	<-waiting.begun
	stop()
	for n, g := range []got{<-answer, s.transfer(tomToken, "later", transferBody(amy, 1))} {
		if g.status != http.StatusServiceUnavailable || g.code() != "temporarily_unavailable" || g.header.Get("Retry-After") == "" {
			t.Errorf("write %d: %d %s %v", n, g.status, g.body, g.header)
		}
	}
	if waited := time.Since(began); waited > wallet.DefaultLockWait/2 {
		t.Errorf("answered after %s", waited)
	}
	held.Release(t.Context())
	second, err := wallet.New(wallet.Config{Ledger: s.db, Locker: other, Currencies: []money.Currency{"CNY"}})
	must(t, err)
	out, err := second.Transfer(t.Context(), wallet.TransferOrder{Bearer: s.bearerOf(tom), User: tom, To: amy, Amount: cny(60), Key: "k"})
	if err != nil || out.Replayed || out.Code != "" {
		t.Errorf("another process, under the same key: %+v, %v", out, err)
	}
	if b := s.balance(tom); b != 40 {
		t.Errorf("tom has %d, want 40", b)
	}
	s.verify()
}

// noted is a locker that says when somebody asks it.
type noted struct {
	storage.Locker
	once  sync.Once
	begun chan struct{}
}

// Lock implements storage.Locker.
func (n *noted) Lock(ctx context.Context, user storage.UserID, wait time.Duration) (storage.Lease, error) {
	n.once.Do(func() { close(n.begun) })
	return n.Locker.Lock(ctx, user, wait)
}
