package remote

import (
	"context"
	"sync/atomic"
	"time"
)

// kept is a value that is fetched when it is needed and kept for a while. One caller fetches it; others
// wait for that as long as their contexts let them.
type kept[T any] struct {
	fetch func(ctx context.Context) (held[T], error)
	now   func() time.Time
	gate  chan struct{}
	value atomic.Pointer[held[T]]
}

// held is a value with its times: up to fresh it is not fetched again, and up to good it is used if
// fetching fails.
type held[T any] struct {
	value       T
	fresh, good time.Time
}

func newKept[T any](now func() time.Time, fetch func(ctx context.Context) (held[T], error)) *kept[T] {
	return &kept[T]{fetch: fetch, now: now, gate: make(chan struct{}, 1)}
}

func (k *kept[T]) get(ctx context.Context) (T, error) {
	if h := k.value.Load(); h != nil && k.now().Before(h.fresh) {
		return h.value, nil
	}
	select {
	case k.gate <- struct{}{}:
		defer func() { <-k.gate }()
	case <-ctx.Done():
		return k.otherwise(ctx.Err())
	}
	if h := k.value.Load(); h != nil && k.now().Before(h.fresh) {
		return h.value, nil // fetched while this caller waited
	}
	h, err := k.fetch(ctx)
	if err != nil {
		return k.otherwise(err)
	}
	k.value.Store(&h)
	return h.value, nil
}

// otherwise is the value that there was, if it is good for anything yet.
func (k *kept[T]) otherwise(err error) (T, error) {
	if h := k.value.Load(); h != nil && k.now().Before(h.good) {
		return h.value, nil
	}
	var none T
	return none, err
}

// drop forgets the value.
func (k *kept[T]) drop() { k.value.Store(nil) }
