// Package metadata says what the server offers: the discovery documents and the public keys.
//
// It promises that what is advertised works and what does not work is not advertised: the documents
// are built from the endpoints and grants that the server has registered, never from a list of their
// own. It promises that the issuer in them is the configured one, byte for byte, since clients
// compare it. It refuses to make documents for an issuer that is not an absolute URL.
//
// The authorization server calls it when it is assembled; anybody reads the documents.
//
// Sources: RFC 8414 §2 and §3 (authorization server metadata, and where it lives for an issuer with a
// path); OpenID Connect Discovery 1.0 §4; RFC 7517 §5 (JWK set).
//
// # Design notes
//
// response_types_supported is required by RFC 8414 §2, which in §3.2 says that empty arrays are to be
// left out. Parsers insist on the first and do not mind the second, so it is there, and empty, as long as
// there is no authorization endpoint.
//
// The feed of ended sessions has no registered name, so its member carries ours in front:
// tallystick_session_events_endpoint (RFC 8414 §2 allows others than its own; clients that do not know it
// must ignore it). So does that of live connections, tallystick_live_endpoint, whose value is a ws or wss address.
//
// /.well-known/openid-configuration serves the same document with subject_types_supported beside it.
// Libraries look there for the key set and endpoints of any authorization server. What only concerns
// ID tokens is not in it: there are none.
//
// The documents cannot change while the server runs, so they are encoded once and carry an entity
// tag. The key set can, and so the ring is asked each time; it keeps its encoding too. Five
// minutes of caching are well below the time for which a new key is published before it signs.
package metadata
