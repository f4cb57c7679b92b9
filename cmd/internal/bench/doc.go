// Package bench measures an instance from outside: how long after the answer to a sign-in the session that
// it superseded is let in anywhere, and how many transfers a second it makes.
//
// It promises that what it reports is what guards in processes of their own did: each looks at the old
// token again and again, from before the sign-in until it refuses it, and says when that was. It promises to end by
// the number of kick-outs or the time it was given, whichever comes first, and to wait for nothing without a
// bound.
//
// It refuses to find the instance, its users and its clients, and to start processes in any way but the
// one it is handed: that is for the verb "tallystick bench", which calls it.
//
// # Design notes
//
// Times of two processes are compared on the clock of the machine, which both read, so all guards run
// where the bench runs. A clock that is set during the run spoils a sample; slewing does not matter at
// this scale. What is measured ends with the first refusal, found by a look every [look]; it is not corrected
// for that.
//
// A refusal before the answer has arrived counts as 0: the sign-in's own process and the stream are often
// faster than the answer.
//
// The strict check is asked by one guard in turn, right after the answer, while all others are looking:
// asked by all at once it would measure the load that it makes.
//
// # Measured
//
// tallystick bench kickout, 200 kick-outs, guards in four processes, on two cores under a load of six
// from other work; milliseconds, worst of three runs. On SQL alone a guard hears with its next reading.
//
//	feed      p50     p99     max    strict checks let in
//	http      0.0     2.5     57     0 of 200
//	stream    0.2     8.5     28     0 of 200
//	sql        55     118     118    (12 kick-outs; a reading every 100 ms)
//
// HTTP is the quicker one, since the process of the sign-in writes to its streams before it answers, and the
// stream is one more hop away.
//
// tallystick bench transfer --config FILE --target FILE --users 128 --clients 1,64 --seconds 3, on MariaDB 10.11 with a
// binary log and a flush at each commit, and Redis 7, all on two cores under a load of 18 from other work;
// transfers a second over HTTP, and as a part of what the ledger alone did in the same run:
//
//	clients      cold            one payee       one payer
//	1            70   0.92       73   0.99       55   0.52
//	64          365   0.33      422   0.30       80   0.07
//
// The aim of 0.6 with 64 clients was not met. What limits it, by a profile of the server: each transfer makes
// three reads of its own beside the group, for the strict check, the key and the fence, which take a fifth of the
// process and are not shared as the posting is. Sealing takes
// another sixth. One payer is limited by the lock: a round of Redis, a read and a group of one for each transfer.
package bench
