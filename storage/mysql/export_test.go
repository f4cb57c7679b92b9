package mysql

import "database/sql"

// Pool opens the pool as Open does, for tests that look at its connections.
func (c Config) Pool() (*sql.DB, error) { return c.pool() }
