// Package tokeninfo answers for tokens that exist: it revokes them, says whether they stand, and tells
// a token's user about themselves.
//
// It promises that when a revocation is answered the end is durable and this process has acted on it;
// that a revocation touches nobody but the one who revokes; that introspection asks the store each
// time, so that a sign-in answered before the request is always seen; and that about a token that does
// not verify it says nothing at all. Whatever fails in passing is temporarily_unavailable, never
// "inactive".
//
// It refuses public clients at introspection, and clients that revoke what is another's.
//
// The authorization server mounts [Endpoint.Revoke], [Endpoint.Introspect] and [Endpoint.UserInfo], the last
// behind a guard that lets in users' tokens only.
//
// Sources: RFC 7009 (revocation); RFC 7662 (introspection); OpenID Connect Core 1.0 §5.3 (userinfo).
//
// # What revocation does
//
//	refresh token                       its family signs out: the descendants of one sign-in. The last
//	                                    family out ends the session (signed_out)
//	access token of a session           ends the session (signed_out), if its holder is the only member
//	                                    that the session ever had
//	   … that others share, or did      unsupported_token_type, and the advice to revoke the refresh token
//	access token of client credentials  is dead everywhere until it would have expired
//	unknown, malformed, ended, expired  200, and nothing (RFC 7009 §2.2)
//	of another client                   invalid_grant, and nothing
//
// A refresh token that was used, or is past its time, still says whose the family is: revoking it
// signs that family out. A client that lost the answer to its last refresh has no other.
//
// token_type_hint says where to look first and changes no answer (RFC 7009 §2.1, RFC 7662 §2.1).
//
// # What introspection tells
//
// Any confidential client may introspect any access token: who can present it holds it, and can read
// all of it but whether it still stands. No scope is asked for: it would keep nobody out, since the products
// of one company register their own clients, and RFC 7662 §4 wants authorization as a defence against
// guessing tokens, which signatures are already.
//
// What is not in the token is kept for those who have to do with it, its own client and the clients
// of its product: the user name, and why it has ended, with the sign-in that superseded it. A resource
// server of another product learns active or not.
//
// A client that is registered with the scope of the feed of ended sessions (sessions:watch) is told why
// a token has ended as well, whatever its product: the feed tells it every end with its reason, and a
// guard that is blind or strict asks here for what it would have heard there. It is not told the user
// name, which the feed does not tell either.
//
// A refresh token is nobody's business but its client's: to all others it is inactive. One that was
// exchanged is inactive without a reason.
//
// # Design notes
//
// The access token of a shared session does not say who holds it: all members have the same bytes.
// Ending the session by it while only one member lives was rejected: clients that sign out revoke both of
// their tokens, and the second would end the session of the one who stays.
//
// A member without a refresh token (its client may not refresh) is not counted, here or by the store,
// and goes when the last one goes who has one.
//
// Userinfo checks the session by the row it reads for session_data, so it is as strict as a wallet
// write and costs nothing more.
package tokeninfo
