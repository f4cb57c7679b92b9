// Package keys is the key ring: it makes, publishes, rotates and retires the keys that sign tokens, and those
// that clients encrypt passwords for.
//
// It promises that
//
//   - there is always exactly one key that signs at a given instant, in every process over one store;
//   - a new key is published (in [Ring.JWKS], and to every process) for [Config.Publish] before it
//     signs, and a key that has stopped signing stays published while a token of it may live;
//   - of processes that race to make the first key, or to rotate, one wins and all agree;
//   - looking up a key takes no lock and no store: [Ring.Signer], [Ring.SignerByID], [Ring.Verifier]
//     and [Ring.JWKS] read one immutable snapshot, whose keys were parsed once;
//   - the same bytes signed again by the same key give the same signature, with every algorithm, so
//     that a token can be minted again instead of being stored;
//   - a private key rests sealed, and prints redacted.
//
// It refuses to start without an encryption key or with one that does not open the stored keys; to
// retire a key that signs, or whose tokens may live, unless forced; to sign with anything but EdDSA
// (Ed25519), ES256 and RS256 with at least 2048 bits; and to let strangers who name keys that do not
// exist cause more than a few reads of the store a second.
//
// The servers and the command line open a ring; keys/token mints and parses with it. The package
// imports nothing of ours but keys/secret: whoever opens a ring adapts the store to [Store].
//
// Sources: RFC 7515 (JWS) §4.1.4; RFC 7517 (JWK) §4, §5; RFC 7518 §3.3, §3.4; RFC 7638 (thumbprints);
// RFC 7516 (JWE) §7.1; RFC 7518 §4.6, §5.3; RFC 8037 (Ed25519 in JOSE); RFC 6979 (deterministic ECDSA); RFC 5869 (HKDF); RFC 5208 (PKCS #8).
//
// # The life of a key
//
//	           Publish passes            the next key signs           Retire
//	Rotate ──► next ───────────► signing ──────────────────► verifying ──────► retired
//	                                                            (not before Keep, unless forced)
//
// All but retired keys are in the JWKS. [Ring.RotateNow] skips "next", for emergencies; other
// processes then meet the key's identifier before they have read of it, and read the store at once.
//
// # Keys to encrypt for
//
// An [Encryption] is a ring of its own over the same store (use "enc"): ECDH-ES over P-256 with A256GCM, as
// compact JWE. It lives as above, with encrypting and decrypting for signing and verifying. The key set names
// one of its keys, the one to encrypt for, so that a client has nothing to choose; what was encrypted for the
// one before opens until that is retired. A next key is not in the set: nobody has to know it beforehand.
//
// [Encryption.Open] takes one form and refuses others before it computes anything: other algorithms,
// compression (a small text could become a large one), critical extensions, more than [MaxSealed] bytes.
// Parsing and decryption are go-jose's: JWE is not our core, and its checks of points and curves are looked at
// by many.
//
// # Design notes
//
// One clock decides, the stored one. Which key signs is a function of the stored times and now, so
// that processes need not talk to each other to switch at the same instant. Rejected: a "current" flag
// that somebody has to move.
//
// Sealing. Private keys are PKCS #8 under AES-256-GCM with a random nonce. The associated data are
// identifier, use and algorithm, so that a sealed key cannot be moved to another row. The key is derived
// from the encryption key with HKDF, so that the same configured secret serves other purposes too
// ([Derive]) without two of them ever sharing a key. Rejected: XChaCha20-Poly1305, whose long nonce
// matters after billions of messages and not after a few hundred keys.
//
// Identifiers are RFC 7638 thumbprints: derived from the key, so that a row whose identifier and key
// do not belong together is noticed when it is opened.
//
// ES256 is made deterministic after RFC 6979; the method of golang-jwt draws a random nonce for each
// signature. Verification is the library's. Rejected: storing minted tokens, which would put bearer
// secrets into the database.
//
// A failed re-read leaves the ring as it was. A process that cannot reach its store goes on with the
// keys it knows; what it signs verifies everywhere for as long as Keep says.
//
// Another encryption key. A published key that does not open stops the start, and retired ones are not
// opened at all. So to change the encryption key, or after losing it: [RetireAll], then start with the
// new one; every token dies. Rejected: a list of old encryption keys, which have to be kept as safe as
// the new one for as long as they are there.
package keys
