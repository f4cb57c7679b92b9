// Package wallet is what can be done with money: transfer it, deposit it, look at it.
//
// It promises that a write happens once per idempotency key or not at all, that what was answered
// under a key is answered again byte for byte, and that one user's money is taken by one write at a
// time while the lock can be had. It refuses to decide by anything but the ledger's transaction: the
// lock, the early look at the key and the fence only make that transaction rarely contended. It knows
// neither HTTP nor SQL. Package walletapi calls it for HTTP; other skins may call it in the same way.
//
// # One road for every write
//
//	validate ── bad ──► *Refusal, nothing recorded, the key stays free
//	   │
//	lock of the payer, at once ── not to be had ──► answered before? ── yes ──► the same answer, Replayed
//	   │                                               │ no
//	   │                          wait for the lock ── not in time ──► storage.ErrBusy, nothing done
//	   │                               └─ no telling who has it ──► post without (or storage.ErrUnavailable
//	   │ had                                                        if the lock is required)
//	answered before? and the fence, in one reading ── yes ──► the same answer, Replayed
//	   │ no
//	Ledger.Post ── fence moved ──► let go, lock again, at most [postTries] times, then storage.ErrBusy
//	   │
//	answer (posted, or refused for good), recorded under the key
//
// A key that was answered never waits for a lock, and is answered without one. Where the lock is to be had at once
// its look-up is part of the one that reads the fence. A credit takes no lock: a merchant's lock would be the queue of all customers. The lock is released
// on a context that outlives the caller, so that a caller who hangs up does not leave it to its
// time limit.
//
// A caller that goes away between any two steps leaves a journal with its answer, or neither. It
// learns which by asking again with the same key.
//
// # Two kinds of refusal
//
// What the request alone shows to be wrong (an amount of zero, a currency that is not dealt in) is a
// [*Refusal] and an error. It leaves nothing under the key: it needs no record to be repeatable, and a
// caller that mends its request may keep its key. What the books refuse (not enough money, no such
// recipient) is recorded under the key, comes back as an [Outcome] with a code, and stays refused under
// that key when the money has arrived since: one key, one answer.
//
// # Who may close a hold
//
// Who placed it, its recipient, or an internal app: each may capture it, in whole or in part, and void it. So a payer who
// placed a hold himself may take back his word, and a merchant who wants a guarantee has its app place the hold: of that
// the payer can do nothing but wait for its end. One thing is an app's alone: to capture a hold whose money goes
// outside. That is a withdrawal, and a user who could place such a hold and capture it would pay himself out.
//
// # Design notes
//
// A reversal without an amount asks for what is left of the original, and the posting decides how much that is in its
// transaction, with the accounts locked. Rejected: to look it up before, which is another amount by the time it is posted,
// and to try again until it fits, which a merchant's busy wallet can make long.
//
// Metadata are recorded as JSON with its names in order. They are hashed behind the other fields of a request, and only
// where there are any: a request of before there were any has the hash that it had.
//
// The wallet of somebody who never had money has no account rows. [Wallet.Balances] still lists every
// configured currency, with zeros: an app draws the list it is given, and "no entry" would be a special
// case in each of them. Accounts of currencies that are no longer dealt in are listed after those, as
// long as they are not empty: money does not become invisible by a change of configuration.
//
// A currency has the exponent that ISO 4217 gives it, or else the one that is configured, and without either there is no
// wallet. Rejected: to take two digits for granted, which shows a price of 1250 yen as 12.50, and to let the configuration
// overrule the list, after which amounts that are in the books already mean something else.
//
// The request hash covers the operation and the decoded fields, each with its length before it, and
// not the bytes of the body: a client library that sends its JSON with other spaces when it tries again
// is the same request.
//
// A statement goes through several accounts, one for each currency. Its cursor holds where each of
// them stands, so a page is a merge of primary-key scans and is not disturbed by entries that arrive
// while it is read. Rejected: a position in time, which repeats or loses entries of one instant;
// OFFSET, which does both and reads everything before the page.
//
// A filter by time starts with a binary search on the primary key (account, sequence), so a page of long ago costs
// what one of today does. Entries have the times of the processes that made them and may be out of their order by what
// clocks differ and a posting takes; the search allows for five minutes of that, and then looks at each entry. A clock
// that was further off can hide entries from a filter by time, never from the statement. Rejected: an index over the times,
// a second place to write to for every entry; times that posting pushes forward to those of the account, with which one
// clock that is a day ahead would put its day into every account that it deals with, and into theirs; a scan.
//
// The filters do not change what a page may cost: it looks at [MaxLooked] entries of each account, and is short where few
// of them are wanted. Rejected: an index for each kind, for the same reason; looking until the page is full, which
// for a kind that somebody never had is their whole past.
//
// A balance of the past has no held part. Journals of holds are not in order by account, so it would have to be
// added up from all holds that were made before; a total is what statements and bookkeepers ask for.
//
// A process that stops lets nobody wait for a lock: the wait (a minute) may be longer than the stop, and a
// write that is cut off leaves its caller guessing. It is refused with storage.ErrUnavailable, nothing is
// under its key, and another process takes it. Rejected: a stop as long as the longest wait.
//
// Without the lock no fence is passed. Two writers that hold no lock would only make each other stale,
// and it is the row lock and the conditional update that keep the balance above zero.
package wallet
