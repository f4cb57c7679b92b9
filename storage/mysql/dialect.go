package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	driverpkg "github.com/go-sql-driver/mysql"

	"github.com/tallystick/tallystick/storage/sqlstore"
)

func dialect(v version) sqlstore.Dialect {
	d := sqlstore.Dialect{
		Name: "mysql", ForUpdate: " FOR UPDATE", ForShare: " LOCK IN SHARE MODE",
		InsertIgnore: "INSERT IGNORE INTO", UpdateFrom: updateFrom, Classify: classify,
	}
	if v.product == "TiDB" {
		d.ForShare = d.ForUpdate // see the package comment
	}
	return d
}

// updateFrom joins in the order that is written, whatever the optimizer thinks of the sizes.
func updateFrom(table, set, rows, where string) string {
	return "UPDATE " + rows + " STRAIGHT_JOIN " + table + " SET " + set + " WHERE " + where
}

// classify tells what an error means by its number
// (https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html; TiDB's begin at 8000).
func classify(err error) sqlstore.Fault {
	if e, ok := errors.AsType[*driverpkg.MySQLError](err); ok {
		return classifyNumber(e.Number)
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return sqlstore.FaultUnavailable
	}
	for _, lost := range []error{
		driver.ErrBadConn, driverpkg.ErrInvalidConn, driverpkg.ErrMalformPkt, io.EOF, io.ErrUnexpectedEOF, context.DeadlineExceeded,
	} {
		if errors.Is(err, lost) {
			return sqlstore.FaultUnavailable
		}
	}
	return sqlstore.FaultOther
}

func classifyNumber(n uint16) sqlstore.Fault {
	switch n {
	case 1062, // duplicate entry
		1586: // duplicate entry, with the name of the key
		return sqlstore.FaultDuplicate
	case 1213, // deadlock
		1205, // lock wait timeout
		1020, // record has changed since last read (MariaDB, snapshot isolation)
		3572, // NOWAIT would have waited
		8002, // TiDB: FOR UPDATE met a write conflict
		8022, // TiDB: commit failed, may be retried
		8028, // TiDB: the schema changed under the transaction
		9007: // TiDB: write conflict
		return sqlstore.FaultRetry
	case 1040, // too many connections
		1041, 1037, 1038, // out of resources, memory, sort memory
		1053,       // shutdown in progress
		1077, 1079, // server is going down
		1105,                   // unknown error: what proxies and TiDB say when a node is away
		1158, 1159, 1160, 1161, // packets lost on the way
		1203,       // the user has too many connections
		1226,       // the user is past a limit
		1290,       // running with --read-only
		1792,       // read-only transaction
		1836,       // read-only mode
		1021, 1114, // disk or table full
		1317, 1927, // query or connection killed
		2006, 2013, // server gone away, connection lost
		3024, 1969, // statement took too long
		3168,                               // server is not ready
		8027, 9001, 9002, 9003, 9004, 9005: // TiDB: its cluster is away or busy
		return sqlstore.FaultUnavailable
	}
	return sqlstore.FaultOther
}
