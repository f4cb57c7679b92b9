package password

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// OverloadError says that more callers want to hash than the process can serve in time. Nothing was
// decided about the password.
type OverloadError struct {
	// RetryAfter is when to come again: those who wait now will have been served or gone by then.
	RetryAfter time.Duration
}

// Error implements error.
func (e *OverloadError) Error() string {
	return fmt.Sprintf("password hashing is overloaded; come again after %s", e.RetryAfter)
}

// Is makes errors.Is(err, storage.ErrUnavailable) true: it is a passing fault.
func (e *OverloadError) Is(target error) bool { return target == storage.ErrUnavailable }

// gate lets a fixed number of callers through at a time and a fixed number wait.
type gate struct {
	places  chan struct{}
	waiting atomic.Int64
	queue   int64
	wait    time.Duration
	shed    func(cause string)
}

func newGate(workers, queue int, wait time.Duration, shed func(cause string)) *gate {
	return &gate{places: make(chan struct{}, workers), queue: int64(queue), wait: wait, shed: shed}
}

// enter waits for a place, first come first served. It returns an [*OverloadError] at once when too
// many wait already, and when it has waited for too long; or the error of ctx. The caller that got
// nil must call leave.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait to hash: %w", err)
	}
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	if g.waiting.Add(1) > g.queue {
		g.waiting.Add(-1)
		g.shed("full")
		return &OverloadError{RetryAfter: g.wait}
	}
	defer g.waiting.Add(-1)
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.places <- struct{}{}:
		return nil
	case <-timer.C:
		g.shed("late")
		return &OverloadError{RetryAfter: g.wait}
	case <-ctx.Done():
		return fmt.Errorf("wait to hash: %w", ctx.Err())
	}
}

func (g *gate) leave() { <-g.places }
