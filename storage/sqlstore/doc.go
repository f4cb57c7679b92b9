// Package sqlstore keeps the durable contracts of package storage in SQL.
//
// It is written once, over the small [Dialect] that storage/mysql and storage/sqlite supply; they
// also own the schema, the connection rules and the translation of error numbers. Statements are
// plain text with ? placeholders, list their columns, read no clock, and rely on nothing that one of
// MySQL 8, MariaDB 10.6+, TiDB and SQLite lacks: no AUTO_INCREMENT, gap locks, savepoints, stored
// procedures, triggers, cascades or CHECK in what must hold.
//
// # Transactions
//
// [DB.write] runs a function in a transaction and runs the whole of it again when the engine says
// that it lost a deadlock or a lock wait: [writeTries] times with jitter, then
// [storage.ErrUnavailable]. Rows are locked in one order everywhere:
//
//	user → slot → session → refresh token → client → account (by name) → feed
//
// so that what deadlocks is rare rather than usual.
//
// # Design notes
//
// Reads outside transactions use a pool of their own on SQLite, whose single writer would
// otherwise be everybody's queue.
package sqlstore
