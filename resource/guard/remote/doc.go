// Package remote makes a [guard.Guard] for a service that has nothing but HTTP access to the issuer: no
// database, no Redis.
//
// It promises what package guard promises: a session that has ended is refused within a second at worst,
// usually within milliseconds; a guard that has not heard for a second knows that it is blind, asks
// directly, and if nobody answers says 503, never 401 and never yes; a strict route asks each time.
//
//	                         here                                   in a process with the database
//	signature and profile    the issuer's JWKS                      the key ring
//	what has ended           GET /v1/session-events                 the feed in SQL, and the Redis stream
//	direct and strict        token introspection (RFC 7662)         the session's row
//
// It refuses to send its secret anywhere but to endpoints of the issuer's metadata that are as secure as the
// issuer, follows no redirect, and reads no answer longer than it has to be.
//
// Services of the company's own call it, see the example. Its client is a confidential one with the grant
// client_credentials and the scope sessions:watch. It needs no product: to clients that are registered with
// that scope introspection says why a session ended, as the stream does, so a refusal carries its reason
// also while the guard is blind, and on strict routes.
//
// Sources: RFC 8414 (metadata), RFC 7517 and RFC 8037 (keys), RFC 6749 §4.4 (the token of its own), RFC 7662
// (introspection), the HTML Living Standard on server-sent events, and package authserver/events, which
// documents the stream.
//
// # Starting and stopping
//
// [New] asks nobody. [guard.Guard.Start] fetches keys and snapshot and returns when the guard sees. If the
// issuer is away it returns an error; a service that wants to come up all the same goes on, and calls it
// again later: until then the guard is blind. [guard.Guard.Stop] ends everything.
//
// # How old what it heard is
//
// The stream's messages carry the server's monotonic clock, which is mapped to the reader's by the
// moment before the request was sent: see package authserver/events for why no stall, no burst of old
// messages and no clock can make a blind guard believe that it sees. On top of that, a stream
//
//   - that is silent for [silence] is dropped and opened anew, resumed where it was;
//   - is opened anew every [life], before the drift of two clocks adds up;
//   - whose messages come more than [maxTransit] after the server says it wrote them is opened anew:
//     an answer that was held up once would look late for ever;
//   - that vouches for its reader's future is dropped: one of the two machines was asleep.
//
// A message that cannot be read ends the stream. To pass over it could be to pass over an end.
//
// # Keys
//
// Keys are fetched again every half minute, and when a token names one that is not known, but for that
// reason once a second at most: strangers can cause no more. A key that the issuer withdrew is trusted for half
// a minute, and a minute longer for tokens that were verified with it (package guard). While the issuer
// cannot be asked, the keys that are known stay; a token that names another is refused with 503.
//
// # Design notes
//
// Why connections of its own, and HTTP/1.1 only, unless the service gives a client. With HTTP/2 the
// stream and the questions share a connection, and if that stalls, the guard is blind and dumb at once:
// the very moment for which the questions are there.
//
// Why introspection by the token and not a question by session identifier. It is the standard, and whoever
// asks has to hold the token, so nobody can enumerate sessions with it.
//
// Rejected: to keep the set over a restart, or to serve from what was last known while the issuer is
// away. A set that is old is a guard that is blind.
package remote
