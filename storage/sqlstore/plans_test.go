package sqlstore_test

import (
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// TestNoStatementScans asks SQLite how it would run each statement: what reads a table from end to end would
// be felt more and more as the table grows. MySQL chooses by the size of tables; the benchmark of dead
// sessions prints what it chooses for large ones.
func TestNoStatementScans(t *testing.T) {
	t.Parallel()
	whole := []string{
		"selectKeys",   // a handful, and all are wanted
		"countWaiting", // a few notes, counted up to a limit; the scan is of what the inner range has found
		"countEntries", // one row for each account, for those who read all the books
	}
	db := engine.SQLite(t).Raw(t)
	for name, statement := range collect(t) {
		if strings.HasPrefix(statement, "INSERT") || slices.Contains(whole, name) {
			continue
		}
		for _, step := range plan(t, db, statement) {
			if strings.HasPrefix(step, "SCAN") && step != "SCAN CONSTANT ROW" {
				t.Errorf("%s: %s\n%s", name, step, statement)
			}
		}
	}
}

// plan is the steps in which SQLite would run a statement.
func plan(t *testing.T, db *sql.DB, statement string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(statement, "?"))
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}
