package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// Defaults of a [Config].
const (
	DefaultInterval = time.Minute
	DefaultLease    = 3 * time.Minute
	DefaultTarget   = 50 * time.Millisecond
	DefaultRest     = 50 * time.Millisecond
)

const (
	duty = "upkeep"
	// minBatch and the store's own most bound a batch.
	minBatch = 10
	// maxFailures is how many batches in a row may fail before a pass is given up.
	maxFailures = 3
	// callTime bounds one call of the store.
	callTime = 30 * time.Second
	// resignTime bounds giving up the duty when stopping.
	resignTime = 2 * time.Second
)

// Config is what a [Runner] needs. Store and Retention are required.
type Config struct {
	Store storage.Upkeep
	// Retention says for every kind how long its records are kept beyond the time by which they are
	// trimmed: see [storage.TrimKind].
	Retention map[storage.TrimKind]time.Duration
	// Interval is the time between two passes, give or take a quarter.
	Interval time.Duration
	// Lease is after how long another process takes the duty over from one that died. Longer than
	// Interval.
	Lease time.Duration
	// Target is how long a batch should take, and Rest the shortest pause after one.
	Target, Rest time.Duration
	// Now tells the time; nil for time.Now. Wait waits, and returns the error of ctx if that ends first;
	// nil for a timer.
	Now     func() time.Time
	Wait    func(ctx context.Context, d time.Duration) error
	Log     *slog.Logger          // nil: discards
	Metrics prometheus.Registerer // nil: none
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field     *time.Duration
		otherwise time.Duration
	}{{&c.Interval, DefaultInterval}, {&c.Lease, DefaultLease}, {&c.Target, DefaultTarget}, {&c.Rest, DefaultRest}} {
		if *d.field == 0 {
			*d.field = d.otherwise
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Wait == nil {
		c.Wait = wait
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.Store == nil {
		faults = append(faults, errors.New("upkeep: no store"))
	}
	for _, kind := range storage.TrimKinds() {
		if kept, said := c.Retention[kind]; !said || kept < 0 {
			faults = append(faults, fmt.Errorf("upkeep: how long %s are kept is not said", kind))
		}
	}
	if c.Interval < 0 || c.Target < 0 || c.Rest < 0 {
		faults = append(faults, errors.New("upkeep: times must not be below zero"))
	}
	if c.Lease <= c.Interval+c.Interval/4 {
		faults = append(faults, errors.New("upkeep: the lease must be longer than the interval and a quarter"))
	}
	return errors.Join(faults...)
}

// Runner does the upkeep.
type Runner struct {
	cfg     Config
	holder  string
	size    int // of the next batch
	metrics *metrics

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
	r := &Runner{cfg: c, holder: storage.NewID(c.Now()), size: storage.MaxTrim / 10, metrics: newMetrics(c.Now)}
	return r, r.metrics.register(c.Metrics)
}

// Start begins to do the upkeep. Starting again does nothing.
func (r *Runner) Start(ctx context.Context) {
	r.lifecycle.Lock()
	defer r.lifecycle.Unlock()
	if r.cancel != nil || r.stopped {
		return
	}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.running.Go(func() { r.run(ctx) })
}

// Stop stops in the middle of what is being done, gives the duty up, and returns when nothing runs any
// more. Stopping again does nothing.
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

func (r *Runner) run(ctx context.Context) {
	for {
		quarter := r.cfg.Interval / 4
		pause := r.cfg.Interval - quarter + rand.N(2*quarter+1) //nolint:gosec // G404: jitter.
		if r.cfg.Wait(ctx, pause) != nil {
			break
		}
		if err := r.Pass(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "upkeep was given up until the next pass", "err", err)
		}
	}
	r.resign(ctx)
}

// resign gives the duty up, so that nobody has to wait for the lease to run out.
func (r *Runner) resign(ctx context.Context) {
	if !r.metrics.leads() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTime)
	defer cancel()
	if _, err := r.cfg.Store.Lead(ctx, duty, r.holder, 0, r.cfg.Now()); err != nil {
		r.cfg.Log.DebugContext(ctx, "the duty of upkeep was not given up; it runs out", "err", err)
	}
	r.metrics.lead(false)
}

// Pass removes everything that is due, if this process has the duty or gets it. It returns when nothing
// is left to remove, when the duty is lost, or with an error: that of ctx, or that of the store when it
// has failed several times in a row.
func (r *Runner) Pass(ctx context.Context) error {
	p := pass{Runner: r, pending: storage.TrimKinds()}
	leads, err := p.lead(ctx)
	if err != nil || !leads {
		return err
	}
	began := r.cfg.Now()
	for len(p.pending) > 0 {
		left := p.pending[:0:0]
		for _, kind := range p.pending {
			more, err := p.batch(ctx, kind)
			if err != nil {
				return err
			}
			if p.lost {
				return nil
			}
			if more {
				left = append(left, kind)
			}
		}
		p.pending = left
	}
	r.metrics.finished()
	if p.removed > 0 {
		r.cfg.Log.InfoContext(ctx, "upkeep has removed what was due", "rows", p.removed, "took", r.cfg.Now().Sub(began).String())
	}
	return nil
}

// pass is one pass.
type pass struct {
	*Runner
	pending []storage.TrimKind // kinds of which more may be due
	renewed time.Time          // when the duty was last had
	lost    bool               // whether somebody else has the duty by now
	failed  int                // batches in a row
	removed int
}

// lead asks for the duty, or to keep it.
func (p *pass) lead(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	now := p.cfg.Now()
	leads, err := p.cfg.Store.Lead(ctx, duty, p.holder, p.cfg.Lease, now)
	if err != nil {
		p.metrics.errors.Inc()
		return false, fmt.Errorf("take the duty of upkeep: %w", err)
	}
	if leads != p.metrics.leads() {
		p.cfg.Log.InfoContext(ctx, "the duty of upkeep has changed hands", "here", leads)
	}
	p.metrics.lead(leads)
	p.renewed, p.lost = now, !leads
	return leads, nil
}

// batch removes one batch of a kind and rests; it says whether more may be due.
func (p *pass) batch(ctx context.Context, kind storage.TrimKind) (more bool, err error) {
	began := p.cfg.Now()
	if began.Sub(p.renewed) > p.cfg.Lease/3 {
		if leads, err := p.lead(ctx); err != nil || !leads {
			return false, err
		}
	}
	size := p.size
	call, cancel := context.WithTimeout(ctx, callTime)
	removed, err := p.cfg.Store.Trim(call, kind, began.Add(-p.cfg.Retention[kind]), size)
	cancel()
	took := p.cfg.Now().Sub(began)
	p.removed += removed
	p.metrics.batch(kind, removed, took)
	if err != nil {
		return true, p.failure(ctx, kind, err)
	}
	p.failed = 0
	if removed < size {
		p.metrics.caughtUp(kind)
		return false, ctx.Err()
	}
	p.adapt(took)
	return true, p.rest(ctx, took)
}

// failure takes an error of the store: the next batch is smaller and later, and after a few there is
// none.
func (p *pass) failure(ctx context.Context, kind storage.TrimKind, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.metrics.errors.Inc()
	p.failed++
	if p.failed >= maxFailures {
		return fmt.Errorf("trim %s: %w", kind, err)
	}
	p.size = max(minBatch, p.size/2)
	return p.rest(ctx, p.cfg.Target<<(4*p.failed))
}

// adapt makes the next batch smaller if this one took too long, and larger if it could have been.
func (r *Runner) adapt(took time.Duration) {
	switch {
	case took > 2*r.cfg.Target:
		r.size = max(minBatch, r.size/2)
	case took < r.cfg.Target/2:
		r.size = min(storage.MaxTrim, r.size*2)
	}
	r.metrics.size.Set(float64(r.size))
}

// rest leaves the store to others for at least as long as it was used, give or take some.
func (r *Runner) rest(ctx context.Context, took time.Duration) error {
	d := max(took, r.cfg.Rest)
	return r.cfg.Wait(ctx, d+rand.N(d/2+1)) //nolint:gosec // G404: jitter.
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
