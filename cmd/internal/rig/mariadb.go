package rig

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MariaDB is a server with a data folder of its own. Commits are flushed, so that kill -9 loses none.
type MariaDB struct {
	*Process

	// Addr is where it listens, also when it is started again.
	Addr string
	path string
	args []string
}

// StartMariaDB makes a data folder below dir and starts a MariaDB, or MySQL, on a free port.
func StartMariaDB(ctx context.Context, dir string) (*MariaDB, error) {
	path, err := find("mariadbd", "mysqld")
	if err != nil {
		return nil, err
	}
	addr, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	// Servers that share a folder for temporary tables remove each other's.
	base := []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--tmpdir=" + dir}
	if os.Geteuid() == 0 {
		base = append(base, "--user=root") // a server of either make refuses to run as root unless told to
	}
	if err := prepare(ctx, path, base); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	m := &MariaDB{Addr: addr, path: path, args: append(base,
		"--bind-address=127.0.0.1", "--port="+port, "--socket="+filepath.Join(dir, "s"), "--pid-file="+filepath.Join(dir, "pid"),
		"--skip-name-resolve", "--max-connections=400", "--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--performance-schema=OFF",
	)}
	return m, m.Restart(ctx)
}

// prepare makes the data folder.
func prepare(ctx context.Context, path string, base []string) error {
	cmd := exec.CommandContext(ctx, path, append(base, "--initialize-insecure")...) //nolint:gosec // G204: a server that was looked up by name.
	if tool, err := find("mariadb-install-db"); err == nil && strings.Contains(path, "maria") {
		cmd = exec.CommandContext(ctx, tool, append(base, "--auth-root-authentication-method=normal", "--skip-test-db")...) //nolint:gosec // G204: as above.
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("prepare data folder: %w\n%s", err, out)
	}
	return nil
}

// Restart starts the server again on its data, after it was stopped or killed.
func (m *MariaDB) Restart(ctx context.Context) (err error) {
	if m.Process, err = Launch(Program{Path: m.path, Args: m.args}); err != nil {
		return err
	}
	return m.Await("MariaDB", func() bool { return m.Execute(ctx, "SELECT 1") == nil })
}

// DSN names a database of the server.
func (m *MariaDB) DSN(database string) string { return DSN(m.Addr, database) }

// DSN names a database of a server, or of a proxy before it.
func DSN(addr, database string) string { return fmt.Sprintf("root@tcp(%s)/%s", addr, database) }

// Create makes an empty database.
func (m *MariaDB) Create(ctx context.Context, database string) error {
	return m.Execute(ctx, "CREATE DATABASE "+database+" CHARACTER SET utf8mb4")
}

// Execute runs a statement as root, on a connection of its own.
func (m *MariaDB) Execute(ctx context.Context, statement string) error {
	cfg, err := mysql.ParseDSN(m.DSN(""))
	if err != nil {
		return err
	}
	cfg.Logger = &mysql.NopLogger{} // a server that is still starting is no news
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = db.ExecContext(ctx, statement)
	return err
}
