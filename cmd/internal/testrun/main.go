package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

const (
	mysqlVar    = "TALLYSTICK_TEST_MYSQL_DSN"
	redisVar    = "TALLYSTICK_TEST_REDIS_URL"
	chromiumVar = "TALLYSTICK_TEST_CHROMIUM"
	nodeVar     = "TALLYSTICK_TEST_NODE"
	ownVar      = "TALLYSTICK_TEST_OWN"
	// memoryVar names the temporary folder of the tests, if it is in memory.
	memoryVar = "TALLYSTICK_TEST_MEMORY"
	// probeTimeout bounds one look at one address, startTimeout the start of a server.
	probeTimeout = 3 * time.Second
	startTimeout = 60 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testrun: "+err.Error())
		os.Exit(1)
	}
}

// run finds the engines, runs the checks, and puts the engines away.
func run(ctx context.Context, args []string) error {
	dir, err := os.MkdirTemp("", "tallystick-testrun-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, e := range []engine{mysqlEngine(), redisEngine(), chromiumEngine(), nodeEngine()} {
		found, err := find(ctx, e, dir)
		if err != nil {
			if os.Getenv("CI") != "" && !e.optional {
				return fmt.Errorf("%s: %w (with CI set every engine is needed)", e.name, err)
			}
			fmt.Printf("%-8s MISSING: %v; its tests will be skipped\n", e.name, err)
			continue
		}
		defer found.stop()
		fmt.Printf("%-8s %s\n", e.name, found.how)
		if err := os.Setenv(e.variable, found.address); err != nil {
			return err
		}
	}
	if err := useMemory(); err != nil {
		return err
	}
	defer os.RemoveAll(os.Getenv(memoryVar))
	before, err := leftovers(ctx)
	if err != nil {
		return err
	}
	if err := checks(ctx, args); err != nil {
		return err
	}
	after, err := leftovers(ctx)
	if err != nil {
		return err
	}
	for _, name := range after {
		if !slices.Contains(before, name) {
			return fmt.Errorf("the tests left the database %s behind", name)
		}
	}
	return nil
}

// useMemory gives the tests a temporary folder in memory where there is one: SQLite flushes each commit
// to its file, and hundreds of databases at once would keep the disk busy with nothing else.
func useMemory() error {
	dir := memoryFolder()
	if dir == "" {
		return nil
	}
	fmt.Printf("%-8s %s, in memory\n", "files", dir)
	// What go builds is large, and stays where it was.
	return errors.Join(os.Setenv("GOTMPDIR", os.TempDir()), os.Setenv("TMPDIR", dir), os.Setenv(memoryVar, dir))
}

// checks runs go vet and go test.
func checks(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"./..."}
	}
	if err := command(ctx, "go", "vet", "./..."); err != nil {
		return fmt.Errorf("go vet: %w", err)
	}
	if err := command(ctx, "go", append(append([]string{"test", "-race", "-timeout=12m"}, plain()...), args...)...); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return nil
}

// plain leaves the race detector out of SQLite and of the parser of TiDB. They hold no memory in common with
// us, one is C made into Go, and watching each of its pointers took six times as long as running it.
// Locks and atomics are seen all the same: they are in packages that are watched.
func plain() []string {
	return []string{"-gcflags=modernc.org/...=-race=false", "-gcflags=github.com/pingcap/...=-race=false"}
}

func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

var errNone = errors.New("no server answers, none is installed, and this user may not install one")
