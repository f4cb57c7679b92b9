package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/tallystick/tallystick/storage/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	hasTable     = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
	lockSuffix   = ".migrating"
	lockTries    = 60 // each waits for busyTimeout
	takeFileLock = "BEGIN EXCLUSIVE"
	dropFileLock = "ROLLBACK"
)

// Migrate brings the schema up to date, making the file if there is none, and returns what it applied.
// It may run in several processes at once.
func Migrate(ctx context.Context, c Config) ([]sqlstore.Applied, error) {
	db, err := c.writer()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	unlock, err := c.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate %s: lock: %w", c.Path, err)
	}
	defer unlock()
	applied, err := c.schema().Up(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("migrate %s: %w", c.Path, err)
	}
	return applied, nil
}

// Status tells how far the database has been migrated.
func Status(ctx context.Context, c Config) (sqlstore.Status, error) {
	db, err := c.writer()
	if err != nil {
		return sqlstore.Status{}, err
	}
	defer db.Close()
	status, err := c.schema().Status(ctx, db)
	if err != nil {
		return sqlstore.Status{}, fmt.Errorf("status of %s: %w", c.Path, err)
	}
	return status, nil
}

func (Config) schema() sqlstore.Schema {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sqlstore.Schema{Dialect: goose.DialectSQLite3, Files: files, HasTable: hasTable}
}

// lock keeps other processes from migrating until the function it returns is called.
func (c Config) lock(ctx context.Context) (unlock func(), err error) {
	beside := Config{Path: c.Path + lockSuffix}
	db, err := beside.pool(url.Values{})
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := takeLock(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(), db.Close())
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = conn.ExecContext(ctx, dropFileLock) // closing the file lets go as well
		_ = conn.Close()
		_ = db.Close()
	}, nil
}

func takeLock(ctx context.Context, conn *sql.Conn) error {
	for try := 1; ; try++ {
		_, err := conn.ExecContext(ctx, takeFileLock)
		if err == nil {
			return nil
		}
		if classify(err) != sqlstore.FaultRetry || try == lockTries {
			return err
		}
	}
}
