package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
)

// databasePrefix begins the name of every database that a test makes.
const databasePrefix = "tallystick_test_"

func mysqlEngine() engine {
	return engine{
		name: "mysql", variable: mysqlVar,
		usual:    []string{"root@tcp(127.0.0.1:3306)/", "root@unix(/run/mysqld/mysqld.sock)/"},
		binaries: []string{"mariadbd", "mysqld"},
		packages: map[string][]string{"apt-get": {"mariadb-server"}, "dnf": {"mariadb-server"}, "apk": {"mariadb"}},
		probe:    probeMySQL, launch: launchMySQL,
	}
}

func redisEngine() engine {
	return engine{
		name: "redis", variable: redisVar,
		usual:    []string{"redis://127.0.0.1:6379/0"},
		binaries: []string{"redis-server", "valkey-server"},
		packages: map[string][]string{"apt-get": {"redis-server"}, "dnf": {"redis"}, "apk": {"redis"}},
		probe:    probeRedis, launch: launchRedis,
	}
}

// openMySQL opens a DSN with a driver that keeps its complaints about a server that is still
// starting to itself.
func openMySQL(dsn string) (*sql.DB, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// probeMySQL answers with the version of a server that lets us make a database.
func probeMySQL(ctx context.Context, dsn string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	db, err := openMySQL(dsn)
	if err != nil {
		return "", err
	}
	defer db.Close()
	name := databasePrefix + "probe_" + strconv.Itoa(os.Getpid())
	for _, statement := range []string{"CREATE DATABASE " + name, "DROP DATABASE " + name} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return "", err
		}
	}
	var version string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return "", err
	}
	if !strings.Contains(version, "MariaDB") {
		version = "MySQL " + version
	}
	return version, nil
}

// leftovers lists the databases that tests made and did not drop.
func leftovers(ctx context.Context) ([]string, error) {
	dsn := os.Getenv(mysqlVar)
	if dsn == "" {
		return nil, nil
	}
	db, err := openMySQL(dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE ?",
		strings.ReplaceAll(databasePrefix, "_", `\_`)+"%")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// launchMySQL makes a data folder and returns the server's command. A server of either make refuses
// to run as root unless it is told to.
func launchMySQL(ctx context.Context, binary, dir string, port int) (*exec.Cmd, string, error) {
	data := filepath.Join(dir, "data")
	base := []string{"--no-defaults", "--datadir=" + data}
	if os.Geteuid() == 0 {
		base = append(base, "--user=root")
	}
	prepare := exec.CommandContext(ctx, binary, append(base, "--initialize-insecure")...)
	if tool := lookup([]string{"mariadb-install-db"}); tool != "" && strings.Contains(binary, "maria") {
		prepare = exec.CommandContext(ctx, tool, append(base, "--auth-root-authentication-method=normal", "--skip-test-db")...)
	}
	if out, err := prepare.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("prepare data folder: %w\n%s", err, out)
	}
	args := append(slices.Clip(base), "--bind-address=127.0.0.1", "--port="+strconv.Itoa(port),
		"--socket="+filepath.Join(dir, "s"), "--pid-file="+filepath.Join(dir, "pid"),
		"--max-connections=1000")
	return exec.Command(binary, args...), fmt.Sprintf("root@tcp(127.0.0.1:%d)/", port), nil //nolint:noctx // stopped by hand, in order.
}

// probeRedis answers with the version of a server that takes commands without a password.
func probeRedis(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	opts, err := redis.ParseURL(url)
	if err != nil {
		return "", err
	}
	opts.MaxRetries = -1
	client := redis.NewClient(opts)
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			return "Redis " + v, nil
		}
	}
	return "", errors.New("the server does not tell its version")
}

func launchRedis(_ context.Context, binary, dir string, port int) (*exec.Cmd, string, error) {
	cmd := exec.Command(binary, "-") //nolint:noctx // stopped by hand, in order.
	cmd.Stdin = strings.NewReader(fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsave \"\"\nappendonly no\n", port, dir))
	return cmd, fmt.Sprintf("redis://127.0.0.1:%d/0", port), nil
}
