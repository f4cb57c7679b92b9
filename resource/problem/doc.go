// Package problem is the wallet's one writer of error bodies: problem+json (RFC 9457) with a stable
// code.
//
// It promises that a status, a title and a code belong together in one table, that every handler's
// error ends in that table, and that a cause which is not meant for the caller goes to the log and
// nowhere else. It refuses to guess: an error that it does not know is a 500 without a word about it.
// Package walletapi hands it its handlers; package resource gives [Recorded] to the wallet, so that a
// refusal is stored under its key in the very bytes in which it is answered.
//
// A token that is not good is no problem of the wallet's: guard answers it (RFC 6750), also when it is
// the posting transaction that found the session ended.
//
// # Design notes
//
// type is a URN that ends in the code. Rejected: "about:blank", with which RFC 9457 asks for the title
// of the HTTP status, so that half of the refusals would be called "Unprocessable Entity"; an address
// of a page, which has to be kept alive for as long as anybody has a log with it.
//
// The request id is in the body of an answer with status 500 or above, where the caller has somebody
// else to ask. The other problems are told by what the caller sent, and some of them are recorded under
// an idempotency key and repeated byte for byte: an identifier of the first request would be wrong in
// the second.
package problem
