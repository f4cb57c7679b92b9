package redisstore

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	// maxWaiters is how many wait for one user's lock in one process; one more is refused at once.
	maxWaiters = 1024
	// maxWait is the longest wait for a lock, whatever is asked for.
	maxWait = time.Minute
)

// Queue is a [storage.Locker] in front of another one. Within a process, waiters for one user come
// first come first served, and only the first of them asks the locker behind: a crowd in one
// process is one visitor in Redis.
//
// A turn that is not given back within the hold time is passed on, as the lock behind it frees
// itself then.
type Queue struct {
	next storage.Locker
	hold time.Duration

	mu    sync.Mutex
	lines map[storage.UserID]*line
}

// line is who waits for one user. It exists while somebody has the turn.
type line struct {
	waiting list.List // of chan struct{}, each closed when its turn comes
}

// NewQueue puts a queue in front of a locker whose locks free themselves after hold.
func NewQueue(next storage.Locker, hold time.Duration) *Queue {
	return &Queue{next: next, hold: hold, lines: make(map[storage.UserID]*line)}
}

// Lock implements [storage.Locker].
func (q *Queue) Lock(ctx context.Context, user storage.UserID, wait time.Duration) (storage.Lease, error) {
	wait = min(max(wait, 0), maxWait)
	deadline := time.Now().Add(wait)
	if err := q.await(ctx, user, wait); err != nil {
		return nil, err
	}
	inner, err := q.next.Lock(ctx, user, max(0, time.Until(deadline)))
	if err != nil {
		q.pass(user)
		return nil, err
	}
	t := &turn{inner: inner, pass: sync.OnceFunc(func() { q.pass(user) })}
	t.late = time.AfterFunc(q.hold, t.pass)
	return t, nil
}

// await returns when the caller has the turn.
func (q *Queue) await(ctx context.Context, user storage.UserID, wait time.Duration) error {
	q.mu.Lock()
	l, taken := q.lines[user]
	if !taken {
		q.lines[user] = &line{}
		q.mu.Unlock()
		return nil
	}
	if wait == 0 || l.waiting.Len() >= maxWaiters {
		q.mu.Unlock()
		return fmt.Errorf("lock user: %w", storage.ErrBusy)
	}
	mine := make(chan struct{})
	place := l.waiting.PushBack(mine)
	q.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-mine:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	return q.leave(user, l, place, mine, ctx.Err())
}

// leave takes a waiter out of the line. Whoever got the turn just then hands it on.
func (q *Queue) leave(user storage.UserID, l *line, place *list.Element, mine chan struct{}, cause error) error {
	q.mu.Lock()
	select {
	case <-mine:
		q.mu.Unlock()
		q.pass(user)
	default:
		l.waiting.Remove(place)
		q.mu.Unlock()
	}
	return fmt.Errorf("lock user: %w", errors.Join(storage.ErrBusy, cause))
}

// pass gives the turn to who waits longest, or lets the line go if nobody does.
func (q *Queue) pass(user storage.UserID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[user]
	if l == nil {
		return
	}
	front := l.waiting.Front()
	if front == nil {
		delete(q.lines, user)
		return
	}
	close(l.waiting.Remove(front).(chan struct{})) //nolint:forcetypeassert // the list holds nothing else.
}

// waiters counts who waits, over all users.
func (q *Queue) waiters() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, l := range q.lines {
		n += l.waiting.Len()
	}
	return n
}

// turn is the lock behind, and the place at the front of the line.
type turn struct {
	inner storage.Lease
	pass  func()
	late  *time.Timer
}

// Release implements [storage.Lease].
func (t *turn) Release(ctx context.Context) {
	t.inner.Release(ctx)
	t.late.Stop()
	t.pass()
}
