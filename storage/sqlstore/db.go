package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/failpoint"
)

// Dialect is what differs between the engines.
type Dialect struct {
	// Name is "mysql" or "sqlite".
	Name string
	// ForUpdate and ForShare end a SELECT that locks what it reads: " FOR UPDATE" and
	// " LOCK IN SHARE MODE" where there are such, empty where a write transaction has the database.
	ForUpdate string
	ForShare  string
	// InsertIgnore begins an INSERT that does nothing when the row is there: "INSERT IGNORE INTO" or
	// "INSERT OR IGNORE INTO".
	InsertIgnore string
	// UpdateFrom is an UPDATE of a table by rows, a subquery with a name. Rows come first: each is looked for in the
	// table by its key, and no scan of the table is a choice.
	UpdateFrom func(table, set, rows, where string) string
	// Classify says what an error of the driver means, by its number.
	Classify func(error) Fault
}

// Fault is what an error of an engine means.
type Fault int

// The faults.
const (
	// FaultOther: nothing that we know; an internal error.
	FaultOther Fault = iota
	// FaultDuplicate: a unique key is taken (MySQL 1062).
	FaultDuplicate
	// FaultRetry: the transaction was rolled back or never ran, and may be run again (MySQL 1213, 1205; TiDB 9007).
	FaultRetry
	// FaultUnavailable: the server is away, refuses connections or is read-only. The outcome of a
	// commit is unknown.
	FaultUnavailable
)

const (
	writeTries   = 8
	writeTimeout = 10 * time.Second // longest transaction, its retries included
	readTimeout  = 5 * time.Second
)

// DB is an engine behind its dialect. Its methods implement the durable contracts of package storage.
type DB struct {
	d Dialect
	w *sql.DB // transactions that write
	r *sql.DB // everything else; may be the same

	trimmed [trimKinds]atomic.Int64 // for each rule of trimming, up to which time it has trimmed

	sealing sealMemory

	// bearers and footings are look-ups that callers share.
	bearers  crowd[storage.Bearer, *bearerFacts]
	footings crowd[footingQuestion, footing]

	closed atomic.Bool // what a closed pool says has no type and no number
}

// New builds a DB over open pools, which the caller closes. The schema must be up to date.
func New(d Dialect, write, read *sql.DB) *DB {
	db := &DB{d: d, w: write, r: read}
	db.bearers.ask, db.footings.ask = db.askBearers, db.askFootings
	return db
}

// Close closes the pools.
func (db *DB) Close() error {
	db.closed.Store(true)
	err := db.w.Close()
	if db.r != db.w {
		err = errors.Join(err, db.r.Close())
	}
	db.bearers.close()
	db.footings.close()
	return err
}

// Ping says whether the engine answers.
func (db *DB) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return db.fault("ping", db.r.PingContext(ctx))
}

// write runs f in a transaction and commits it. f may run several times and must have no effect
// outside its transaction but on variables that it sets anew each time.
func (db *DB) write(ctx context.Context, what string, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for try := 1; ; try++ {
		err := db.once(ctx, what, f)
		if err == nil {
			return nil
		}
		if db.d.Classify(err) != FaultRetry {
			return db.fault(what, err)
		}
		if try == writeTries {
			return fmt.Errorf("%s: gave up after %d tries: %w", what, try, errors.Join(storage.ErrUnavailable, err))
		}
		pause := time.Duration(rand.Int64N(int64(time.Millisecond) << min(try, 6))) //nolint:gosec // G404: jitter.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(storage.ErrUnavailable, ctx.Err()))
		}
	}
}

// once runs f in one transaction. what names it to failpoints, as in errors.
func (db *DB) once(ctx context.Context, what string, f func(context.Context, *sql.Tx) error) error {
	tx, err := db.w.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(ctx, tx); err != nil {
		_ = tx.Rollback() // the error of f is the one to tell
		return err
	}
	failpoint.Reach(what, failpoint.Commit)
	if err := tx.Commit(); err != nil {
		return err
	}
	failpoint.Reach(what, failpoint.Committed)
	return nil
}

// fault translates an error of the engine. Sentinels pass.
func (db *DB) fault(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", what, storage.ErrNotFound)
	case sentinel(err):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, errors.Join(storage.ErrUnavailable, err))
	case db.closed.Load():
		return fmt.Errorf("%s: the store is closed: %w", what, errors.Join(storage.ErrUnavailable, err))
	}
	switch db.d.Classify(err) {
	case FaultDuplicate:
		return fmt.Errorf("%s: %w", what, errors.Join(storage.ErrExists, err))
	case FaultRetry, FaultUnavailable:
		return fmt.Errorf("%s: %w", what, errors.Join(storage.ErrUnavailable, err))
	case FaultOther:
	}
	return fmt.Errorf("%s: %w", what, err)
}

func sentinel(err error) bool {
	for _, s := range []error{
		storage.ErrNotFound, storage.ErrExists, storage.ErrStale, storage.ErrConsumed, storage.ErrEnded, storage.ErrExpired,
		storage.ErrDisabled, storage.ErrInsufficient, storage.ErrKeyReused, storage.ErrClosed, storage.ErrExceeds, storage.ErrOverLimit, storage.ErrFrozen, storage.ErrFull, storage.ErrLastWay, storage.ErrBusy, storage.ErrUnavailable,
		storage.ErrTaken, storage.ErrWrongNumber, storage.ErrLimit, storage.ErrLost,
	} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// Instants are stored as microseconds since 1970.

func micros(t time.Time) int64 { return t.UnixMicro() }

func microsOrNil(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMicro()
}

func instant(us int64) time.Time { return time.UnixMicro(us).UTC() }

func instantOrNil(us sql.NullInt64) *time.Time {
	if !us.Valid {
		return nil
	}
	t := instant(us.Int64)
	return &t
}
