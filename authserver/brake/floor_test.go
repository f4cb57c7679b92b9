package brake_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tallystick/tallystick/authserver/brake"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/redisstore/embedded"
	"github.com/tallystick/tallystick/storage/storagetest"
)

func TestFloorKeepsTheContract(t *testing.T) {
	t.Parallel()
	storagetest.Brakes(t, func(*testing.T) storage.Brakes { return brake.NewFloor(1000) })
}

// openRedis opens a store on an embedded server.
func openRedis(t *testing.T) (*redisstore.Store, *embedded.Server) {
	t.Helper()
	server, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store, server
}

// TestFloorCountsAsRedisDoes plays random tries on both and compares every answer.
func TestFloorCountsAsRedisDoes(t *testing.T) {
	t.Parallel()
	store, _ := openRedis(t)
	floor := brake.NewFloor(1000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	limits, clock := storagetest.BrakeLimits(), storagetest.NewClock()
	outcomes := []storage.TryOutcome{storage.TryWrong, storage.TryWrong, storage.TryWrong, storage.TryRight, storage.TryUndecided}
	var open []storage.Try
	for step := range 1500 {
		clock.Advance(time.Duration(chance.Int64N(int64(8 * time.Second))))
		if chance.IntN(200) == 0 {
			clock.Advance(time.Duration(chance.Int64N(int64(time.Hour))))
		}
		var here, there any
		if len(open) > 0 && chance.IntN(2) == 0 {
			i, outcome := chance.IntN(len(open)), outcomes[chance.IntN(len(outcomes))]
			there, here = settle(t, store, open[i], outcome, limits, clock.Now()), settle(t, floor, open[i], outcome, limits, clock.Now())
			open = append(open[:i], open[i+1:]...)
		} else {
			try := storage.Try{Account: fmt.Sprint("a", chance.IntN(3)), Address: fmt.Sprint("d", chance.IntN(3))}
			if chance.IntN(8) == 0 {
				try.Account = ""
			}
			if chance.IntN(8) == 0 {
				try.Address = ""
			}
			try.Pair = try.Account + "@" + try.Address
			first, second := take(t, store, try, limits, clock.Now()), take(t, floor, try, limits, clock.Now())
			if first.Wait == 0 {
				open = append(open, try)
			}
			there, here = first, second
		}
		if diff := cmp.Diff(there, here, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("step %d (-redis +floor):\n%s", step, diff)
		}
	}
}

func take(t *testing.T, b storage.Brakes, try storage.Try, l storage.BrakeLimits, now time.Time) storage.TryTaken {
	t.Helper()
	taken, err := b.TakeTry(t.Context(), try, l, now)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

func settle(t *testing.T, b storage.Brakes, try storage.Try, o storage.TryOutcome, l storage.BrakeLimits, now time.Time) []storage.BrakeEngaged {
	t.Helper()
	engaged, err := b.SettleTry(t.Context(), try, o, l, now)
	if err != nil {
		t.Fatal(err)
	}
	return engaged
}

func TestFloorIsBounded(t *testing.T) {
	t.Parallel()
	const most = 100
	floor, limits, clock := brake.NewFloor(most), storagetest.BrakeLimits(), storagetest.NewClock()
	for i := range 10 * most {
		take(t, floor, storage.Try{Account: fmt.Sprint("a", i), Pair: fmt.Sprint("p", i), Address: fmt.Sprint("d", i)}, limits, clock.Now())
		if n := floor.Len(); n > most {
			t.Fatalf("%d counters are kept", n)
		}
	}
	last := fmt.Sprint("p", 10*most-1)
	if !floor.Has(last, clock.Now()) || floor.Has("p0", clock.Now()) {
		t.Error("not the most recent ones are kept")
	}
	if floor.Has(last, clock.Advance(limits.Window)) {
		t.Error("failures outlive the window")
	}
}

func TestFloorLetsGoOfWhatSaysNothing(t *testing.T) {
	t.Parallel()
	floor, limits, clock := brake.NewFloor(100), storagetest.BrakeLimits(), storagetest.NewClock()
	try := storage.Try{Account: "tom", Pair: "tom@x", Address: "x"}
	take(t, floor, try, limits, clock.Now())
	settle(t, floor, try, storage.TryUndecided, limits, clock.Now())
	if n := floor.Len(); n != 0 {
		t.Errorf("%d counters are kept", n)
	}
}
