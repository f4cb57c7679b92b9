package sqlstore

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Feed = (*DB)(nil)

const (
	eventColumns = "event_id, number, subject, subject_key, user_id, product, terminal, ended_at, end_reason, end_actor, end_terminal, end_device, until_at"
	eventWidth   = 13
	// eventBatch is how many events go into one statement.
	eventBatch = 100

	insertEvent     = "INSERT INTO session_events (" + eventColumns + ") VALUES "
	selectPosition  = "SELECT last_number FROM feed WHERE feed_id = 1"
	updatePosition  = "UPDATE feed SET last_number = ? WHERE feed_id = 1"
	selectNumbered  = "SELECT " + eventColumns + " FROM session_events WHERE number > ? ORDER BY number LIMIT ?"
	selectUnnumber  = "SELECT " + eventColumns + " FROM session_events WHERE number = 0 ORDER BY event_id LIMIT ?"
	selectToNumber  = "SELECT event_id FROM session_events WHERE number = 0 ORDER BY event_id LIMIT ?"
	numberEvent     = "UPDATE session_events SET number = ? WHERE event_id = ? AND number = 0"
	selectUnexpired = "SELECT " + eventColumns + " FROM session_events WHERE until_at >= ? AND (until_at > ? OR event_id > ?) ORDER BY until_at, event_id LIMIT ?"

	// numberMax bounds the events that are numbered in one transaction.
	numberMax = 500
)

// Position implements [storage.Feed].
func (db *DB) Position(ctx context.Context) (n int64, err error) {
	err = db.read(ctx, "feed position", func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, selectPosition).Scan(&n)
	})
	return n, err
}

// Snapshot implements [storage.Feed]. No row or connection is held while each runs.
func (db *DB) Snapshot(ctx context.Context, now time.Time, each func(storage.Event) error) error {
	// The first page begins after all events of the microsecond now: their time is not after it.
	until, id := micros(now), lastID
	for {
		var events []storage.Event
		err := db.read(ctx, "feed snapshot", func(ctx context.Context, q querier) (err error) {
			events, err = collect(ctx, q, scanEvent, selectUnexpired, until, until, id, pageMax)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := each(e); err != nil {
				return err
			}
		}
		if len(events) < pageMax {
			return nil
		}
		last := events[len(events)-1]
		until, id = micros(last.Until), string(last.ID)
	}
}

// Tail implements [storage.Feed]. What is not numbered is read first: an event that is numbered
// between the two reads is then in both of them, where the other order would have it in neither.
func (db *DB) Tail(ctx context.Context, after int64, limit int) (events []storage.Event, err error) {
	err = db.read(ctx, "feed tail", func(ctx context.Context, q querier) error {
		unnumbered, err := collect(ctx, q, scanEvent, selectUnnumber, page(limit))
		if err != nil {
			return err
		}
		numbered, err := collect(ctx, q, scanEvent, selectNumbered, max(after, 0), page(limit))
		if err != nil {
			return err
		}
		events = slices.Concat(numbered, unnumbered)
		return nil
	})
	return events, err
}

// Number implements [storage.Feed]. Each event is numbered by its primary key: a statement over many
// might be run as a scan, and wait for events whose transactions have not committed.
func (db *DB) Number(ctx context.Context, limit int) (n int, err error) {
	err = db.write(ctx, "number events", func(ctx context.Context, tx *sql.Tx) error {
		n = 0
		var last int64
		if err := tx.QueryRowContext(ctx, selectPosition+db.d.ForUpdate).Scan(&last); err != nil {
			return err
		}
		ids, err := collect(ctx, tx, scanText[storage.EventID], selectToNumber, min(page(limit), numberMax))
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			last++
			if err := exactlyOne(ctx, tx, numberEvent, last, string(id)); err != nil {
				return err
			}
		}
		n = len(ids)
		return exactlyOne(ctx, tx, updatePosition, last)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// insertEvents writes events in the caller's transaction, with no number yet.
func insertEvents(ctx context.Context, tx *sql.Tx, events []storage.Event) error {
	for len(events) > 0 {
		batch := events[:min(len(events), eventBatch)]
		events = events[len(batch):]
		args := make([]any, 0, len(batch)*eventWidth)
		for _, e := range batch {
			terminal, device := byColumns(e.End.By)
			args = append(args, string(e.ID), int64(0), string(e.Subject), e.Key, string(e.User), e.Product, string(e.Terminal),
				micros(e.End.At), string(e.End.Reason), e.End.Actor, terminal, device, micros(e.Until))
		}
		if _, err := tx.ExecContext(ctx, insertEvent+tuples(len(batch), eventWidth), args...); err != nil {
			return err
		}
	}
	return nil
}

func scanEvent(row scanner) (storage.Event, error) {
	var e storage.Event
	var at, until int64
	var terminal, device sql.NullString
	err := row.Scan(&e.ID, &e.Number, &e.Subject, &e.Key, &e.User, &e.Product, &e.Terminal,
		&at, &e.End.Reason, &e.End.Actor, &terminal, &device, &until)
	if err != nil {
		return storage.Event{}, err
	}
	e.End.At, e.Until = instant(at), instant(until)
	e.End.By = superseder(terminal, device, e.End.At)
	return e, nil
}

// byColumns are the columns that say which sign-in ended something; NULL for other reasons.
func byColumns(by *storage.Superseder) (terminal, device any) {
	if by == nil {
		return nil, nil
	}
	return string(by.Terminal), by.DeviceName
}

func superseder(terminal, device sql.NullString, at time.Time) *storage.Superseder {
	if !terminal.Valid {
		return nil
	}
	return &storage.Superseder{Terminal: storage.Terminal(terminal.String), DeviceName: device.String, At: at}
}
