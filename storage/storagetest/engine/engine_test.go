package engine_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const hosts = 4

func TestEnginesOpenAndReopen(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		first := e.Open(t)
		if err := first.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if err := e.Open(t).Ping(t.Context()); err != nil {
			t.Fatalf("after a restart: %v", err)
		}
		if err := first.Ping(t.Context()); err == nil {
			t.Error("a closed store answers")
		}
	})
}

func empties(t *testing.T, f func(*testing.T, engine.Engine)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); f(t, engine.EmptySQLite(t)) })
	t.Run("mysql", func(t *testing.T) { t.Parallel(); f(t, engine.EmptyMySQL(t)) })
}

// TestCopiedSchemasAreMigratedOnes: what the tests of MySQL stand on is what its migrations make.
func TestCopiedSchemasAreMigratedOnes(t *testing.T) {
	t.Parallel()
	migrated, copied := engine.EmptyMySQL(t), engine.MySQL(t)
	if _, err := migrated.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	statuses := [2]sqlstore.Status{}
	var tables [2]map[string]string
	for i, e := range []engine.Engine{migrated, copied} {
		var err error
		if statuses[i], err = e.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		tables[i] = describe(t, e.Raw(t))
	}
	if diff := cmp.Diff(tables[0], tables[1]); diff != "" {
		t.Errorf("tables (-migrated +copied):\n%s", diff)
	}
	if statuses[1].Current != statuses[0].Current || statuses[1].Current != statuses[1].Target || len(tables[1]) < 10 {
		t.Errorf("migrated: %+v, copied: %+v, with %d tables", statuses[0], statuses[1], len(tables[1]))
	}
	if again, err := copied.Migrate(t.Context()); err != nil || len(again) != 0 {
		t.Errorf("migrating a copy applies %v, %v", again, err)
	}
}

// describe is how each table is made, and how many rows it has.
func describe(t *testing.T, db *sql.DB) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SHOW TABLES")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var name, made string
		var n int
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRowContext(t.Context(), "SHOW CREATE TABLE `"+name+"`").Scan(&name, &made); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM `"+name+"`").Scan(&n); err != nil {
			t.Fatal(err)
		}
		all[name] = fmt.Sprintf("%s\n%d rows", made, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRacingMigrationsRunOnce(t *testing.T) {
	t.Parallel()
	empties(t, func(t *testing.T, e engine.Engine) {
		var wg sync.WaitGroup
		applied := make([][]sqlstore.Applied, hosts)
		failed := make([]error, hosts)
		for i := range hosts {
			wg.Go(func() { applied[i], failed[i] = e.Migrate(context.Background()) })
		}
		wg.Wait()
		if err := errors.Join(failed...); err != nil {
			t.Fatal(err)
		}
		runs := map[int64]int{}
		for _, list := range applied {
			for _, a := range list {
				runs[a.Version]++
			}
		}
		status, err := e.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if status.Current != status.Target || len(runs) != len(status.Migrations) {
			t.Errorf("after migrating: %+v, applied %v", status, runs)
		}
		for version, n := range runs {
			if n != 1 {
				t.Errorf("migration %d ran %d times", version, n)
			}
		}
		e.Open(t)
	})
}

func TestSchemasThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	empties(t, func(t *testing.T, e engine.Engine) {
		if err := e.TryOpen(t.Context()); !errors.Is(err, sqlstore.ErrSchemaBehind) || !strings.Contains(err.Error(), "tallystick migrate up") {
			t.Errorf("an empty database: %v", err)
		}
		before, err := e.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if before.Current != 0 || before.Target == 0 || before.Migrations[0].Applied {
			t.Errorf("an empty database has %+v", before)
		}
		if _, err := e.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if again, err := e.Migrate(t.Context()); err != nil || len(again) != 0 {
			t.Errorf("a second run: %+v, %v", again, err)
		}
		after, err := e.Status(t.Context())
		if err != nil || after.Current != after.Target || !after.Migrations[0].Applied {
			t.Errorf("after migrating: %+v, %v", after, err)
		}
		if _, err := e.Raw(t).ExecContext(t.Context(), "INSERT INTO schema_versions (version_id, is_applied) VALUES (99999, 1)"); err != nil {
			t.Fatal(err)
		}
		if err := e.TryOpen(t.Context()); !errors.Is(err, sqlstore.ErrSchemaAhead) {
			t.Errorf("a database of the future: %v", err)
		}
		if _, err := e.Migrate(t.Context()); !errors.Is(err, sqlstore.ErrSchemaAhead) {
			t.Errorf("migrating a database of the future: %v", err)
		}
	})
}

// TestPromisesOutliveTheProcess closes the store and opens another, and finds what was promised.
func TestPromisesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		clock := storagetest.NewClock()
		before := e.Open(t)
		u := storagetest.NewUser("tom", clock.Now())
		if err := before.CreateUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		first, err := before.Open(t.Context(), storagetest.NewOpening(u.ID, storage.Kickout, clock.Now()))
		if err != nil {
			t.Fatal(err)
		}
		second, err := before.Open(t.Context(), storagetest.NewOpening(u.ID, storage.Kickout, clock.Advance(time.Second)))
		if err != nil {
			t.Fatal(err)
		}
		rotated, _, err := before.Rotate(t.Context(), storagetest.NewRotation(second.Refresh.Hash, clock.Now()))
		if err != nil {
			t.Fatal(err)
		}
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}

		after := e.Open(t)
		err = after.Check(t.Context(), storage.Bearer{Session: first.Session.ID}, clock.Now())
		if end, ok := errors.AsType[*storage.EndedError](err); !ok || end.End.Reason != storage.Superseded {
			t.Errorf("the superseded session: %v", err)
		}
		events, err := after.Tail(t.Context(), 0, 10)
		if err != nil || len(events) != 1 {
			t.Errorf("%d events, %v", len(events), err)
		}
		replayed, _, err := after.Rotate(t.Context(), storagetest.NewRotation(second.Refresh.Hash, clock.Advance(time.Second)))
		if err != nil || !replayed.Replayed || replayed.Refresh != rotated.Refresh {
			t.Errorf("the replay after a restart: %+v, %v", replayed, err)
		}
	})
}
