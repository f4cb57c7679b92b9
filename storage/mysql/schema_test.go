package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage/mysql"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestConnectionsHaveTheirRules(t *testing.T) {
	t.Parallel()
	db, err := mysql.Config{DSN: engine.EmptyMySQL(t).DSN}.Pool()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var isolation string
	err = db.QueryRowContext(t.Context(), "SELECT @@tx_isolation").Scan(&isolation)
	if e, ok := errors.AsType[*driverpkg.MySQLError](err); ok && e.Number == 1193 { // MySQL 8 calls it otherwise
		err = db.QueryRowContext(t.Context(), "SELECT @@transaction_isolation").Scan(&isolation)
	}
	if err != nil {
		t.Fatal(err)
	}
	var mode string
	var wait int
	if err := db.QueryRowContext(t.Context(), "SELECT @@sql_mode, @@innodb_lock_wait_timeout").Scan(&mode, &wait); err != nil {
		t.Fatal(err)
	}
	if isolation != "READ-COMMITTED" || !strings.Contains(mode, "STRICT_TRANS_TABLES") || !strings.Contains(mode, "NO_ENGINE_SUBSTITUTION") || wait > 10 {
		t.Errorf("isolation %s, mode %s, lock wait %d s", isolation, mode, wait)
	}
	execute(t, db, "CREATE TABLE probe (id INT PRIMARY KEY, v VARCHAR(2) NOT NULL)")
	execute(t, db, "INSERT INTO probe (id, v) VALUES (1, 'a')")
	result, err := db.ExecContext(t.Context(), "UPDATE probe SET v = 'a' WHERE id = ?", 1)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); n != 1 || err != nil {
		t.Errorf("an update that changes nothing found %d rows, %v", n, err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO probe (id, v) VALUES (2, ?)", "abc"); err == nil {
		t.Error("a value that does not fit was cut")
	}
}

// TestMigrationCarriesOn cuts each migration short after each of its statements, as a crash does, and runs it
// again from its first: also after the last, when all is done but not recorded. Each run goes one statement
// further than the one before, and the migration library makes the last.
func TestMigrationCarriesOn(t *testing.T) {
	t.Parallel()
	migrations := upStatements(t)
	whole := migrated(t)
	want, indexed, counted := columns(t, whole), indexes(t, whole), counts(t, whole)
	for m, statements := range migrations {
		t.Run(fmt.Sprintf("migration %d", m+1), func(t *testing.T) {
			t.Parallel()
			dsn := engine.EmptyMySQL(t).DSN
			db := raw(t, dsn)
			recorded := database(t, whole) + ".schema_versions"
			run(t, db, []string{
				"CREATE TABLE schema_versions LIKE " + recorded,
				"INSERT INTO schema_versions (id, version_id, is_applied, tstamp) SELECT id, version_id, is_applied, tstamp FROM " +
					recorded + " WHERE version_id <= " + strconv.Itoa(m),
			})
			for _, before := range migrations[:m] {
				run(t, db, before)
			}
			for cut := range len(statements) {
				run(t, db, statements[:cut+1])
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			applied, err := mysql.Migrate(ctx, mysql.Config{DSN: dsn})
			if err != nil {
				t.Fatal(err)
			}
			if len(applied) != len(migrations)-m {
				t.Errorf("the library ran %v", applied)
			}
			if diff := cmp.Diff(want, columns(t, dsn)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(indexed, indexes(t, dsn)); diff != "" {
				t.Errorf("indexes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(counted, counts(t, dsn)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMigrationMendsVersions: a host died between making the table of versions and its first row.
func TestMigrationMendsVersions(t *testing.T) {
	t.Parallel()
	dsn := migrated(t)
	db := raw(t, dsn)
	execute(t, db, "DELETE FROM schema_versions")
	applied, err := mysql.Migrate(t.Context(), mysql.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	if len(applied) == 0 {
		t.Error("nothing was applied again")
	}
	store, err := mysql.Open(t.Context(), mysql.Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestIdentifiersAreBinary(t *testing.T) {
	t.Parallel()
	numbers := map[string]bool{"feed.feed_id": true, "enrolment.enrolment_id": true, "schema_versions.version_id": true}
	texts := map[string]bool{"sessions.device_id": true, "device_requests.device_id": true} // what a device calls itself; nothing is found by it
	for _, c := range columns(t, migrated(t)) {
		name, kind, _ := strings.Cut(c, " ")
		if strings.HasSuffix(name, "_id") && !numbers[name] && !texts[name] && !strings.HasPrefix(kind, "varbinary") {
			t.Errorf("%s is an identifier with a collation", c)
		}
	}
}

func migrated(t *testing.T) secret.Text {
	t.Helper()
	dsn := engine.EmptyMySQL(t).DSN
	if _, err := mysql.Migrate(t.Context(), mysql.Config{DSN: dsn}); err != nil {
		t.Fatal(err)
	}
	return dsn
}

func raw(t *testing.T, dsn secret.Text) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// run runs statements over one connection that is new and then closed: what a statement sets, the next one
// finds, but not the next run.
func run(t *testing.T, db *sql.DB, statements []string) {
	t.Helper()
	db.SetMaxIdleConns(0)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i, s := range statements {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("statement %d of %d: %v: %s", i+1, len(statements), err, s)
		}
	}
}

func database(t *testing.T, dsn secret.Text) string {
	t.Helper()
	c, err := driverpkg.ParseDSN(dsn.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return c.DBName
}

// upStatements splits each migration as the migration library does: at lines that end in a semicolon.
func upStatements(t *testing.T) [][]string {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql") // in order of their numbers
	if err != nil || len(files) < 2 {
		t.Fatalf("migrations: %v, %v", files, err)
	}
	migrations := make([][]string, len(files))
	for i, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, up, _ := strings.Cut(string(b), "-- +goose Up\n")
		up, _, _ = strings.Cut(up, "-- +goose Down")
		for s := range strings.SplitSeq(up, ";\n") {
			if strings.TrimSpace(s) != "" {
				migrations[i] = append(migrations[i], s)
			}
		}
		if len(migrations[i]) == 0 {
			t.Fatalf("found no statements in %s", file)
		}
	}
	return migrations
}

// counts tells how many rows each table of a database has.
func counts(t *testing.T, dsn secret.Text) []string {
	t.Helper()
	var each []string
	for _, table := range list(t, dsn, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()") {
		each = append(each, "SELECT CONCAT('"+table+": ', COUNT(*)) FROM `"+table+"`")
	}
	return list(t, dsn, strings.Join(each, " UNION ALL "))
}

// columns lists all columns of a database with their types, in a stable order.
func columns(t *testing.T, dsn secret.Text) []string {
	t.Helper()
	return list(t, dsn, "SELECT CONCAT(table_name, '.', column_name, ' ', column_type, ' ', is_nullable) "+
		"FROM information_schema.columns WHERE table_schema = DATABASE()")
}

// indexes lists the columns of all indexes of a database.
func indexes(t *testing.T, dsn secret.Text) []string {
	t.Helper()
	return list(t, dsn, "SELECT CONCAT(table_name, '.', index_name, ' ', seq_in_index, ' ', column_name) "+
		"FROM information_schema.statistics WHERE table_schema = DATABASE()")
}

// list runs a query of one text column, and sorts what it finds.
func list(t *testing.T, dsn secret.Text, query string) []string {
	t.Helper()
	db := raw(t, dsn)
	defer db.Close() // a server has no hundreds of connections
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			t.Fatal(err)
		}
		found = append(found, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}
