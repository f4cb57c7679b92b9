// Package faultproxy is a TCP proxy that does to a connection what networks do: it delays, stalls,
// loses, cuts and refuses. The fault tests put one between each process and its database, and one
// between it and its Redis.
//
// It promises that between two calls of [Proxy.Set] every byte is treated alike, that a stalled byte
// arrives unchanged when the stall ends, and that a connection of which a byte was lost is cut at the
// latest when the fault ends: a TCP connection loses its end, never its middle. After [Proxy.Stop]
// nothing of it runs.
//
// It refuses to know a protocol. Faults of a protocol's own (a NULL where none can be, a Redis that
// answers LOADING) are tests of the rooms that speak it.
//
// Called by cmd/internal/e2e and cmd/internal/soak.
//
// # Design notes
//
// Why not toxiproxy or iptables and tc: the one is a server to install with an API of its own, the
// others need root and are felt by every process on the machine. Two goroutines for each connection
// are enough.
//
// [Deafen] is the fault that matters most and that chance rarely gives: the server gets the COMMIT,
// does it, and its answer is lost. It is why "the outcome is unknown" is a state of its own.
package faultproxy
