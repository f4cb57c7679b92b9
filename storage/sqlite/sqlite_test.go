package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlite"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestPathsWithoutFileAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ":memory:", "file::memory:", "file:x?mode=memory"} {
		c := sqlite.Config{Path: path}
		_, opening := sqlite.Open(t.Context(), c)
		_, migrating := sqlite.Migrate(t.Context(), c)
		_, asking := sqlite.Status(t.Context(), c)
		for _, err := range []error{opening, migrating, asking} {
			if !errors.Is(err, sqlite.ErrInMemory) {
				t.Errorf("%q: %v", path, err)
			}
		}
	}
}

func TestOddPaths(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "q?mode=memory.db", "p%20q.db", "ü#x.db", "a&_query_only=1.db"} {
		file := filepath.Join(t.TempDir(), name)
		if _, err := sqlite.Migrate(t.Context(), sqlite.Config{Path: file}); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: file})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestMissingFolder(t *testing.T) {
	t.Parallel()
	c := sqlite.Config{Path: filepath.Join(t.TempDir(), "none", "x.db")}
	if _, err := sqlite.Open(t.Context(), c); err == nil {
		t.Error("opened in a folder that is not there")
	}
	if _, err := sqlite.Migrate(t.Context(), c); err == nil {
		t.Error("migrated in a folder that is not there")
	}
}

func TestConnectionsHaveTheirRules(t *testing.T) {
	t.Parallel()
	c := sqlite.Config{Path: engine.SQLite(t).Path}
	write, read, err := c.Pools()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	defer read.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "query_only": "0"} {
		if got := ask(t, write, pragma); got != want {
			t.Errorf("the writer has %s = %s, want %s", pragma, got, want)
		}
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "query_only": "1", "busy_timeout": "5000"} {
		if got := ask(t, read, pragma); got != want {
			t.Errorf("readers have %s = %s, want %s", pragma, got, want)
		}
	}
	if _, err := read.ExecContext(t.Context(), "DELETE FROM feed"); err == nil {
		t.Error("a reader writes")
	}
	if n := write.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d writers", n)
	}
	tx, err := write.BeginTx(t.Context(), nil) // holds the file although it has done nothing yet
	if err != nil {
		t.Fatal(err)
	}
	other := engine.Engine{Name: "sqlite", Path: c.Path}.Raw(t)
	if _, err := other.ExecContext(t.Context(), "PRAGMA busy_timeout = 0; UPDATE feed SET last_number = 1"); sqlite.Classify(err) != sqlstore.FaultRetry {
		t.Errorf("beside a transaction, a writer of another process gets %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
}

func TestErrorNumbers(t *testing.T) {
	t.Parallel()
	db := engine.SQLite(t).Raw(t)
	run := func(statement string) error {
		_, err := db.ExecContext(t.Context(), statement)
		return fmt.Errorf("statement: %w", err)
	}
	for statement, want := range map[string]sqlstore.Fault{
		"INSERT INTO feed (feed_id, last_number) VALUES (1, 0)":                                           sqlstore.FaultDuplicate, // primary key, rowid
		"INSERT INTO slots SELECT 'p', 't', 'u', 1 UNION ALL SELECT 'p', 't', 'u', 2":                     sqlstore.FaultDuplicate, // primary key
		"INSERT INTO signing_keys VALUES ('a','sig','x',x'','',1,1,NULL),('b','sig','x',x'','',1,1,NULL)": sqlstore.FaultDuplicate, // unique
		"INSERT INTO feed (feed_id, last_number) VALUES (2, NULL)":                                        sqlstore.FaultOther,
		"INSERT INTO accounts VALUES ('a', 'u', 'CNY', -1, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL)":           sqlstore.FaultOther, // CHECK
		"SELECT nonsense FROM nowhere":                                                                    sqlstore.FaultOther,
	} {
		if got := sqlite.Classify(run(statement)); got != want {
			t.Errorf("%s: means %v, want %v (%v)", statement, got, want, run(statement))
		}
	}
	if got := sqlite.Classify(errors.New("UNIQUE constraint failed (2067)")); got != sqlstore.FaultOther {
		t.Errorf("a text was read: %v", got)
	}
	if got := sqlite.Classify(run("PRAGMA query_only = 1; DELETE FROM feed")); got != sqlstore.FaultUnavailable {
		t.Errorf("a read-only database means %v", got)
	}
}

// TestTwoProcessesWrite: two stores on one file are what a running instance and the command line are.
func TestTwoProcessesWrite(t *testing.T) {
	t.Parallel()
	const each = 20
	e := engine.SQLite(t)
	stores := []*sqlstore.DB{e.Open(t), e.Open(t)}
	var wg sync.WaitGroup
	errs := make([]error, len(stores))
	for i, db := range stores {
		wg.Go(func() {
			for n := range each {
				u := storagetest.NewUser(fmt.Sprint(i, "/", n), storagetest.NewClock().Now())
				errs[i] = errors.Join(errs[i], db.CreateUser(t.Context(), u))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	list, err := stores[0].ListUsers(t.Context(), "", 1000)
	if err != nil || len(list) != each*len(stores) {
		t.Errorf("%d users, %v", len(list), err)
	}
	if _, err := stores[0].User(t.Context(), "nobody"); !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
}

func ask(t *testing.T, db *sql.DB, pragma string) string {
	t.Helper()
	var value string
	if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
