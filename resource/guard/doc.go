// Package guard stands before every protected route: it verifies bearer tokens, refuses those whose
// session has ended, and tells handlers whose request it is.
package guard
