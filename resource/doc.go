// Package resource assembles the wallet service: the rooms below it, and one table of routes.
//
// It promises that every route stands in [Server.Register] with the scope and the kind of token that it
// needs, and that a server with a missing part is not built. It owns nothing else: money is package
// wallet's, HTTP package walletapi's, refusals package problem's, tokens package guard's, the document of all of it
// package apidoc's, and package books proves the ledger. It does not know the authorization server. Package main of the binary calls
// it, and so does whatever wants the wallet without HTTP, through [Server.Wallet].
//
// A wallet write may wait for the payer's lock for as long as wallet.Config.LockWait says (60 s unless
// told otherwise): deadlines and write timeouts of the listener in front must be longer.
package resource
