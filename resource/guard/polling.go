package guard

import (
	"context"
	"fmt"
	"log/slog"
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
)

// polling is a [Source] that reads a feed again and again.
type polling struct {
	feed  storage.Feed
	every time.Duration
	// bound is what a reading may take; a longer one is of no use.
	bound time.Duration
	now   func() time.Time
	log   *slog.Logger
}

// Follow implements [Source].
func (p *polling) Follow(ctx context.Context, sink Sink) error {
	r := &reader{polling: p, sink: sink}
	if err := r.snapshot(ctx); err != nil {
		return err
	}
	if err := r.pass(ctx); err != nil {
		return err
	}
	// Guards that were started together do not read together.
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(p.every)))) //nolint:gosec // G404: jitter.
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if err := r.pass(ctx); err != nil {
			sink.Lost(err)
		}
		timer.Reset(p.every)
	}
}

// reader is one following of a feed.
type reader struct {
	*polling

	sink  Sink
	after Place // the last place that was taken in
}

// snapshot takes in everything that unexpired tokens may name. The position is read first, so that
// what is numbered during the snapshot is read again rather than missed.
func (r *reader) snapshot(ctx context.Context) error {
	position, err := r.feed.Position(ctx)
	if err != nil {
		return err
	}
	place, err := r.place(ctx, position)
	if err != nil {
		return err
	}
	err = r.feed.Snapshot(ctx, r.now(), func(e storage.Event) error {
		r.sink.Take("snapshot", []storage.Event{e})
		return nil
	})
	if err != nil {
		return err
	}
	r.after = place
	return nil
}

// place finds the event that has a number, which may have been trimmed.
func (r *reader) place(ctx context.Context, number int64) (Place, error) {
	place := Place{Number: number}
	if number == 0 {
		return place, nil
	}
	events, err := r.feed.Tail(ctx, number-1, 1)
	if err != nil {
		return Place{}, err
	}
	if len(events) > 0 && events[0].Number == number {
		place.Event = events[0].ID
	}
	return place, nil
}

// pass reads the feed until there is nothing left, and tells when the last reading began: everything
// that was committed before has been taken in. A reading that takes longer than the bound is of no use.
func (r *reader) pass(ctx context.Context) error {
	if err := r.notBehind(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.bound)
	defer cancel()
	for range maxPages {
		began := r.now()
		events, err := r.feed.Tail(ctx, r.after.Number, pageSize)
		if err != nil {
			return fmt.Errorf("read the feed: %w", err)
		}
		r.sink.Take("feed", events)
		numbered, waiting := r.advance(events)
		whole := numbered < pageSize && waiting < pageSize
		if whole {
			r.sink.Heard(began, r.after)
		}
		if waiting > 0 {
			// Numbering keeps the next reading small. Another guard may have been faster; and when it
			// fails, nothing is missed.
			if _, err := r.feed.Number(ctx, pageSize); err != nil {
				return fmt.Errorf("number the feed: %w", err)
			}
		}
		if whole {
			return nil
		}
	}
	return nil
}

// advance moves past the numbered events of a page, and counts both kinds.
func (r *reader) advance(events []storage.Event) (numbered, waiting int) {
	for i := range events {
		if events[i].Number == 0 {
			waiting++
			continue
		}
		numbered++
		if events[i].Number > r.after.Number {
			r.after = Place{Number: events[i].Number, Event: events[i].ID}
		}
	}
	return numbered, waiting
}

// notBehind notices a feed that counts less than it did: the database was restored, or a replica
// took over that had not seen everything. Numbers are then given a second time, so all of it is read
// again, and nothing is heard until it has been.
func (r *reader) notBehind(ctx context.Context) error {
	position, err := r.position(ctx)
	if err != nil {
		return fmt.Errorf("read the position of the feed: %w", err)
	}
	if position >= r.after.Number {
		return nil
	}
	r.log.Warn("the feed went back; reading all of it again", "position", position, "seen", r.after.Number)
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	return r.snapshot(ctx)
}

func (r *reader) position(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, r.bound)
	defer cancel()
	return r.feed.Position(ctx)
}
