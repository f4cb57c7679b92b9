package password

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

func TestGateShedsWhenTooManyWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var shed []string
		g := newGate(1, 2, time.Second, func(cause string) { shed = append(shed, cause) })
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 2)
		for range 2 {
			go func() { served <- g.enter(t.Context()) }()
		}
		synctest.Wait() // one inside, two waiting
		err := g.enter(t.Context())
		over, ok := errors.AsType[*OverloadError](err)
		if !ok || over.RetryAfter != time.Second {
			t.Fatalf("one too many: %v, want an overload that names one second", err)
		}
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Error("an overload is not a passing fault")
		}
		for range 2 {
			g.leave()
			if err := <-served; err != nil {
				t.Errorf("a caller that waited: %v", err)
			}
		}
		g.leave()
		if diff := cmp.Diff([]string{"full"}, shed); diff != "" {
			t.Errorf("shed (-want +got):\n%s", diff)
		}
		if n := g.waiting.Load(); n != 0 {
			t.Errorf("%d still count as waiting", n)
		}
	})
}

func TestGateWaitsNoLongerThanItSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := ""
		g := newGate(1, 2, time.Second, func(c string) { cause = c })
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, ok := errors.AsType[*OverloadError](g.enter(t.Context())); !ok {
			t.Error("the wait ran out without an overload")
		}
		if waited := time.Since(began); waited != time.Second || cause != "late" {
			t.Errorf("waited %s, shed for %q", waited, cause)
		}
	})
}

func TestGateGivesBackThePlaceOfACallerThatLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1, time.Hour, func(string) {})
		if err := g.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() { left <- g.enter(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Fatalf("a cancelled caller: %v", err)
		}
		served := make(chan error, 1)
		go func() { served <- g.enter(t.Context()) }() // would be shed if the place in the queue were lost
		synctest.Wait()
		g.leave()
		if err := <-served; err != nil {
			t.Errorf("the caller after the cancelled one: %v", err)
		}
		if err := g.enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that had left before it came: %v", err)
		}
	})
}

func TestGateServesInOrderAndNeverMoreThanItsWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers, workers = 32, 2
		g := newGate(workers, callers, time.Hour, func(string) {})
		var inside, most atomic.Int64
		order := make(chan int, callers)
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				if err := g.enter(t.Context()); err != nil {
					t.Errorf("caller %d: %v", i, err)
					return
				}
				most.Store(max(most.Load(), inside.Add(1)))
				order <- i
				time.Sleep(time.Second) // in the bubble's time: the work
				inside.Add(-1)
				g.leave()
			})
			synctest.Wait()
		}
		var last int
		for range callers / workers {
			pair := min(<-order, <-order)
			if pair < last {
				t.Errorf("caller %d came in after %d", pair, last)
			}
			last = pair
		}
		all.Wait()
		if most.Load() > workers {
			t.Errorf("%d were inside at once", most.Load())
		}
	})
}
