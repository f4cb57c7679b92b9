package sealer

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
	DefaultInterval = 200 * time.Millisecond
	DefaultLease    = 5 * time.Second
	DefaultBehind   = 10 * time.Minute
	DefaultAnchor   = 5 * time.Minute
	DefaultLimit    = 500
)

const (
	duty = "sealer"
	// callTime bounds one call of the store.
	callTime = 15 * time.Second
	// resignTime bounds giving up the duty when stopping.
	resignTime = 2 * time.Second
	// measureEvery is the time between two looks at how much waits.
	measureEvery = time.Second
	// enrolEvery is the time between two looks for old journals once there were none.
	enrolEvery = 5 * time.Second
	// troubled is the pause after an error.
	troubled = time.Second
)

// Store is what is sealed.
type Store interface {
	storage.Sealer
	Head(ctx context.Context) (storage.Block, error)
	Lead(ctx context.Context, duty, holder string, ttl time.Duration, now time.Time) (bool, error)
}

// Config is what a [Runner] needs. Store is required.
type Config struct {
	Store Store
	// Interval is the time between two looks for journals that wait, in the process that has the duty.
	Interval time.Duration
	// Lease is after how long another process takes over from one that died; others ask for the duty three times as
	// often.
	Lease time.Duration
	// Behind is how old a journal must be to be enrolled. Longer than any posting takes.
	Behind time.Duration
	// Anchor is the time between two lines of log that tell the head of the chain.
	Anchor time.Duration
	// Limit is how many journals a block has, as a rule, at most; at most [storage.MaxSeal].
	Limit int
	// Now tells the time; nil for time.Now.
	Now     func() time.Time
	Log     *slog.Logger          // nil: discards
	Metrics prometheus.Registerer // nil: none
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field     *time.Duration
		otherwise time.Duration
	}{{&c.Interval, DefaultInterval}, {&c.Lease, DefaultLease}, {&c.Behind, DefaultBehind}, {&c.Anchor, DefaultAnchor}} {
		if *d.field == 0 {
			*d.field = d.otherwise
		}
	}
	if c.Limit == 0 {
		c.Limit = DefaultLimit
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	if c.Store == nil {
		faults = append(faults, errors.New("sealer: no store"))
	}
	if c.Interval < 0 || c.Behind < 0 || c.Anchor < 0 {
		faults = append(faults, errors.New("sealer: times must not be below zero"))
	}
	if c.Lease < 3*c.Interval {
		faults = append(faults, errors.New("sealer: the lease must be at least three intervals"))
	}
	if c.Limit < 1 || c.Limit > storage.MaxSeal {
		faults = append(faults, fmt.Errorf("sealer: a block has 1 to %d journals", storage.MaxSeal))
	}
	return errors.Join(faults...)
}

// Runner seals.
type Runner struct {
	cfg     Config
	holder  string
	metrics *metrics

	// What follows is of the goroutine that runs.
	leads    bool
	asked    time.Time // for the duty, last
	measured time.Time
	enrolled time.Time // last found no more old journals
	anchored time.Time
	anchor   int64 // block logged last
	failing  bool

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
	r := &Runner{cfg: c, holder: storage.NewID(c.Now()), metrics: newMetrics()}
	return r, r.metrics.register(c.Metrics)
}

// Start begins to seal. Starting again does nothing.
func (r *Runner) Start(ctx context.Context) {
	r.lifecycle.Lock()
	defer r.lifecycle.Unlock()
	if r.cancel != nil || r.stopped {
		return
	}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.running.Go(func() { r.run(ctx) })
}

// Stop ends it after the block under way, gives the duty up, and returns when nothing runs any more. Stopping again
// does nothing.
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
	for ctx.Err() == nil {
		pause := r.turn(ctx)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	r.resign(ctx)
}

// turn does what is due and says when to come again.
func (r *Runner) turn(ctx context.Context) time.Duration {
	leads, err := r.lead(ctx)
	if err == nil && !leads {
		return r.cfg.Lease / 3
	}
	more := false
	if err == nil {
		more, err = r.Step(context.WithoutCancel(ctx))
	}
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		r.metrics.errors.Inc()
		if !r.failing {
			r.cfg.Log.WarnContext(ctx, "journals are not sealed", "err", err)
		}
		r.failing = true
		return max(troubled, r.cfg.Interval)
	case r.failing:
		r.failing = false
		r.cfg.Log.InfoContext(ctx, "journals are sealed again")
	}
	r.tell(ctx)
	if more {
		return 0
	}
	return r.cfg.Interval
}

// lead asks for the duty, or to keep it, when it is time to.
func (r *Runner) lead(ctx context.Context) (bool, error) {
	now := r.cfg.Now()
	if age := now.Sub(r.asked); r.leads && age >= 0 && age < r.cfg.Lease/3 {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	leads, err := r.cfg.Store.Lead(ctx, duty, r.holder, r.cfg.Lease, now)
	if err != nil {
		return false, fmt.Errorf("take the duty of sealing: %w", err)
	}
	if leads != r.leads {
		r.cfg.Log.InfoContext(ctx, "the duty of sealing has changed hands", "here", leads)
	}
	r.leads, r.asked = leads, now
	r.metrics.lead(leads)
	return leads, nil
}

// Step seals one block of what waits or, if nothing does, enrols a few old journals. It says whether there is
// more to do at once. It does not ask for the duty.
func (r *Runner) Step(ctx context.Context) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	began := time.Now()
	n, err := r.cfg.Store.Seal(ctx, r.cfg.Limit, r.cfg.Now())
	if err != nil {
		return false, fmt.Errorf("seal: %w", err)
	}
	if n > 0 {
		r.metrics.sealed(n, time.Since(began))
	}
	if n >= r.cfg.Limit {
		return true, nil
	}
	if now := r.cfg.Now(); now.Sub(r.enrolled) < enrolEvery {
		return false, nil
	}
	looked, err := r.cfg.Store.Enrol(ctx, r.cfg.Now().Add(-r.cfg.Behind), r.cfg.Limit)
	if err != nil {
		return false, fmt.Errorf("enrol: %w", err)
	}
	r.metrics.enrolled.Add(float64(looked))
	if looked < r.cfg.Limit {
		r.enrolled = r.cfg.Now()
		return false, nil
	}
	return true, nil
}

// tell measures what waits and logs the head, each when it is time to. That it cannot is no failure of sealing.
func (r *Runner) tell(ctx context.Context) {
	now := r.cfg.Now()
	if now.Sub(r.measured) >= measureEvery {
		r.measured = now
		if b, err := r.cfg.Store.Backlog(ctx); err == nil {
			r.metrics.backlog(b, now)
		}
	}
	if now.Sub(r.anchored) < r.cfg.Anchor {
		return
	}
	r.anchored = now
	head, err := r.cfg.Store.Head(ctx)
	if err != nil || head.Number == r.anchor {
		return
	}
	r.anchor = head.Number
	r.cfg.Log.InfoContext(ctx, "the sealed chain has come to", "block", head.Number, "hash", head.Hash.String(), "journals", head.Last())
}

// resign gives the duty up, so that nobody has to wait for the lease to run out.
func (r *Runner) resign(ctx context.Context) {
	if !r.leads {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resignTime)
	defer cancel()
	if _, err := r.cfg.Store.Lead(ctx, duty, r.holder, 0, r.cfg.Now()); err != nil {
		r.cfg.Log.DebugContext(ctx, "the duty of sealing was not given up; it runs out", "err", err)
	}
	r.leads = false
	r.metrics.lead(false)
}
