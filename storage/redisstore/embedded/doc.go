// Package embedded is a Redis-protocol server inside the process: what `tallystick dev` and the
// tests run on where there is no Redis to install. It is a real server on a TCP port of the loopback
// interface, and its clock runs, so that keys with a TTL go away by themselves.
//
// It keeps everything in memory and nothing over a restart, which is all that the rest of the
// program expects of Redis. It refuses addresses that other machines can reach. It is not for
// production: it is one lock around one map.
//
// # Design notes
//
// It is miniredis, whose TTLs stand still unless they are driven. Since 2.40 it can drive them by
// the clock itself, at each access (ClockTTL), so no goroutine of ours has to push it along with
// FastForward, and an expired lock is gone at the very next look rather than at the next tick.
package embedded
