package guard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	// pageSize is how many events one reading of the feed takes.
	pageSize = 1000
	// maxPages is how many pages one pass reads before it rests.
	maxPages = 64
	// snapshotTime is how long all of the feed may take to be read again.
	snapshotTime = 2 * time.Minute
	// followPause is the wait before a Hurry that has returned is started again.
	followPause = time.Second
	// never is further back than any Blind.
	never = -1 << 62 * time.Nanosecond
)

// Start takes in what has ended so far and goes on following the feed until [Guard.Stop]. When it
// returns nil, the guard sees; ctx bounds the start alone. Starting twice is an error.
func (g *Guard) Start(ctx context.Context) error {
	g.lifecycle.Lock()
	defer g.lifecycle.Unlock()
	if g.stop != nil {
		return errors.New("guard: started before")
	}
	if err := g.snapshot(ctx); err != nil {
		return fmt.Errorf("start guard: %w", err)
	}
	if err := g.pass(ctx); err != nil {
		return fmt.Errorf("start guard: %w", err)
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = cancel
	g.running.Go(func() { g.follow(run) })
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

func (g *Guard) take(source string, events []storage.Event) {
	if len(events) == 0 {
		return
	}
	g.metrics.events.WithLabelValues(source).Add(float64(len(events)))
	now := g.now()
	whole := g.ended.complete(now)
	for i := range events {
		if !g.ended.add(&events[i], now) && whole {
			whole = false
			g.log.Warn("the set of ended sessions is full; what is not in it is asked for", "entries", g.ended.size())
		}
	}
}

// lag is the time since the feed was last known to be complete.
func (g *Guard) lag(now time.Time) time.Duration {
	return now.Sub(g.epoch) - time.Duration(g.heard.Load())
}

// blind says that what the guard holds may be too old to go by.
func (g *Guard) blind(now time.Time) bool { return g.lag(now) > g.bound }

// snapshot takes in everything that unexpired tokens may name. The position is read first, so that
// what is numbered during the snapshot is read again rather than missed.
func (g *Guard) snapshot(ctx context.Context) error {
	position, err := g.feed.Position(ctx)
	if err != nil {
		return err
	}
	err = g.feed.Snapshot(ctx, g.now(), func(e storage.Event) error {
		g.take("snapshot", []storage.Event{e})
		return nil
	})
	if err != nil {
		return err
	}
	g.after = position
	return nil
}

// follow reads the feed again and again.
func (g *Guard) follow(ctx context.Context) {
	// Guards that were started together do not read together.
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(g.poll)))) //nolint:gosec // G404: jitter.
	defer timer.Stop()
	last := g.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := g.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		now := g.now()
		g.report(err, now, now.Sub(last))
		last = now
		g.ended.sweep(now)
		timer.Reset(g.poll)
	}
}

// report logs when the guard goes blind and when it sees again, and counts the time in between.
func (g *Guard) report(err error, now time.Time, step time.Duration) {
	blind := g.blind(now)
	if blind {
		g.metrics.blindSeconds.Add(max(0, step).Seconds())
	}
	switch {
	case blind && !g.lost:
		g.log.Warn("guard is blind: the feed is not heard, each request is checked directly", "lag", g.lag(now), "err", err)
	case !blind && g.lost:
		g.log.Info("guard sees again")
	}
	g.lost = blind
}

// pass reads the feed until there is nothing left, and notes when the last reading began: everything
// that was committed before has been taken in. A reading that takes longer than Blind is of no use.
func (g *Guard) pass(ctx context.Context) error {
	if err := g.notBehind(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.bound)
	defer cancel()
	for range maxPages {
		began := g.now()
		events, err := g.feed.Tail(ctx, g.after, pageSize)
		if err != nil {
			return fmt.Errorf("read the feed: %w", err)
		}
		g.take("feed", events)
		numbered, waiting := g.advance(events)
		if numbered < pageSize && waiting < pageSize {
			g.heard.Store(int64(began.Sub(g.epoch)))
		}
		if waiting > 0 {
			// Numbering keeps the next reading small. Another guard may have been faster; and when it
			// fails, nothing is missed.
			if _, err := g.feed.Number(ctx, pageSize); err != nil {
				return fmt.Errorf("number the feed: %w", err)
			}
		}
		if numbered < pageSize && waiting < pageSize {
			return nil
		}
	}
	return nil
}

// advance moves past the numbered events of a page, and counts both kinds.
func (g *Guard) advance(events []storage.Event) (numbered, waiting int) {
	for i := range events {
		if events[i].Number == 0 {
			waiting++
			continue
		}
		numbered++
		g.after = max(g.after, events[i].Number)
	}
	return numbered, waiting
}

// notBehind notices a feed that counts less than it did: the database was restored, or a replica
// took over that had not seen everything. Numbers are then given a second time, so the guard reads
// all of it again, blind until it has.
func (g *Guard) notBehind(ctx context.Context) error {
	position, err := g.position(ctx)
	if err != nil {
		return fmt.Errorf("read the position of the feed: %w", err)
	}
	if position >= g.after {
		return nil
	}
	g.log.Warn("the feed went back; reading all of it again", "position", position, "seen", g.after)
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	return g.snapshot(ctx)
}

func (g *Guard) position(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, g.bound)
	defer cancel()
	return g.feed.Position(ctx)
}

// followHurry keeps the fast road open.
func (g *Guard) followHurry(ctx context.Context) {
	for {
		err := g.hurry.Follow(ctx, func(e storage.Event) { g.take("hurry", []storage.Event{e}) })
		if ctx.Err() != nil {
			return
		}
		g.log.Warn("the hurried road ended; starting it again", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(followPause):
		}
	}
}
