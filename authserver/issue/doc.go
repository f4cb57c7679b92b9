// Package issue makes token pairs, and exchanges refresh tokens for new ones.
//
// It promises that tokens are minted from committed rows alone, so that a token exists only for a
// session that does; that the same row gives the same bytes, in this process or any other, before or
// after a restart; that a refresh token is exchanged once, however many present it at once; and that
// nothing stored would let a reader of the database present a token.
//
// It refuses to say who may have tokens (the grant has proved that) and to open sessions. A refresh
// token that does not verify is refused without a word about sessions.
//
// The token endpoint calls it: [Issuer.Draft] before the session is opened, [Issuer.Pair] after;
// [Issuer.Renew] for refresh tokens; [Issuer.Machine] for client credentials.
//
// Sources: RFC 6749 §5.1 and §6; RFC 9068 §2.2 (claims; sub of client credentials); RFC 9700 §4.14
// (rotation and reuse detection).
//
// # The access token of a shared session
//
// The session's row keeps a [storage.Stamp]: jti, key, iat, exp. Whoever joins with the client and
// scope of the sign-in that opened it gets a token of exactly these, and so the same bytes. A joiner
// with another client or scope needs another token, since both are claims, and another token needs a
// jti of its own, since tokens are revoked by it. Its jti is derived:
//
//	base64url(SHA-256("tallystick access token" 0 stamp.JTI 0 client 0 scope)), cut to 128 bits
//
// so that all joiners of a kind share one token too, and nothing more is stored. A refresh that asks
// for less scope (RFC 6749 §6) derives its jti in the same way.
//
// # The chain of refresh tokens
//
// The first jti of a chain is 256 random bits. Each next one is HMAC-SHA256(chain key, jti presented).
// All who present the same token at once therefore propose the same successor; the store commits one
// of the proposals, which is everybody's. Stored is the SHA-256 of a jti. So an answer that was lost
// can be given again, by any process, from the row and the presented token, though neither token is
// kept anywhere.
//
// # The same answer
//
// "The same answer" to a refresh token that is presented again within the window means the same two
// tokens, byte for byte. expires_in and refresh_token_expires_in are what is left at the time of
// the answer: they are durations, and the earlier ones would be wrong by then.
//
// # Design notes
//
// A key that signed a stamp may have been retired by force since. Then the token is minted with the
// present key: other bytes, the same jti and times. To refuse would sign everybody out because of a
// rotation of keys.
//
// A chain key that has changed between an exchange and its repetition makes the successor impossible
// to mint again. That is refused as a server fault: handing out a token whose hash is stored nowhere
// would sign the user out at the next refresh instead, and less explicably.
//
// Rejected: storing the successor's jti, encrypted. It needs the same key and one column more, and
// two racing proposals would differ.
//
// Rejected: a random jti for each joiner's token, stored with its refresh token. It gives every
// joiner a token of its own, which is what shared is not.
//
// Client credentials write and read nothing: a key, 128 random bits, a signature.
//
// Scope on refresh is checked before the exchange, at the price of one read, and only when the
// request has a scope: a request that is refused must not have used up its token.
package issue
