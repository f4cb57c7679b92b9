// Package books proves the ledger: it reads every account, entry, journal and answer in one snapshot
// and recomputes from the entries alone what the rest should say.
//
// It promises to name what is wrong and where, at most [MaxFaults] faults and the count of all, in
// memory that does not grow with the ledger, and to write nothing. It refuses to trust: balances, the
// numbering, the journals' own amounts and the recorded answers are each checked against entries. The
// command line calls it; so may a job that runs at night.
//
// # What is proven
//
//   - Each account is named after its owner and currency; its entries are numbered from 1 without a gap;
//     each entry's balance is the sum so far; the account's balance and version are those of its last
//     entry; no wallet's balance, and nothing available in it, is or ever was below zero.
//   - Each journal sums to zero in each currency, and its entries are those that its kind, parties,
//     amount and time call for.
//   - No entry belongs to a journal that is not there.
//   - Each journal has exactly one recorded answer, which tells its amount and currency, and each answer
//     of success has its journal. An answer of refusal has none. Deposits, whose other side is the world
//     account, are no exception: they too are posted under a key.
//   - Per currency, all accounts sum to zero.
//
// # Design notes
//
// Accounts and entries are sorted alike and are merged as two streams. Entries and answers are not in
// the order of journals, and a ledger of any size does not fit into memory. So both sides are folded
// into [buckets] sums of keyed hashes: what is in one side is added, what is in the other subtracted.
// If everything has its counterpart, all sums are zero, and nothing more is read; two different sets
// pass for equal with a chance of about 2⁻⁶⁴, under a key that is drawn anew for each run, so that nobody
// can prepare a ledger for it. Where a sum is not zero, the streams are read once more for the few
// buckets concerned, and the culprits are named. Rejected: a look-up per entry, which reads the ledger at
// random; sorting on disk, which writes.
//
// The history of holds is not kept in entries. What is held is therefore checked as it stands, and that
// it never exceeded the balance is checked by the ledger's conditional update alone.
package books
