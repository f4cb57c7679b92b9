// Package failpoint names the places at which a test may have the process die or dawdle.
//
// What a crash leaves behind is decided by the instant at which it comes: before a commit, after it
// and before anybody has been told, after everybody has been told and before the answer. A test that
// kills from outside hits such an instant by luck. Here the process does it to itself, by SIGKILL: no
// deferred function runs, no buffer is flushed, exactly as with kill -9.
//
// It promises that a binary built as usual does not pay for it and cannot be switched on: there
// [Reach] is an empty function, which the compiler inlines away together with its constant arguments,
// and the environment is not read; nothing refers to the rest of the package, so the linker leaves it
// out. Only a binary built with "-tags failpoint" has anything to switch on; the tests over built
// binaries make one for themselves, and also prove that a usual binary does not care.
//
// Such a binary reads TALLYSTICK_TEST_FAILPOINT once, at the first point that it reaches:
//
//	TALLYSTICK_TEST_FAILPOINT="open session/committed=kill"
//	TALLYSTICK_TEST_FAILPOINT="post/commit=kill@3; number events/commit=sleep:300ms"
//
// A point is a room's word for what it does, and the step. The transactions of the store are named as
// in its errors, each with the steps commit (everything is done but the commit) and committed. The
// rooms above add their own:
//
//	open session/commit, …/committed           a sign-in: nothing has happened; all has, and nobody knows
//	end sessions/commit, …/committed           a kick, a ban, a sign-out
//	rotate refresh token/commit, …/committed   a refresh
//	post/commit, …/committed                   a wallet posting, alone or in a group
//	add key/commit, …/committed                a rotation of keys
//	number events/commit, …/committed          the feed's numbering
//	tell/applied                               the process itself refuses what has ended; others do not know
//	tell/announced                             the announcement waits to be pushed; there is no answer yet
//	announce/pushed                            Redis has it
//
// An action is kill, or sleep with a duration up to a minute. With @N it happens only the Nth time that
// the point is reached, and without it every time. What cannot be read stops the process with a panic:
// a test whose point is mistyped must not pass for want of a crash.
//
// It also has the process live at another time, within a day of the right one, so that a test can have
// machines whose clocks disagree:
//
//	TALLYSTICK_TEST_CLOCK="-1h"
//
// Called by cmd/tallystick, storage/sqlstore, storage/redisstore and authserver/session; it imports nothing of ours.
//
// # Design notes
//
// Why not a configuration key or a hidden flag: whoever can set the environment of a production process
// could then stop sign-ins at will, and the code that dies would be in what is shipped. A build tag
// keeps it out of the file.
//
// Why not libfaketime for the clock: it stands between a program and its C library, and ours asks the
// kernel.
//
// Why not hooks in each room's Config: a dozen fields that production never sets, each with a nil check
// on the road of a commit, and the wiring would differ between what is tested and what is shipped. One
// line at the place says the same.
//
// Why not a library with rewriting of the source (pingcap/failpoint, gofail): what is tested would not
// be what stands in the repository, and a build step more has to be got right by everybody.
package failpoint
