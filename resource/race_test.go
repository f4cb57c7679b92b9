package resource_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// together runs f n times at once and returns the answers.
func together(n int, f func(i int) got) []got {
	out := make([]got, n)
	var gate, done sync.WaitGroup
	gate.Add(1)
	for i := range n {
		done.Go(func() {
			gate.Wait()
			out[i] = f(i)
		})
	}
	gate.Done()
	done.Wait()
	return out
}

func TestOfFiftyWithOneKeyOneMovesMoney(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		for name, forget := range map[string]bool{"with the lock": false, "with no lock that holds": true} {
			t.Run(name, func(t *testing.T) {
				s := newStand(t, e)
				s.locker.forget = forget
				tom, tomToken := s.rich("tom", 1000)
				amy := s.user("amy")
				first := 0
				var body string
				for _, g := range together(50, func(int) got { return s.transfer(tomToken, "k", transferBody(amy, 7)) }) {
					switch {
					case g.status == 423 && forget:
						continue // lost the fence as often as it may; nothing was done
					case g.status != http.StatusCreated:
						t.Errorf("got %d %s", g.status, g.body)
						continue
					case g.header.Get("Idempotent-Replayed") == "":
						first++
					}
					if body == "" {
						body = g.text()
					}
					if g.text() != body {
						t.Errorf("two answers under one key:\n%s\n%s", body, g.text())
					}
				}
				if first != 1 || s.balance(tom) != 993 || s.balance(amy) != 7 {
					t.Errorf("%d first answers; tom has %d, amy %d; want 1, 993, 7", first, s.balance(tom), s.balance(amy))
				}
				s.verify()
			})
			e = fresh(t, e)
		}
	})
}

// fresh is another empty database of the same engine.
func fresh(t *testing.T, e engine.Engine) engine.Engine {
	t.Helper()
	if e.Name == "mysql" {
		return engine.MySQL(t)
	}
	return engine.SQLite(t)
}

func TestTogetherNobodySpendsMoreThanThereIs(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		for name, upset := range map[string]func(*locker){
			"with the lock":           func(*locker) {},
			"with no lock that holds": func(l *locker) { l.forget = true },
			"with the locker away":    func(l *locker) { l.away = storage.ErrUnavailable },
		} {
			t.Run(name, func(t *testing.T) {
				s := newStand(t, e)
				upset(s.locker)
				tom, tomToken := s.rich("tom", 100)
				amy := s.user("amy")
				posted := 0
				for _, g := range together(40, func(i int) got { return s.transfer(tomToken, fmt.Sprint("k", i), transferBody(amy, 9)) }) {
					switch {
					case g.status == http.StatusCreated:
						posted++
					case g.status == 422 && g.code() == "insufficient_funds":
					case g.status == 423 && s.locker.forget:
					default:
						t.Errorf("got %d %s", g.status, g.body)
					}
				}
				if !s.locker.forget && posted != 11 || posted > 11 {
					t.Errorf("%d transfers of 9 out of 100", posted)
				}
				if left := s.balance(tom); left != 100-9*int64(posted) || s.balance(amy) != 9*int64(posted) {
					t.Errorf("tom has %d and amy %d after %d transfers of 9", left, s.balance(amy), posted)
				}
				s.verify()
			})
			e = fresh(t, e)
		}
	})
}

func TestABusyWalletIsToldAndNothingIsDone(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 100)
	amy, amyToken := s.rich("amy", 100)
	held, err := s.locker.Lock(t.Context(), tom, 0)
	must(t, err)
	h := key("k")
	h.Set("Prefer", "wait=0")
	busy := call{http.MethodPost, "/v1/transfers", tomToken, transferBody(amy, 1), h}
	golden(t, "refuse_wallet_busy", s.do(busy), nil)
	if b := s.balance(tom); b != 100 {
		t.Errorf("tom has %d, want 100", b)
	}
	// A credit needs no lock of its recipient.
	if g := s.transfer(amyToken, "k", transferBody(tom, 1)); g.status != http.StatusCreated {
		t.Errorf("to a busy wallet: %d %s", g.status, g.body)
	}
	held.Release(t.Context())
	if g := s.do(busy); g.status != http.StatusCreated || g.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("afterwards, with the same key: %d %s", g.status, g.body)
	}
}

func TestALockerThatIsAwayIsSaidOnceAndDoesNotStopAnybody(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	_, tomToken := s.rich("tom", 100)
	amy := s.user("amy")
	for range 2 {
		s.locker.set(func() { s.locker.away = fmt.Errorf("no connection: %w", storage.ErrUnavailable) })
		for range 3 {
			if g := s.transfer(tomToken, storage.NewID(time.Now()), transferBody(amy, 1)); g.status != http.StatusCreated {
				t.Errorf("away: %d %s", g.status, g.body)
			}
		}
		s.locker.set(func() { s.locker.away = nil })
		for range 3 {
			if g := s.transfer(tomToken, storage.NewID(time.Now()), transferBody(amy, 1)); g.status != http.StatusCreated {
				t.Errorf("back: %d %s", g.status, g.body)
			}
		}
	}
	log := s.log.String()
	if away, back := strings.Count(log, "locks are away"), strings.Count(log, "locks are back"); away != 2 || back != 2 {
		t.Errorf("told %d times that locks are away and %d times that they are back, want 2 and 2:\n%s", away, back, log)
	}
}

func TestALockThatIsRequiredIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { c.LockRequired = true })
	tom, tomToken := s.rich("tom", 100)
	amy := s.user("amy")
	s.locker.away = fmt.Errorf("password of redis is hunter2: %w", storage.ErrUnavailable)
	g := s.transfer(tomToken, "k", transferBody(amy, 1))
	golden(t, "refuse_lock_required", g, nil)
	if strings.Contains(g.text(), "hunter2") || !strings.Contains(s.log.String(), "hunter2") {
		t.Errorf("the cause belongs in the log and not in the body: %s", g.body)
	}
	if b := s.balance(tom); b != 100 {
		t.Errorf("tom has %d, want 100", b)
	}
}

// What was answered under a key is answered again though somebody has the lock, or nobody can tell who has it, and one
// who waited for the lock finds what was answered meanwhile. A write that finds the lock free asks the database once.
func TestAnAnsweredKeyNeedsNoLock(t *testing.T) {
	t.Parallel()
	l := &asked{}
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) {
		c.LockRequired = true
		l.Ledger, c.Ledger = c.Ledger, l
	})
	tom, tomToken := s.rich("tom", 100)
	body := transferBody(s.user("amy"), 1)
	l.keys.Store(0)
	first := s.transfer(tomToken, "k", body)
	if keys, footings, posts := l.keys.Load(), l.footings.Load(), l.posts.Load(); keys != 0 || footings != 1 || posts != 2 {
		t.Errorf("%d look-ups of a key, %d of a footing, %d postings with the deposit; want 0, 1, 2", keys, footings, posts)
	}
	replayed := func(when string, g got) {
		t.Helper()
		if g.status != http.StatusCreated || g.text() != first.text() || g.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: %d %s", when, g.status, g.body)
		}
	}
	replayed("free", s.transfer(tomToken, "k", body))
	lease, err := s.locker.Lock(t.Context(), tom, 0)
	must(t, err)
	replayed("held", s.transfer(tomToken, "k", body))
	l.looked = make(chan struct{}, 2)
	twins := make(chan []got, 1)
	go func() { twins <- together(2, func(int) got { return s.transfer(tomToken, "twin", body) }) }()
	for range 2 {
		<-l.looked // the key was free, and now they wait
	}
	lease.Release(t.Context())
	if g := <-twins; g[0].text() != g[1].text() || g[0].status != http.StatusCreated || g[1].status != http.StatusCreated {
		t.Errorf("twins: %d %s, %d %s", g[0].status, g[0].body, g[1].status, g[1].body)
	}
	if posts := l.posts.Load(); posts != 3 {
		t.Errorf("%d postings, want 3: of twins who wait, the second finds the answer of the first", posts)
	}
	l.looked = nil
	s.locker.away = storage.ErrUnavailable
	replayed("away", s.transfer(tomToken, "k", body))
}

// asked counts what the wallet asks of its ledger.
type asked struct {
	storage.Ledger
	keys, footings, posts atomic.Int64
	looked                chan struct{} // told of each look-up of a key, if not nil
}

// Answered implements storage.Ledger.
func (a *asked) Answered(ctx context.Context, key storage.IdempotencyKey, hash [32]byte) (storage.Answer, error) {
	a.keys.Add(1)
	answer, err := a.Ledger.Answered(ctx, key, hash)
	if a.looked != nil {
		a.looked <- struct{}{}
	}
	return answer, err
}

// Footing implements storage.Ledger.
func (a *asked) Footing(
	ctx context.Context, key storage.IdempotencyKey, hash [32]byte, id storage.AccountID,
) (storage.Footing, error) {
	a.footings.Add(1)
	return a.Ledger.Footing(ctx, key, hash, id)
}

// Post implements storage.Ledger.
func (a *asked) Post(ctx context.Context, p storage.Posting) (storage.Posted, error) {
	a.posts.Add(1)
	return a.Ledger.Post(ctx, p)
}

func TestAHolderThatOutlivedItsLockStepsBack(t *testing.T) {
	t.Parallel()
	l := &staleLedger{}
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { l.Ledger, c.Ledger = c.Ledger, l })
	tom, tomToken := s.rich("tom", 100)
	amy := s.user("amy")
	for _, c := range []struct{ lost, status int }{{1, 201}, {3, 201}, {4, 423}} {
		k := fmt.Sprint("k", c.lost)
		l.set(c.lost)
		g := s.transfer(tomToken, k, transferBody(amy, 1))
		if g.status != c.status || (c.status == 423 && g.header.Get("Retry-After") == "") {
			t.Errorf("lock lost %d times: %d %s, want %d", c.lost, g.status, g.body, c.status)
		}
	}
	if s.locker.released != 2+4+4 {
		t.Errorf("%d locks released, want one for each that was taken: 10", s.locker.released)
	}
	if b := s.balance(tom); b != 98 {
		t.Errorf("tom has %d, want 98", b)
	}
	s.verify()
}

// staleLedger reads fences as if the lock were lost right afterwards.
type staleLedger struct {
	storage.Ledger
	mu   sync.Mutex
	left int
}

func (l *staleLedger) set(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = n
}

// Footing implements storage.Ledger.
func (l *staleLedger) Footing(
	ctx context.Context, key storage.IdempotencyKey, hash [32]byte, id storage.AccountID,
) (storage.Footing, error) {
	f, err := l.Ledger.Footing(ctx, key, hash, id)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left > 0 {
		l.left--
		f.Fence--
	}
	return f, err
}

func TestACallerWhoHangsUpLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]string{"while waiting for the lock": "lock", "before the posting": "post", "after the posting": "posted"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l := &leaving{}
			s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { l.Ledger, c.Ledger = c.Ledger, l })
			tom, _ := s.rich("tom", 100)
			amy := s.user("amy")
			order := wallet.TransferOrder{Bearer: s.bearer(tom), User: tom, To: amy, Amount: cny(1), Key: "k"}
			l.when, l.leave = when, cancel
			if when == "lock" {
				lease, err := s.locker.Lock(t.Context(), tom, 0)
				must(t, err)
				defer lease.Release(t.Context())
				cancel()
			}
			_, err := s.server.Wallet().Transfer(ctx, order)
			if (when != "posted") != errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			if when == "lock" {
				return
			}
			if s.locker.released != 1 {
				t.Errorf("the lock was released %d times on a live context, want once", s.locker.released)
			}
			l.when = ""
			again, err := s.server.Wallet().Transfer(t.Context(), order)
			if err != nil || again.Replayed != (when == "posted") {
				t.Errorf("asked again: %+v, %v", again, err)
			}
			if b := s.balance(tom); b != 99 {
				t.Errorf("tom has %d, want 99", b)
			}
			s.verify()
		})
	}
}

// leaving is a ledger whose caller goes away at a certain moment.
type leaving struct {
	storage.Ledger
	when  string
	leave func()
}

// Post implements storage.Ledger.
func (l *leaving) Post(ctx context.Context, p storage.Posting) (storage.Posted, error) {
	if l.when == "post" {
		l.leave()
	}
	posted, err := l.Ledger.Post(ctx, p)
	if l.when == "posted" {
		l.leave()
	}
	return posted, err
}

func TestWithoutTheDatabaseAWriteIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	l := &brokenLedger{err: fmt.Errorf("dial tcp 10.0.0.7:3306: %w", storage.ErrUnavailable)}
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { l.Ledger, c.Ledger = c.Ledger, l })
	tom := s.user("tom")
	tomToken := s.signIn(tom, allScope)
	golden(t, "refuse_temporarily_unavailable", s.transfer(tomToken, "k", transferBody(s.user("amy"), 1)), nil)
	for _, path := range []string{"/v1/wallet", "/v1/wallet/entries", "/v1/transfers/0000000000000000000000000n"} {
		g := s.do(call{http.MethodGet, path, tomToken, "", nil})
		if g.status != 503 || g.header.Get("Retry-After") != "1" || strings.Contains(g.text(), "10.0.0.7") {
			t.Errorf("GET %s: %d %s", path, g.status, g.body)
		}
	}
	l.err = errors.New("table accounts is on fire")
	g := s.do(call{http.MethodGet, "/v1/wallet", tomToken, "", nil})
	golden(t, "refuse_internal", g, nil)
	if !strings.Contains(s.log.String(), "table accounts is on fire") || !strings.Contains(s.log.String(), "request_id=req-1") {
		t.Errorf("the log does not tell the cause: %s", s.log)
	}
}

// brokenLedger answers everything with an error.
type brokenLedger struct {
	storage.Ledger
	err error
}

// Answered implements storage.Ledger.
func (b *brokenLedger) Answered(context.Context, storage.IdempotencyKey, [32]byte) (storage.Answer, error) {
	return storage.Answer{}, b.err
}

// Footing implements storage.Ledger.
func (b *brokenLedger) Footing(context.Context, storage.IdempotencyKey, [32]byte, storage.AccountID) (storage.Footing, error) {
	return storage.Footing{}, b.err
}

// Accounts implements storage.Ledger.
func (b *brokenLedger) Accounts(context.Context, storage.UserID) ([]storage.Account, error) {
	return nil, b.err
}

// Journal implements storage.Ledger.
func (b *brokenLedger) Journal(context.Context, storage.JournalID) (storage.Journal, error) {
	return storage.Journal{}, b.err
}
