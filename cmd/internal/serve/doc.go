// Package serve is the frame that every request passes: listeners, the base Gin engine with its fixed
// order of middleware, the access record, health, metrics and the graceful stop.
//
// It promises that a request has an identifier, a deadline and a bounded body before any handler sees
// it; that it leaves exactly one access record, also when its handler panics; and that a stop answers
// what is in flight, ends the streams, and loses no log line.
//
// It refuses bodies over the limit (413), trusts no proxy that was not named, and never writes a query
// string, a header or the text of a panic to an answer or an access record.
//
// Its caller is cmd/tallystick, which mounts the rooms on the engine that [New] returns. Rooms do not
// import it: what they know about a request reaches its record through [Options.Describe], and the
// identifier reaches them in the X-Request-Id header of the answer.
//
// # The order
//
//	request id → access record → recovery → security headers → cross origin → deadline → body limit → handler
//
// The record stands outside recovery, so that a panic is recorded as the 500 it became. Headers come
// before whatever may refuse, so that refusals have them too, and a page of another origin that may call
// can read why it was refused. A test pins the order.
//
// # Graceful stop
//
// [Server.Stop] closes the listeners, ends the context of every stream (see [Stream]) so that long-lived
// answers finish by themselves, and waits for the requests in flight, but no longer than the shutdown
// timeout; what is left is cut. [Health.Leave] should be called first, so that balancers look away.
//
// # Design notes
//
// The access record is written by slog's JSON handler into a buffer that is flushed when 32 KiB are
// full, when the oldest line in it is 100 ms old, on any line of level warning or above, and on
// [Log.Close]. So a graceful stop loses nothing; a killed process can lose a tenth of a second of access
// lines, and none of the warnings. An unbuffered handler costs a system call per request. A queue with
// a goroutine behind it costs a copy and must drop lines or block when the sink is slow; the buffer
// blocks, because a log that silently thins out under load lies exactly when it is read.
//
// The frame is to cost little next to a handler that signs one token (about 30 µs), or that answers from
// memory over a kept connection. Measured on two shared cores, in one run with a bare Gin engine that
// has the same handler: signing 0.88 of its throughput in process, a GET over loopback 0.87; 2.3 µs and
// four allocations for each request (the benchmarks of this package report both). What that took,
// against 5.6 µs before:
//
//   - The context of a request ([context.Context] with identifier, record and deadline) is one
//     allocation, and makes a timer only when somebody waits for Done. A context.WithTimeout for each
//     request was 2.3 µs, most of it for timers that nobody waits for.
//   - Plain records (texts without escapes, numbers, durations) are encoded into the buffer directly;
//     slog's handler writes all others. slog for all was 1.0 µs more. A test holds the two encodings
//     against each other.
//   - Identifiers are 128 random bits of the runtime's ChaCha8 source, not of the operating system:
//     they need to be unlikely to collide, not unguessable, and the difference is a system call.
//   - The observers of the histogram are found in a map that is replaced as a whole, without a lock and
//     without building labels.
//
// The limit on bodies wraps the body only when its length is unknown: net/http already holds a body to
// its Content-Length, so a declared length can be judged without reading.
//
// Gin's mode is a variable of its package. It is set to release in [New], which every binary of ours
// calls; that is the one global this package touches, and the alternative is Gin printing its routes.
package serve
