package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tallystick/tallystick/storage"
)

// counter is a database that is asked for numbers. Each statement waits until it is let go.
type counter struct {
	crowd crowd[int, string]

	mu         sync.Mutex
	statements [][]int
	gate       chan error // an error, or nil to answer
}

func newCounter() *counter {
	c := &counter{gate: make(chan error)}
	c.crowd.ask = func(ctx context.Context, questions []int) ([]string, error) {
		c.mu.Lock()
		c.statements = append(c.statements, slices.Clone(questions))
		c.mu.Unlock()
		select {
		case err := <-c.gate:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		out := make([]string, len(questions))
		for i, n := range questions {
			out[i] = fmt.Sprint(n)
		}
		return out, nil
	}
	return c
}

// asks has callers ask for numbers, from one to another, and gives each one's error.
func (c *counter) asks(ctx context.Context, wg *sync.WaitGroup, from, to int) []error {
	errs := make([]error, to-from)
	for n := from; n < to; n++ {
		wg.Go(func() {
			got, err := c.crowd.put(ctx, n)
			if err == nil && got != fmt.Sprint(n) {
				err = fmt.Errorf("asked for %d, got %s", n, got)
			}
			errs[n-from] = err
		})
	}
	return errs
}

func (c *counter) sizes() (all []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.statements {
		all = append(all, len(s))
	}
	return all
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestCrowdSharesStatements(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		var wg sync.WaitGroup
		errs := c.asks(t.Context(), &wg, 0, 1)
		synctest.Wait()
		errs = append(errs, c.asks(t.Context(), &wg, 1, 2)...)
		synctest.Wait()
		want(t, "who asks while few others do", c.sizes(), "[1 1]")
		errs = append(errs, c.asks(t.Context(), &wg, 2, 2+crowdWorth-1)...)
		synctest.Wait()
		want(t, "others wait", c.sizes(), "[1 1]")
		errs = append(errs, c.asks(t.Context(), &wg, 100, 101)...)
		synctest.Wait()
		want(t, "enough wait for a statement more", c.sizes(), fmt.Sprint([]int{1, 1, crowdWorth}))
		errs = append(errs, c.asks(t.Context(), &wg, 200, 200+crowdMax+20)...)
		synctest.Wait()
		if got := c.sizes(); len(got) != crowdsAtOnce {
			t.Errorf("statements of %v, want %d at once", got, crowdsAtOnce)
		}
		for !c.idle() {
			select {
			case c.gate <- nil:
			default:
			}
			synctest.Wait()
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		if got := c.sizes(); slices.Max(got) > crowdMax {
			t.Errorf("statements of %v, want %d at most", got, crowdMax)
		}
		c.crowd.close()
	})
}

func (c *counter) idle() bool {
	c.crowd.mu.Lock()
	defer c.crowd.mu.Unlock()
	return c.crowd.asking == 0 && len(c.crowd.waiting) == 0
}

// Nobody's question is answered by a statement that was sent before it was put.
func TestCrowdTakesNobodyInWhoCameLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		var wg sync.WaitGroup
		for n := range crowdAlone {
			c.asks(t.Context(), &wg, n, n+1)
			synctest.Wait()
		}
		c.asks(t.Context(), &wg, 10, 13)
		synctest.Wait()
		c.gate <- nil
		synctest.Wait() // the three are under way
		late := c.asks(t.Context(), &wg, 20, 21)
		synctest.Wait()
		for range crowdAlone {
			c.gate <- nil
		}
		synctest.Wait()
		want(t, "statements", c.sizes(), "[1 1 3 1]")
		want(t, "who came later", c.statements[3], "[20]")
		c.gate <- nil
		wg.Wait()
		want(t, "its error", late, "[<nil>]")
	})
}

func TestCrowdWhoLeavesHarmsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		var wg sync.WaitGroup
		first, leave := context.WithCancel(t.Context())
		alone := c.asks(first, &wg, 0, crowdAlone)
		synctest.Wait()
		shared, leaveShared := context.WithCancel(t.Context())
		gone := c.asks(shared, &wg, 10, 12)
		before, leaveBefore := context.WithCancel(t.Context())
		left := c.asks(before, &wg, 13, 14)
		stays := c.asks(t.Context(), &wg, 20, 22)
		synctest.Wait()
		leaveBefore()
		synctest.Wait()
		leave() // ends the statements of those who asked alone; the others are asked for
		synctest.Wait()
		leaveShared()
		synctest.Wait()
		c.gate <- nil
		wg.Wait()
		want(t, "who asked alone", alone, "[context canceled context canceled]")
		want(t, "who left the wait", left, "[context canceled]")
		want(t, "who left a statement", gone, "[context canceled context canceled]")
		want(t, "who stayed", stays, "[<nil> <nil>]")
		want(t, "statements", c.sizes(), "[1 1 4]")
		synctest.Wait()
		if !c.idle() {
			t.Error("it is not idle")
		}
	})
}

func TestCrowdErrorsGoToAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		var wg sync.WaitGroup
		c.asks(t.Context(), &wg, 0, crowdAlone)
		synctest.Wait()
		errs := c.asks(t.Context(), &wg, 10, 13)
		synctest.Wait()
		for range crowdAlone {
			c.gate <- nil
		}
		c.gate <- storage.ErrUnavailable
		wg.Wait()
		for _, err := range errs {
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
		}
		again := c.asks(t.Context(), &wg, 20, 21)
		synctest.Wait()
		c.gate <- nil
		wg.Wait()
		want(t, "the next", again, "[<nil>]")
	})
}

func TestCrowdIsBoundedAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		var wg sync.WaitGroup
		errs := c.asks(t.Context(), &wg, 0, crowdsAtOnce*crowdMax+crowdQueue+1)
		synctest.Wait()
		full := 0
		for _, err := range errs {
			if errors.Is(err, errCrowded) && errors.Is(err, storage.ErrUnavailable) {
				full++
			}
		}
		if waits := len(c.crowd.waiting); full == 0 || waits != crowdQueue {
			t.Errorf("%d wait and %d were refused", waits, full)
		}
		close(c.gate) // all statements are answered from now on
		c.crowd.close()
		wg.Wait()
		synctest.Wait()
		if !c.idle() {
			t.Error("it is not idle")
		}
		after := c.asks(t.Context(), &wg, 0, 8)
		wg.Wait()
		want(t, "after close", after, "[<nil> <nil> <nil> <nil> <nil> <nil> <nil> <nil>]")
	})
}
