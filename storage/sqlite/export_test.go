package sqlite

import (
	"database/sql"

	"github.com/tallystick/tallystick/storage/sqlstore"
)

// Pools opens the pools as Open does, for tests that look at their connections.
func (c Config) Pools() (write, read *sql.DB, err error) {
	if write, err = c.writer(); err != nil {
		return nil, nil, err
	}
	read, err = c.reader()
	return write, read, err
}

// Classify is what the store goes by.
func Classify(err error) sqlstore.Fault { return classify(err) }
