// Package guard stands before every protected route: it verifies bearer tokens, refuses those whose
// session has ended, and tells handlers whose request it is.
//
// It promises:
//
//   - A request is let in only with an access token that verifies (RFC 9068), has not ended, has not
//     expired, and grants the scopes of the route. Handlers find the [Principal] with [From].
//   - A local check ([Guard.Require]) refuses a session within [Config.Blind], one second, after the
//     commit that ended it, on every node, whatever fails; usually within milliseconds.
//   - A strict check ([Guard.Strict]) refuses it from that commit on, with no exception.
//   - When it cannot tell, it says 503 with Retry-After, never 401, so that no app throws away a good
//     sign-in, and never lets in.
//   - Nothing is told about a token that does not verify.
//
// It refuses to know anything else: no user, no password, no route. It takes tokens from the
// Authorization header and nowhere else (RFC 6750 §2.1; not §2.2 and §2.3). It issues nothing and
// ends nothing; whoever ends sessions in the same process tells it with [Guard.Apply] before
// answering, to be seen at once.
//
// Its callers: the wallet's routes, the account pages of the authorization server, and services of
// the company's own, as in the example; those that have nothing but HTTP access to the issuer get theirs
// from package remote. RFC 6750 §3 (challenges and errors), RFC 9068 §4 (what is
// verified, by package token), RFC 6749 §3.3 (scope).
//
// # A check
//
//	signature and profile ──► ended? ──► expired? ──► scopes
//	  401, nothing more         401, why    401, why      403, what is missing
//
// The order is the promise: a token that is both superseded and past its time says superseded, or
// two devices would steal the sign-in back and forth. An expired token's session may have ended after
// the last event about it was forgotten, so before `expired` is said the session's row is read;
// that answer is kept for a second, or for a minute if it is final.
//
// # How it knows
//
// Most sessions have not ended. So the guard holds the set of what has, as long as an unexpired token
// may name it: sessions, single tokens by jti, and clients with the time up to which their tokens are
// dead. Absent from the set means live, without asking anybody.
//
// [Guard.Start] takes the set from SQL and then reads the feed every [Config.Poll], 200 ms: all events above
// the last number, and all that have none yet ([storage.Feed]), which misses no transaction however
// late it commits. Each complete reading moves the time at which the guard last knew everything, to
// when that reading began. Once that time is longer ago than Blind, the guard is blind: what is in
// the set stays refused, and everything else is read from its row, with bounds on how many reads run
// at once (64) and how long they take, and one read for all who ask about one token.
//
// [Config.Hurry], the Redis stream, shortens the wait and is believed no further: whether it is
// flushed, trimmed, cut off or never was makes no difference to what the guard may trust. There is no
// gap to detect in it, because nothing depends on there being none.
//
// Where a guard hears and whom it asks are two small interfaces: a [Source] tells it ends and up to when
// they are complete, an [Authority] answers for one token now. The feed and the sessions in SQL are
// adapted to them, package remote has others. What a guard takes in it hands on to its [Relay], so that
// a process reads the feed once, for itself and for those who watch through it.
//
// A strict check asks each time. Its answer is good however late it comes, so it may take
// [Config.StrictTimeout], 5 s, within what the request has left: on a machine that is loaded a late yes is better than a 503.
// That of a blind guard is worth nothing when it is older than Blind. The two do not share their places.
//
// A feed whose numbers went back (a restored database, a replica that took over) is read again from
// the beginning.
//
// # Bounds
//
// The set holds [Config.MaxEnded] entries of at most 84 bytes (measured, one million of them). When
// it is full the guard says so in the log and in a metric, and asks the store about everything that
// it does not know, until the last of what did not fit could matter no more: it forgets nothing
// silently. Device names, which it tells the superseded, are kept once each, 65534 at most; one that
// has no room is read from the session's row when somebody has to be told.
//
// Verified tokens are kept by SHA-256, so that no token can be read out of memory, until they expire
// and for one minute at most: then the signature is checked again, and a key that was retired in haste is
// trusted no longer than that. Tokens that do not verify are not kept, so strangers cannot fill the cache.
//
// # Design notes
//
// Why time since the last complete reading, and not sequence numbers on the stream. A stream can lose
// its tail, be flushed and begin anew, or stand still because nothing ends or because nobody can
// write: a reader cannot tell the last two apart, and every remedy (heartbeats, snapshots after
// gaps) is a protocol with cases of its own. Reading SQL five times a second costs each process one indexed
// query that returns nothing, and has one case: it answered, or it did not.
//
// Why an entry is a digest. Half a SHA-256 is 16 bytes for every kind of subject, and lets an entry be
// free of pointers, so that the garbage collector does not walk a million of them. Nobody who could
// look for a collision chooses session identifiers. A Bloom filter would be smaller, and would refuse live
// sessions now and then, or ask for each of those; it cannot say why a session ended, either.
//
// Why a cache of our own. It needs a bound, two generations and nothing else; the bounded caches
// looked at (otter v2 among them) have policies, buffers and goroutines for what is here a map lookup. Why
// shards with read locks and not a concurrent map: the set must be bounded and swept, and a read lock
// on one of 256 shards is not what a check spends its time on.
//
// Why strict checks never share an answer. Somebody else's read may have begun before the sign-in
// that this caller must see. The store may read for several of them at once, after all of them have asked. A blind local check may share, since [Config.DirectTimeout] is no longer
// than Blind.
//
// The clock steps of [Config.Now] do not matter as long as it is time.Now: distances are taken on its
// monotonic reading.
//
// # Measured
//
// go test -run '^$' -bench 'Check|Guarded' ./resource/guard, on two cores; one run on a quiet
// machine, and the range of three under a load of eight:
//
//	                                        quiet      part of one verification    loaded
//	check, nothing ended                    0.92 µs    0.009                       1.0–1.6 µs
//	check, 10,000 sessions ended            0.99 µs    0.010                       1.2–2.3 µs
//	check, 1,000,000 sessions ended         0.77 µs    0.012                       1.1–4.5 µs
//	guarded GET over loopback keep-alive    0.92 of the throughput of the bare Gin route (loaded: 0.89–1.04)
//
// A check allocates nothing. The set weighs 84 bytes an entry at a million, go test -run Million -v.
package guard
