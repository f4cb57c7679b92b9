package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	driver "github.com/go-sql-driver/mysql"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage/mysql"
)

// schemas are the statements that make the tables of a migrated MySQL database and the rows in them,
// read once for each test binary: migrating each database was most of the time of most tests.
var schemas struct {
	once       sync.Once
	statements string
	err        error
}

// copySchema brings an empty database to the newest schema, as its migrations would have.
func copySchema(ctx context.Context, name string) error {
	schemas.once.Do(func() { schemas.statements, schemas.err = readSchema(ctx, name) })
	if schemas.err != nil {
		return schemas.err
	}
	db, err := several(name)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, schemas.statements)
	return err
}

// several opens a database for several statements at once.
func several(name string) (*sql.DB, error) {
	config, err := driver.ParseDSN(name)
	if err != nil {
		return nil, err
	}
	config.MultiStatements = true
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// readSchema migrates a database beside the named one, reads it and drops it.
func readSchema(ctx context.Context, name string) (statements string, err error) {
	config, err := driver.ParseDSN(name)
	if err != nil {
		return "", err
	}
	config.DBName += "_schema"
	server, err := several(name)
	if err != nil {
		return "", err
	}
	defer server.Close()
	if _, err := server.ExecContext(ctx, "CREATE DATABASE "+config.DBName+" CHARACTER SET utf8mb4"); err != nil {
		return "", err
	}
	defer func() {
		_, dropping := server.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE "+config.DBName)
		err = errors.Join(err, dropping)
	}()
	if _, err := mysql.Migrate(ctx, mysql.Config{DSN: secret.New(config.FormatDSN())}); err != nil {
		return "", err
	}
	db, err := several(config.FormatDSN())
	if err != nil {
		return "", err
	}
	defer db.Close()
	return dump(ctx, db)
}

// dump writes down the tables of a database and their rows.
func dump(ctx context.Context, db *sql.DB) (string, error) {
	tables, err := texts(ctx, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name")
	if err != nil {
		return "", err
	}
	var all strings.Builder
	for _, table := range tables {
		var itself, made string
		if err := db.QueryRowContext(ctx, "SHOW CREATE TABLE `"+table+"`").Scan(&itself, &made); err != nil {
			return "", err
		}
		all.WriteString(made + ";\n")
		columns, err := texts(ctx, db, "SELECT CONCAT('QUOTE(`', column_name, '`)') FROM information_schema.columns "+
			"WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position", table)
		if err != nil {
			return "", err
		}
		rows, err := texts(ctx, db, "SELECT CONCAT_WS(',', "+strings.Join(columns, ", ")+") FROM `"+table+"`")
		if err != nil {
			return "", err
		}
		for _, row := range rows {
			fmt.Fprintf(&all, "INSERT INTO `%s` VALUES (%s);\n", table, row)
		}
	}
	return all.String(), nil
}

// texts reads one column of text.
func texts(ctx context.Context, db *sql.DB, query string, args ...any) (all []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
