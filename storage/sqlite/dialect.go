package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tallystick/tallystick/storage/sqlstore"
)

// dialect says what differs here. A write transaction has the database to itself, so nothing more
// has to be locked.
func dialect() sqlstore.Dialect {
	return sqlstore.Dialect{Name: "sqlite", InsertIgnore: "INSERT OR IGNORE INTO", UpdateFrom: updateFrom, Classify: classify}
}

// updateFrom: the table is updated by its key, so it is the one that is looked into.
func updateFrom(table, set, rows, where string) string {
	return "UPDATE " + table + " SET " + set + " FROM " + rows + " WHERE " + where
}

// classify tells what an error means by its number. The low byte of an extended result code is the
// primary one (https://www.sqlite.org/rescode.html).
func classify(err error) sqlstore.Fault {
	e, ok := errors.AsType[*modernc.Error](err)
	if !ok {
		if errors.Is(err, driver.ErrBadConn) || errors.Is(err, context.DeadlineExceeded) {
			return sqlstore.FaultUnavailable
		}
		return sqlstore.FaultOther
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return sqlstore.FaultDuplicate
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return sqlstore.FaultRetry
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
		return sqlstore.FaultUnavailable
	}
	return sqlstore.FaultOther
}
