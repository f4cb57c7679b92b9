package sealer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/resource/sealer"
	"github.com/tallystick/tallystick/storage"
)

// store counts what is asked of it, and has so many journals waiting.
type store struct {
	mu       sync.Mutex
	waiting  int
	old      int // not enrolled yet
	sealed   int
	blocks   int64
	enrolled time.Time
	holder   string
	until    time.Time
	broken   error
}

func (s *store) Seal(_ context.Context, limit int, _ time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(limit, s.waiting)
	if s.broken != nil {
		return 0, s.broken
	}
	s.waiting, s.sealed = s.waiting-n, s.sealed+n
	if n > 0 {
		s.blocks++
	}
	return n, nil
}

func (s *store) Enrol(_ context.Context, before time.Time, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(limit, s.old)
	s.old, s.waiting, s.enrolled = s.old-n, s.waiting+n, before
	return n, nil
}

func (s *store) Backlog(context.Context) (storage.Backlog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return storage.Backlog{Journals: int64(s.waiting)}, nil
}

func (s *store) Head(context.Context) (storage.Block, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return storage.Block{Number: s.blocks, First: 1, Journals: int64(s.sealed)}, nil
}

func (s *store) Lead(_ context.Context, duty, holder string, ttl time.Duration, now time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return false, s.broken
	}
	if duty != "sealer" || s.holder != holder && now.Before(s.until) {
		return false, nil
	}
	s.holder, s.until = holder, now.Add(ttl)
	return true, nil
}

func (s *store) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting += n
}

func (s *store) check(t *testing.T, what string, sealed int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed != sealed {
		t.Errorf("%s: %d journals are sealed, want %d", what, s.sealed, sealed)
	}
}

func newRunner(t *testing.T, c sealer.Config) *sealer.Runner {
	t.Helper()
	r, err := sealer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatWaitsIsSealedAtOnceAndOldJournalsAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{waiting: 1234, old: 1100}
		r := newRunner(t, sealer.Config{Store: s, Limit: 100, Metrics: prometheus.NewRegistry()})
		r.Start(t.Context())
		r.Start(t.Context())
		synctest.Wait()
		s.check(t, "without a pause", 1234+1100)
		if want := time.Now().Add(-sealer.DefaultBehind); !s.enrolled.Equal(want) {
			t.Errorf("enrolled up to %v, want %v", s.enrolled, want)
		}
		s.add(1)
		time.Sleep(sealer.DefaultInterval)
		synctest.Wait()
		s.check(t, "an interval later", 1234+1100+1)
		r.Stop()
		r.Stop()
		s.add(1)
		time.Sleep(time.Minute)
		s.check(t, "after Stop", 1234+1100+1)
	})
}

func TestOneSealsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		first, second := newRunner(t, sealer.Config{Store: s}), newRunner(t, sealer.Config{Store: s})
		first.Start(t.Context())
		synctest.Wait()
		holder := s.holder
		second.Start(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.holder != holder {
			t.Error("the duty has changed hands while its holder lives")
		}
		first.Stop()
		s.add(5)
		time.Sleep(sealer.DefaultLease)
		synctest.Wait()
		s.check(t, "after the first has stopped", 5)
		if s.holder == holder {
			t.Error("the duty has not changed hands")
		}
		second.Stop()
	})
}

func TestTroubleIsLoggedOnceAndPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &store{broken: errors.New("away"), waiting: 3}
		r := newRunner(t, sealer.Config{Store: s, Log: slog.New(slog.NewTextHandler(&log, nil))})
		r.Start(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		s.mu.Lock()
		s.broken = nil
		s.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s.check(t, "once the store is back", 3)
		r.Stop()
		for text, want := range map[string]int{"journals are not sealed": 1, "journals are sealed again": 1, "the sealed chain has come to": 1} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("%q was logged %d times, want %d:\n%s", text, got, want, &log)
			}
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]sealer.Config{
		"no store": {}, "a lease too short": {Store: &store{}, Lease: time.Millisecond}, "a block too large": {Store: &store{}, Limit: storage.MaxSeal + 1},
		"time running back": {Store: &store{}, Behind: -1},
	} {
		if _, err := sealer.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
