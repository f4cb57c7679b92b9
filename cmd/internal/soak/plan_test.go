package soak_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tallystick/tallystick/cmd/internal/faultproxy"
)

// The processes, by their place in the field.
var roles = []string{"auth", "auth", "wallet", "wallet"}

// victim is what a fault does something to.
type victim string

const (
	aProcess victim = "process"
	redis    victim = "Redis"
	flushed  victim = "what Redis holds"
	mariaDB  victim = "MariaDB"
	redisWay victim = "way to Redis"
	mysqlWay victim = "way to MySQL"
)

// fault is one thing that is broken for a while.
type fault struct {
	at, lasts time.Duration
	victim    victim
	process   int              // of aProcess and the ways
	wire      faultproxy.Fault // of the ways
	cut       bool             // of the ways: all connections once
}

func (f fault) String() string {
	s := string(f.victim)
	switch f.victim {
	case aProcess:
		s = fmt.Sprintf("kill -9 of %s process %d", roles[f.process], f.process)
	case redis, mariaDB:
		s = "kill -9 of " + s
	case flushed:
		s = "FLUSHALL"
	case redisWay, mysqlWay:
		how := f.wire.Kind.String()
		if f.cut {
			how = "cut"
		}
		s = fmt.Sprintf("%s: %s of %s process %d", how, s, roles[f.process], f.process)
	}
	return s
}

// felt is the process at which even a local check cannot be expected to be well. Redis is needed for none.
func (f fault) felt() int {
	switch f.victim {
	case redis, flushed, redisWay:
		return nowhere
	case mariaDB:
		return everywhere
	}
	return f.process
}

// The times of a plan.
const (
	storm    = 12 * time.Second      // faults
	calm     = grace + 3*time.Second // none, long enough to see that nothing is felt after the grace
	shortest = 5 * time.Second       // a storm that is cut to the length of the soak
)

// plan is what is broken and when, one lane beside the other. It follows from the seed and the length.
func plan(seed uint64, length time.Duration) (servers, wires []fault) {
	chance := rand.New(rand.NewPCG(seed, 0))
	for from := time.Duration(0); from+shortest+calm <= length; from += storm + calm {
		to := min(from+storm, length-calm)
		servers = append(servers, lane(chance, from, to, serverFaults(chance))...)
		wires = append(wires, lane(chance, from, to, wireFaults(chance))...)
	}
	return servers, wires
}

// lane puts faults one after the other, in a random order, as many as there is time for.
func lane(chance *rand.Rand, from, to time.Duration, kinds []fault) (placed []fault) {
	chance.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	at := from
	for n := 0; ; n++ {
		f := kinds[n%len(kinds)]
		f.at = at + between(chance, 100*time.Millisecond, 600*time.Millisecond)
		if f.at+f.lasts > to {
			return placed
		}
		placed = append(placed, f)
		at = f.at + f.lasts
	}
}

func serverFaults(chance *rand.Rand) []fault {
	faults := []fault{
		{victim: flushed},
		{victim: redis, lasts: between(chance, 200*time.Millisecond, 1500*time.Millisecond)},
		{victim: mariaDB, lasts: between(chance, 100*time.Millisecond, 500*time.Millisecond)},
	}
	for process := range roles {
		faults = append(faults, fault{victim: aProcess, process: process, lasts: between(chance, 50*time.Millisecond, 800*time.Millisecond)})
	}
	return faults
}

func wireFaults(chance *rand.Rand) (faults []fault) {
	for process := range roles {
		for _, way := range []victim{redisWay, mysqlWay} {
			slow := 10 * time.Millisecond
			if way == redisWay {
				slow = 80 * time.Millisecond
			}
			wire := []faultproxy.Fault{
				{Kind: faultproxy.Stall}, {Kind: faultproxy.Drop}, {Kind: faultproxy.Deafen}, {Kind: faultproxy.Refuse},
				{Kind: faultproxy.Slow, Delay: slow}, {}, // the last stands for a cut
			}[chance.IntN(6)]
			faults = append(faults, fault{
				victim: way, process: process, wire: wire, cut: wire == faultproxy.Fault{},
				lasts: between(chance, 200*time.Millisecond, 2500*time.Millisecond),
			})
		}
	}
	return faults
}

func between(chance *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(chance.Int64N(int64(high-low)))
}

func TestPlanFollowsFromItsSeed(t *testing.T) {
	t.Parallel()
	same := cmp.AllowUnexported(fault{})
	servers, wires := plan(7, time.Minute)
	again, wiresAgain := plan(7, time.Minute)
	if diff := cmp.Diff(servers, again, same) + cmp.Diff(wires, wiresAgain, same); diff != "" {
		t.Errorf("another plan from one seed:\n%s", diff)
	}
	if other, _ := plan(8, time.Minute); cmp.Equal(servers, other, same) {
		t.Error("the same plan from another seed")
	}
	seen := map[victim]bool{}
	for _, f := range append(servers, wires...) {
		seen[f.victim] = true
		if end := f.at + f.lasts; end > time.Minute-calm {
			t.Errorf("%s ends at %s, and no calm is left", f, end)
		}
	}
	want := map[victim]bool{aProcess: true, redis: true, flushed: true, mariaDB: true, redisWay: true, mysqlWay: true}
	if diff := cmp.Diff(want, seen, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what a minute breaks (-want +got):\n%s", diff)
	}
}
