package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bsm/redislock"

	"github.com/tallystick/tallystick/storage"
)

const (
	// paceStep is by how much the pause between two tries grows, and paceMax where that ends.
	paceStep = 4 * time.Millisecond
	paceMax  = 40 * time.Millisecond
	// releaseTime bounds a release, which outlives its caller.
	releaseTime = 2 * time.Second
)

// locks is the lock in Redis alone. It is no queue: of those who wait, whoever asks next has it.
type locks struct {
	client  *redislock.Client
	key     func(storage.UserID) string
	ttl     time.Duration
	log     *slog.Logger
	metrics *metrics
}

// Lock implements [storage.Locker].
func (l *locks) Lock(ctx context.Context, user storage.UserID, wait time.Duration) (storage.Lease, error) {
	// The strategy ends the wait, not a context: so there is always one try, and a wait that has run
	// out can be told from a server that does not answer. It counts, so it is made for this call. The
	// token is redislock's own: chosen by us, two calls could share it, and the second would be let in.
	began := time.Now()
	options := &redislock.Options{RetryStrategy: &pace{until: began.Add(wait)}}
	within, cancel := context.WithTimeout(ctx, max(wait, 0)+releaseTime) // redislock would take the TTL
	defer cancel()
	held, err := l.client.Obtain(within, l.key(user), l.ttl, options)
	l.metrics.waited.Observe(time.Since(began).Seconds())
	switch {
	case err == nil:
		l.metrics.locks.WithLabelValues("obtained").Inc()
		return &lease{held: held, user: user, locks: l}, nil
	case errors.Is(err, redislock.ErrNotObtained), ctx.Err() != nil: // the caller's own time counts too
		l.metrics.locks.WithLabelValues("busy").Inc()
		return nil, fmt.Errorf("lock user: %w", errors.Join(storage.ErrBusy, ctx.Err()))
	}
	l.metrics.locks.WithLabelValues("unavailable").Inc()
	return nil, fmt.Errorf("lock user: %w", errors.Join(storage.ErrUnavailable, err))
}

// lease is a lock held in Redis.
type lease struct {
	held  *redislock.Lock
	user  storage.UserID
	locks *locks
	once  sync.Once
}

// Release implements [storage.Lease]. A cancelled request must not leave its key until the TTL.
func (l *lease) Release(ctx context.Context) {
	l.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		err := l.held.Release(ctx)
		switch {
		case err == nil:
			l.locks.metrics.released.WithLabelValues("released").Inc()
		case errors.Is(err, redislock.ErrLockNotHeld):
			// The holder was slower than the TTL, or Redis forgot. The fence in SQL decides what it means.
			l.locks.metrics.released.WithLabelValues("lost").Inc()
			l.locks.log.WarnContext(ctx, "lock was lost while it was held", "sub", l.user)
		default:
			l.locks.metrics.released.WithLabelValues("failed").Inc()
			l.locks.log.WarnContext(ctx, "lock was not released; it frees itself", "sub", l.user, "err", err)
		}
	})
}

// pace is a retry strategy for one call: pauses that grow by a step up to a limit, each of them
// random by half, so that waiters of several processes do not ask in step; the last one ends with
// the wait.
type pace struct {
	until time.Time
	tries int
}

// NextBackoff implements redislock.RetryStrategy; 0 ends the wait.
func (p *pace) NextBackoff() time.Duration {
	left := time.Until(p.until)
	if left <= 0 {
		return 0
	}
	p.tries++
	d := min(time.Duration(p.tries)*paceStep, paceMax)
	return min(left, d/2+rand.N(d)) //nolint:gosec // G404: jitter.
}
