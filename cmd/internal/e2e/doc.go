// Package e2e holds no code: its tests speak the contract over HTTP to the built binary, as its users
// do, and do to it what happens to it: they run it as one process and as two, kill it in the middle
// of transfers, and flush, stop and restart its Redis.
package e2e
