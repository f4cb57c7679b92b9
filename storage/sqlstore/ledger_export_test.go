package sqlstore

import "database/sql"

// Rewired is the store with its writes on another pool, which a test cuts.
func (db *DB) Rewired(w *sql.DB) *DB { return New(db.d, w, db.r) }

// Writer is the pool for writing, so that a floor is measured on the same connections.
func (db *DB) Writer() *sql.DB { return db.w }

// Retry says whether a transaction that failed with the error may be run again.
func (db *DB) Retry(err error) bool { return db.d.Classify(err) == FaultRetry }

// Narrow leaves room for so few to wait in a group that is not started yet.
func (g *Group) Narrow(waiting int) { g.queue.limit = waiting }

// GroupWorth is how many make a second group.
const GroupWorth = groupWorth
