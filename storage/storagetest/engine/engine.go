package engine

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage/mysql"
	"github.com/tallystick/tallystick/storage/sqlite"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

// EnvMySQL is the environment variable that names the MySQL server of the tests.
const EnvMySQL = "TALLYSTICK_TEST_MYSQL_DSN"

const (
	setupBudget = time.Minute
	// A server admits some 150 connections unless it is told otherwise. Of them the stores of all tests that
	// run at once share serverShare, and each may open at least fewest and at most most.
	serverShare = 128
	fewest      = 4
	most        = 16
	// tooMany is the number of the error of a server that has no connection to give, and roomPause how long
	// a test waits before it asks again.
	tooMany   = 1040
	roomPause = 50 * time.Millisecond
)

// maxOpen bounds the connections of one store: go test runs as many packages at once as there are
// processors, and as many tests in each.
func maxOpen() int {
	n := runtime.GOMAXPROCS(0)
	return min(max(serverShare/(n*n), fewest), most)
}

// Engine is one engine with one database, which starts empty but for the schema. The data outlives
// each store that is opened on it, so that closing one and opening another is a restart.
type Engine struct {
	// Name is "sqlite" or "mysql".
	Name string
	// Path is the file of a SQLite database; empty for others.
	Path string
	// DSN names the MySQL database; empty for others.
	DSN secret.Text
}

// Each runs f once on each engine, as parallel subtests.
func Each(t *testing.T, f func(t *testing.T, e Engine)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, SQLite(t))
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		f(t, MySQL(t))
	})
}

// Open opens a store on an engine of its own, the embedded one. It is closed when the test ends.
func Open(t testing.TB) *sqlstore.DB {
	t.Helper()
	return SQLite(t).Open(t)
}

// SQLite makes a migrated SQLite database in a temporary folder.
func SQLite(t testing.TB) Engine {
	t.Helper()
	content, err := migrated()
	if err != nil {
		t.Fatalf("migrate a SQLite database: %v", err)
	}
	file := filepath.Join(t.TempDir(), "tallystick.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatalf("copy the SQLite database: %v", err)
	}
	return Engine{Name: "sqlite", Path: file}
}

// MySQL makes a database with the newest schema on the server of the tests, or skips the test where there is none.
func MySQL(t testing.TB) Engine {
	t.Helper()
	e := EmptyMySQL(t)
	ctx, cancel := context.WithTimeout(context.Background(), setupBudget)
	defer cancel()
	if err := copySchema(ctx, e.DSN.Reveal()); err != nil {
		t.Fatalf("make the schema of a MySQL database: %v", err)
	}
	return e
}

// EmptySQLite makes the name of a SQLite database that is not there yet.
func EmptySQLite(t testing.TB) Engine {
	t.Helper()
	return Engine{Name: "sqlite", Path: filepath.Join(t.TempDir(), "tallystick.db")}
}

// EmptyMySQL makes a database without a schema on the server of the tests, to be dropped when the test
// ends, or skips the test where there is no server; it fails it where CI is set.
func EmptyMySQL(t testing.TB) Engine {
	t.Helper()
	server := os.Getenv(EnvMySQL)
	if server == "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not set: this test must run in CI", EnvMySQL)
		}
		t.Skipf("SKIPPED: MySQL is not tested: set %s to a data source name without a database", EnvMySQL)
	}
	config, err := driver.ParseDSN(server)
	if err != nil {
		t.Fatalf("%s: %v", EnvMySQL, err)
	}
	name := "tallystick_test_" + random()
	execute(t, server, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4")
	t.Cleanup(func() { execute(t, server, "DROP DATABASE IF EXISTS "+name) })
	config.DBName = name
	return Engine{Name: "mysql", DSN: secret.New(config.FormatDSN())}
}

// Open opens a store on the engine's data. It is closed when the test ends; closing it before is
// allowed.
func (e Engine) Open(t testing.TB) *sqlstore.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setupBudget)
	defer cancel()
	db, err := e.open(ctx)
	if err != nil {
		t.Fatalf("open %s: %v", e.Name, err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close %s: %v", e.Name, err)
		}
	})
	return db
}

func (e Engine) open(ctx context.Context) (*sqlstore.DB, error) {
	if e.Name == "mysql" {
		return mysql.Open(ctx, mysql.Config{DSN: e.DSN, MaxOpen: maxOpen(), MaxIdle: fewest})
	}
	return sqlite.Open(ctx, sqlite.Config{Path: e.Path})
}

// TryOpen opens a store as [Engine.Open] does, and closes it again; it returns why that is refused.
func (e Engine) TryOpen(ctx context.Context) error {
	db, err := e.open(ctx)
	if err != nil {
		return err
	}
	return db.Close()
}

// Migrate brings the schema up to date.
func (e Engine) Migrate(ctx context.Context) ([]sqlstore.Applied, error) {
	if e.Name == "mysql" {
		return mysql.Migrate(ctx, mysql.Config{DSN: e.DSN})
	}
	return sqlite.Migrate(ctx, sqlite.Config{Path: e.Path})
}

// Status tells how far the schema is.
func (e Engine) Status(ctx context.Context) (sqlstore.Status, error) {
	if e.Name == "mysql" {
		return mysql.Status(ctx, mysql.Config{DSN: e.DSN})
	}
	return sqlite.Status(ctx, sqlite.Config{Path: e.Path})
}

// Raw opens the engine's data without any store, for tests that look behind it, tamper with it, or
// hold a transaction of their own. It is closed when the test ends.
func (e Engine) Raw(t testing.TB) *sql.DB {
	t.Helper()
	kind, name := "sqlite", "file:"+filepath.ToSlash(e.Path)+"?_busy_timeout=5000&_txlock=immediate"
	if e.Name == "mysql" {
		kind, name = "mysql", e.DSN.Reveal()
	}
	db, err := sql.Open(kind, name)
	if err != nil {
		t.Fatalf("open %s: %v", e.Name, err)
	}
	t.Cleanup(func() { _ = db.Close() }) // a test may have closed it
	return db
}

// migrated is a SQLite database with the schema and nothing else, made once for each test binary.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "tallystick-schema-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), setupBudget)
	defer cancel()
	file := filepath.Join(dir, "tallystick.db")
	if _, err := sqlite.Migrate(ctx, sqlite.Config{Path: file}); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

// execute runs a statement beside all stores. A server without a connection to give is asked again: a
// database that is not dropped stays.
func execute(t testing.TB, server, statement string) {
	t.Helper()
	db, err := sql.Open("mysql", server)
	if err != nil {
		t.Fatalf("open the test server: %v", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), setupBudget)
	defer cancel()
	for {
		_, err := db.ExecContext(ctx, statement)
		if refusal, ok := errors.AsType[*driver.MySQLError](err); ok && refusal.Number == tooMany {
			select {
			case <-ctx.Done():
			case <-time.After(roomPause):
				continue
			}
		}
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		return
	}
}

func random() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
