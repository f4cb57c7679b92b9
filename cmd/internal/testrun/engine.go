package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// engine is a kind of server that the tests speak to, or a program that they start.
type engine struct {
	name     string
	variable string   // the environment variable that holds its address
	usual    []string // addresses at which it usually runs
	binaries []string // names of its server, best first
	packages map[string][]string
	probe    func(ctx context.Context, address string) (version string, err error)
	// optional says that even with CI set its tests may be skipped.
	optional bool
	// launch prepares dir and returns the command of a server on the loopback port, and its address. It
	// is nil for a program, whose address is its path.
	launch func(ctx context.Context, binary, dir string, port int) (*exec.Cmd, string, error)
}

// found is an engine that answers.
type found struct {
	address string
	how     string
	stop    func()
}

// find looks for an engine in the order that the package doc gives.
func find(ctx context.Context, e engine, dir string) (found, error) {
	if address := os.Getenv(e.variable); address != "" {
		version, err := e.probe(ctx, address)
		if err != nil {
			return found{}, fmt.Errorf("the address in %s does not answer: %w", e.variable, err)
		}
		return found{address, fmt.Sprintf("%s at the address in %s", version, e.variable), func() {}}, nil
	}
	usual := e.usual
	if os.Getenv(ownVar) != "" {
		usual = nil
	}
	for _, address := range usual {
		if version, err := e.probe(ctx, address); err == nil {
			return found{address, fmt.Sprintf("%s, already running at %s", version, address), func() {}}, nil
		}
	}
	binary := lookup(e.binaries)
	if binary == "" {
		if err := install(ctx, e); err != nil {
			return found{}, err
		}
		if binary = lookup(e.binaries); binary == "" {
			return found{}, fmt.Errorf("installed its package, but found none of %v", e.binaries)
		}
	}
	if e.launch == nil {
		version, err := e.probe(ctx, binary)
		return found{binary, fmt.Sprintf("%s, %s", version, binary), func() {}}, err
	}
	return start(ctx, e, binary, filepath.Join(dir, e.name))
}

// lookup finds the first of the binaries, also in the folders of servers that are not on a user's path.
func lookup(names []string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin", "/usr/local/bin"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode()&0o111 != 0 {
				return filepath.Join(dir, name)
			}
		}
	}
	return ""
}

// install installs the engine's package if this user may.
func install(ctx context.Context, e engine) error {
	var sudo []string
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "" || exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
			return errNone
		}
		sudo = []string{"sudo", "-n"}
	}
	for _, m := range []struct {
		tool   string
		before []string
		args   []string
	}{
		{"apt-get", []string{"apt-get", "update", "-qq"}, []string{"apt-get", "install", "-y", "-qq", "--no-install-recommends"}},
		{"dnf", nil, []string{"dnf", "install", "-y", "-q"}},
		{"apk", nil, []string{"apk", "add", "-q"}},
	} {
		if _, err := exec.LookPath(m.tool); err != nil {
			continue
		}
		fmt.Printf("%-8s installing %v with %s\n", e.name, e.packages[m.tool], m.tool)
		if m.before != nil {
			if err := runQuiet(ctx, append(append([]string{}, sudo...), m.before...)); err != nil {
				return err
			}
		}
		return runQuiet(ctx, append(append(append([]string{}, sudo...), m.args...), e.packages[m.tool]...))
	}
	return errNone
}

func runQuiet(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// A service that starts while its package is installed would take the usual port: not wanted.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

// start starts a server of our own and waits until it answers.
func start(ctx context.Context, e engine, binary, dir string) (found, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return found{}, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return found{}, err
	}
	cmd, address, err := e.launch(ctx, binary, dir, port)
	if err != nil {
		return found{}, err
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return found{}, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return found{}, err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log tells more than its status
		close(exited)
	}()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
		}
	}
	version, err := await(ctx, e, address, exited)
	if err != nil {
		stop()
		out, _ := os.ReadFile(log.Name())
		return found{}, fmt.Errorf("start %s: %w\n%s", binary, err, out)
	}
	return found{address, fmt.Sprintf("%s, started from %s on port %d", version, binary, port), stop}, nil
}

// await waits until the server answers, exits, or the time for its start is up.
func await(ctx context.Context, e engine, address string, exited <-chan struct{}) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		version, err := e.probe(ctx, address)
		if err == nil {
			return version, nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-exited:
			return "", errors.New("the server exited")
		case <-ctx.Done():
			return "", err
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
