// Package outbox tells others what has happened in the ledger: it delivers every journal as an event, at least once and
// in order for each wallet, to webhooks and to a Redis stream.
//
// It promises:
//
//   - Every journal is one event. Its identifier is derived from the journal, so a redelivery carries the same one,
//     and a receiver that remembers identifiers acts once.
//   - A webhook is told of an event for the first time only after it has taken, or has been given up on for, every
//     earlier event of the users whose wallets it is about. Events of other users go on meanwhile.
//   - Nothing is lost by a crash. What was delivered just before one may be delivered again.
//   - Nobody who posts waits for it, and posting writes nothing for it.
//
// # Where events come from
//
// From the sealed chain ([storage.Sealed]): it numbers the committed journals without gaps, and the entries of each
// account in sequence. So a destination is a cursor over numbers, and a new one may begin anywhere. The chain is the
// truth, and is read over HTTP as GET /v1/ledger/events?after=NUMBER: by those who poll, and by those who have missed
// something, or doubt.
//
// # Events
//
// The body is {"id", "type", "timestamp", "number", "data"}. timestamp is when the journal was made; number is its place in
// the sealed chain. The types, by the kind of journal:
//
//	journal.posted    a transfer, deposit or withdrawal
//	journal.reversed  a reversal; data.original is what it undoes, all or in part
//	hold.placed       money was reserved; data.id is the hold
//	hold.captured     all or a part of it was taken; data.original is the hold
//	hold.voided       it was let go
//	hold.expired      it was let go because its time had passed
//	webhook.test      of no journal: an operator asks for it; number is 0
//
// data is {"id", "kind", "from"?, "to"?, "amount", "currency", "memo"?, "reference"?, "metadata"?, "original"?, "client_id",
// "created_at", "entries"}. from and to are users; one is missing where money comes from outside or goes there.
// entries are {"user"?, "amount", "balance_after", "sequence"}, amount below zero for money out; what only reserves money, or lets
// it go, has none.
//
// # Webhooks
//
// They follow Standard Webhooks (standardwebhooks.com): a POST with webhook-id, webhook-timestamp and
// webhook-signature, which is "v1," and the base64 of HMAC-SHA256 over "id.timestamp.body", once for each good secret.
// A rotated secret stays good for a day unless told otherwise. Any 2xx is taken; everything else is a failure, redirects
// too, which are not followed. 410 disables the webhook.
//
// A failed event is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, each up to a fifth later, or when Retry-After says, if
// that is later, up to a day. After that it is dead: it is listed, can be replayed, and holds nothing back any more.
// So after a dead event the later ones of its wallets do come; a receiver that must know of the gap compares entries'
// sequence or reads the chain. A webhook that has taken nothing for [Config.DisableAfter] though there was something is
// disabled; its place in the chain is kept, and when it is enabled it goes on from there.
//
// At most [storage.MaxWaiting] events of a webhook wait; while so many do, it takes in no more, and all of its wallets
// wait. What does not wait costs no row: a webhook that answers costs one update for many events.
//
// # Whom it calls
//
// Addresses are checked where the connection is made, after the name was resolved, so that a name cannot point elsewhere in between:
// only public addresses, unless [Config.Allowed] names the network. https only, unless [Config.AllowHTTP]. No
// proxy of the environment is used. Time, headers and the body of an answer are bounded.
//
// # The stream
//
// Each event is an entry of a Redis stream of bounded length, for consumers that want to hear quickly. It is hurry and not
// truth: the cursor says what was handed to Redis, and what Redis loses afterwards is not handed over again. Consumers
// who need every event use a webhook, or read the chain.
//
// # One process at a time
//
// Each destination has a row with an epoch. Whoever delivers has claimed it, and writes only if the epoch is still its
// own; so a process that was stopped past its time does not move a cursor back. It may still deliver what is under way: that is
// a repetition, and never an event before its turn, since a turn needs all earlier events of its wallets to be settled
// for the process itself.
//
// # Design notes
//
// A row for each event and endpoint, written in the posting transaction, was rejected: the hot path would pay for
// every endpoint. So was one cursor without rows for what waits: one wallet's poison would hold all others.
//
// Order is by user and not by account: a receiver keeps one user, and currencies of a user are few.
//
// Holding later events of a wallet back behind a dead one was rejected: a receiver that refuses one event would never hear of
// that user again, and nobody would notice.
package outbox
