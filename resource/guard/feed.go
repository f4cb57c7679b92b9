package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	// followPause is the wait before a Source or a Hurry that has returned is started again.
	followPause = time.Second
	// never is further back than any Blind.
	never = -1 << 62 * time.Nanosecond
)

// Start takes in what has ended so far and goes on following the feed until [Guard.Stop]. When it
// returns nil, the guard sees; ctx bounds the start alone. After an error the guard goes on blind, and
// may be started again; starting one that was started is an error.
func (g *Guard) Start(ctx context.Context) error {
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	if g.stop != nil {
		return errors.New("guard: started before")
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	in := &inlet{guard: g, seen: make(chan struct{})}
	failed := make(chan error, 1)
	g.running.Go(func() { g.follow(run, in, failed) })
	var err error
	select {
	case <-in.seen:
	case err = <-failed:
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), in.why())
	}
	if err != nil {
		cancel()
		g.running.Wait()
		return fmt.Errorf("start guard: %w", err)
	}
	g.stop = cancel
	g.running.Go(func() { g.watch(run, in) })
	if g.hurry != nil {
		g.running.Go(func() { g.followHurry(run) })
	}
	return nil
}

// Stop ends the following and waits for it. The guard goes on checking, blind. Stopping twice, or
// what was not started, does nothing.
func (g *Guard) Stop() {
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	if g.stop == nil {
		return
	}
	g.stop()
	g.running.Wait()
	g.heard.Store(int64(never))
}

// Apply takes events in at once, ahead of the feed: in the process of the sign-in, a former session
// is refused before the sign-in is answered.
func (g *Guard) Apply(events []storage.Event) { g.take("applied", events) }

// take puts events into the set and then hands them on, so that whoever finds that the relay has not
// told of an end yet finds it in the set, or will be told.
func (g *Guard) take(way string, events []storage.Event) {
	if len(events) == 0 {
		return
	}
	g.metrics.events.WithLabelValues(way).Add(float64(len(events)))
	now := g.now()
	whole := g.ended.complete(now)
	for i := range events {
		if !g.ended.add(&events[i], now) && whole {
			whole = false
			g.log.Warn("the set of ended sessions is full; what is not in it is asked for", "entries", g.ended.size())
		}
	}
	if g.relay != nil {
		g.relay.Take(way, events)
	}
}

// lag is the time since the feed was last known to be complete.
func (g *Guard) lag(now time.Time) time.Duration {
	return now.Sub(g.epoch) - time.Duration(g.heard.Load())
}

// blind says that what the guard holds may be too old to go by.
func (g *Guard) blind(now time.Time) bool { return g.lag(now) > g.bound }

// follow keeps the source told from. Until the guard has seen for the first time, the source's failure
// is that of the start.
func (g *Guard) follow(ctx context.Context, in *inlet, failed chan<- error) {
	for {
		err := g.source.Follow(ctx, in)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-in.seen:
		default:
			failed <- errors.Join(err, in.why())
			return
		}
		in.Lost(err)
		if !pause(ctx, followPause) {
			return
		}
	}
}

// watch notes blindness and gives back the room of what no token can name any more.
func (g *Guard) watch(ctx context.Context, in *inlet) {
	tick := time.NewTicker(g.poll)
	defer tick.Stop()
	last := g.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := g.now()
		g.report(in, now, now.Sub(last))
		last = now
		g.ended.sweep(now)
	}
}

// report logs when the guard goes blind and when it sees again, and counts the time in between.
func (g *Guard) report(in *inlet, now time.Time, step time.Duration) {
	blind := g.blind(now)
	if blind {
		g.metrics.blindSeconds.Add(max(0, step).Seconds())
	}
	switch {
	case blind && !g.lost:
		g.log.Warn("guard is blind: the feed is not heard, each request is checked directly", "lag", g.lag(now), "err", in.why())
	case !blind && g.lost:
		g.log.Info("guard sees again")
	}
	g.lost = blind
}

// followHurry keeps the fast road open.
func (g *Guard) followHurry(ctx context.Context) {
	for {
		err := g.hurry.Follow(ctx, func(e storage.Event) { g.take("hurry", []storage.Event{e}) })
		if ctx.Err() != nil {
			return
		}
		g.log.Warn("the hurried road ended; starting it again", "err", err)
		if !pause(ctx, followPause) {
			return
		}
	}
}

// pause waits; false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// inlet is the [Sink] of a guard.
type inlet struct {
	guard *Guard
	seen  chan struct{} // closed when the guard sees for the first time
	first sync.Once

	mu  sync.Mutex
	err error // why nothing is heard
}

// Take implements [Sink].
func (in *inlet) Take(way string, events []storage.Event) { in.guard.take(way, events) }

// Heard implements [Sink]. What was known to be complete stays so: the moment only moves ahead.
func (in *inlet) Heard(at time.Time, place Place) {
	g := in.guard
	raise(&g.heard, int64(at.Sub(g.epoch)))
	in.first.Do(func() { close(in.seen) })
	if g.relay != nil {
		g.relay.Heard(at, place)
	}
	in.note(nil)
}

// Lost implements [Sink].
func (in *inlet) Lost(err error) { in.note(err) }

func (in *inlet) note(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.err = err
}

func (in *inlet) why() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.err
}
