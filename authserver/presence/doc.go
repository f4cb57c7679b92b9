// Package presence keeps when each session was last seen, without a write for each request.
//
// It promises that noting costs a lock and a place in a map, never a wait; that what it holds is
// bounded; that times reach the store in batches, every [Config.Every] and when it stops; and that
// losing all of it harms nobody: a list of devices shows an older time, and a concurrent slot, which
// evicts the session that was used least recently, judges by what is stored.
//
// It refuses to keep a request waiting for the store, and to write for a session more than once in a
// batch.
//
// Every process that guards requests has one: the guard's observer calls [Book.Note].
//
// # Design notes
//
// Times that could not be written are kept and written with the next batch, unless newer ones have come.
// With no room left, sessions that are new to the book are not noted: those that are there lose
// nothing, and a refresh writes the time as well.
//
// Writing each time in its request, at most once a minute for each session, was rejected: it puts the
// store into the path of requests that need nothing of it.
package presence
