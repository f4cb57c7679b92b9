package main

import (
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run the whole binary: each tallystick in them is a process of its own.

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tallystick": main})
}

// patience is how long a script waits for a file to appear.
const patience = 60 * time.Second

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"await": await, "sql": statement}
}

// statement runs a statement behind the program's back: "sql FILE STATEMENT".
func statement(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(args[1])
	ts.Check(err)
}

// await waits until a file is there: "await FILE". Its appearing is the event; it is looked for because
// the process that makes it is another one.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for deadline := time.Now().Add(patience); ; {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not appear", args[0])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: commands(), RequireExplicitExec: true})
}

// TestScriptsOnServers runs the scripts that need MySQL and Redis, each on a database of its own.
func TestScriptsOnServers(t *testing.T) {
	t.Parallel()
	dsn, redisURL := os.Getenv("TALLYSTICK_TEST_MYSQL_DSN"), os.Getenv("TALLYSTICK_TEST_REDIS_URL")
	if dsn == "" || redisURL == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("CI without TALLYSTICK_TEST_MYSQL_DSN and TALLYSTICK_TEST_REDIS_URL")
		}
		t.Skip("SKIPPED: set TALLYSTICK_TEST_MYSQL_DSN and TALLYSTICK_TEST_REDIS_URL to run the commands on real servers")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/mysql", Cmds: commands(), RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error { return servers(t, e, dsn, redisURL) },
	})
}

// servers gives a script an empty database and a prefix in Redis, and takes them away after it.
func servers(t *testing.T, e *testscript.Env, dsn, redisURL string) error {
	name := "tallystick_test_" + strings.ToLower(rand.Text()[:16])
	admin, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		return err
	}
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return err
	}
	e.Defer(func() {
		if _, err := admin.Exec("DROP DATABASE " + name); err != nil {
			t.Error(err)
		}
		_ = admin.Close()
		cache := redis.NewClient(options)
		defer cache.Close()
		for keys := cache.Scan(t.Context(), 0, name+":*", 1000).Iterator(); keys.Next(t.Context()); {
			cache.Del(t.Context(), keys.Val())
		}
	})
	own, err := mysql.ParseDSN(dsn)
	if err != nil {
		return err
	}
	own.DBName = name
	key := make([]byte, 32)
	rand.Read(key)
	e.Setenv("TALLYSTICK_MYSQL_DSN", own.FormatDSN())
	e.Setenv("TALLYSTICK_REDIS_URL", redisURL)
	e.Setenv("TALLYSTICK_REDIS_PREFIX", name+":")
	e.Setenv("TALLYSTICK_KEYS_ENCRYPTION_KEY", base64.StdEncoding.EncodeToString(key))
	return nil
}
