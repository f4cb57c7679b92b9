package upkeep_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/cmd/internal/upkeep"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a store that only counts. Trimming takes as long as it is told to.
type shelf struct {
	mu     sync.Mutex
	clock  *storagetest.Clock
	rows   map[storage.TrimKind]int
	before map[storage.TrimKind]time.Time
	calls  []string
	sizes  []int
	takes  func(rows int) time.Duration
	fails  func(call int) error
	holder string
	until  time.Time
	led    int
}

func newShelf(rows int) *shelf {
	s := &shelf{clock: storagetest.NewClock(), rows: map[storage.TrimKind]int{}, before: map[storage.TrimKind]time.Time{}}
	for _, kind := range storage.TrimKinds() {
		s.rows[kind] = rows
	}
	return s
}

// Trim implements storage.Upkeep.
func (s *shelf) Trim(_ context.Context, kind storage.TrimKind, before time.Time, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.sizes, s.before[kind] = append(s.calls, string(kind)), append(s.sizes, limit), before
	if s.fails != nil {
		if err := s.fails(len(s.calls)); err != nil {
			return 0, err
		}
	}
	n := min(limit, s.rows[kind])
	s.rows[kind] -= n
	if s.takes != nil {
		s.clock.Advance(s.takes(n))
	}
	return n, nil
}

// Lead implements storage.Upkeep.
func (s *shelf) Lead(_ context.Context, _, holder string, ttl time.Duration, now time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.led++
	if s.holder != "" && s.holder != holder && now.Before(s.until) {
		return false, nil
	}
	s.holder, s.until = holder, now.Add(ttl)
	return true, nil
}

func (s *shelf) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for rows := range maps.Values(s.rows) {
		n += rows
	}
	return n
}

// retention keeps every kind for another time, so that they are not mixed up.
func retention() map[storage.TrimKind]time.Duration {
	kept := map[storage.TrimKind]time.Duration{}
	for i, kind := range storage.TrimKinds() {
		kept[kind] = time.Duration(i+1) * 24 * time.Hour
	}
	return kept
}

// config is one whose waits take no time but turn the clock.
func config(store storage.Upkeep, clock *storagetest.Clock) upkeep.Config {
	return upkeep.Config{
		Store: store, Retention: retention(), Now: clock.Now,
		Wait: func(ctx context.Context, d time.Duration) error {
			clock.Advance(d)
			return ctx.Err()
		},
	}
}

func newRunner(t *testing.T, c upkeep.Config) *upkeep.Runner {
	t.Helper()
	r, err := upkeep.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPassRemovesAllThatIsDue(t *testing.T) {
	t.Parallel()
	s := newShelf(2500)
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	for kind, kept := range retention() {
		if got := s.clock.Now().Sub(s.before[kind]); got < kept || got > kept+time.Minute {
			t.Errorf("%s were trimmed before %v ago, want %v", kind, got, kept)
		}
	}
}

func TestKindsTakeTurns(t *testing.T) {
	t.Parallel()
	s := newShelf(0)
	s.rows[storage.TrimSessions], s.rows[storage.TrimAudit] = 100_000, 500
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := 0
	for i, kind := range s.calls {
		if kind == string(storage.TrimAudit) {
			last = i
		}
	}
	if last > 20 {
		t.Errorf("audit records waited for sessions: their last batch was call %d of %d", last, len(s.calls))
	}
}

func TestBatchesFitTheirTime(t *testing.T) {
	t.Parallel()
	s := newShelf(0)
	s.rows[storage.TrimSessions] = 50_000
	s.takes = func(rows int) time.Duration { return time.Duration(rows) * 200 * time.Microsecond } // 250 rows in 50 ms
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, size := range s.sizes[20:] {
		if size < 100 || size > 500 {
			t.Fatalf("batch %d had %d rows", i+20, size)
		}
	}
	s = newShelf(5000)
	s.takes = func(int) time.Duration { return time.Second }
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if size := s.sizes[len(s.sizes)-1]; size != 10 {
		t.Errorf("a store that is always slow gets batches of %d", size)
	}
	s = newShelf(50_000)
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if size := s.sizes[len(s.sizes)-1]; size != storage.MaxTrim {
		t.Errorf("a store that is always fast gets batches of %d", size)
	}
}

func TestStoreHasHalfOfTheTimeForItself(t *testing.T) {
	t.Parallel()
	s := newShelf(5000)
	s.takes = func(int) time.Duration { return 300 * time.Millisecond }
	c := config(s, s.clock)
	var rested time.Duration
	c.Wait = func(ctx context.Context, d time.Duration) error {
		rested += d
		return ctx.Err()
	}
	if err := newRunner(t, c).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	full := len(s.calls) - len(storage.TrimKinds()) // the last batch of each kind is not full, and needs no rest
	if busy := time.Duration(full) * 300 * time.Millisecond; rested < busy {
		t.Errorf("busy for %v and at rest for %v", busy, rested)
	}
}

func TestErrorsAreBorneAFewTimes(t *testing.T) {
	t.Parallel()
	s := newShelf(2000)
	s.fails = func(call int) error {
		if call%3 != 0 {
			return storage.ErrUnavailable
		}
		return nil
	}
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Errorf("errors in between: %v", err)
	}
	if n := s.left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	s = newShelf(2000)
	s.fails = func(int) error { return storage.ErrUnavailable }
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("errors alone: %v", err)
	}
	if len(s.calls) != 3 {
		t.Errorf("the store was asked %d times", len(s.calls))
	}
}

func TestDutyIsKeptWhileThereIsWork(t *testing.T) {
	t.Parallel()
	s := newShelf(5000)
	s.takes = func(int) time.Duration { return 10 * time.Second }
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if !s.clock.Now().Before(s.until) {
		t.Error("the duty ran out during the pass")
	}
}

func TestPassEndsWhenTheDutyIsLost(t *testing.T) {
	t.Parallel()
	s := newShelf(1_000_000)
	s.takes = func(int) time.Duration {
		if len(s.calls) == 10 {
			s.holder, s.until = "another", s.clock.Now().Add(time.Hour)
			return 2 * time.Minute
		}
		return 0
	}
	if err := newRunner(t, config(s, s.clock)).Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(s.calls); n != 10 {
		t.Errorf("%d batches were removed, 10 while it had the duty", n)
	}
}

func TestOneLeadsAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	s := newShelf(100)
	first, second := newRunner(t, config(s, s.clock)), newRunner(t, config(s, s.clock))
	for _, r := range []*upkeep.Runner{first, second} {
		if err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	alone := len(s.calls)
	s.rows[storage.TrimAudit] = 10
	if err := second.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.calls) != alone {
		t.Error("both do the work")
	}
	// The first one dies: nothing more is heard of it.
	s.clock.Advance(upkeep.DefaultLease)
	if err := second.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.left(); n != 0 {
		t.Errorf("nobody took over: %d rows are left", n)
	}
}

func TestStopEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	s := newShelf(1 << 40)
	c := config(s, s.clock)
	batches := make(chan struct{})
	c.Wait = func(ctx context.Context, _ time.Duration) error {
		select {
		case batches <- struct{}{}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r := newRunner(t, c)
	r.Start(t.Context())
	r.Start(t.Context())
	for range 10 {
		<-batches
	}
	r.Stop()
	r.Stop()
	if s.clock.Now().Before(s.until) {
		t.Error("the duty was not given up")
	}
	done := len(s.calls)
	r.Start(t.Context())
	r.Stop()
	if len(s.calls) != done {
		t.Error("it goes on after Stop")
	}
}

func TestStartAndStopRace(t *testing.T) {
	t.Parallel()
	s := newShelf(10)
	c := config(s, s.clock)
	c.Wait = nil
	r := newRunner(t, c)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { r.Start(t.Context()) })
		wg.Go(r.Stop)
	}
	wg.Wait()
	r.Stop()
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*upkeep.Config){
		"no store":                        func(c *upkeep.Config) { c.Store = nil },
		"a kind of which nothing is said": func(c *upkeep.Config) { delete(c.Retention, storage.TrimAudit) },
		"kept for less than nothing":      func(c *upkeep.Config) { c.Retention[storage.TrimAnswers] = -1 },
		"lease runs out between passes":   func(c *upkeep.Config) { c.Lease = time.Minute },
		"a pause of less than no time":    func(c *upkeep.Config) { c.Rest = -1 },
		"a metric that is there already":  func(c *upkeep.Config) { c.Metrics = occupied(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(0)
			c := config(s, s.clock)
			spoil(&c)
			if _, err := upkeep.New(c); err == nil {
				t.Error("it was built")
			}
		})
	}
}

func occupied(t *testing.T) prometheus.Registerer {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "tallystick_upkeep_batch_rows", Help: "x"}))
	return r
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newShelf(0)
	s.rows[storage.TrimSessions] = 250
	registry := prometheus.NewRegistry()
	c := config(s, s.clock)
	c.Metrics = registry
	r := newRunner(t, c)
	if got := gathered(t, registry); got["tallystick_upkeep_leads"] != 0 || got["tallystick_upkeep_behind_seconds sessions"] != 0 {
		t.Errorf("before: %v", got)
	}
	if err := r.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.clock.Advance(time.Hour)
	got := gathered(t, registry)
	finished := got["tallystick_upkeep_finished_timestamp_seconds"]
	if behind := got["tallystick_upkeep_behind_seconds sessions"]; behind < 3600 || behind > 3660 {
		t.Errorf("behind for %v s", behind)
	}
	if ago := float64(s.clock.Now().Unix()) - finished; ago < 3599 || ago > 3601 {
		t.Errorf("finished %v s ago", ago)
	}
	if got["tallystick_upkeep_removed_total sessions"] != 250 || got["tallystick_upkeep_removed_total audit"] != 0 || got["tallystick_upkeep_leads"] != 1 {
		t.Errorf("after: %v", got)
	}
	s.fails = func(int) error { return storage.ErrUnavailable }
	if err := r.Pass(t.Context()); err == nil {
		t.Error("no error")
	}
	if n := gathered(t, registry)["tallystick_upkeep_errors_total"]; n != 3 {
		t.Errorf("%v errors", n)
	}
}

// gathered returns counters and gauges by name and label.
func gathered(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}

// TestOnEngines plays a year of sign-ins on real stores, and looks at what upkeep leaves.
func TestOnEngines(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db, clock := e.Open(t), storagetest.NewClock()
		user := storagetest.NewUser("tom", clock.Now())
		if err := db.CreateUser(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		const old = 250
		signIn := func() {
			o := storagetest.NewOpening(user.ID, storage.Kickout, clock.Now())
			o.Audit = storagetest.NewAudit("session.opened", clock.Now())
			if _, err := db.Open(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		for range old {
			signIn()
		}
		if _, err := db.Number(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		clock.Advance(60 * 24 * time.Hour)
		signIn()
		signIn() // ends the one before
		raw := e.Raw(t)
		count := func() map[string]int {
			rows := map[string]int{}
			for _, table := range []string{"sessions", "refresh_tokens", "session_events", "audit"} {
				var n int
				if err := raw.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
					t.Fatal(err)
				}
				rows[table] = n
			}
			return rows
		}
		if d := cmp.Diff(map[string]int{"sessions": old + 2, "refresh_tokens": old + 2, "session_events": old, "audit": old + 2}, count()); d != "" {
			t.Fatal(d)
		}
		first, second := newRunner(t, config(db, clock)), newRunner(t, config(db, clock))
		if err := first.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]int{"sessions": 2, "refresh_tokens": 2, "session_events": 1, "audit": 2}, count()); d != "" {
			t.Error(d)
		}
		// The first one dies. The second finds the duty taken, and then not any more.
		clock.Advance(time.Minute)
		if err := second.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if leads, err := db.Lead(t.Context(), "upkeep", "a third", time.Minute, clock.Now()); err != nil || leads {
			t.Fatalf("the duty is free: %v", err)
		}
		if _, err := db.Number(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		clock.Advance(60 * 24 * time.Hour)
		if err := second.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(map[string]int{"sessions": 0, "refresh_tokens": 0, "session_events": 0, "audit": 0}, count()); d != "" {
			t.Error(d)
		}
	})
}

// TestRacingRunners lets several runners start at once: one does the work.
func TestRacingRunners(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db, clock := e.Open(t), storagetest.NewClock()
		leaders := make([]*prometheus.Registry, 4)
		var wg sync.WaitGroup
		for i := range leaders {
			leaders[i] = prometheus.NewRegistry()
			c := config(db, clock)
			c.Metrics = leaders[i]
			r := newRunner(t, c)
			wg.Go(func() {
				if err := r.Pass(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var lead []string
		for i, r := range leaders {
			if gathered(t, r)["tallystick_upkeep_leads"] == 1 {
				lead = append(lead, fmt.Sprint(i))
			}
		}
		if len(lead) != 1 {
			t.Errorf("these lead: %s", strings.Join(lead, " "))
		}
	})
}
