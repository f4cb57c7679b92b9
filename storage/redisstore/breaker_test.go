package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	gone := errors.New("connection refused")
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(slog.New(slog.DiscardHandler))
		tries := 0
		run := func(err error) error {
			return b.run(t.Context(), func() error {
				tries++
				return err
			})
		}
		for _, err := range []error{gone, gone, nil, gone, gone, redis.Nil, gone, gone} {
			if got := run(err); !errors.Is(got, err) {
				t.Errorf("%v became %v", err, got)
			}
		}
		if b.isOpen() || tries != 8 {
			t.Errorf("open %v after %d tries: failures that were not in a row", b.isOpen(), tries)
		}
		if got := run(gone); !errors.Is(got, gone) || !b.isOpen() {
			t.Errorf("%v, open %v after the third failure in a row", got, b.isOpen())
		}
		if got := run(nil); !errors.Is(got, errBroken) || tries != 9 {
			t.Errorf("%v after %d tries: tried while open", got, tries)
		}
		time.Sleep(breakFor)
		if got := run(gone); !errors.Is(got, gone) || tries != 10 || !b.isOpen() {
			t.Errorf("%v after %d tries: a probe that fails", got, tries)
		}
		time.Sleep(breakFor)
		if got := run(nil); got != nil || tries != 11 || b.isOpen() {
			t.Errorf("%v after %d tries: a probe that succeeds", got, tries)
		}
	})
}

func TestBreakerProbesWithOneOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(slog.New(slog.DiscardHandler))
		for range breakAfter {
			_ = b.run(t.Context(), func() error { return errors.New("gone") })
		}
		time.Sleep(breakFor)
		probe := make(chan struct{})
		var mu sync.Mutex
		tried, refused := 0, 0
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				err := b.run(t.Context(), func() error {
					<-probe
					return nil
				})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					tried++
				} else {
					refused++
				}
			})
		}
		synctest.Wait()
		close(probe)
		wg.Wait()
		if tried != 1 || refused != 99 {
			t.Errorf("%d tried and %d were refused, want one probe", tried, refused)
		}
	})
}

func TestBreakerTakesNoHurriedCallerForAnAbsence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(slog.New(slog.DiscardHandler))
		hurried := func(patience, takes time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_ = b.run(ctx, func() error {
				time.Sleep(takes)
				return context.DeadlineExceeded
			})
		}
		for range 2 * breakAfter {
			hurried(time.Millisecond, 2*time.Millisecond)
		}
		if b.isOpen() {
			t.Error("open because callers had no time")
		}
		for range breakAfter {
			hurried(time.Millisecond, ioTimeout)
		}
		if !b.isOpen() {
			t.Error("closed although nobody answers within a command's own time")
		}
	})
}
