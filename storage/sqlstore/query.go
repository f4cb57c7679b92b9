package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/storage"
)

// pageMax bounds every page that is read, whatever the caller asks for.
const pageMax = 1000

// lastID is after every identifier, which have nothing above "z".
const lastID = "~"

// querier is what a transaction and a pool have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is what a row and a set of rows have in common.
type scanner interface {
	Scan(dest ...any) error
}

// read runs f on the pool for reading, and translates its error.
func (db *DB) read(ctx context.Context, what string, f func(ctx context.Context, q querier) error) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return db.fault(what, f(ctx, db.r))
}

// collect reads all rows of a query, which must be bounded.
func collect[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// scanText reads a row of one text column.
func scanText[T ~string](row scanner) (T, error) {
	var s string
	err := row.Scan(&s)
	return T(s), err
}

// affect runs a statement and returns how many rows it found.
func affect(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	result, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// exactlyOne runs a statement that must find one row; [storage.ErrNotFound] if it finds none.
func exactlyOne(ctx context.Context, q querier, query string, args ...any) error {
	n, err := affect(ctx, q, query, args...)
	switch {
	case err != nil:
		return err
	case n == 0:
		return storage.ErrNotFound
	case n > 1:
		return fmt.Errorf("%d rows where there is one at most", n)
	}
	return nil
}

// tuples is the VALUES of n rows of so many columns each.
func tuples(n, columns int) string {
	row := "(" + strings.Repeat("?, ", columns-1) + "?)"
	return strings.Repeat(row+", ", n-1) + row
}

// page is a limit as the caller gave it, within bounds.
func page(limit int) int { return min(max(limit, 0), pageMax) }
