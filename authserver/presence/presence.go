package presence

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// Defaults of a [Config].
const (
	DefaultEvery       = 15 * time.Second
	DefaultMaxSessions = 100_000
)

const (
	// flushTimeout bounds one batch.
	flushTimeout = 5 * time.Second
	// stopTimeout bounds all that is written when the book stops.
	stopTimeout = 10 * time.Second
	shards      = 16
)

// Sessions takes the times; [storage.Sessions] does.
type Sessions interface {
	Touch(ctx context.Context, seen map[storage.SessionID]time.Time) error
}

// Config is what a [Book] needs.
type Config struct {
	Sessions Sessions
	// Every is the pause between two writings; 0 means [DefaultEvery].
	Every time.Duration
	// MaxSessions is how many sessions are held between two writings; 0 means [DefaultMaxSessions].
	MaxSessions int
	Log         *slog.Logger          // nil: discards
	Metrics     prometheus.Registerer // nil: none
}

// Book holds when sessions were last seen. Its methods may be called at any time from any goroutine.
type Book struct {
	sessions Sessions
	every    time.Duration
	limit    int // of one shard
	log      *slog.Logger

	seed    maphash.Seed
	shards  [shards]shard
	dropped atomic.Int64

	start   sync.Once
	cancel  context.CancelFunc // set by whichever of Start and Stop comes first
	done    sync.WaitGroup
	last    sync.Once // what is written when the book stops
	written prometheus.Counter
	failed  prometheus.Counter
}

type shard struct {
	mu   sync.Mutex
	seen map[storage.SessionID]time.Time
	_    [40]byte // so that shards do not share a cache line
}

// New builds a book.
func New(c Config) (*Book, error) {
	if c.Sessions == nil {
		return nil, errors.New("presence: no sessions")
	}
	if c.Every < 0 || c.MaxSessions < 0 {
		return nil, errors.New("presence: the pause and the number of sessions must not be below zero")
	}
	if c.Every == 0 {
		c.Every = DefaultEvery
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{
		sessions: c.Sessions, every: c.Every, limit: max(1, c.MaxSessions/shards), log: c.Log, seed: maphash.MakeSeed(),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tallystick_session_seen_written_total", Help: "Times at which sessions were last seen that were written.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tallystick_session_seen_failures_total", Help: "Batches of such times that could not be written, and were kept.",
		}),
	}
	for i := range b.shards {
		b.shards[i].seen = make(map[storage.SessionID]time.Time)
	}
	return b, b.register(c.Metrics)
}

func (b *Book) register(to prometheus.Registerer) error {
	if to == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{
		b.written, b.failed,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "tallystick_session_seen_dropped_total", Help: "Times not noted because too many sessions were held.",
		}, func() float64 { return float64(b.dropped.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tallystick_session_seen_held", Help: "Sessions whose time waits to be written.",
		}, func() float64 { return float64(b.Held()) }),
	} {
		if err := to.Register(c); err != nil {
			return fmt.Errorf("register presence metrics: %w", err)
		}
	}
	return nil
}

// Note says that a session was seen. Times go forward only.
func (b *Book) Note(id storage.SessionID, at time.Time) {
	if id == "" {
		return
	}
	s := &b.shards[maphash.String(b.seed, string(id))%shards]
	s.mu.Lock()
	before, known := s.seen[id]
	room := known || len(s.seen) < b.limit
	if room && at.After(before) {
		s.seen[id] = at
	}
	s.mu.Unlock()
	if !room {
		b.dropped.Add(1)
	}
}

// Held returns how many sessions wait to be written.
func (b *Book) Held() int {
	n := 0
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		n += len(s.seen)
		s.mu.Unlock()
	}
	return n
}

// Start begins to write. Starting twice does no harm; once stopped, a book does not start again.
func (b *Book) Start() {
	b.start.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		b.cancel = cancel
		b.done.Go(func() { b.run(ctx) })
	})
}

// Stop writes what is held and returns when that is done, or its time is over. Stopping twice, or
// without Start, does no harm.
func (b *Book) Stop() {
	b.start.Do(func() { b.cancel = func() {} })
	b.cancel()
	b.done.Wait()
	b.last.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := b.Flush(ctx); err != nil {
			b.log.WarnContext(ctx, "when sessions were last seen is not written; it is lost", "sessions", b.Held(), "err", err)
		}
	})
}

// run writes until ctx ends, and logs when it begins and when it ceases to fail.
func (b *Book) run(ctx context.Context) {
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := b.Flush(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			b.log.WarnContext(ctx, "when sessions were last seen cannot be written; it is kept", "err", err)
		case err == nil && failing:
			b.log.InfoContext(ctx, "when sessions were last seen is written again")
		}
		failing = err != nil
	}
}

// Flush writes what is held. What could not be written is held on to.
func (b *Book) Flush(ctx context.Context) error {
	for i := range b.shards {
		if err := b.flush(ctx, &b.shards[i]); err != nil {
			b.failed.Inc()
			return err
		}
	}
	return nil
}

func (b *Book) flush(ctx context.Context, s *shard) error {
	for range b.limit/storage.MaxTouch + 1 { // what comes meanwhile must not keep this going for ever
		batch := s.take(storage.MaxTouch)
		if len(batch) == 0 {
			return nil
		}
		if err := b.write(ctx, batch); err != nil {
			s.giveBack(batch)
			return err
		}
		b.written.Add(float64(len(batch)))
	}
	return nil
}

func (b *Book) write(ctx context.Context, batch map[storage.SessionID]time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := b.sessions.Touch(ctx, batch); err != nil {
		return fmt.Errorf("write when sessions were last seen: %w", err)
	}
	return nil
}

// take removes up to limit sessions and returns them.
func (s *shard) take(limit int) map[storage.SessionID]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch := make(map[storage.SessionID]time.Time, min(limit, len(s.seen)))
	for id, at := range s.seen {
		if len(batch) == limit {
			break
		}
		batch[id] = at
		delete(s.seen, id)
	}
	return batch
}

// giveBack keeps what was not written, unless newer times have come. It does not look at the limit:
// these had a place.
func (s *shard) giveBack(batch map[storage.SessionID]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, at := range batch {
		if at.After(s.seen[id]) {
			s.seen[id] = at
		}
	}
}
