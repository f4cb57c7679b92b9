// Package soak holds no code: its test runs an installation of two authorization servers and two wallets
// over one MariaDB and one Redis, all of its own, has many users sign in over each other, refresh and
// move money, and an administrator kick, ban and unban them over /admin/v1, breaks everything at random meanwhile,
// and judges afterwards what was answered. A guard that is fed by HTTP alone (package guard/remote, from the
// first authorization server) is asked and judged like the processes.
//
//	make soak                                                        one minute
//	go test ./cmd/internal/soak -soak.for 10m -soak.seed 17 -v       as long as one likes, and again
//
// Without -soak.for it runs for about ten seconds, as part of make test. The seed of the schedule and
// of the users' whims is printed; the same seed makes the same faults at the same times.
//
// # What is broken
//
// Faults come in storms with a calm after each. In a storm two lanes run beside each other, each one fault at
// a time: servers (kill -9 of a process, of Redis, of MariaDB, each restarted; FLUSHALL) and wires (a
// proxy before each process's MySQL and Redis stalls, drops, deafens, refuses, slows or cuts).
//
// # What is judged
//
// The users' sign-ins all go to one kickout slot each, from two devices, so that every one of them ends
// the one before. Every request is recorded with the instants at which it was sent and answered, and
// every acknowledged sign-in with its version, which is its place in the order of the slot. Then:
//
//  1. No strict check (a transfer, a refresh) accepts a session that was superseded by a sign-in which
//     was acknowledged before the request was sent.
//
//  2. No local check accepts it that was sent later than a second after that.
//
//  3. No session is refused with 401, or its refresh token with invalid_grant, unless a later sign-in
//     had been sent by then; a version that nobody was told of counts as one only where the versions have
//     a gap and a sign-in was left without an answer. The reason is superseded, or that of rule 8.
//
//  4. An ended session stays ended.
//
//  5. Versions follow the order of acknowledgements, and none is given twice.
//
//  6. Nothing else is ever answered: no 5xx but a 503 with Retry-After, and 423, and these only while a
//     fault lasted and for the grace after it. Connections break only at processes that were killed.
//     Every request is answered within the time that the configuration gives it.
//
//  7. Each transfer that was acknowledged, or that is answered when it is sent again under its key at the
//     end, has happened once: every balance is what the answers say, and ledger verify finds the books
//     right.
//
//  8. A kick or a ban ends what was signed in before it was sent: once it is answered, as in rules 1 and 2. A
//     session is refused as kicked or banned only where somebody ordered that about its user, before the
//     refusal was answered and not before the sign-in. While a ban stands nobody signs in, and nobody is
//     refused a sign-in without one.
//
// A fault at one process excuses 503 everywhere for what takes locks (its transactions hold rows, and its
// payers their locks, that others wait for), and for a local check only at that process; one at the first
// authorization server also at the guard that it feeds. A fault of Redis excuses no local check at all. A
// machine that gives the test no time to run is a fault as well; the test looks at the clock to notice, and
// for the guard that is fed by HTTP at how long the first authorization server takes for a page that needs
// nothing.
//
// # Design notes
//
// Why not a linearizability checker (porcupine): it searches for an order, and there is one: the
// version. With it every rule is a comparison, and a violation names the two requests concerned.
//
// Why the checker is tested with histories made by hand: a soak that finds nothing looks the same as one
// that looks at nothing.
package soak
