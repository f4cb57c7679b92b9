// Package grant is the token endpoint: one pipeline, and one file for each grant.
//
// Every request takes the same road:
//
//	parse once → authenticate the client → may it use this grant →
//	    sign-ins:            product, terminal, scope, device → prove → open the session → mint
//	    client_credentials:  scope → mint
//	    refresh_token:       exchange → mint
//	→ count, record → write
//
// It promises that no grant can skip a step: a grant that signs users in is a [Prover], which says
// who the user is and never sees a session or a token. It promises that a sign-in's answer leaves
// after the commit that superseded the session before it, and after this process has acted on that.
// Whatever fails in passing is temporarily_unavailable, never an invalid_grant that would make an app
// throw away a good sign-in.
//
// A password is looked at only if the brakes on guessing allow it, before it is hashed; refreshing is
// never braked.
//
// It refuses parameters it cannot tell apart (repeated, in the query), values that are too long or
// have control characters, session_data of public clients, and client assertions. About a refresh
// token that does not verify it says nothing but that.
//
// The authorization server mounts [Endpoint.Token]; rooms that take a grant's parameters by other
// roads call [Endpoint.Redeem]; [Endpoint.SignIn] takes them as JSON, from a connection: then only grants that
// sign a user in are served, and the answer is a connection token.
//
// Sources: RFC 6749 §3.2, §4.3, §4.4, §5 and §6; RFC 9700 §2.2 and §4.14.
//
// # Encrypted passwords
//
// encrypted_password replaces password: a compact JWE (ECDH-ES, A256GCM) for the key of use enc at jwks_uri, of
//
//	{"password": "…", "nonce": "16 to 128 bytes, never sent before", "iat": seconds since 1970}
//
// It keeps passwords out of the logs and memories of whatever ends TLS before this server. A copy of the request
// is good for nothing: the nonce is used up, in the database and before the password is looked at, and iat must
// be within 60 seconds of the server's clock. A client whose clock is wrong is told server_time. So each
// request is encrypted anew, also the repetition of one that failed or whose answer was lost.
//
// The brakes come before the decryption. A text that does not open, and one that holds nonsense, is answered
// alike and is no guess: it told nobody anything about a password.
//
// # Design notes
//
// A sign-in's parameters are checked before its proof: they cost nothing to check, and a request that
// is refused for its scope must not have used up a single-use code, or a core for 28 ms.
//
// session_data belongs to the session. Who joins a shared one finds the data of the sign-in that
// opened it.
//
// A client gets a refresh token if it may use the grant refresh_token: no other switch.
//
// Refused sign-ins that cost something (a password was hashed) leave an audit record with the name
// that was tried; what a stranger can do for nothing is only counted, or the record would be theirs to
// fill.
//
// client_credentials reads and writes nothing per token: the client comes from the registry's cache.
//
// # Measured
//
// Two cores, Go 1.26, loopback with kept connections, both sides taking turns in one run, median of nine:
//
//	go test ./authserver -run '^$' -bench 'ClientCredentials$|PasswordSignIn' -benchtime 1x
//
// client_credentials against a bare Gin route that signs one Ed25519 JWT with golang-jwt: 0.93 of its
// throughput. A password sign-in with its session on SQLite against nothing but argon2id with the same
// parameters: 0.92. Without the network, the handler takes 59 µs and 48 allocations, the bare route 73 µs
// and 81 (-bench Handler): two thirds of ours is the signature.
package grant
