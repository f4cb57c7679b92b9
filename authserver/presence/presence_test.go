package presence_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/presence"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// sessions remembers what was written.
type sessions struct {
	mu      sync.Mutex
	fail    error
	batches []map[storage.SessionID]time.Time
	seen    map[storage.SessionID]time.Time
}

func (s *sessions) Touch(_ context.Context, batch map[storage.SessionID]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if len(batch) == 0 || len(batch) > storage.MaxTouch {
		return fmt.Errorf("a batch of %d", len(batch))
	}
	if s.seen == nil {
		s.seen = make(map[storage.SessionID]time.Time)
	}
	s.batches = append(s.batches, maps.Clone(batch))
	maps.Copy(s.seen, batch)
	return nil
}

func (s *sessions) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

func newBook(t *testing.T, s presence.Sessions, most int) *presence.Book {
	t.Helper()
	b, err := presence.New(presence.Config{Sessions: s, Every: 10 * time.Second, MaxSessions: most, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var begin = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func TestTheNewestTimeIsWrittenOnce(t *testing.T) {
	t.Parallel()
	s := &sessions{}
	b := newBook(t, s, 0)
	b.Note("a", begin.Add(2*time.Second))
	b.Note("a", begin.Add(3*time.Second))
	b.Note("a", begin)
	b.Note("b", begin)
	b.Note("", begin)
	if n := b.Held(); n != 2 {
		t.Errorf("%d are held", n)
	}
	for range 2 {
		if err := b.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(map[storage.SessionID]time.Time{"a": begin.Add(3 * time.Second), "b": begin}, s.seen); d != "" {
		t.Error(d)
	}
	if n := b.Held(); n != 0 {
		t.Errorf("%d are held", n)
	}
}

func TestItWritesEverySoOftenAndWhenItStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sessions{}
		b := newBook(t, s, 0)
		b.Start()
		b.Start()
		b.Note("a", begin)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if s.count() != 0 {
			t.Error("it writes too early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s.count() != 1 {
			t.Errorf("%d batches", s.count())
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s.count() != 1 {
			t.Errorf("%d batches, with nothing to write", s.count())
		}
		b.Note("b", begin)
		b.Stop()
		b.Stop()
		if _, written := s.seen["b"]; !written {
			t.Error("what was held was not written when it stopped")
		}
		b.Start() // is not started again
		b.Note("c", begin)
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.Held() != 1 {
			t.Error("it goes on after it was stopped")
		}
	})
}

func TestWhatCouldNotBeWrittenIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sessions{fail: storage.ErrUnavailable}
		b := newBook(t, s, 0)
		b.Start()
		defer b.Stop()
		b.Note("a", begin)
		time.Sleep(25 * time.Second)
		synctest.Wait()
		b.Note("a", begin.Add(time.Second))
		b.Note("b", begin)
		s.failWith(nil)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if d := cmp.Diff(map[storage.SessionID]time.Time{"a": begin.Add(time.Second), "b": begin}, s.seen); d != "" {
			t.Error(d)
		}
	})
}

func TestWhatItHoldsIsBounded(t *testing.T) {
	t.Parallel()
	const most = 1600
	s := &sessions{fail: errors.New("away")}
	b := newBook(t, s, most)
	for i := range 10 * most {
		b.Note(storage.SessionID(fmt.Sprint("s", i)), begin)
		if i%500 == 0 {
			_ = b.Flush(t.Context()) // fails, and gives back
		}
	}
	if n := b.Held(); n > most || n < most/2 {
		t.Errorf("%d are held, at most %d may be", n, most)
	}
	s.failWith(nil)
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := b.Held(); n != 0 {
		t.Errorf("%d are held", n)
	}
}

func TestLargeCrowdsGoInBatches(t *testing.T) {
	t.Parallel()
	s := &sessions{}
	b := newBook(t, s, 100_000)
	const crowd = 40_000
	for i := range crowd {
		b.Note(storage.SessionID(fmt.Sprint("s", i)), begin)
	}
	if err := b.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.seen) != crowd || len(s.batches) < crowd/storage.MaxTouch {
		t.Errorf("%d written in %d batches", len(s.seen), len(s.batches))
	}
}

func TestNotingAndWritingAtOnce(t *testing.T) {
	t.Parallel()
	s := &sessions{}
	b := newBook(t, s, 0)
	const callers, times = 8, 500
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for n := range times {
				b.Note(storage.SessionID(fmt.Sprint("s", c)), begin.Add(time.Duration(n)*time.Second))
				if n%100 == 0 {
					if err := b.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	b.Stop() // without Start
	for c := range callers {
		if at := s.seen[storage.SessionID(fmt.Sprint("s", c))]; !at.Equal(begin.Add((times - 1) * time.Second)) {
			t.Errorf("caller %d was last seen at %s", c, at)
		}
	}
}

func TestUnknownSessionsAreNoFault(t *testing.T) {
	t.Parallel()
	b := newBook(t, engine.SQLite(t).Open(t), 0)
	b.Note("nobody", begin)
	if err := b.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefusedConfigurations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]presence.Config{
		"no sessions":    {},
		"pause below 0":  {Sessions: &sessions{}, Every: -1},
		"places below 0": {Sessions: &sessions{}, MaxSessions: -1},
	} {
		if _, err := presence.New(c); err == nil {
			t.Errorf("%s: a book was made", name)
		}
	}
}

// BenchmarkNote is what a guarded request pays.
func BenchmarkNote(b *testing.B) {
	book, err := presence.New(presence.Config{Sessions: &sessions{}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		book.Note("01jd7k2m3n4p5q6r7s8t9v0w1x", begin)
	}
}
