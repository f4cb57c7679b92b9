// Command testrun is what "make test" runs: it finds the engines that the tests speak to over the
// wire, says which it uses, and runs go vet and go test -race with them.
//
// For MySQL and for Redis each, in this order:
//
//  1. the address in TALLYSTICK_TEST_MYSQL_DSN or TALLYSTICK_TEST_REDIS_URL,
//  2. a server that answers on its usual address on this machine and lets us in without a password
//     (not looked for with TALLYSTICK_TEST_OWN=1),
//  3. a server binary found on this machine, started on a free loopback port with its data in a
//     temporary folder, and stopped at the end,
//  4. the same after installing it with the system's package manager, where we may: as root, or with
//     CI set and sudo that asks for nothing.
//
// Chromium and Node are looked for in the same way, but for servers that run: the path of the program in
// TALLYSTICK_TEST_CHROMIUM or TALLYSTICK_TEST_NODE, one found on this machine, one installed.
//
// What is still missing then is skipped aloud by the tests, and with CI set it is a failure (of
// Node it is not: Chromium runs the same tests). The tests use databases of their own names; testrun
// counts them before and after, and fails if any stayed.
//
// Temporary files of tests are in memory where the system has a folder for that.
//
// The race detector watches everything but SQLite, which is C made into Go, and the SQL parser of TiDB:
// neither shares memory with us, and watching them took most of the time of the tests.
//
// Arguments are handed to go test: "go run ./cmd/internal/testrun ./storage/...".
package main
