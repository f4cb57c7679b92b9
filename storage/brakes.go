package storage

import (
	"context"
	"time"
)

// BrakeScope is what a brake holds back.
type BrakeScope string

// The scopes of brakes.
const (
	// BrakeAccount holds back tries on an account from addresses that are not known to be its owner's.
	BrakeAccount BrakeScope = "account"
	// BrakePair holds back tries on an account from one address that is.
	BrakePair BrakeScope = "known_address"
	// BrakeAddress holds back one address, whatever account it tries.
	BrakeAddress BrakeScope = "address"
)

// Try is one try to prove something that could be guessed. The names are digests: they are no secret
// and tell nobody who tried what.
type Try struct {
	// Account is what is tried; empty for what is judged by its pair and address alone.
	Account string
	// Pair is the account together with the address; required.
	Pair string
	// Address is where the try comes from; empty for a place that has no limit of its own.
	Address string
}

// BrakeLimits say how much is let through. Times are whole milliseconds.
type BrakeLimits struct {
	// AccountFailures are how many failures an account is free to have from addresses that are not known,
	// PairFailures from each one that is.
	AccountFailures, PairFailures int
	// Delay is the pause after the first failure beyond those; each further one doubles it, up to
	// MaxDelay.
	Delay, MaxDelay time.Duration
	// MostFailures is after how many in a row the pause is Lock; then counting begins anew.
	MostFailures int
	Lock         time.Duration
	// Window is how long after the last of them failures are remembered.
	Window time.Duration
	// Known is how long an address is known after a success there.
	Known time.Duration
	// AddressFailures is how many failures an address is free to have within AddressWindow. They flow
	// off evenly.
	AddressFailures int
	AddressWindow   time.Duration
}

// TryTaken is the answer to a try that wants to begin.
type TryTaken struct {
	// Wait is how long the try has to wait; 0 if it may begin now, and then it is counted.
	Wait time.Duration
	// By is what holds it back; empty if nothing does.
	By BrakeScope
}

// TryOutcome is how a try ended.
type TryOutcome string

// The outcomes of tries.
const (
	// TryWrong: it was wrong, and stays counted.
	TryWrong TryOutcome = "wrong"
	// TryRight: it was right. The failures of its pair are forgiven, and the address is known from now on.
	TryRight TryOutcome = "right"
	// TryUndecided: nobody could tell. It is counted no more.
	TryUndecided TryOutcome = "undecided"
)

// BrakeEngaged says that a failure has set a brake.
type BrakeEngaged struct {
	By BrakeScope
	// Failures is how many there were; 0 for an address, whose failures flow off.
	Failures int
	// Wait is how long the brake holds.
	Wait time.Duration
}

// Brakes count tries that failed. This is a hurried contract: all that is counted may vanish at any
// instant, so whoever relies on it counts for itself as well.
type Brakes interface {
	// TakeTry counts a try as a failure before anybody has looked at it, or says how long it has to
	// wait; then it is not counted. However many callers race, no more are let begin than the limits
	// leave: a try in progress holds a place.
	//
	// A try from a known address is judged by its pair, and counts there and on the account; any other
	// is judged by account and address, and counts on all three. A try without an account is judged by
	// its pair, and unless that is known also by its address.
	TakeTry(ctx context.Context, t Try, l BrakeLimits, now time.Time) (TryTaken, error)

	// SettleTry says how a try that was let begin has ended. One that nobody settles stays a failure.
	// For [TryWrong] it returns the brakes that are set by now and were not reported before: of callers
	// that race, one is told of each.
	SettleTry(ctx context.Context, t Try, outcome TryOutcome, l BrakeLimits, now time.Time) ([]BrakeEngaged, error)
}
