package engine_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/storage/sqlstore"
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
