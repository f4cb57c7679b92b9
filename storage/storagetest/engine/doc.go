// Package engine gives tests real engines with the schema in place.
//
// [Each] runs a test on every engine there is: SQLite in a temporary folder always, and the server
// named by TALLYSTICK_TEST_MYSQL_DSN (a data source name without a database) when it is set, each
// time in a database of its own random name that is dropped afterwards. Without the variable that part
// is skipped aloud, and where CI is set a skip is a failure. [Open] is for tests that need a store and do
// not care which.
//
// It is for tests only, of any room, and the one package beside cmd that knows the engines.
//
// # Design notes
//
// A database for each test, not one that is emptied in between: creating and migrating one was
// measured at some 50 ms on MariaDB and 1 ms on SQLite (which copies a file that was migrated once),
// and tests that share nothing run in parallel.
package engine
