package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	modernc "modernc.org/sqlite"

	"github.com/tallystick/tallystick/storage/sqlstore"
)

const (
	readers     = 8    // connections that read; a WAL reader waits for nobody
	busyTimeout = 5000 // milliseconds to wait for the writer of another process
)

// ErrInMemory says that the path asked for a database without a file.
var ErrInMemory = errors.New("a database in memory is not supported: name a file")

// Config says where the database is.
type Config struct {
	// Path is the file; its folder must exist.
	Path string
}

// Open opens the database, making the file if there is none, and refuses one whose schema does not fit:
// [sqlstore.ErrSchemaBehind], [sqlstore.ErrSchemaAhead]. The caller closes what it gets.
func Open(ctx context.Context, c Config) (*sqlstore.DB, error) {
	write, err := c.writer()
	if err != nil {
		return nil, err
	}
	if err := c.schema().Check(ctx, write); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", c.Path, err), write.Close())
	}
	read, err := c.reader()
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return sqlstore.New(dialect(), write, read), nil
}

func (c Config) writer() (*sql.DB, error) {
	db, err := c.pool(url.Values{"_txlock": {"immediate"}, "_journal_mode": {"WAL"}, "_synchronous": {"FULL"}})
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func (c Config) reader() (*sql.DB, error) {
	db, err := c.pool(url.Values{"_query_only": {"1"}})
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return db, nil
}

// pool opens a pool whose connections have the given parameters, beside those that all have.
func (c Config) pool(params url.Values) (*sql.DB, error) {
	if c.Path == "" || strings.HasPrefix(c.Path, ":") || strings.HasPrefix(c.Path, "file:") {
		return nil, fmt.Errorf("open %q: %w", c.Path, ErrInMemory)
	}
	file, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", c.Path, err)
	}
	params.Set("_busy_timeout", fmt.Sprint(busyTimeout))
	params.Set("_foreign_keys", "1")
	params.Set("_dqs", "0")
	params.Set("_defensive", "1")
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(file), RawQuery: params.Encode()}
	connector, err := modernc.NewConnector(name.String())
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", c.Path, err)
	}
	return sql.OpenDB(connector), nil
}
