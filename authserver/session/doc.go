// Package session opens sessions, continues them and ends them, and tells everybody who must know.
//
// It promises that every grant that signs a user in goes through one function, [Book.Open], so that
// no way to sign in can forget the run mode of the slot; that a session's end is durable, with its
// event and its audit record in the same transaction, before anybody hears of it; and that when Open,
// Continue or End return, this process has acted on the ends and other processes have been sent them.
// It refuses to decide modes (the rule names them, the store applies them) and never sees a token: it
// is handed stamps and hashes.
//
// The token endpoint calls it, and every room that ends sessions.
//
// # Design notes
//
// The order after the commit is: the local hook, then the announcer, then the return. The hook is
// this process's guard; were it to run after the answer was written, a client could use its new token
// and, on the same node, still see the old one accepted. The announcer may lose everything: guards
// also read the feed, which the transaction has written.
//
// Announcing runs on a context that does not end with the request: the client that hangs up right
// after its sign-in has committed must not keep the news from the other nodes.
//
// An error of Open may leave it open whether the session was made ([storage.ErrUnavailable]): the
// client tries again and its slot settles in the newer session. The alternative, looking the session
// up before answering, asks the very store that has just failed to answer.
package session
