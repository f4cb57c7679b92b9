// Package token mints and parses the signed tokens of Tallystick: access tokens (at+jwt), refresh tokens
// (rt+jwt) and tokens that are good on one connection alone (ct+jwt). It is the one place that knows their claims.
//
// It promises that
//
//   - equal claims under the same key give the same token, byte for byte, so that a token can be given
//     again without having been stored;
//   - whatever is minted parses to the claims it was minted from (times cut to whole seconds);
//   - a token is accepted only if all of this holds: it is at most [MaxToken] bytes; it is strictly
//     encoded; its typ is the one asked for; its alg is allowed and is that of the key it names; the
//     signature verifies; iss is ours and aud one of ours; sub, exp, iat, jti and client_id are there;
//     it was not issued in the future; it has not expired;
//   - a token that fails in nothing but its expiry says so ([ErrExpired]) and comes with its claims, so
//     that the caller can tell a superseded sign-in from one that ran out.
//
// It refuses to be set up without issuer or audience, and it never looks at a key that a token brings
// along or points at (jwk, jku, x5c, x5u). It does not know whether a session still lives: that is
// for whoever holds the feed.
//
// The authorization server mints and parses; guards parse.
//
// Sources: RFC 9068 (access token profile) §2.1, §2.2, §4; RFC 7519 (JWT) §4, §7.2; RFC 7515 §4.1.11
// (crit), §5.2; RFC 8725 (best current practices): §3.1, §3.2 algorithms by list and by key, §3.3 all
// checks, §3.8 and §3.9 issuer and audience, §3.10 no trust in received claims, §3.11 explicit typ,
// §3.12 the kinds of token exclude each other.
//
// # Design notes
//
// Leeway is for clocks that are ahead (iat, nbf), not for expiry. Guards forget that a session has
// ended when its last access token expires; with leeway on exp they would let the token of a
// superseded session in again for that long. Apps refresh ahead of expiry and lose nothing.
//
// The payload is written by hand in a fixed order, and read by a scanner that knows no escapes in
// names and no name twice. encoding/json takes "EXP" for "exp" and the last of two claims of one name,
// where another parser takes the first: two readings of one token is how checks are passed by.
// Signing, verifying and the checks of claims are those of golang-jwt, all turned on; ours come on top.
//
// Cost. Minting and parsing are little more than their signature; the floor is the bare signature over the
// same bytes in the same run, on two shared cores:
//
//	             floor     minted         by golang-jwt's maps    floor     parsed
//	    EdDSA    27 µs     29 µs (1.09)   39 µs (1.39)            53 µs     65 µs (1.22)
//	    ES256    34 µs     35 µs (1.04)                          100 µs    116 µs (1.16)
//	    RS256   971 µs    978 µs (1.01)                           33 µs     44 µs (1.35)
//
//	go test ./keys/token -run - -bench .
//
// aud is a text if it is one audience and a list if it is several (RFC 7519 §4.1.3).
package token
