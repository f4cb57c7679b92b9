package sqlstore_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var (
	simSteps = flag.Int("sim.steps", 150, "how many steps each simulation of the ledger has")
	simSeed  = flag.Uint64("sim.seed", 0, "seed of the simulations; 0 for a new one")
)

// TestSimulation plays on each engine, with postings one by one and in groups.
//
//	go test ./storage/sqlstore -run TestSimulation -v -args -sim.steps 20000 -sim.seed 17
func TestSimulation(t *testing.T) {
	t.Parallel()
	seed := *simSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	play := storagetest.SimPlay{Seed: seed, Steps: *simSteps}
	t.Logf("seed %d: again with -args -sim.seed %d -sim.steps %d", seed, seed, play.Steps)
	for name, start := range map[string]func(testing.TB) engine.Engine{"sqlite": engine.SQLite, "mysql": engine.MySQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			connections := 4
			if name == "sqlite" {
				connections = 1 // a transaction that writes has the database
			}
			t.Run("one by one", func(t *testing.T) {
				t.Parallel()
				db, smith := cutPool(t, start(t), connections)
				storagetest.Simulate(t, db, smith, play)
			})
			t.Run("in groups", func(t *testing.T) {
				t.Parallel()
				db, smith := cutPool(t, start(t), connections)
				// By its clock nothing ever expires, and it looks once: a look-up more would be a step that no seed knows of.
				g, err := sqlstore.NewGroup(db, sqlstore.GroupConfig{Now: func() time.Time { return time.UnixMicro(0) }, Expiry: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				g.Start()
				t.Cleanup(g.Stop)
				storagetest.Simulate(t, grouped{db, g}, smith, play)
			})
		})
	}
}
