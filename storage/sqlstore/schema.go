package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// The schema does not fit the program. Whoever opens a store gets one of these wrapped in a line
// that says what to do.
var (
	// ErrSchemaBehind says that migrations are waiting.
	ErrSchemaBehind = errors.New("schema is behind")
	// ErrSchemaAhead says that the database has migrations that this program does not know.
	ErrSchemaAhead = errors.New("schema is ahead")
)

// VersionTable is where the applied migrations are recorded.
const VersionTable = "schema_versions"

// migrateTimeout bounds one migration run, the wait for other hosts included.
const migrateTimeout = 10 * time.Minute

// Schema is the sequence of migrations of one engine.
type Schema struct {
	// Dialect names the engine to the migration library.
	Dialect goose.Dialect
	// Files holds the migrations, named like 00001_initial.sql.
	Files fs.FS
	// HasTable is a query with one placeholder that counts the tables of a name.
	HasTable string
	// Locker keeps other hosts from migrating at the same time; nil if the caller sees to that.
	Locker lock.SessionLocker
}

// Applied is a migration that a run has applied.
type Applied struct {
	Version int64
	Name    string
	Took    time.Duration
}

// Status tells how far a database has been migrated.
type Status struct {
	// Current is the newest version applied, 0 for an empty database; Target the newest known.
	Current, Target int64
	Migrations      []Migration
}

// Migration is one known migration and whether it has been applied.
type Migration struct {
	Version int64
	Name    string
	Applied bool
}

// Up applies what is missing and returns it. Run by several hosts at once, each migration is applied
// by one of them, and all succeed. ErrSchemaAhead if the database is newer than the program.
func (s Schema) Up(ctx context.Context, db *sql.DB) ([]Applied, error) {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	status, err := s.Status(ctx, db)
	if err != nil {
		return nil, err
	}
	if status.Current > status.Target {
		return nil, status.refusal()
	}
	p, err := s.provider(db)
	if err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	applied := make([]Applied, 0, len(results))
	for _, r := range results {
		applied = append(applied, Applied{Version: r.Source.Version, Name: path.Base(r.Source.Path), Took: r.Duration})
	}
	return applied, nil
}

// Status reads how far the database has been migrated. It writes nothing.
func (s Schema) Status(ctx context.Context, db *sql.DB) (Status, error) {
	p, err := s.provider(db)
	if err != nil {
		return Status{}, err
	}
	done, err := s.applied(ctx, db)
	if err != nil {
		return Status{}, fmt.Errorf("read schema version: %w", err)
	}
	var status Status
	for version := range done {
		status.Current = max(status.Current, version)
	}
	for _, source := range p.ListSources() {
		status.Target = max(status.Target, source.Version)
		status.Migrations = append(status.Migrations, Migration{
			Version: source.Version, Name: path.Base(source.Path), Applied: done[source.Version],
		})
	}
	return status, nil
}

// Check gives nil if the schema is the one that the program was written for, and otherwise
// [ErrSchemaBehind] or [ErrSchemaAhead] in a line that says what to do.
func (s Schema) Check(ctx context.Context, db *sql.DB) error {
	status, err := s.Status(ctx, db)
	if err != nil {
		return err
	}
	return status.refusal()
}

func (s Status) refusal() error {
	if s.Current > s.Target {
		return fmt.Errorf("%w: the database is at version %d and this program knows %d: run a newer tallystick", ErrSchemaAhead, s.Current, s.Target)
	}
	for _, m := range s.Migrations {
		if !m.Applied {
			return fmt.Errorf("%w: the database is at version %d and this program needs %d: run `tallystick migrate up`", ErrSchemaBehind, s.Current, s.Target)
		}
	}
	return nil
}

func (s Schema) provider(db *sql.DB) (*goose.Provider, error) {
	options := []goose.ProviderOption{
		goose.WithTableName(VersionTable),
		goose.WithDisableGlobalRegistry(true),
	}
	if s.Locker != nil {
		options = append(options, goose.WithSessionLocker(s.Locker))
	}
	p, err := goose.NewProvider(s.Dialect, db, s.Files, options...)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

// applied reads the versions that are in force; none where the table of versions is missing.
func (s Schema) applied(ctx context.Context, db *sql.DB) (map[int64]bool, error) {
	var tables int
	if err := db.QueryRowContext(ctx, s.HasTable, VersionTable).Scan(&tables); err != nil {
		return nil, err
	}
	done := map[int64]bool{}
	if tables == 0 {
		return done, nil
	}
	versions, err := database.NewStore(s.Dialect, VersionTable)
	if err != nil {
		return nil, err
	}
	list, err := versions.ListMigrations(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if m.IsApplied {
			done[m.Version] = true
		}
	}
	return done, nil
}
