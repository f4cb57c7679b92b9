package serve

import (
	"context"
	"sync"
	"time"
)

// request is the context of a request: one allocation that carries its identifier, its record and its
// deadline.
//
// The deadline costs a timer only once somebody waits for it. Most requests ask for none, and a timer
// of its own for each was a third of the cost of the frame. Until then Err compares times.
type request struct {
	parent context.Context //nolint:containedctx // It is a context: the one that adds the fields below.
	id     [1]string       // also the value of the header, hence the array
	record Record

	mu     sync.Mutex
	limit  time.Time       // zero until the deadline is set
	timed  context.Context //nolint:containedctx // parent with the deadline, once somebody waits.
	cancel context.CancelFunc
	ended  bool
}

type requestKey struct{}

// requestOf returns the request that ctx belongs to, or nil.
func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// Value implements context.Context.
func (r *request) Value(key any) any {
	if _, ours := key.(requestKey); ours {
		return r
	}
	r.mu.Lock()
	timed := r.timed
	r.mu.Unlock()
	if timed != nil {
		return timed.Value(key) // so that children attach to it without a goroutine
	}
	return r.parent.Value(key)
}

// Deadline implements context.Context.
func (r *request) Deadline() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of, has := r.parent.Deadline(); has && (r.limit.IsZero() || of.Before(r.limit)) {
		return of, true
	}
	return r.limit, !r.limit.IsZero()
}

// Done implements context.Context.
func (r *request) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timed == nil {
		if r.limit.IsZero() {
			r.timed, r.cancel = context.WithCancel(r.parent)
		} else {
			r.timed, r.cancel = context.WithDeadline(r.parent, r.limit)
		}
		if r.ended {
			r.cancel()
		}
	}
	return r.timed.Done()
}

// Err implements context.Context.
func (r *request) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.timed != nil:
		return r.timed.Err()
	case r.parent.Err() != nil:
		return r.parent.Err()
	case r.ended:
		return context.Canceled
	case !r.limit.IsZero() && !time.Now().Before(r.limit):
		return context.DeadlineExceeded
	}
	return nil
}

// within sets the deadline. It must come before anybody has asked for Done.
func (r *request) within(timeout time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = time.Now().Add(timeout)
}

// end ends the context with its request.
func (r *request) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.cancel != nil {
		r.cancel()
	}
}
