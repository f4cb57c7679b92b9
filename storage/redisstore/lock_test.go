package redisstore_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
)

func TestLockIsHeldByOne(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, c redisstore.Config) {
		here, there := open(t, c), open(t, c)
		var inside, most, had atomic.Int64
		var wg sync.WaitGroup
		for i := range 64 {
			store := here
			if i%4 == 0 {
				store = there
			}
			wg.Go(func() {
				lease, err := store.Lock(t.Context(), "u-1", time.Minute)
				if err != nil {
					t.Errorf("lock: %v", err)
					return
				}
				n := inside.Add(1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				had.Add(1)
				inside.Add(-1)
				lease.Release(t.Context())
			})
		}
		wg.Wait()
		if most.Load() != 1 || had.Load() != 64 {
			t.Errorf("%d had the lock, %d at once; want 64, one at a time", had.Load(), most.Load())
		}
	})
}

func TestLockRefuses(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, c redisstore.Config) {
		here, there := open(t, c), open(t, c)
		lease, err := here.Lock(t.Context(), "u-1", 0)
		must(t, err)
		for name, store := range map[string]*redisstore.Store{"the same process": here, "another process": there} {
			for _, wait := range []time.Duration{0, -time.Second, 30 * time.Millisecond} {
				if _, err := store.Lock(t.Context(), "u-1", wait); !errors.Is(err, storage.ErrBusy) {
					t.Errorf("%s, waiting %v: %v, want ErrBusy", name, wait, err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if _, err := store.Lock(ctx, "u-1", time.Minute); !errors.Is(err, storage.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, caller gone: %v, want ErrBusy and the error of the context", name, err)
			}
			cancel()
		}
		other, err := there.Lock(t.Context(), "u-2", 0)
		if err != nil {
			t.Errorf("another user's lock: %v", err)
		} else {
			other.Release(t.Context())
		}
		lease.Release(t.Context())
	})
}

func TestReleaseOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, c redisstore.Config) {
		store := open(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		lease, err := store.Lock(ctx, "u-1", 0)
		must(t, err)
		cancel()
		lease.Release(ctx)
		lease.Release(ctx)
		lease, err = open(t, c).Lock(t.Context(), "u-1", 0)
		if err != nil {
			t.Fatalf("lock that was released on a cancelled context: %v", err)
		}
		lease.Release(t.Context())
	})
}

func TestReleaseOfALostLockLeavesItsNewHolderAlone(t *testing.T) {
	t.Parallel()
	s := startEmbedded(t)
	c := redisstore.Config{URL: s.URL()}
	slow, quick := open(t, c), open(t, c)
	lost, err := slow.Lock(t.Context(), "u-1", 0)
	must(t, err)
	s.Advance(redisstore.DefaultLockTTL - time.Second)
	if _, err := quick.Lock(t.Context(), "u-1", 0); !errors.Is(err, storage.ErrBusy) {
		t.Errorf("just before its TTL: %v, want ErrBusy", err)
	}
	s.Advance(2 * time.Second)
	held, err := quick.Lock(t.Context(), "u-1", 0)
	if err != nil {
		t.Fatalf("after its TTL: %v", err)
	}
	lost.Release(t.Context())
	if _, err := slow.Lock(t.Context(), "u-1", 0); !errors.Is(err, storage.ErrBusy) {
		t.Errorf("after the late release of another: %v, want ErrBusy", err)
	}
	held.Release(t.Context())
}

func TestLockWithoutRedisIsUnavailableAtOnce(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		store := open(t, redisstore.Config{URL: s.URL()})
		must(t, store.Ping(t.Context()))
		s.Stop()
		if err := store.Ping(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("ping: %v, want ErrUnavailable", err)
		}
		for range 3 {
			if _, err := store.Lock(t.Context(), "u-1", time.Minute); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrBusy) {
				t.Errorf("lock: %v, want ErrUnavailable", err)
			}
		}
		began := time.Now()
		for range 1000 {
			if _, err := store.Lock(t.Context(), "u-1", time.Minute); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("lock: %v, want ErrUnavailable", err)
			}
		}
		if took := time.Since(began); took > 3*time.Second { // two or three of them try
			t.Errorf("1000 locks without Redis took %v", took)
		}
		s.Again(t)
		within(t, "locks are had again", func() bool {
			lease, err := store.Lock(t.Context(), "u-1", 0)
			if err == nil {
				lease.Release(t.Context())
			}
			return err == nil
		})
	})
}

func TestLockOfAFrozenServerIsUnavailable(t *testing.T) {
	t.Parallel()
	// A server that accepts and never answers.
	l := silent(t)
	store := open(t, redisstore.Config{URL: l})
	began := time.Now()
	if _, err := store.Lock(t.Context(), "u-1", time.Minute); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("lock: %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to give up", took)
	}
}

func TestFlushLosesALockAndNothingElse(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		store := open(t, redisstore.Config{URL: s.URL()})
		lease, err := store.Lock(t.Context(), "u-1", 0)
		must(t, err)
		s.Flush()
		lease.Release(t.Context()) // is told by the log, and by nothing else
		again, err := store.Lock(t.Context(), "u-1", 0)
		must(t, err)
		again.Release(t.Context())
	})
}
