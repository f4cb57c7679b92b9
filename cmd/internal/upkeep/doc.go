// Package upkeep removes rows that are good for nothing any more, in the background of every process.
//
// It promises:
//
//   - One process at a time does it: the one that has the duty ([storage.Upkeep.Lead]). When it stops it
//     gives the duty up; when it dies another one takes over after [Config.Lease].
//   - It is not felt. Rows go in batches that are made to take about [Config.Target]; after each it rests
//     for at least as long as that took, so that the store is its own for half of the time at most. A
//     batch that took too long halves the next one, and an error does too.
//   - It is fair: the kinds take turns, batch by batch, so that ten million old sessions do not keep
//     audit records waiting.
//   - It stops between two batches, within the time of one.
//
// It refuses to decide how long things are kept: [Config.Retention] says it for each kind, and none has
// a default here, since what is removed by mistake is gone.
//
// The process that assembles the rooms starts it, with either role: sessions and ledger share a store.
//
// # Design notes
//
// A pass begins a little before or after a minute has gone by, so that processes that were started
// together do not ask for the duty in step. A row that is due waits for up to that long, and nobody
// minds.
//
// Time is measured where the work is done, as one batch, because it is the store that knows how busy it
// is: a sign-in that waits for a lock shows as a slow batch. Reading the store's own figures of load was
// rejected; they are different for each engine and tell of the machine rather than of us.
//
// "Behind" is the time since a kind was last found with nothing more due, not the age of the oldest row:
// it needs no query, and says the same, as long as passes come often.
package upkeep
