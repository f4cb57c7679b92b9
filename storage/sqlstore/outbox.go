package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Outbox = (*DB)(nil)

const (
	deliveryColumns = "destination, number, journal_id, from_user, to_user, attempts, next_at, last_at, fault, dead_at"

	claimOutbox   = "UPDATE outbox SET epoch = epoch + 1, holder = ?, until_at = ? WHERE destination = ? AND (holder = ? OR until_at <= ?)"
	selectOutbox  = "SELECT number, epoch, taken_at, failing_at, until_at FROM outbox WHERE destination = ?"
	outboxTail    = " outbox (destination, number, epoch, holder, until_at, taken_at) VALUES (?, ?, 0, '', 0, ?)"
	advanceOutbox = "UPDATE outbox SET number = ?, until_at = ?, taken_at = COALESCE(?, taken_at), failing_at = ? WHERE destination = ? AND epoch = ? AND number <= ?"
	releaseOutbox = "UPDATE outbox SET until_at = 0 WHERE destination = ? AND epoch = ?"
	renewOutbox   = "UPDATE outbox SET epoch = epoch + 1, failing_at = NULL WHERE destination = ?"
	disturbOutbox = "UPDATE outbox SET epoch = epoch + 1 WHERE destination = ?"
	deleteOutbox  = "DELETE FROM outbox WHERE destination = ?"
	listOutbox    = "SELECT destination, number, taken_at, failing_at, " +
		"(SELECT COUNT(*) FROM outbox_deliveries w WHERE w.destination = o.destination AND w.dead_at IS NULL), " +
		"(SELECT COUNT(*) FROM outbox_deliveries d WHERE d.destination = o.destination AND d.dead_at IS NOT NULL) " +
		"FROM outbox o WHERE destination > ? ORDER BY destination LIMIT ?"

	selectWaiting = "SELECT " + deliveryColumns + " FROM outbox_deliveries WHERE destination = ? AND dead_at IS NULL ORDER BY number LIMIT ?"
	countOutbox   = "SELECT COUNT(*) FROM outbox_deliveries WHERE destination = ? AND dead_at IS NULL"
	selectDead    = "SELECT " + deliveryColumns + " FROM outbox_deliveries WHERE destination = ? AND number > ? AND dead_at IS NOT NULL ORDER BY number LIMIT ?"
	reviveDead    = "UPDATE outbox_deliveries SET attempts = 0, next_at = ?, dead_at = NULL WHERE destination = ? AND number = ? AND dead_at IS NOT NULL"
	updateSent    = "UPDATE outbox_deliveries SET attempts = ?, next_at = ?, last_at = ?, fault = ?, dead_at = ? WHERE destination = ? AND number = ?"
	insertSent    = "INSERT INTO outbox_deliveries (" + deliveryColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	deleteSent    = "DELETE FROM outbox_deliveries WHERE destination = ? AND number = ?"
	deleteAllSent = "DELETE FROM outbox_deliveries WHERE destination = ?"
)

// Claim implements [storage.Outbox]. The affected-row count of one conditional statement names the holder; the epoch that
// it raises is what every write under the claim asks for.
func (db *DB) Claim(ctx context.Context, d storage.Destination, holder string, ttl time.Duration, now time.Time) (c storage.Claim, err error) {
	now = storage.Instant(now)
	err = db.write(ctx, "claim destination", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, claimOutbox, holder, micros(now.Add(ttl)), string(d), holder, micros(now))
		if err != nil {
			return err
		}
		c = storage.Claim{Destination: d}
		var taken, until int64
		var failing sql.NullInt64
		if err := tx.QueryRowContext(ctx, selectOutbox, string(d)).Scan(&c.Number, &c.Epoch, &taken, &failing, &until); err != nil {
			return err
		}
		c.TakenAt, c.FailingAt, c.Until = instant(taken), instantOrNil(failing), instant(until)
		if n == 0 {
			return storage.ErrBusy
		}
		return nil
	})
	if err != nil {
		return storage.Claim{}, err
	}
	return c, nil
}

// OpenStream implements [storage.Outbox].
func (db *DB) OpenStream(ctx context.Context, after int64, now time.Time) error {
	return db.write(ctx, "open stream", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, db.d.InsertIgnore+outboxTail, string(storage.StreamDestination), after, micros(storage.Instant(now)))
		return err
	})
}

// Waiting implements [storage.Outbox].
func (db *DB) Waiting(ctx context.Context, d storage.Destination) (list []storage.Delivery, err error) {
	err = db.read(ctx, "read deliveries that wait", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanDelivery, selectWaiting, string(d), storage.MaxWaiting+storage.MaxAdvance)
		return err
	})
	return list, err
}

// Advance implements [storage.Outbox].
func (db *DB) Advance(ctx context.Context, c storage.Claim, a storage.Advance) error {
	if len(a.Put)+len(a.Gone) > storage.MaxAdvance {
		return fmt.Errorf("advance: %d deliveries at once, more than %d", len(a.Put)+len(a.Gone), storage.MaxAdvance)
	}
	return db.write(ctx, "advance destination", func(ctx context.Context, tx *sql.Tx) error {
		var taken any
		if a.Taken {
			taken = micros(storage.Instant(a.Now))
		}
		n, err := affect(ctx, tx, advanceOutbox, a.Number, micros(storage.Instant(a.Until)), taken, microsOrNil(a.FailingAt), string(c.Destination), c.Epoch, a.Number)
		if err != nil {
			return err
		}
		if n != 1 {
			return storage.ErrLost
		}
		for _, number := range a.Gone {
			if _, err := tx.ExecContext(ctx, deleteSent, string(c.Destination), number); err != nil {
				return err
			}
		}
		for i := range a.Put {
			if err := putDelivery(ctx, tx, c.Destination, &a.Put[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func putDelivery(ctx context.Context, tx *sql.Tx, to storage.Destination, d *storage.Delivery) error {
	next, last, dead := micros(storage.Instant(d.NextAt)), microsOrNil(d.LastAt), microsOrNil(d.DeadAt)
	n, err := affect(ctx, tx, updateSent, d.Attempts, next, last, d.Fault, dead, string(to), d.Number)
	if err != nil || n == 1 {
		return err
	}
	_, err = tx.ExecContext(ctx, insertSent, string(to), d.Number, string(d.Journal), string(d.From), string(d.To),
		d.Attempts, next, last, d.Fault, dead)
	return err
}

// Release implements [storage.Outbox].
func (db *DB) Release(ctx context.Context, c storage.Claim, _ time.Time) error {
	return db.write(ctx, "release destination", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, releaseOutbox, string(c.Destination), c.Epoch)
		return err
	})
}

// Dead implements [storage.Outbox].
func (db *DB) Dead(ctx context.Context, d storage.Destination, after int64, limit int) (list []storage.Delivery, err error) {
	err = db.read(ctx, "read dead deliveries", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanDelivery, selectDead, string(d), after, min(max(limit, 0), storage.MaxDeadPage))
		return err
	})
	return list, err
}

// Replay implements [storage.Outbox]. It takes the duty from whoever has it: so the deliveries are noticed.
func (db *DB) Replay(
	ctx context.Context, d storage.Destination, number int64, limit int, now time.Time, audit *storage.AuditRecord,
) (revived int, err error) {
	err = db.write(ctx, "replay dead deliveries", func(ctx context.Context, tx *sql.Tx) error {
		revived = 0
		if err := exactlyOne(ctx, tx, disturbOutbox, string(d)); err != nil {
			return err
		}
		after, most := int64(0), min(max(limit, 0), storage.MaxDeadPage)
		if number > 0 {
			after, most = number-1, 1
		}
		dead, err := collect(ctx, tx, scanDelivery, selectDead, string(d), after, most)
		if err != nil {
			return err
		}
		if number > 0 && (len(dead) == 0 || dead[0].Number != number) {
			return storage.ErrNotFound
		}
		var waiting int
		if err := tx.QueryRowContext(ctx, countOutbox, string(d)).Scan(&waiting); err != nil {
			return err
		}
		if waiting+len(dead) > storage.MaxWaiting {
			return storage.ErrLimit
		}
		for i := range dead {
			n, err := affect(ctx, tx, reviveDead, micros(storage.Instant(now)), string(d), dead[i].Number)
			if err != nil {
				return err
			}
			revived += int(n)
		}
		return appendAudit(ctx, tx, audit)
	})
	if err != nil {
		return 0, err
	}
	return revived, nil
}

// OutboxStates implements [storage.Outbox].
func (db *DB) OutboxStates(ctx context.Context) (list []storage.OutboxState, err error) {
	err = db.read(ctx, "read destinations", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, func(row scanner) (s storage.OutboxState, err error) {
			var at int64
			var failing sql.NullInt64
			err = row.Scan(&s.Destination, &s.Number, &at, &failing, &s.Waiting, &s.Dead)
			s.TakenAt, s.FailingAt = instant(at), instantOrNil(failing)
			return s, err
		}, listOutbox, "", storage.MaxWebhooks+1)
		return err
	})
	return list, err
}

func scanDelivery(row scanner) (d storage.Delivery, err error) {
	var next int64
	var last, dead sql.NullInt64
	if err := row.Scan(&d.Destination, &d.Number, &d.Journal, &d.From, &d.To, &d.Attempts, &next, &last, &d.Fault, &dead); err != nil {
		return storage.Delivery{}, err
	}
	d.NextAt, d.LastAt, d.DeadAt = instant(next), instantOrNil(last), instantOrNil(dead)
	return d, nil
}
