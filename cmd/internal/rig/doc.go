// Package rig builds Tallystick and runs it as its operators do: binaries, a Redis and a MariaDB of its
// own, a configuration, clients and users made on the command line. The tests over built binaries and
// the soak stand on it.
//
// It promises that whatever it starts is stopped when its owner says so, that a server which is started
// again is found at the same address with the same data, and that nothing listens anywhere but on
// loopback. Errors carry the last output of the program that failed.
//
// It refuses to know the testing package: what it cannot do it says with an error, and tests decide
// whether that skips or fails. [ErrMissing] says that a server is not installed.
//
// Called by cmd/internal/e2e and cmd/internal/soak.
//
// # Design notes
//
// Servers of its own, rather than those that make test found: a fault test stops and kills them, and
// others use those.
package rig
