package redisstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
)

// behind is a locker behind a queue that notes what is asked of it.
type behind struct {
	mu    sync.Mutex
	waits []time.Duration
	held  int
	most  int
	err   error
}

func (b *behind) Lock(_ context.Context, _ storage.UserID, wait time.Duration) (storage.Lease, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits = append(b.waits, wait)
	if b.err != nil {
		return nil, b.err
	}
	b.held++
	b.most = max(b.most, b.held)
	return b, nil
}

func (b *behind) Release(context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held--
}

func TestQueueServesFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &behind{}
		q := redisstore.NewQueue(b, time.Minute)
		first, err := q.Lock(t.Context(), "u", 0)
		must(t, err)
		var order []int
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				lease, err := q.Lock(t.Context(), "u", time.Minute)
				if err != nil {
					t.Errorf("waiter %d: %v", i, err)
					return
				}
				order = append(order, i) // one at a time, or the race detector says so
				lease.Release(t.Context())
			})
			synctest.Wait()
		}
		first.Release(t.Context())
		wg.Wait()
		for i, got := range order {
			if got != i {
				t.Fatalf("served in the order %v", order)
			}
		}
		if b.most != 1 || len(order) != 50 {
			t.Errorf("%d served, %d at once behind the queue", len(order), b.most)
		}
	})
}

func TestQueueCountsTheWaitFromTheBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &behind{}
		q := redisstore.NewQueue(b, time.Hour)
		first, err := q.Lock(t.Context(), "u", 0)
		must(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			lease, err := q.Lock(t.Context(), "u", 10*time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			lease.Release(t.Context())
		})
		time.Sleep(4 * time.Second) // in the bubble's time
		first.Release(t.Context())
		wg.Wait()
		if got := b.waits[1]; got != 6*time.Second {
			t.Errorf("the head of the line may wait %v more, want 6s", got)
		}
	})
}

func TestQueueLetsGoOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redisstore.NewQueue(&behind{}, time.Hour)
		first, err := q.Lock(t.Context(), "u", 0)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := q.Lock(ctx, "u", time.Minute); !errors.Is(err, storage.ErrBusy) || !errors.Is(err, context.Canceled) {
				t.Errorf("waiter that was cancelled: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := q.Lock(t.Context(), "u", time.Second); !errors.Is(err, storage.ErrBusy) {
				t.Errorf("waiter whose time ran out: %v", err)
			}
		})
		served := make(chan struct{})
		wg.Go(func() {
			lease, err := q.Lock(t.Context(), "u", time.Minute)
			if err != nil {
				t.Errorf("waiter behind them: %v", err)
				return
			}
			close(served)
			lease.Release(t.Context())
		})
		synctest.Wait()
		cancel()
		time.Sleep(2 * time.Second)
		select {
		case <-served:
			t.Error("served while the lock was held")
		default:
		}
		first.Release(t.Context())
		wg.Wait()
		<-served
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 1024
		q := redisstore.NewQueue(&behind{}, time.Hour)
		first, err := q.Lock(t.Context(), "u", 0)
		must(t, err)
		var wg sync.WaitGroup
		for range limit {
			wg.Go(func() {
				lease, err := q.Lock(t.Context(), "u", time.Minute)
				if err != nil {
					t.Errorf("waiter within the bound: %v", err)
					return
				}
				lease.Release(t.Context())
			})
		}
		synctest.Wait()
		began := time.Now()
		if _, err := q.Lock(t.Context(), "u", time.Minute); !errors.Is(err, storage.ErrBusy) || time.Since(began) > 0 {
			t.Errorf("waiter beyond the bound: %v after %v, want ErrBusy at once", err, time.Since(began))
		}
		first.Release(t.Context())
		wg.Wait()
	})
}

func TestQueueNeverWaitsLongerThanAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redisstore.NewQueue(&behind{}, 24*time.Hour)
		first, err := q.Lock(t.Context(), "u", time.Hour)
		must(t, err)
		began := time.Now()
		_, err = q.Lock(t.Context(), "u", 10*time.Hour)
		if !errors.Is(err, storage.ErrBusy) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v, want ErrBusy after a minute", err, time.Since(began))
		}
		first.Release(t.Context())
	})
}

func TestQueuePassesAForgottenTurnOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redisstore.NewQueue(&behind{}, 30*time.Second)
		forgotten, err := q.Lock(t.Context(), "u", 0)
		must(t, err)
		began := time.Now()
		second, err := q.Lock(t.Context(), "u", time.Minute)
		must(t, err)
		if waited := time.Since(began); waited != 30*time.Second {
			t.Errorf("waited %v for a holder that does not come back, want 30s", waited)
		}
		forgotten.Release(t.Context()) // late: must not give the second's turn away
		if _, err := q.Lock(t.Context(), "u", 0); !errors.Is(err, storage.ErrBusy) {
			t.Errorf("after the late release: %v, want ErrBusy", err)
		}
		second.Release(t.Context())
		if third, err := q.Lock(t.Context(), "u", 0); err != nil {
			t.Errorf("after the second's release: %v", err)
		} else {
			third.Release(t.Context())
		}
	})
}

func TestQueueHandsOnWhatTheLockerSays(t *testing.T) {
	t.Parallel()
	b := &behind{err: storage.ErrUnavailable}
	q := redisstore.NewQueue(b, time.Minute)
	for range 2 {
		if _, err := q.Lock(t.Context(), "u", time.Minute); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%v, want the locker's ErrUnavailable, and the turn passed on", err)
		}
	}
}

func TestQueueForgetsUsersWhoLeft(t *testing.T) {
	t.Parallel()
	q := redisstore.NewQueue(&behind{}, time.Minute)
	for range 100 {
		lease, err := q.Lock(t.Context(), "u", 0) // busy if the line before it were still there
		must(t, err)
		lease.Release(t.Context())
	}
}
