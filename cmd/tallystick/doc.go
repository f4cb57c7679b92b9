// Command tallystick is an OAuth 2 authorization server for a company's own products, and the wallet
// service behind it.
//
// There is one file for each verb, and wire.go, the only place where every room meets. Verbs check
// what they are given, call one method of a room and print what it returns; they decide nothing.
//
// # Design notes
//
// A verb says which database it means with --config FILE or --data-dir DIR, never with both and never
// by a default: the wrong database is the most expensive typing mistake there is.
//
// Users are named by their user name, or by their identifier behind --sub. An argument that may be
// either was rejected, because a stranger may choose a user name that looks like somebody's identifier.
//
// Passwords and secrets are never arguments, where every user of the host can read them.
package main
