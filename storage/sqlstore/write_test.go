package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // an engine to run transactions on

	"github.com/tallystick/tallystick/storage"
)

var (
	errDeadlock = errors.New("deadlock")
	errAway     = errors.New("away")
	errTaken    = errors.New("taken")
)

// fakeFaults makes a store on a real engine with one table, whose faults are made by the test.
func fakeFaults(t *testing.T) *DB {
	t.Helper()
	pool, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	if _, err := pool.ExecContext(t.Context(), "CREATE TABLE tries (n INTEGER NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	db := New(Dialect{Name: "test", Classify: func(err error) Fault {
		switch {
		case errors.Is(err, errDeadlock):
			return FaultRetry
		case errors.Is(err, errAway):
			return FaultUnavailable
		case errors.Is(err, errTaken):
			return FaultDuplicate
		}
		return FaultOther
	}}, pool, pool)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// attempt writes a row at each run and then fails as it is told, run after run.
func attempt(db *DB, errs ...error) (runs int, err error) {
	err = db.write(context.Background(), "attempt", func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO tries (n) VALUES (?)", runs); err != nil {
			return err
		}
		runs++
		return errs[min(runs, len(errs))-1]
	})
	return runs, err
}

func TestTransactionsRunAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		errs []error
		runs int
		want error
		rows int
	}{
		"at once":              {[]error{nil}, 1, nil, 1},
		"after two deadlocks":  {[]error{errDeadlock, errDeadlock, nil}, 3, nil, 1},
		"never":                {[]error{errDeadlock}, writeTries, storage.ErrUnavailable, 0},
		"not when it is away":  {[]error{errAway}, 1, storage.ErrUnavailable, 0},
		"not when it is taken": {[]error{errTaken}, 1, storage.ErrExists, 0},
		"not when refused":     {[]error{storage.ErrStale}, 1, storage.ErrStale, 0},
		"not when it ended":    {[]error{&storage.EndedError{End: storage.End{Reason: storage.Kicked}}}, 1, storage.ErrEnded, 0},
		"not when unknown":     {[]error{sql.ErrConnDone}, 1, sql.ErrConnDone, 0},
		"no row is not found":  {[]error{sql.ErrNoRows}, 1, storage.ErrNotFound, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := fakeFaults(t)
			runs, err := attempt(db, c.errs...)
			if runs != c.runs || !errors.Is(err, c.want) {
				t.Errorf("%d runs, %v; want %d, %v", runs, err, c.runs, c.want)
			}
			var rows int
			if err := db.r.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM tries").Scan(&rows); err != nil || rows != c.rows {
				t.Errorf("%d rows, %v; want %d", rows, err, c.rows)
			}
		})
	}
}

func TestWaitingForAnotherTryEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	db := fakeFaults(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.write(ctx, "attempt", func(context.Context, *sql.Tx) error {
		cancel()
		return errDeadlock
	})
	if err == nil {
		t.Error("a transaction whose caller has gone succeeded")
	}
}

func TestManyRowsAreRefused(t *testing.T) {
	t.Parallel()
	db := fakeFaults(t)
	for range 2 {
		if _, err := attempt(db, nil); err != nil {
			t.Fatal(err)
		}
	}
	err := db.write(t.Context(), "update", func(ctx context.Context, tx *sql.Tx) error {
		return exactlyOne(ctx, tx, "UPDATE tries SET n = 7")
	})
	var sevens int
	if scan := db.r.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM tries WHERE n = 7").Scan(&sevens); err == nil || scan != nil || sevens != 0 {
		t.Errorf("%v, %v, %d rows changed where one may be", err, scan, sevens)
	}
}
