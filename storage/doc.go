// Package storage holds the records of Tallystick and the contracts its stores keep.
//
// The rule of the house is "SQL decides, Redis hurries". The contracts come in two kinds:
//
//   - Durable contracts ([Users], [Clients], [Sessions], [Refreshes], [Feed], [Keys], [Audit],
//     [Ledger], [Sealer], [Sealed], [Upkeep]) are kept by SQL. When a method that changes something returns nil, the change is
//     committed, and it survives the loss of the process and of everything in Redis.
//   - Hurried contracts ([Announcer], [Locker], [Brakes]) are kept by Redis. Everything in them may vanish at
//     any instant; then answers are slower or refused, never wrong.
//
// The promises stand on the methods; the suite in storagetest has a named case for each and every
// driver runs all of it. Rooms import this package and never a driver, and never see an error that
// is not one of the sentinels below or a wrapped internal one.
//
// # Design notes
//
// Time. Methods take now; no SQL statement reads a clock. Times are UTC, truncated to the
// microsecond, and stored as microseconds since 1970 in BIGINT columns: the one representation
// that MySQL, MariaDB, TiDB and SQLite compare, index and round-trip in the same way. "No time" is
// nil and NULL.
//
// Identifiers. They are assigned by the process (see [NewID]), ordered by time so that primary
// keys append, and compared as bytes: no collation makes two identities one.
//
// Sessions are checked by their own row. A token is dead when the row of its session says so: one
// primary-key read answers for every reason (superseded, kicked, banned, …), where a comparison
// with the version of the slot would answer for supersession alone. The version still grows with
// every sign-in on the slot and stands in the token, so that clients can order what they hold.
//
// Holds are not moved to an account of their own: an owner's statement would show money that went
// nowhere. They are journals without entries, and stand on the account as Held.
//
// The feed has no holes by construction: a reader takes every event above the last number it saw
// and every event not numbered yet. See [Feed].
package storage
