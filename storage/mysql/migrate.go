package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/tallystick/tallystick/storage/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	hasTable = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"

	takeLock = "SELECT GET_LOCK(?, ?)"
	dropLock = "SELECT RELEASE_LOCK(?)"
	// lockWait is how long one statement waits for the lock: less than a connection waits for an answer.
	lockWait  = 5 * time.Second
	lockTries = 60

	countVersions = "SELECT COUNT(*) FROM " + sqlstore.VersionTable
	firstVersion  = "INSERT INTO " + sqlstore.VersionTable + " (version_id, is_applied) VALUES (0, 1)"

	noSuchTable = 1146
)

// ErrLocked says that another host has been migrating for too long.
var ErrLocked = errors.New("another host is migrating")

// Migrate brings the schema up to date and returns what it applied. It may run on several hosts at
// once, and again after it was killed.
func Migrate(ctx context.Context, c Config) ([]sqlstore.Applied, error) {
	db, err := c.pool()
	if err != nil {
		return nil, err
	}
	defer db.Close()
	v, err := readVersion(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("migrate mysql: %w", err)
	}
	if err := v.supported(); err != nil {
		return nil, fmt.Errorf("migrate mysql: %w", err)
	}
	applied, err := schema(hostLock{}).Up(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("migrate mysql: %w", err)
	}
	return applied, nil
}

// Status tells how far the database has been migrated.
func Status(ctx context.Context, c Config) (sqlstore.Status, error) {
	db, err := c.pool()
	if err != nil {
		return sqlstore.Status{}, err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	status, err := schema(nil).Status(ctx, db)
	if err != nil {
		return sqlstore.Status{}, fmt.Errorf("status of mysql: %w", err)
	}
	return status, nil
}

func schema(l lock.SessionLocker) sqlstore.Schema {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sqlstore.Schema{Dialect: goose.DialectMySQL, Files: files, HasTable: hasTable, Locker: l}
}

// hostLock keeps other hosts from migrating the same database, by a named lock of the server.
type hostLock struct{}

// SessionLock implements lock.SessionLocker. Once it has the lock it mends what a host that died
// may have left: a table of versions without its first row, which the migration library refuses.
func (hostLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	name, err := lockName(ctx, conn)
	if err != nil {
		return err
	}
	for range lockTries {
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, takeLock, name, int(lockWait.Seconds())).Scan(&got); err != nil {
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if got.Valid && got.Int64 == 1 {
			return mendVersions(ctx, conn)
		}
	}
	return fmt.Errorf("%w: not finished after %s", ErrLocked, lockTries*lockWait)
}

// SessionUnlock implements lock.SessionLocker.
func (hostLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	name, err := lockName(ctx, conn)
	if err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, dropLock, name); err != nil {
		return fmt.Errorf("release the migration lock: %w", err)
	}
	return nil
}

// lockName names the lock of the connection's database. Such locks are the server's, and their
// names are at most 64 characters, so that of the database is hashed.
func lockName(ctx context.Context, conn *sql.Conn) (string, error) {
	var database string
	if err := conn.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&database); err != nil {
		return "", fmt.Errorf("name the migration lock: %w", err)
	}
	sum := sha256.Sum256([]byte(database))
	return "tallystick.migrate." + hex.EncodeToString(sum[:16]), nil
}

func mendVersions(ctx context.Context, conn *sql.Conn) error {
	var n int
	err := conn.QueryRowContext(ctx, countVersions).Scan(&n)
	if e, ok := errors.AsType[*driverpkg.MySQLError](err); ok && e.Number == noSuchTable {
		return nil
	}
	if err != nil {
		return fmt.Errorf("count schema versions: %w", err)
	}
	if n > 0 {
		return nil
	}
	if _, err := conn.ExecContext(ctx, firstVersion); err != nil {
		return fmt.Errorf("mend schema versions: %w", err)
	}
	return nil
}
