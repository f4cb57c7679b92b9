// Package sqlstore keeps the durable contracts of package storage in SQL.
//
// It is written once, over the small [Dialect] that storage/mysql and storage/sqlite supply; they
// also own the schema, the connection rules and the translation of error numbers. Rooms get a [DB]
// from one of the two and know it by the contracts only; the suites in storagetest hold it to them.
//
// It refuses to be clever about what must hold: statements are plain constants with ? placeholders, list their
// columns, read no clock, and rely on nothing that one of MySQL 8, MariaDB 10.6+, TiDB and SQLite
// lacks: no AUTO_INCREMENT, gap locks, savepoints, stored procedures, triggers, cascades or CHECK. Two
// tests find them all: one parses them as TiDB does, the other prepares them on each engine.
//
// # Transactions
//
// [DB.write] runs a function in a transaction and runs the whole of it again when the engine says
// that it lost a deadlock or a lock wait: [writeTries] times with jitter, then
// [storage.ErrUnavailable]. Rows are locked in one order everywhere:
//
//	user → slot → session → hand-off → refresh token → client → account (by name) → hold → feed
//
// so that what deadlocks is rare rather than usual.
//
// Rows of identities are locked by their primary key, one statement each. A statement over many keys may be run as
// a scan, and a scan under lock waits for rows that are none of its business; so what has to be
// locked is first found without a lock (while the lock on the slot or the user keeps it complete)
// and then locked in the order of its keys. [DB.Touch] alone writes many sessions in a statement, few at
// a time and in that order: an UPDATE does not wait for rows that it passes by. Another exception is by intent: the sessions of a user who
// is being signed out, without a change of the account, may be joined by one more that began later.
//
// # Sessions
//
// [DB.Open] holds the user's row shared and the slot's row for itself. From this follow the promises
// about races: sign-ins on a slot come one after the other; a ban or a change of password, which
// wants the user's row for itself, comes before a sign-in, which then sees it, or after, and then ends
// it. Whatever ends a session locks its row first, so the first reason stays, and writes the event
// in the same transaction. Theft of a refresh token is found in a transaction that has to commit,
// though its caller gets an error.
//
// A session ends in time at the earlier of its two limits, and so do all tokens of it that are made.
// An ended session leaves an event unless it was past its time and so were all its access tokens: one
// that idled away while an access token still passes at guards does leave one.
//
// A member leaves a session by its family: the unused token is used up, and has no successor. A family that
// has an unused token is a member, and one that has none has left; that alone tells a copy of a token that
// was signed out from one that was stolen. The row of the session is locked meanwhile, so that of those who
// leave at once one is the last, and ends it.
//
// # Hand-offs
//
// A hand-off is redeemed by a conditional UPDATE in the transaction of [DB.Open]: there is never a session
// without its hand-off used up, nor the other way round, and a crash leaves both or neither. The session
// that approved is locked there, after those of the slot, of which it may be one.
//
// Who ends all that a session has started cancels first what it has approved, and looks then for what was
// started. A redemption that is in progress holds the row of its hand-off, so it is waited for and found, or
// finds its hand-off cancelled. This takes hand-offs before sessions, against the order; a deadlock is run again.
//
// Limits on how many are open are counted with an index, without a lock: who races may pass them.
//
// # Upkeep
//
// [DB.Trim] finds what is due without a lock, through the index on its time, and removes it by primary key,
// [trimChunk] rows in a transaction. It locks nothing that lives: no sign-in waits for more than the rows of
// its own user that have been dead for long. Whoever finds a row and then does not, when they come to
// lock it, goes on without it.
//
// What is deleted stays in the indexes of InnoDB until no snapshot can ask for it (a reading of the books
// may take an hour), and a search for the oldest would pass by all of it each time. So each process
// remembers where it left off, and looks below that only when it has found nothing above.
//
// Refresh tokens are kept until their own time has passed, used or not: an ancestor that is presented
// before that is theft and must be told as such, and one presented later is refused for its time by
// everybody. They are not kept for longer than that for the sake of a session that lives on, whose list of
// used tokens would otherwise be its longest part.
//
// The two indexes that lead to the living, sessions_open and refresh_tokens_unused, have the column that is
// NULL for them right behind the owner. What is live is then one range of the index, beside any number
// of dead rows of the same user or session.
//
// A duty is had by a row: [DB.Lead] is one conditional UPDATE by primary key, whose affected-row count names
// the one who has it.
//
// # Postings
//
// Every write to the ledger is a posting and takes one road, [batch.run], alone or in a [Group], whatever
// its kind: bearers and accounts are locked, everything is decided in memory, everything is written. The
// locks on the accounts are what keeps the captures of a hold apart, and the reversals of a journal; the
// statements that close a hold and move balances are conditional besides, and the reversals of a journal are
// numbered by their running sum, which is unique. Nothing is summed over the past.
//
// A hold is a journal without entries, and so is what lets go of it: who reserved what, who captured,
// voided or let it expire is kept like all else in the books, insert-only and answered under a key. The
// row of the hold is where it stands, as the row of an account is.
//
// # Look-ups that share a statement
//
// A transfer is three look-ups before it is posted: whether its session stands, and under the payer's lock its key and the
// payer's fence. [DB.Check], [DB.Answered] and [DB.Footing] answer those who ask at once with one statement over
// primary keys; see crowd. Sharing changes what they cost and not what they promise: a statement is sent after all whose
// question is in it have asked, and a caller who comes while it is under way waits for the next. So an end that was
// committed before a check began is in the answer, as if each had a statement of its own.
//
// The check before a posting is not left out, though the posting makes it again with the row locked. A write has
// answers that come without a posting: a replay, a wallet that is busy, a body that is refused. None of those may be given to
// a session that has ended, and the posting would be too late for them.
//
// Rejected: a timer that waits for others, which is felt by whoever is alone; keeping answers for a moment, which breaks
// the promise; one statement at a time, since one connection that hangs would hold up all.
//
// # Seals
//
// A posting leaves a row in unsealed, in its transaction; [DB.Seal] reads such rows and all else without a lock, and then
// writes block, seals and the removal of the rows in one transaction. The number of a block is unique, so of several
// sealers one wins, and the others have done nothing. Writers insert rows of their own and never meet a sealer's locks; a sealer locks
// rows by primary key alone, and so never waits for a posting that has not committed.
//
// Rows wait in the order of identifiers, which are made before the accounts are locked, so it is not quite that of commits. Each entry
// whose predecessor is neither sealed nor in the block pulls that in. The order within a block is a topological one of what
// happened on each account. A number that writers draw was rejected (one queue for all), and so was a logical clock on accounts: it
// would be one more column that every posting writes.
//
// # Measured
//
//	TALLYSTICK_BENCH_ROWS=10000000 go test ./storage/sqlstore -v -run '^$' -bench Dead -benchtime 8192x -timeout 60m
//
// Ten million dead sessions, each with a refresh token (3 GB each, MariaDB 10.11 with a buffer pool of 128 MB,
// flush at each commit), 4 clients, in turns with an empty database and with trimming that makes no
// pause; 2 cores that nobody else used:
//
//	                 sign-in p50   p99   refresh p50   p99   bare statements of a refresh p50   p99
//	empty                 3.1 ms   7.1       2.1 ms   5.2                             1.9 ms   4.8
//	ten million dead      3.2 ms   7.7       2.3 ms   5.7                             2.1 ms   5.2
//	while trimming        4.2 ms  10.0       2.9 ms   7.5                             2.7 ms   7.0
//
// That is 1.09 of the empty one's 99th percentile for a sign-in and 1.10 for a refresh; trimming takes it to
// 1.3 of that. On cores that others were using (load 6 to 13) the same command gave 1.4, and 1.6 while trimming.
// A refresh has 0.91 of the throughput of its bare statements. Every statement of a sign-in, refresh, check,
// departure and of the feed is run through an index that leads to its own rows alone, as EXPLAIN says there
// ("const", or "ref" of 1 row), and every search for what is due as a range of the index on its time.
//
// # Design notes
//
// Numbers of the feed are given afterwards and not by the transaction that ends: a counter in there
// would put all ends of the system in one queue, and a sequence would be visible out of order.
//
// Identifiers are VARBINARY in MySQL, because the binary collations that MySQL and MariaDB share
// ignore trailing spaces; in SQLite, TEXT compares as bytes.
//
// Reads outside transactions use a pool of their own on SQLite, whose single writer would
// otherwise be everybody's queue.
package sqlstore
