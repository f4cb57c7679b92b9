// Package sealer folds journals into the sealed chain, in the background of every process that keeps a ledger.
//
// It promises:
//
//   - A journal is sealed a fraction of a second after it was committed, as long as one process runs: several times
//     a second whatever waits is sealed, and without a pause while more waits than a block holds.
//   - One process at a time does it: the one that has the duty. When it stops it gives the duty up; when it dies
//     another one takes over after [Config.Lease]. Two at once would do no harm: see [storage.Sealer].
//   - Nobody who posts waits for it.
//   - It stops between two blocks.
//
// Journals that were posted before there were seals, or by an older program that still ran while the schema was
// brought up, are enrolled: whenever nothing waits, it goes on through all journals from the first one on,
// and has those that are neither sealed nor waiting wait. It stays [Config.Behind] behind the present, so that it never
// runs ahead of a posting that is under way, and goes on for ever: what an older program posts an hour after the
// schema was brought up is found as well.
//
// While old journals are being enrolled, a new one on the same account waits for its turn, since the entries of an
// account are sealed in sequence. Readers of the chain wait with it.
//
// # Anchoring
//
// Every [Config.Anchor] the head of the chain is logged, if it has moved, as "the sealed chain has come to" with block
// and hash. Logs that are shipped elsewhere are thereby a copy of the head that whoever can write to the
// database cannot change; ledger verify --expect-head holds the chain to it.
//
// # Design notes
//
// A chain that writers compute was rejected: each would wait for the hash of the one before, and the ledger
// would be one queue. So was sealing in the transaction of a group: there are as many groups as processes.
//
// The sealer is of the wallet's rooms and not of upkeep, though both have a duty: upkeep rests between batches
// so as not to be felt, and may lie behind for hours; what is sealed is what others are told of.
package sealer
