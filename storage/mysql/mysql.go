package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

const (
	defaultMaxOpen         = 32
	defaultConnMaxLifetime = 30 * time.Minute // so that connections find their way after a failover
	defaultConnMaxIdleTime = 5 * time.Minute
	dialTimeout            = 5 * time.Second
	ioTimeout              = 15 * time.Second // longer than sqlstore's longest transaction
	setupTimeout           = 10 * time.Second // for what Open asks the server

	sqlMode         = "'STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
	lockWaitTimeout = "4" // seconds; see the package comment
	setIsolation    = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
)

// ErrDSN says that the data source name cannot be read. It does not repeat the name.
var ErrDSN = errors.New("the data source name is not of the form user:password@tcp(host:port)/database")

// Config says where the server is and how many connections to keep. Zero values mean the defaults.
type Config struct {
	// DSN is a data source name of go-sql-driver/mysql; it must name a database.
	DSN secret.Text
	// MaxOpen bounds the connections (default 32), MaxIdle those that are kept unused (default MaxOpen).
	MaxOpen int
	MaxIdle int
	// ConnMaxLifetime and ConnMaxIdleTime bound the age of a connection (default 30 minutes, 5 minutes).
	ConnMaxLifetime time.Duration
	ConnMaxIdleTime time.Duration
}

// Open connects, checks that server and schema fit, and returns the store. Beside errors of the
// network it gives [ErrDSN], [ErrServerTooOld], [sqlstore.ErrSchemaBehind] and
// [sqlstore.ErrSchemaAhead]. The caller closes what it gets.
func Open(ctx context.Context, c Config) (*sqlstore.DB, error) {
	db, err := c.pool()
	if err != nil {
		return nil, err
	}
	d, err := check(ctx, db)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open mysql: %w", err), db.Close())
	}
	return sqlstore.New(d, db, db), nil
}

// check asks the server for its version and its schema, and returns the dialect that it speaks.
func check(ctx context.Context, db *sql.DB) (sqlstore.Dialect, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	v, err := readVersion(ctx, db)
	if err != nil {
		return sqlstore.Dialect{}, err
	}
	if err := v.supported(); err != nil {
		return sqlstore.Dialect{}, err
	}
	if err := schema(nil).Check(ctx, db); err != nil {
		return sqlstore.Dialect{}, err
	}
	return dialect(v), nil
}

// pool opens the pool without connecting.
func (c Config) pool() (*sql.DB, error) {
	parsed, err := c.driverConfig()
	if err != nil {
		return nil, err
	}
	inner, err := driverpkg.NewConnector(parsed)
	if err != nil {
		return nil, fmt.Errorf("open mysql: %w", ErrDSN) // the driver's error may hold the name
	}
	db := sql.OpenDB(connector{inner})
	open := orDefault(c.MaxOpen, defaultMaxOpen)
	db.SetMaxOpenConns(open)
	db.SetMaxIdleConns(orDefault(c.MaxIdle, open))
	db.SetConnMaxLifetime(orDefault(c.ConnMaxLifetime, defaultConnMaxLifetime))
	db.SetConnMaxIdleTime(orDefault(c.ConnMaxIdleTime, defaultConnMaxIdleTime))
	return db, nil
}

// driverConfig reads the data source name and lays down what must not depend on it.
func (c Config) driverConfig() (*driverpkg.Config, error) {
	parsed, err := driverpkg.ParseDSN(c.DSN.Reveal())
	if err != nil || parsed.DBName == "" {
		return nil, fmt.Errorf("open mysql: %w", ErrDSN) // the driver's error may hold the name
	}
	parsed.InterpolateParams = true
	parsed.ClientFoundRows = true
	parsed.RejectReadOnly = true
	parsed.ParseTime = true
	parsed.MultiStatements = false
	parsed.AllowAllFiles = false
	parsed.Loc = time.UTC
	parsed.Collation = "" // SET NAMES utf8mb4, and the columns bring their own
	parsed.Logger = log.New(io.Discard, "", 0)
	parsed.Timeout = orDefault(parsed.Timeout, dialTimeout)
	parsed.ReadTimeout = orDefault(parsed.ReadTimeout, ioTimeout)
	parsed.WriteTimeout = orDefault(parsed.WriteTimeout, ioTimeout)
	if parsed.Params == nil {
		parsed.Params = map[string]string{}
	}
	delete(parsed.Params, "transaction_isolation")
	delete(parsed.Params, "tx_isolation")
	parsed.Params["sql_mode"] = sqlMode
	parsed.Params["innodb_lock_wait_timeout"] = lockWaitTimeout
	return parsed, nil
}

func orDefault[T ~int | ~int64](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// connector sets the isolation level of every connection that it makes.
type connector struct{ driver.Connector }

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	exec, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver's connection executes nothing"), conn.Close())
	}
	if _, err := exec.ExecContext(ctx, setIsolation, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("set isolation level: %w", err), conn.Close())
	}
	return conn, nil
}
