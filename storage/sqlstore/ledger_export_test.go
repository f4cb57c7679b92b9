package sqlstore

import "database/sql"

// Rewired is the store with its writes on another pool, which a test cuts.
func (db *DB) Rewired(w *sql.DB) *DB {
	return New(db.d, w, db.r)
}
