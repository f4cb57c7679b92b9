// Package mysql is the engine for production: MySQL 8, MariaDB 10.6 or later, and TiDB.
//
// It supplies package sqlstore with its dialect, the rules of its connections, the meaning of its
// error numbers and its schema. It refuses to open a server that is too old and a database whose
// schema is behind or ahead, each with one line that says what to do. No error of it holds the
// password of the data source name.
//
// # What every connection has, whatever the data source name says
//
//   - READ COMMITTED, set by SET SESSION TRANSACTION ISOLATION LEVEL: MariaDB 10.11 has no variable
//     transaction_isolation and MySQL 8 none called tx_isolation, so neither can stand in the data
//     source name. The contracts lock the rows that they decide on, so snapshots of a whole
//     transaction would only keep gap locks and stale reads around.
//   - A strict sql_mode with NO_ENGINE_SUBSTITUTION: a value that does not fit is an error, never cut.
//   - interpolateParams: one round trip for each statement instead of three. Measured: twice the
//     throughput of a transfer. Safe with utf8mb4, which the driver insists on for this.
//   - clientFoundRows: the affected rows of an UPDATE are the rows that its WHERE found, as in SQLite,
//     and not those that it happened to change. A conditional update names its winner by that count; a
//     winner that writes what was there already must not look like a loser.
//   - rejectReadOnly: after a failover, a connection to what is now a replica is dropped, and a new
//     one goes where the name points to.
//   - innodb_lock_wait_timeout of a few seconds: shorter than the longest transaction that sqlstore
//     allows, so that a wait ends on the server, where it holds other locks, and not only here. The
//     server's default of 50 seconds would leave it waiting long after its caller has gone.
//   - Time limits for dialling, reading and writing, unless the data source name sets its own.
//
// # Migrations
//
// DDL commits by itself on MySQL, so a migration that dies in the middle has done half of its work
// and is not recorded. Every statement of a migration must therefore be good to run again: CREATE
// TABLE IF NOT EXISTS, INSERT IGNORE, ADD COLUMN through a check of information_schema, each
// migration marked NO TRANSACTION (a transaction would be a claim that does not hold). A run that
// is repeated carries on where the last one stopped; a test stops one after each statement.
//
// Hosts that migrate at once are kept apart by GET_LOCK, a lock of the server that frees itself with
// its connection. The migration library's own lock for MySQL is a table with leases by the clock of
// the server; it polls every five seconds, and a host that dies leaves the others waiting for the
// lease, so it was rejected.
//
// # Design notes
//
// TiDB says LOCK IN SHARE MODE without doing it (or refuses it, by configuration), so a shared lock
// is asked for as FOR UPDATE there: correct, at the price that sign-ins of one user take turns.
//
// Galera with several writers is not supported: GET_LOCK is local there, and locks of rows are not
// seen by the other nodes until commit. Use one writer.
package mysql
