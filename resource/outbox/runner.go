package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// Defaults of a [Config].
const (
	DefaultInterval     = 200 * time.Millisecond
	DefaultLease        = 15 * time.Second
	DefaultStreamLength = 100_000
	DefaultParallel     = 8
	DefaultTimeout      = 15 * time.Second
	DefaultDisableAfter = 5 * 24 * time.Hour
)

const (
	// callTime bounds one call of the store or of Redis.
	callTime = 10 * time.Second
	// resignTime bounds what is done for the store when stopping.
	resignTime = 3 * time.Second
	// troubled is the pause after an error of the store or of Redis, doubled by each further one up to mostTroubled.
	troubled     = time.Second
	mostTroubled = 30 * time.Second
	// listEvery is the time between two looks at which webhooks there are.
	listEvery = time.Second
	// streamBatch is how many journals are handed to Redis at once.
	streamBatch = 256
)

// Store is what the outbox needs of the store.
type Store interface {
	storage.Outbox
	storage.Webhooks
	SealedAfter(ctx context.Context, number int64, limit int) ([]storage.SealedJournal, error)
	Head(ctx context.Context) (storage.Block, error)
}

// Stream takes events in order; storage/redisstore has one. After an error they are handed over again.
type Stream interface {
	AppendLedger(ctx context.Context, entries []storage.LedgerEntry, length int64) error
}

// Config is what a [Runner] needs. Store is required.
type Config struct {
	Store Store
	// Stream, if not nil, is told of all events, and keeps about StreamLength of them.
	Stream       Stream
	StreamLength int64
	// Hooks sends to webhooks; nil for none.
	Hooks *Sender
	// Parallel is how many events of one webhook are under way at once, each of other users.
	Parallel int
	// DisableAfter is after how long a webhook that takes nothing is disabled.
	DisableAfter time.Duration
	// Interval is the time between two looks at how far the chain goes.
	Interval time.Duration
	// Lease is after how long another process takes over from one that died.
	Lease time.Duration
	// Now tells the time; nil for time.Now.
	Now     func() time.Time
	Log     *slog.Logger          // nil: discards
	Metrics prometheus.Registerer // nil: none

	schedule []time.Duration // of further tries; nil for that of the package's doc
	// Stopping, if not nil, ends when the process begins to stop: those who wait for events are answered then.
	Stopping context.Context //nolint:containedctx // It is the process's own.
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field     *time.Duration
		otherwise time.Duration
	}{{&c.Interval, DefaultInterval}, {&c.Lease, DefaultLease}, {&c.DisableAfter, DefaultDisableAfter}} {
		if *d.field == 0 {
			*d.field = d.otherwise
		}
	}
	if c.StreamLength == 0 {
		c.StreamLength = DefaultStreamLength
	}
	if c.Parallel == 0 {
		c.Parallel = DefaultParallel
	}
	if c.schedule == nil {
		c.schedule = schedule()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Stopping == nil {
		c.Stopping = context.Background()
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.Store == nil {
		faults = append(faults, errors.New("outbox: no store"))
	}
	if c.Interval < 0 || c.DisableAfter < 0 || c.StreamLength < 0 || c.Parallel < 0 {
		faults = append(faults, errors.New("outbox: times and numbers must not be below zero"))
	}
	if c.Lease < 3*c.Interval {
		faults = append(faults, errors.New("outbox: the lease must be at least three intervals"))
	}
	return errors.Join(faults...)
}

// errOver says that nothing is delivered any more, until something is changed.
var errOver = errors.New("the webhook is disabled")

// Runner delivers.
type Runner struct {
	cfg     Config
	holder  string
	metrics *metrics
	head    *head
	readers chan struct{} // those who wait for events

	lifecycle sync.Mutex
	cancel    context.CancelFunc
	stopped   bool
	running   sync.WaitGroup
}

// New builds a runner. Nothing runs before [Runner.Start].
func New(c Config) (*Runner, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	r := &Runner{cfg: c, holder: storage.NewID(c.Now()), metrics: newMetrics(), head: newHead(), readers: make(chan struct{}, maxReaders)}
	return r, r.metrics.register(c.Metrics)
}

// Start begins to deliver. Starting again does nothing.
func (r *Runner) Start(ctx context.Context) {
	r.lifecycle.Lock()
	defer r.lifecycle.Unlock()
	if r.cancel != nil || r.stopped {
		return
	}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.running.Go(func() { r.look(ctx) })
	if r.cfg.Stream != nil {
		r.running.Go(func() { r.keep(ctx, storage.StreamDestination, r.openStream, r.stream) })
	}
	if r.cfg.Hooks != nil {
		r.running.Go(func() { r.watch(ctx) })
	}
}

// Stop ends it: what is under way may take a few seconds to be answered, what was answered is written, the duties are given up.
// It returns when nothing runs any more. Stopping again does nothing.
func (r *Runner) Stop() {
	r.lifecycle.Lock()
	defer r.lifecycle.Unlock()
	r.stopped = true
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.running.Wait()
	r.cancel = nil
}

// look keeps the head.
func (r *Runner) look(ctx context.Context) {
	for {
		number, err := r.end(ctx)
		switch {
		case err == nil:
			r.head.see(number)
		case ctx.Err() == nil:
			r.metrics.errors.Inc()
		}
		if !pause(ctx, r.cfg.Interval) {
			return
		}
	}
}

// end is the number of the last sealed journal; 0 if there is none.
func (r *Runner) end(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return endOf(ctx, r.cfg.Store)
}

func endOf(ctx context.Context, s interface {
	Head(ctx context.Context) (storage.Block, error)
},
) (int64, error) {
	block, err := s.Head(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	return block.Last(), err
}

// keep has work done for a destination for as long as this process has the duty for it, and asks for the duty
// otherwise. open is called before it first asks. It returns when ctx ends or the destination is gone.
func (r *Runner) keep(
	ctx context.Context, d storage.Destination, open func(context.Context) error, work func(context.Context, storage.Claim) error,
) {
	opened, failures := open == nil, 0
	defer r.metrics.rest(d)
	for ctx.Err() == nil {
		err := error(nil)
		if !opened {
			err = open(ctx)
			opened = err == nil
		}
		var claim storage.Claim
		if err == nil {
			claim, err = r.claim(ctx, d)
		}
		if err == nil {
			r.metrics.leads.WithLabelValues(string(d)).Set(1)
			err = work(ctx, claim)
			r.metrics.rest(d)
		}
		wait := r.cfg.Lease / 3
		switch {
		case ctx.Err() != nil, errors.Is(err, storage.ErrNotFound), errors.Is(err, errOver):
			return
		case errors.Is(err, storage.ErrLost):
			failures = 0
			continue
		case errors.Is(err, storage.ErrBusy):
			failures = 0
		case err != nil:
			r.metrics.errors.Inc()
			if failures++; failures == 1 {
				r.cfg.Log.WarnContext(ctx, "ledger events are not delivered", "destination", string(d), "err", err)
			}
			wait = min(troubled<<min(failures-1, 10), mostTroubled)
		}
		pause(ctx, wait)
	}
}

func (r *Runner) claim(ctx context.Context, d storage.Destination) (storage.Claim, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return r.cfg.Store.Claim(ctx, d, r.holder, r.cfg.Lease, r.cfg.Now())
}

// release gives a duty up, also when ctx has ended. If the store does not hear of it, the lease passes.
func (r *Runner) release(ctx context.Context, c storage.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTime)
	defer cancel()
	if err := r.cfg.Store.Release(ctx, c, r.cfg.Now()); err != nil {
		r.metrics.errors.Inc()
	}
}

// advance writes what was done under a claim and keeps the duty. What was done is written also when ctx has ended.
func (r *Runner) advance(ctx context.Context, c *storage.Claim, a storage.Advance) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	a.Now = r.cfg.Now()
	a.Until = a.Now.Add(r.cfg.Lease)
	if err := r.cfg.Store.Advance(ctx, *c, a); err != nil {
		return err
	}
	c.Number, c.Until, c.FailingAt = a.Number, a.Until, a.FailingAt
	return nil
}

// sealed reads the chain after a number.
func (r *Runner) sealed(ctx context.Context, after int64, limit int) ([]storage.SealedJournal, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	list, err := r.cfg.Store.SealedAfter(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the chain: %w", err)
	}
	return list, nil
}
