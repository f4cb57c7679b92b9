// Package client knows who is calling: it authenticates OAuth clients, says what each may ask for,
// and manages them.
//
// It promises:
//
//   - [Registry.Authenticate] tells a client by one method: client_secret_basic, client_secret_post
//     or none (public clients). An unknown client, a disabled one and a wrong secret are one error
//     with one text. Generated secrets are compared in constant time; unknown clients cost the same.
//   - Within [Config.CacheTTL] a client is not read again: the hot path touches no SQL and takes no
//     lock that a writer holds for long. A change is seen everywhere when the TTL is over, and in a
//     process that was told of it ([Registry.Forget]) at once.
//   - A secret is shown once, when it is made, and only its keyed hash is kept. The secret before it
//     stays good until its time is over ([Manager.RotateSecret]).
//   - [Manager.Create] lists every fault of a client at once.
//
// It refuses to answer from a cache that is too old: with the store away, the answer is
// temporarily_unavailable, never a guess. It refuses wildcards and prefixes in redirect URIs.
//
// The token, revocation, introspection and device endpoints call the registry, the command line and
// administration the manager. It answers to RFC 6749 §2.3, §3.2.1, §3.3, §5.2, RFC 6819 §5.1.4.1,
// RFC 8252 §7.3 (loopback redirects) and RFC 9700 §2.
//
// # Public clients and secrets
//
// A public client names itself by client_id. An empty secret counts as none, also in an
// Authorization header (RFC 6749 §2.3.1 lets an empty one be left out, and libraries send "id:").
// A secret that is not empty is refused: the client has none, so somebody is confused about which
// client this is, and a secret that anyone may read in an app should not look as if it worked.
//
// # Cost
//
// Authenticating by Basic, with the rules for grant and scope, takes 0.8 µs and two allocations;
// beside one Ed25519 signature that leaves 0.97 of the rate of signing alone. The benchmark fails
// below 0.9:
//
//	go test -run '^$' -bench Authenticate -benchtime 300x ./authserver/client
//
// # Design notes
//
// Hashes of secrets. A generated secret has 256 random bits, so nobody can try them all, and one
// HMAC-SHA256 under a key that is not in the database is enough: "hmac-sha256$" and 43 characters of
// base64url. The client's name is part of what is hashed, so that a hash copied to another row is
// worth nothing there. A secret that somebody chose gets a slow hash of [Passwords]; once it has proved
// right, the process remembers its HMAC under a key of its own for as long as the stored hash is the
// same, because 28 ms for every call is not a price for a machine to pay.
//
// The cache is a map with a bound, not a library: all that is needed beside a TTL is that a load
// which began before [Registry.Forget] cannot put back what was forgotten, and that strangers' made-up
// names cannot push out real ones, so unknown names have a small map of their own. Loading is shared
// by all who wait for it, and goes on when the first of them goes away.
//
// A secret that is new on another node is refused here for up to the TTL. Reading again on each wrong
// secret was rejected: it gives a stranger a way from outside to SQL.
package client
