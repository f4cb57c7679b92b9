package guard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/redisstore/embedded"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// bound is the promise: within a second, on every node, with room for a slow machine.
const bound = 5 * time.Second

func TestKickOutIsSeenByPolling(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStandOn(t, e)
		amy := s.user("amy")
		old := s.signIn(amy, "phone", "wallet:read", time.Now())
		nodes := []http.Handler{routes(s.guard()), routes(s.guard())}
		for _, h := range nodes {
			if w := ask(h, "/local", old.raw); w.Code != 200 {
				t.Fatalf("before: %d %s", w.Code, w.Body)
			}
		}
		began := time.Now()
		in := s.signIn(amy, "tablet", "wallet:read", time.Now())
		for i, h := range nodes {
			var w *httptest.ResponseRecorder
			within(t, "the kick-out is seen", bound, func() bool {
				w = ask(h, "/local", old.raw)
				return w.Code != 200
			})
			refused(t, w, 401, storage.Superseded)
			by := body(t, w).SupersededBy
			if by == nil || by.DeviceName != "tablet" || by.Terminal != "mobile" || !by.At.Equal(in.ended[0].End.At) {
				t.Errorf("node %d: superseded by %+v, want the tablet", i, by)
			}
			if w := ask(h, "/local", in.raw); w.Code != 200 {
				t.Errorf("node %d: the new session: %d %s", i, w.Code, w.Body)
			}
		}
		t.Logf("seen by polling after %v", time.Since(began))
		within(t, "the event is numbered", bound, func() bool {
			n, err := s.db.Position(t.Context())
			return err == nil && n == 1
		})
	})
}

func TestWhatEndedBeforeTheStartIsKnown(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	amy := s.user("amy")
	old := s.signIn(amy, "phone", "wallet:read", time.Now())
	s.signIn(amy, "tablet", "wallet:read", time.Now())
	never := s.guard(onlyHurry(nil)) // nothing but the start tells it
	refused(t, ask(routes(never), "/local", old.raw), 401, storage.Superseded)
	if _, err := s.db.Number(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	refused(t, ask(routes(s.guard(onlyHurry(nil))), "/local", old.raw), 401, storage.Superseded)
}

// hurried is a stand with a Redis beside it.
func hurried(t *testing.T) (*stand, *embedded.Server, *redisstore.Store) {
	t.Helper()
	redis, err := embedded.Start(embedded.Config{})
	must(t, err)
	t.Cleanup(redis.Stop)
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: redis.URL()})
	must(t, err)
	must(t, store.Start(t.Context()))
	t.Cleanup(func() { must(t, store.Close()) })
	return newStand(t), redis, store
}

// kicked signs a user in on a phone and then on a tablet, announces that, and returns the phone's token.
func (s *stand) kicked(store *redisstore.Store, name string) string {
	user := s.user(name)
	old := s.signIn(user, "phone", "wallet:read", time.Now())
	store.Announce(s.t.Context(), s.signIn(user, "tablet", "wallet:read", time.Now()).ended)
	return old.raw
}

// hears kicks users out until a guard that only the stream tells has seen one go.
func (s *stand) hears(store *redisstore.Store, h http.Handler) {
	s.t.Helper()
	i := 0
	within(s.t, "a kick-out is heard from the stream", patience, func() bool {
		raw := s.kicked(store, fmt.Sprintf("probe-%p-%d", &i, i))
		i++
		for range 50 {
			if w := ask(h, "/local", raw); w.Code == 401 {
				refused(s.t, w, 401, storage.Superseded)
				return true
			}
		}
		return false
	})
}

func TestKickOutIsHeardFromTheStream(t *testing.T) {
	t.Parallel()
	s, redis, store := hurried(t)
	one, two := routes(s.guard(onlyHurry(store))), routes(s.guard(onlyHurry(store)))
	s.hears(store, one)
	s.hears(store, two)
	raw := s.kicked(store, "both")
	for _, h := range []http.Handler{one, two} {
		within(t, "both nodes hear it", bound, func() bool { return ask(h, "/local", raw).Code == 401 })
	}
	redis.Flush()
	s.hears(store, one)
	s.hears(store, two)
}

func TestKickOutIsSeenWhenRedisIsFlushedOrGone(t *testing.T) {
	t.Parallel()
	s, redis, store := hurried(t)
	h := routes(s.guard(func(c *guard.Config) { c.Hurry = store }))
	seen := func(name, raw string) {
		t.Helper()
		within(t, name, bound, func() bool { return ask(h, "/local", raw).Code == 401 })
	}
	seen("with Redis", s.kicked(store, "a"))
	redis.Flush()
	seen("after a flush", s.kicked(store, "b"))
	redis.Stop()
	raw := s.kicked(store, "c")
	seen("without Redis", raw)
	refused(t, ask(h, "/local", raw), 401, storage.Superseded)
}

// TestSlowTransactionIsNotMissed ends a session in a transaction that commits long after others,
// whose events have been numbered in the meantime.
func TestSlowTransactionIsNotMissed(t *testing.T) {
	t.Parallel()
	s := newStandOn(t, engine.MySQL(t))
	h := routes(s.guard())
	slow := s.signIn(s.user("slow"), "phone", "wallet:read", time.Now())
	tx, err := s.engine.Raw(t).BeginTx(t.Context(), nil)
	must(t, err)
	defer tx.Rollback() // unless it is committed
	now := time.Now()
	_, err = tx.ExecContext(t.Context(), "INSERT INTO session_events (event_id, number, subject, subject_key, user_id, product, terminal, "+
		"ended_at, end_reason, end_actor, until_at) VALUES (?, 0, 'session', ?, ?, 'shop', 'mobile', ?, 'kicked', 'system', ?)",
		storage.NewID(now), string(slow.session.ID), string(slow.session.User), now.UnixMicro(), now.Add(time.Hour).UnixMicro())
	must(t, err)
	for i := range 5 {
		user := s.user(fmt.Sprint("quick", i))
		old := s.signIn(user, "phone", "wallet:read", time.Now())
		s.signIn(user, "tablet", "wallet:read", time.Now())
		within(t, "a later event is seen", bound, func() bool { return ask(h, "/local", old.raw).Code == 401 })
	}
	within(t, "the later events are numbered", bound, func() bool {
		n, err := s.db.Position(t.Context())
		return err == nil && n == 5
	})
	if w := ask(h, "/local", slow.raw); w.Code != 200 {
		t.Fatalf("before the commit: %d %s", w.Code, w.Body)
	}
	must(t, tx.Commit())
	within(t, "the late commit is seen", bound, func() bool { return ask(h, "/local", slow.raw).Code == 401 })
}

func TestBlindWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	amy := s.user("amy")
	old := s.signIn(amy, "phone", "wallet:read", time.Now())
	in := s.signIn(amy, "tablet", "wallet:read", time.Now())
	h := routes(s.guard())
	must(t, s.db.Close())
	closed := time.Now()
	within(t, "the guard is blind", bound, func() bool {
		w := ask(h, "/local", in.raw)
		if w.Code == 200 && time.Since(closed) > 2*time.Second {
			t.Fatalf("let in %v after the database went", time.Since(closed))
		}
		if w.Code == 401 {
			t.Fatalf("refused for ever, although nobody could know: %s", w.Body)
		}
		return w.Code == 503
	})
	w := ask(h, "/local", in.raw)
	if w.Code != 503 || body(t, w).Error != "temporarily_unavailable" || w.Header().Get("Retry-After") != "1" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	refused(t, ask(h, "/local", old.raw), 401, storage.Superseded) // that is known for certain
	if w := ask(h, "/strict", in.raw); w.Code != 503 {
		t.Errorf("strict: %d", w.Code)
	}
	if w := ask(h, "/local", "x"); w.Code != 401 {
		t.Errorf("a bad token: %d", w.Code)
	}
}

// feed is a feed in memory that fails on command, and the sessions beside it.
type feed struct {
	mu       sync.Mutex
	events   []storage.Event
	last     int64
	broken   error
	silent   error // of Check alone
	checks   int
	numbered int
	gate     chan struct{} // Check waits for it
	slow     time.Duration // what Snapshot takes
}

func (f *feed) Position(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.broken
}

func (f *feed) Snapshot(ctx context.Context, now time.Time, each func(storage.Event) error) error {
	select {
	case <-time.After(f.slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Until.After(now) {
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return f.broken
}

func (f *feed) Tail(_ context.Context, after int64, limit int) ([]storage.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var numbered, waiting []storage.Event
	for _, e := range f.events {
		switch {
		case e.Number == 0:
			waiting = append(waiting, e)
		case e.Number > after:
			numbered = append(numbered, e)
		}
	}
	slices.SortFunc(numbered, func(a, b storage.Event) int { return int(a.Number - b.Number) })
	return append(numbered[:min(limit, len(numbered))], waiting[:min(limit, len(waiting))]...), f.broken
}

func (f *feed) Number(_ context.Context, limit int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for i := range f.events {
		if f.events[i].Number == 0 && n < limit {
			f.last++
			n++
			f.events[i].Number = f.last
		}
	}
	f.numbered += n
	return n, f.broken
}

func (f *feed) Check(ctx context.Context, b storage.Bearer, _ time.Time) error {
	f.mu.Lock()
	f.checks++
	gate := f.gate
	f.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Subject == storage.SubjectSession && e.Key == string(b.Session) {
			return &storage.EndedError{End: e.End}
		}
	}
	return errors.Join(f.broken, f.silent)
}

func (f *feed) end(e storage.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

func (f *feed) set(change func(*feed)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *feed) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.checks
}

// plainTokens takes a session's name for a token that is good for an hour from the beginning.
type plainTokens struct{ from time.Time }

func (p plainTokens) Access(raw string, now time.Time) (token.Access, error) {
	a := token.Access{
		Subject: "u", Client: "shop-app", JTI: "jti-" + raw, Session: raw, Scope: "wallet:read", IssuedAt: p.from, Expires: p.from.Add(time.Hour),
	}
	if !now.Before(a.Expires) {
		return a, token.ErrExpired
	}
	return a, nil
}

// inBubble runs a test with a guard over a fake feed, in time that stands still unless all wait.
func inBubble(t *testing.T, f *feed, change func(*guard.Config), test func(t *testing.T, g *guard.Guard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := guard.Config{Tokens: plainTokens{time.Now()}, Feed: f, Sessions: f}
		if change != nil {
			change(&c)
		}
		g, err := guard.New(c)
		must(t, err)
		must(t, g.Start(t.Context()))
		defer g.Stop()
		test(t, g)
	})
}

func status(t *testing.T, g *guard.Guard, raw string) (int, storage.Reason) {
	t.Helper()
	_, err := g.Check(t.Context(), raw)
	if err == nil {
		return 200, ""
	}
	refusal, ok := errors.AsType[*guard.Refusal](err)
	if !ok {
		t.Fatalf("%v is no refusal", err)
	}
	return refusal.Status, refusal.Reason()
}

func TestBlindAfterExactlyTheBound(t *testing.T) {
	t.Parallel()
	f := &feed{}
	inBubble(t, f, nil, func(t *testing.T, g *guard.Guard) {
		time.Sleep(10 * time.Second) // in the bubble: fifty readings
		if got, _ := status(t, g, "s"); got != 200 || f.asked() != 0 {
			t.Errorf("seeing: %d after %d direct checks, want 200 after none", got, f.asked())
		}
		f.set(func(f *feed) { f.broken = storage.ErrUnavailable })
		time.Sleep(guard.DefaultBlind - guard.DefaultPoll) // the last reading is at most a poll old
		if got, _ := status(t, g, "s"); got != 200 {
			t.Errorf("within the bound: %d, want 200", got)
		}
		time.Sleep(guard.DefaultPoll + time.Nanosecond)
		if got, _ := status(t, g, "s"); got != 503 {
			t.Errorf("beyond the bound: %d, want 503", got)
		}
		f.set(func(f *feed) { f.broken = nil })
		if got, _ := status(t, g, "s"); got != 200 || f.asked() != 2 {
			t.Errorf("still blind, but the store answers: %d after %d direct checks, want 200 after two", got, f.asked())
		}
		time.Sleep(2 * guard.DefaultPoll)
		if got, _ := status(t, g, "s"); got != 200 || f.asked() != 2 {
			t.Errorf("seeing again: %d after %d direct checks, want 200 and no further one", got, f.asked())
		}
	})
}

func TestBlindGuardSeesEndsDirectly(t *testing.T) {
	t.Parallel()
	f := &feed{}
	inBubble(t, f, nil, func(t *testing.T, g *guard.Guard) {
		g.Stop() // reads no feed any more
		f.end(storage.Event{
			Subject: storage.SubjectSession, Key: "s", End: storage.End{Reason: storage.Banned, At: time.Now()}, Until: time.Now().Add(time.Hour),
		})
		if got, reason := status(t, g, "s"); got != 401 || reason != storage.Banned {
			t.Errorf("%d %s, want 401 banned", got, reason)
		}
	})
}

func TestManyEventsAtOnceAreTakenInOnePass(t *testing.T) {
	t.Parallel()
	f := &feed{}
	inBubble(t, f, nil, func(t *testing.T, g *guard.Guard) {
		time.Sleep(time.Second)
		for i := range 3500 {
			f.end(storage.Event{
				Subject: storage.SubjectSession, Key: fmt.Sprint("s", i),
				End: storage.End{Reason: storage.Banned, At: time.Now()}, Until: time.Now().Add(time.Hour),
			})
		}
		time.Sleep(guard.DefaultPoll + time.Nanosecond)
		for i := range 3500 {
			if got, _ := status(t, g, fmt.Sprint("s", i)); got != 401 {
				t.Fatalf("event %d of 3500 was not taken in", i)
			}
		}
		if f.numbered != 3500 || f.asked() != 0 {
			t.Errorf("%d numbered, %d direct checks", f.numbered, f.asked())
		}
	})
}

func TestFeedThatGoesBackIsReadAgain(t *testing.T) {
	t.Parallel()
	f := &feed{last: 100}
	inBubble(t, f, nil, func(t *testing.T, g *guard.Guard) {
		time.Sleep(time.Second)
		// A replica takes over that had numbered less, and has numbered one more since.
		f.set(func(f *feed) {
			f.last, f.slow = 51, 20*time.Second // there is much to read again
			f.events = []storage.Event{{
				Number: 51, Subject: storage.SubjectSession, Key: "s",
				End: storage.End{Reason: storage.Kicked, At: time.Now()}, Until: time.Now().Add(time.Hour),
			}}
		})
		time.Sleep(2 * time.Second)
		if got, _ := status(t, g, "live"); got != 200 || f.asked() != 1 {
			t.Errorf("while it is read again: %d after %d direct checks, want 200 after one", got, f.asked())
		}
		time.Sleep(20 * time.Second)
		if got, reason := status(t, g, "s"); got != 401 || reason != storage.Kicked || f.asked() != 1 {
			t.Errorf("%d %s after %d direct checks, want 401 kicked after no further one", got, reason, f.asked())
		}
	})
}

func TestNothingIsForgottenWhenTheSetIsFull(t *testing.T) {
	t.Parallel()
	f := &feed{}
	small := func(c *guard.Config) { c.MaxEnded = 2 }
	inBubble(t, f, small, func(t *testing.T, g *guard.Guard) {
		for i := range 3 {
			f.end(storage.Event{
				Subject: storage.SubjectSession, Key: fmt.Sprint("s", i),
				End: storage.End{Reason: storage.Kicked, At: time.Now()}, Until: time.Now().Add(10 * time.Minute),
			})
		}
		time.Sleep(time.Second)
		for i := range 3 {
			if got, reason := status(t, g, fmt.Sprint("s", i)); got != 401 || reason != storage.Kicked {
				t.Errorf("session %d of 3 in a set of 2: %d %s", i, got, reason)
			}
		}
		asked := f.asked()
		if got, _ := status(t, g, "live"); got != 200 || f.asked() != asked+1 {
			t.Errorf("a live session while the set is full: %d after %d direct checks more", got, f.asked()-asked)
		}
		time.Sleep(10*time.Minute + time.Second)
		asked = f.asked()
		if got, _ := status(t, g, "live"); got != 200 || f.asked() != asked {
			t.Errorf("a live session when nothing is missing any more: %d after %d direct checks", got, f.asked()-asked)
		}
	})
}

func TestEndsAreForgottenWhenNoTokenCanNameThem(t *testing.T) {
	t.Parallel()
	f := &feed{}
	inBubble(t, f, func(c *guard.Config) { c.MaxEnded = 1000 }, func(t *testing.T, g *guard.Guard) {
		for round := range 5 {
			for i := range 1000 {
				f.end(storage.Event{
					Subject: storage.SubjectSession, Key: fmt.Sprint(round, "-", i),
					End: storage.End{Reason: storage.Kicked, At: time.Now()}, Until: time.Now().Add(time.Minute),
				})
			}
			time.Sleep(time.Second)
			if got, _ := status(t, g, "live"); got != 200 || f.asked() != 0 {
				t.Fatalf("round %d: %d after %d direct checks: the room was not given back", round, got, f.asked())
			}
			time.Sleep(2 * time.Minute)
			f.set(func(f *feed) { f.events = nil })
		}
	})
}

func TestStartRefusesWithoutItsFeed(t *testing.T) {
	t.Parallel()
	f := &feed{broken: storage.ErrUnavailable}
	g, err := guard.New(guard.Config{Tokens: plainTokens{time.Now()}, Feed: f, Sessions: f})
	must(t, err)
	if err := g.Start(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("started: %v", err)
	}
	g.Stop()
	f.set(func(f *feed) { f.broken = nil })
	must(t, g.Start(t.Context()))
	if err := g.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	g.Stop()
	g.Stop()
}

// brokenHurry returns at once, as a Hurry should not.
type brokenHurry struct{ calls atomic.Int64 }

func (b *brokenHurry) Follow(context.Context, func(storage.Event)) error {
	b.calls.Add(1)
	return errors.New("gone")
}

func TestHurryThatReturnsIsStartedAgain(t *testing.T) {
	t.Parallel()
	b := &brokenHurry{}
	inBubble(t, &feed{}, func(c *guard.Config) { c.Hurry = b }, func(t *testing.T, _ *guard.Guard) {
		time.Sleep(5*time.Second + time.Millisecond)
		if n := b.calls.Load(); n != 6 {
			t.Errorf("started %d times in five seconds, want once a second", n)
		}
	})
}
