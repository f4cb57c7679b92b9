// Package redisstore keeps the hurried contracts of package storage in Redis 6 or later: it tells
// other processes what has ended ([storage.Announcer], [Store.Follow]), keeps one user's writes in
// order ([storage.Locker]) and counts what may be guesses ([storage.Brakes]).
//
// It promises speed and order, and nothing that must be true. Everything in Redis may vanish at any
// instant: what has ended is then found in SQL by polling, and locks are not had
// ([storage.ErrUnavailable]). It holds no session, no token, no balance.
//
// Its callers: the process that assembles the rooms opens a [Store] and gives it as Announcer to
// whoever ends sessions, as Locker to the wallet, as the hurry to the guard, and as Brakes to those
// who prove identities.
//
// # Where Redis is
//
// One server, a master watched by Sentinel, or a cluster; with an s in the scheme over TLS:
//
//	redis[s]://[user[:password]@]host[:port][/database]
//	redis[s]-sentinel://[user[:password]@]host[:port][,host[:port]…]/master[/database]
//	redis[s]-cluster://[user[:password]@]host[:port][,host[:port]…]
//
// User and password are percent-encoded, and with Sentinel they are those of the master. Ports
// default to 6379, those of Sentinels to 26379. Parameters behind a question mark: pool_size,
// sentinel_user, sentinel_password. Anything else is an error, and no error quotes the URL.
//
// [Open] does not connect: a process starts and serves without Redis. [Store.Ping] tells whether it
// answers.
//
// # Events
//
// Announce puts events into a bounded queue; a pusher sends what waits in one pipeline of XADD with
// MAXLEN. A sign-in never waits for it. What cannot be pushed is dropped and counted, since every
// reader of the stream also reads the feed in SQL. Follow reads behind the newest entry with XREAD
// BLOCK, over a connection of its own, and believes nothing: an entry that is no event, or that
// claims what no event can, is passed over.
//
// After a flush, or when a server takes over whose clock is behind, new entries may have lower
// numbers than those seen. So a reader that has heard nothing for a second compares, and begins
// anew with what is there.
//
// Whoever can write to Redis can announce ends that never were, and keep people out until their
// tokens expire. Redis is inside the trust boundary: give it a password, or TLS with one, where it
// is not on a network of its own.
//
// # Locks
//
// The lock is redislock's, 60 seconds unless configured, behind a [Queue]: within a process, first
// come first served for each user, and only the first waiter asks Redis, with pauses that grow from
// 4 to 40 milliseconds and jitter. Facts of redislock v0.10 that this package lives with:
//
//   - Without a retry strategy there is one try; a strategy counts, so one is made for each call.
//   - A wait that a context ends gives a joined error (errors.Is, not ==), or that of the context
//     alone, which then looks like a server that is away. So the strategy ends it.
//   - Release on a cancelled context leaves the key until its TTL, so it runs on one that outlives
//     the caller.
//   - Two holders with the same token are one holder, so no token is ever set here.
//
// A context does not cut a running command short (go-redis leaves that off by default): a lock that
// the server has given and nobody has heard of would stay until its TTL. The command's own timeout
// of half a second bounds it, and the one retry of go-redis carries the same token, which heals an
// answer that was lost.
//
// There is no fencing and no fairness between processes. What keeps the books right is in SQL.
//
// # Redis away
//
// Three commands that nobody answers open a breaker: for a second, further commands are refused at
// once with [storage.ErrUnavailable], then one of them tries. So a transfer does not wait for a
// connection that does not come.
//
// # Keys
//
//	PREFIX{events}          stream of events, at most about 16384; TTL one hour, renewed by each push
//	PREFIXlock:{USER}       a user's lock; TTL [Config.LockTTL]
//	PREFIX{brake}:KIND:DIGEST  failures of an account, of an account at an address, of an address; TTL
//	                        until they count no more, at most [storage.BrakeLimits].Known
//
// The part in braces is what a cluster places by.
//
// # Design notes
//
// A stream, not publish and subscribe: a reader whose connection broke for a second reads on where it
// was. Not consumer groups: every reader wants every event, and a group keeps state for readers that
// will never come back.
//
// Brakes are one script over three keys, so that a try is judged and counted in one step however many
// processes ask. The keys share one hash tag, so a cluster keeps all of them on one node: a try costs
// a slow hash of some 28 ms beside it, and both scripts of a sign-in together 0.12 ms, 2.5 times two
// bare round trips (go test -run '^$' -bench Brakes ./storage/redisstore). A tag for each account was rejected: a try counts on its account and on its address,
// and no tag is common to both.
//
// The lease is not handed over inside a process without giving it back to Redis: a process with many
// waiters would keep all others out, and a TTL that began with the first holder would run out on
// the last.
package redisstore

import "github.com/tallystick/tallystick/storage"

var (
	_ storage.Announcer = (*Store)(nil)
	_ storage.Brakes    = (*Store)(nil)
	_ storage.Locker    = (*Store)(nil)
	_ storage.Locker    = (*Queue)(nil)
)
