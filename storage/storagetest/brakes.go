package storagetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tallystick/tallystick/storage"
)

// BrakeLimits are the limits of the suite: small, and every number another one.
func BrakeLimits() storage.BrakeLimits {
	return storage.BrakeLimits{
		AccountFailures: 4, PairFailures: 3, Delay: 10 * time.Second, MaxDelay: 70 * time.Second,
		MostFailures: 9, Lock: 10 * time.Minute, Window: 5 * time.Minute, Known: time.Hour,
		AddressFailures: 6, AddressWindow: time.Minute,
	}
}

// Brakes checks a driver against every promise written on [storage.Brakes]. open must return one that
// has counted nothing.
func Brakes(t *testing.T, open func(t *testing.T) storage.Brakes) {
	for name, check := range map[string]func(*guesses){
		"after the free failures an account pauses, twice as long each time": accountPauses,
		"after most failures in a row comes the lock, and then a new start":  accountLocks,
		"failures are forgotten after the window":                            failuresForgotten,
		"a known address is judged by itself":                                knownAddress,
		"a known address has a limit of its own":                             knownAddressLimit,
		"a known address is known for a time":                                knownForATime,
		"failures from a known address count on the account":                 knownCountsOnAccount,
		"a success forgives its own address alone":                           successForgives,
		"an address is held back over all accounts, and flows off":           addressFlows,
		"a known address does not fill the bucket":                           knownSparesBucket,
		"what was right or undecided is not counted":                         notCounted,
		"undecided does not lift what held before":                           undecidedLiftsNothing,
		"without an account the pair and the address judge":                  withoutAccount,
		"an engaged brake is reported once":                                  reportedOnce,
		"an address that overflows is reported once a window":                overflowReportedOnce,
		"of callers who race no more are let in than are left":               racingTries,
		"of racing callers one is told that a brake engaged":                 racingReports,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(&guesses{T: t, Brakes: open(t), limits: BrakeLimits(), clock: NewClock()})
		})
	}
}

// guesses is what a case of brakes plays in.
type guesses struct {
	*testing.T
	storage.Brakes
	limits storage.BrakeLimits
	clock  *Clock
}

// from is a try on an account from an address.
func from(account, address string) storage.Try {
	return storage.Try{Account: account, Pair: account + "@" + address, Address: address}
}

func (g *guesses) take(t storage.Try) storage.TryTaken {
	g.Helper()
	taken, err := g.TakeTry(g.Context(), t, g.limits, g.clock.Now())
	if err != nil {
		g.Fatal(err)
	}
	return taken
}

func (g *guesses) settle(t storage.Try, o storage.TryOutcome) []storage.BrakeEngaged {
	g.Helper()
	engaged, err := g.SettleTry(g.Context(), t, o, g.limits, g.clock.Now())
	if err != nil {
		g.Fatal(err)
	}
	return engaged
}

// begins makes sure that a try is let begin.
func (g *guesses) begins(t storage.Try) {
	g.Helper()
	g.same(g.take(t), storage.TryTaken{})
}

// held makes sure that a try is held back.
func (g *guesses) held(t storage.Try, by storage.BrakeScope, wait time.Duration) {
	g.Helper()
	g.same(g.take(t), storage.TryTaken{Wait: wait, By: by})
}

// fails lets n tries begin and be wrong.
func (g *guesses) fails(n int, t storage.Try) []storage.BrakeEngaged {
	g.Helper()
	var engaged []storage.BrakeEngaged
	for range n {
		g.begins(t)
		engaged = append(engaged, g.settle(t, storage.TryWrong)...)
	}
	return engaged
}

// spread lets n tries on an account fail, each from another address.
func (g *guesses) spread(n int, account string) {
	g.Helper()
	for i := range n {
		g.fails(1, from(account, fmt.Sprintf("elsewhere-%d", i)))
	}
}

func (g *guesses) succeeds(t storage.Try) {
	g.Helper()
	g.begins(t)
	g.settle(t, storage.TryRight)
}

func (g *guesses) same(got, want any) {
	g.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		g.Fatalf("not the same (-want +got):\n%s", diff)
	}
}

func accountPauses(g *guesses) {
	g.spread(4, "tom")
	for _, seconds := range []int{10, 20, 40, 70, 70} {
		pause := time.Duration(seconds) * time.Second
		g.held(from("tom", "x"), storage.BrakeAccount, pause)
		g.clock.Advance(pause - time.Millisecond)
		g.held(from("tom", "y"), storage.BrakeAccount, time.Millisecond)
		g.begins(from("amy", "y"))
		g.clock.Advance(time.Millisecond)
		g.fails(1, from("tom", fmt.Sprint("later-", pause, g.clock.Now())))
	}
}

func accountLocks(g *guesses) {
	g.spread(4, "tom")
	for range 5 {
		g.clock.Advance(70 * time.Second)
		g.fails(1, from("tom", "x"+g.clock.Now().String()))
	}
	g.held(from("tom", "z"), storage.BrakeAccount, 10*time.Minute)
	g.clock.Advance(10 * time.Minute)
	g.fails(3, from("tom", "z"))
	g.begins(from("tom", "z"))
	g.held(from("tom", "z"), storage.BrakeAccount, 10*time.Second)
}

func failuresForgotten(g *guesses) {
	g.spread(3, "tom")
	g.clock.Advance(5*time.Minute - time.Millisecond)
	g.spread(1, "tom") // the window begins anew
	g.clock.Advance(5*time.Minute - time.Millisecond)
	g.fails(1, from("tom", "x"))
	g.held(from("tom", "y"), storage.BrakeAccount, 20*time.Second)
	g.clock.Advance(5 * time.Minute)
	g.spread(4, "tom")
	g.held(from("tom", "y"), storage.BrakeAccount, 10*time.Second)
}

func knownAddress(g *guesses) {
	g.succeeds(from("tom", "home"))
	g.spread(4, "tom")
	g.held(from("tom", "x"), storage.BrakeAccount, 10*time.Second)
	for i := range 6 {
		g.fails(1, from(fmt.Sprint("other-", i), "home"))
	}
	g.held(from("other", "home"), storage.BrakeAddress, 10*time.Second)
	g.succeeds(from("tom", "home"))
	g.held(from("tom", "x"), storage.BrakeAccount, 10*time.Second)
}

func knownAddressLimit(g *guesses) {
	g.succeeds(from("tom", "home"))
	g.succeeds(from("tom", "work"))
	g.fails(3, from("tom", "home"))
	g.held(from("tom", "home"), storage.BrakePair, 10*time.Second)
	g.begins(from("tom", "work"))
	g.clock.Advance(10 * time.Second)
	g.fails(1, from("tom", "home"))
	g.held(from("tom", "home"), storage.BrakePair, 20*time.Second)
	g.clock.Advance(20 * time.Second)
	g.succeeds(from("tom", "home"))
	g.fails(3, from("tom", "home"))
	g.held(from("tom", "home"), storage.BrakePair, 10*time.Second)
}

func knownForATime(g *guesses) {
	g.succeeds(from("tom", "home"))
	g.clock.Advance(time.Hour - time.Millisecond)
	g.spread(4, "tom")
	g.fails(1, from("tom", "home"))
	g.clock.Advance(time.Millisecond)
	g.held(from("tom", "home"), storage.BrakeAccount, 20*time.Second-time.Millisecond)
}

func knownCountsOnAccount(g *guesses) {
	g.succeeds(from("tom", "home"))
	g.fails(2, from("tom", "home"))
	g.spread(2, "tom")
	g.held(from("tom", "x"), storage.BrakeAccount, 10*time.Second)
	g.begins(from("tom", "home"))
	g.held(from("tom", "x"), storage.BrakeAccount, 10*time.Second)
	engaged := g.settle(from("tom", "home"), storage.TryWrong)
	g.same(engaged, []storage.BrakeEngaged{
		{By: storage.BrakePair, Failures: 3, Wait: 10 * time.Second}, {By: storage.BrakeAccount, Failures: 5, Wait: 20 * time.Second},
	})
	g.held(from("tom", "x"), storage.BrakeAccount, 20*time.Second)
}

func successForgives(g *guesses) {
	g.fails(2, from("tom", "home"))
	g.spread(1, "tom")
	g.succeeds(from("tom", "home"))
	g.fails(3, from("tom", "x"))
	g.held(from("tom", "y"), storage.BrakeAccount, 10*time.Second)
	g.clock.Advance(10 * time.Second)
	g.succeeds(from("tom", "x"))
	g.fails(2, from("tom", "y"))
	g.begins(from("tom", "y"))
	g.held(from("tom", "y"), storage.BrakeAccount, 10*time.Second)
}

func addressFlows(g *guesses) {
	for i := range 6 {
		g.fails(1, from(fmt.Sprint("user-", i), "x"))
	}
	g.held(from("user-x", "x"), storage.BrakeAddress, 10*time.Second)
	g.begins(from("user-x", "y"))
	g.clock.Advance(4 * time.Second)
	g.held(from("user-x", "x"), storage.BrakeAddress, 6*time.Second)
	g.clock.Advance(6 * time.Second)
	g.begins(from("user-y", "x"))
	g.held(from("user-z", "x"), storage.BrakeAddress, 10*time.Second)
	g.clock.Advance(2 * time.Minute)
	for i := range 6 {
		g.fails(1, from(fmt.Sprint("new-", i), "x"))
	}
	g.held(from("new", "x"), storage.BrakeAddress, 10*time.Second)
}

func knownSparesBucket(g *guesses) {
	for i := range 8 {
		tom := from(fmt.Sprint("tom-", i), "office")
		g.succeeds(tom)
		g.fails(2, tom)
	}
	g.fails(3, from("amy", "office"))
}

func notCounted(g *guesses) {
	home := from("tom", "home")
	for range 20 {
		g.begins(home)
		g.same(g.settle(home, storage.TryUndecided), []storage.BrakeEngaged(nil))
	}
	for range 20 {
		g.succeeds(home)
	}
	g.fails(2, home)
	for range 20 {
		g.begins(home) // takes the last that is free
		g.held(home, storage.BrakePair, 10*time.Second)
		g.settle(home, storage.TryUndecided)
	}
	g.spread(1, "tom")
	for range 20 {
		g.begins(from("tom", "x"))
		g.held(from("tom", "y"), storage.BrakeAccount, 10*time.Second)
		g.settle(from("tom", "x"), storage.TryUndecided)
	}
	g.fails(1, from("tom", "x"))
	g.held(from("tom", "x"), storage.BrakeAccount, 10*time.Second)
	for i := range 5 {
		g.fails(1, from(fmt.Sprint("user-", i), "x"))
	}
	g.held(from("user", "x"), storage.BrakeAddress, 10*time.Second)
}

func undecidedLiftsNothing(g *guesses) {
	g.succeeds(from("tom", "home"))
	g.spread(4, "tom")
	g.begins(from("tom", "home"))
	g.settle(from("tom", "home"), storage.TryUndecided)
	if got := g.take(from("tom", "x")); got.By != storage.BrakeAccount {
		g.Errorf("got %+v", got)
	}
	// What was never let begin, or was forgotten since, is settled without harm.
	for _, o := range []storage.TryOutcome{storage.TryUndecided, storage.TryWrong, storage.TryRight} {
		g.same(g.settle(from("nobody", "nowhere"), o), []storage.BrakeEngaged(nil))
	}
	g.fails(3, from("nobody", "nowhere"))
	g.held(from("nobody", "nowhere"), storage.BrakePair, 10*time.Second)
}

func withoutAccount(g *guesses) {
	billing := storage.Try{Pair: "billing@x", Address: "x"}
	g.fails(3, billing)
	g.held(billing, storage.BrakePair, 10*time.Second)
	g.fails(3, storage.Try{Pair: "other@x", Address: "x"})
	g.held(storage.Try{Pair: "third@x", Address: "x"}, storage.BrakeAddress, 10*time.Second)
	g.begins(storage.Try{Pair: "billing@y", Address: "y"})
	nowhere := storage.Try{Account: "tom", Pair: "tom@nowhere"}
	for i := range 3 {
		g.fails(3, storage.Try{Account: fmt.Sprint("user-", i), Pair: fmt.Sprint("nowhere-", i)})
	}
	g.succeeds(nowhere)
	g.fails(3, nowhere)
	g.held(nowhere, storage.BrakePair, 10*time.Second)
}

func reportedOnce(g *guesses) {
	tom := from("tom", "x")
	g.same(g.fails(3, tom), []storage.BrakeEngaged(nil))
	first := []storage.BrakeEngaged{{By: storage.BrakeAccount, Failures: 4, Wait: 10 * time.Second}}
	g.same(g.fails(1, tom), first)
	g.same(g.settle(tom, storage.TryWrong), []storage.BrakeEngaged(nil))
	g.clock.Advance(10 * time.Second)
	g.same(g.fails(1, tom), []storage.BrakeEngaged{{By: storage.BrakeAccount, Failures: 5, Wait: 20 * time.Second}})
	home := from("amy", "home")
	g.succeeds(home)
	g.same(g.fails(3, home), []storage.BrakeEngaged{{By: storage.BrakePair, Failures: 3, Wait: 10 * time.Second}})
}

func overflowReportedOnce(g *guesses) {
	var engaged []storage.BrakeEngaged
	for i := range 6 {
		engaged = append(engaged, g.fails(1, from(fmt.Sprint("user-", i), "x"))...)
	}
	want := []storage.BrakeEngaged{{By: storage.BrakeAddress, Wait: 10 * time.Second}}
	g.same(engaged, want)
	for i := range 5 {
		g.clock.Advance(10 * time.Second)
		g.same(g.fails(1, from(fmt.Sprint("more-", i), "x")), []storage.BrakeEngaged(nil))
	}
	g.clock.Advance(10 * time.Second)
	g.same(g.fails(1, from("last", "x")), want)
}

const guessers = 10

// count lets guessers try at once and counts who is let begin.
func (g *guesses) count(t func(i int) storage.Try) int {
	g.Helper()
	var begun atomic.Int64
	race(guessers, func(i int) {
		taken, err := g.TakeTry(g.Context(), t(i), g.limits, g.clock.Now())
		if err != nil {
			g.Error(err)
		} else if taken.Wait == 0 {
			begun.Add(1)
		}
	})
	return int(begun.Load())
}

func racingTries(g *guesses) {
	tom := func(i int) storage.Try { return from("tom", fmt.Sprint("x", i)) }
	g.same(g.count(tom), 4)
	for range 3 {
		g.clock.Advance(70 * time.Second)
		g.same(g.count(tom), 1)
	}
	g.succeeds(from("amy", "home"))
	g.same(g.count(func(int) storage.Try { return from("amy", "home") }), 3)
	g.same(g.count(func(i int) storage.Try { return from(fmt.Sprint("user-", i), "y") }), 6)
}

func racingReports(g *guesses) {
	for range 4 {
		g.begins(from("tom", "x"))
	}
	var mu sync.Mutex
	var engaged []storage.BrakeEngaged
	race(guessers, func(int) {
		out, err := g.SettleTry(g.Context(), from("tom", "x"), storage.TryWrong, g.limits, g.clock.Now())
		if err != nil {
			g.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		engaged = append(engaged, out...)
	})
	g.same(engaged, []storage.BrakeEngaged{{By: storage.BrakeAccount, Failures: 4, Wait: 10 * time.Second}})
}
