// Package sqlite is the embedded engine: one file, one writer, no server to install.
//
// It supplies package sqlstore with its dialect, the rules of its connections, the meaning of its
// error numbers and its schema. `tallystick dev` and the tests run on it; what production runs on is
// package mysql, behind the same contracts.
//
// It promises that what was committed survives the loss of the process and of the power (WAL with
// synchronous=FULL: the log is flushed before a commit returns), that readers never wait for the
// writer, and that a second process (the command line, beside a running instance) waits for its turn
// instead of failing. It refuses to open a database whose schema is behind or ahead, and to keep one
// in memory: a database that vanishes with its last connection has no place here, and tests use
// files in temporary folders, which are the real thing.
//
// # Design notes
//
// One writer. SQLite admits one writing transaction at a time. The pool for writing has one
// connection, so writers of this process queue in memory, first come first served, instead of
// polling a file lock; every transaction on it begins IMMEDIATE, because one that begins by reading
// and then writes cannot wait (SQLITE_BUSY_SNAPSHOT). So a write transaction has the database to
// itself, and the locking clauses of the dialect are empty. Readers have a pool of their own, set to
// query_only.
//
// Migrations. Each runs in one transaction, so a crash leaves nothing half done. Two processes that
// migrate at once are kept apart by a lock in a file beside the database (its name plus
// ".migrating"), held as an exclusive transaction of SQLite itself: portable, and freed by the system
// when its holder dies. The file stays, empty; removing it would let a third process lock another
// one of the same name. A plain BEGIN IMMEDIATE around the whole run was rejected: transactions do
// not nest, and each migration is to commit together with its own version.
package sqlite
