// Package brake holds back whoever guesses passwords and secrets.
//
// It promises:
//
//   - A try is judged before any hash is computed, and counted as a failure before anybody looks at
//     it: however many tries come at once, on however many processes, no more are looked at than the
//     limits leave. A right one takes its count back.
//   - A refusal is 429 with Retry-After and {"error":"slow_down"}. It is the same for accounts that
//     exist and for those that do not, and for whatever limit was reached.
//   - Nobody who guesses from elsewhere keeps the owner out of an address where they have signed in
//     before, and no brake ever touches a session that lives: refreshing is not braked, nor is any
//     request with an access token.
//   - With Redis away it goes on in the memory of the process, which has counted along all the time.
//     With P processes at most P times the tries are let through; flushing Redis forgives once.
//   - A brake that engages leaves one audit record, not one for each try that it holds back.
//
// It refuses to know accounts: it is given names, and keeps digests of them under a key that is not
// in Redis. It refuses to lock an account for good, which anybody could then do to anybody.
//
// The password grant calls [Brake.Try], and so does whoever else checks a password, such as the
// change of one's own; where the check cannot be handed over as a function, [Brake.Allow] and then one
// of [Brake.Failed], [Brake.Succeeded] and [Brake.Undecided]. The authentication of clients calls
// [Brake.TryClient].
//
// It answers to NIST SP 800-63B §5.2.2 (rate limiting; §3.2.2 in revision 4), the OWASP Authentication
// Cheat Sheet, RFC 6749 §4.3.2 (the server must protect the password grant against brute force) and
// §2.3.1 (the same for client passwords), RFC 6585 §4 (429) and RFC 9110 §10.2.3 (Retry-After).
//
// # The scheme
//
// An address is known to an account for 30 days after a sign-in there. IPv6 addresses count by /64,
// which is what one customer gets.
//
//	from an address that is        judged by            free       then
//	known to the account           that pair alone      20         a pause of 30 s that doubles up to 1 h;
//	                                                               after 100 in a row, a day
//	not known                      the account, over    20         the same
//	                               all addresses
//	                               and the address,     100/hour   one each 36 s
//	                               over all accounts
//
// A failure from a known address counts on the account too, so that the account's number is that of
// NIST: failures since the last success, at most 100. A success forgives those of its own address and
// no others (NIST: "the verifier SHOULD disregard any previous failed attempts for that user from the
// same IP address"), or an attacker with an account and the owner's morning sign-in would wipe the
// slate. Counting by known addresses is among the means that NIST names against locking owners out
// ("an allowlist of IP addresses at which the subscriber has been successfully authenticated before").
//
// What that leaves an attacker: 20 tries at once and then 1, 2, 4 … 60 minutes apart make 100 in some
// 3½ days, and then a day of none: about 8,000 a year for one account from any number of addresses.
// One address over many accounts: 100 at once and 2,400 a day. Twenty free tries are far more than
// owners need: OWASP leaves the number open, NIST allows 100.
//
// What it costs the owner: nobody's guessing shows to whoever signs in from where they were before. On
// a new network, during an attack on this very account, a sign-in by password has to wait for its
// turn; live sessions, refreshing and signing in from a signed-in device do not.
//
// # Places that are no addresses
//
// A confidential client that signs users in speaks for all of them from its own address. Callers name
// it ("client:ID") instead: a text that is no IP address has its pairs and no limit of its own. Such a
// client should brake its own form by address; it alone sees who guesses.
//
// # Clients
//
// A generated secret has 256 bits and is not guessed; what is held back is noise, and secrets that
// somebody chose. So a client is judged by its pair (and for one that has never succeeded here after
// a failure, by its address), never by its name alone: whoever knows a client_id, which is public, could
// otherwise keep its owner's servers out. A pair without failures in this process is not asked for,
// so that tokens for machines cost no round trip.
//
// # Several tries on one account at once
//
// A try in progress holds a place of those that are left, or ten at once would be ten free. Bursts of
// right sign-ins on one account must not be refused for that, so at most four at once are in progress
// in a process, and others wait in memory, first come first served, before they are counted.
//
// # The code
//
// slow_down is registered for answers of the token endpoint (RFC 8628 §3.5) and says what is meant.
// invalid_grant was rejected: apps would tell their users that the password was wrong, and it was not
// looked at. temporarily_unavailable was rejected: it says that something is the matter here, and
// clients retry it by themselves, with the same guess.
//
// # Design notes
//
// Digests are HMAC-SHA256 under a key derived from the encryption key, cut to 128 bits: whoever reads
// Redis learns neither who exists nor who was tried.
//
// CAPTCHAs and proofs of work were rejected: the token endpoint has no page. Device cookies (OWASP)
// were rejected: apps would have to keep and send them, and a known address needs no help from the
// client. A device_id is no cookie: it is chosen by whoever sends it.
//
// A lock until an administrator lifts it was rejected: it is the attack.
//
// Counting failures only when they are known to be failures was rejected: between the question and
// the count there are 28 ms of hashing, and room for hundreds of tries.
//
// What strangers can make us keep is bounded by what they can make us hash: two counters and a bucket
// of about 100 bytes each for each try that was let through. The memory of a process keeps 65,536 of
// them, and forgets those not heard of for longest.
//
// An owner who succeeds while a guess from the same address is in progress forgives that guess too.
package brake
