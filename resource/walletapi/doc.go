// Package walletapi is the wallet over HTTP: it reads a request, calls package wallet, and writes what
// comes back. There is no arithmetic in it and no decision about money.
//
// It promises that a request is understood to the last byte or refused with a sentence that names the
// field: an unknown or repeated field, a wrong type, bytes after the end, an amount with a point in it.
// It promises that a write repeated under its Idempotency-Key gets the first answer, status and body
// byte for byte, with Idempotent-Replayed: true. Nothing it answers may be cached.
//
// Package resource mounts its handlers behind [guard.Guard.Admit]; a handler finds the caller with
// [guard.From], and answers 500 on a route that lets in the wrong kind of token. Every write is behind
// a strict guard, so that a replay, which posts nothing, is refused to an ended session as well. A
// user's token may act on that user's wallet alone: nothing in a path or body names a payer. A deposit
// wants an internal app's token and refuses a user's, whatever its scope.
//
// A statement as CSV (RFC 4180: a header row, CRLF, UTF-8) is sent as it is read, a page of the database at a time, and
// holds no connection to it while the client reads. The number of them is bounded, and so is the time that a client may
// take for a page. A memo that begins like a formula gets an apostrophe before it: it is somebody else's text, and
// spreadsheets run formulas. An answer that cannot be finished is cut, so that nobody takes a part for the whole.
//
// RFCs: 9110 (content types, Retry-After), 8259 (JSON), 9457 (problems, through package problem), 7240
// (Prefer: wait), 3339 (times), 4918 §11.3 (the status 423).
//
// # Design notes
//
// JSON is read by hand, token by token, against a list of fields. Rejected: encoding/json with
// DisallowUnknownFields, which matches names without regard to case, takes the last of two equal names,
// and puts U+FFFD for what is not Unicode; a memo must not change on its way into the books, and two
// programs that read one body must not see two amounts.
//
// Prefer: wait=N that cannot be read is ignored, as RFC 7240 §2 asks; one that was heeded is told back
// in Preference-Applied with the number that was used.
//
// The key of a write is read literally. A structured-field string ("…") is a key whose quotes are two
// of its characters: both ends only ever compare it.
package walletapi
