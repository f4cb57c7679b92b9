package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/cmd/internal/story"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// builds are the binaries, built when they are first asked for: the usual one, and the one with
// failpoints.
var builds struct{ usual, mortal func() (string, error) }

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tallystick-e2e-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		ctx := context.Background()
		builds.usual = sync.OnceValues(func() (string, error) { return rig.Build(ctx, dir) })
		builds.mortal = sync.OnceValues(func() (string, error) { return rig.Build(ctx, dir, "failpoint") })
		defer chromium.Stop()
		return m.Run()
	}())
}

func binary(t *testing.T) string { return must(t)(builds.usual()) }

// mortal is the binary that failpoints can kill.
func mortal(t *testing.T) string { return must(t)(builds.mortal()) }

// must returns a function that takes a value and an error, and fails the test with the error.
func must(t *testing.T) func(string, error) string {
	return func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// command runs a verb and returns what it printed.
func command(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tallystick %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t *testing.T) string { return must(t)(rig.FreeAddr()) }

// watch stops a process at the end of the test, and shows what it printed if the test failed.
func watch(t *testing.T, name string, p *rig.Process) {
	t.Helper()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("output of %s:\n%s", name, tail(p.Output()))
		}
	})
}

func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// startDev runs "tallystick dev" on a data folder and returns it when it is ready.
func startDev(t *testing.T, dir, addr string) (*rig.Process, story.Target) {
	t.Helper()
	return startDevAs(t, binary(t), nil, dir, addr)
}

// startDevAs is startDev of a certain binary with variables added to its environment.
func startDevAs(t *testing.T, binary string, env []string, dir, addr string) (*rig.Process, story.Target) {
	t.Helper()
	p, err := rig.Launch(rig.Program{Path: binary, Env: env, Args: []string{"dev", "--addr", addr, "--data-dir", dir}})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, "dev", p)
	var target story.Target
	err = p.Await("dev.json", func() bool {
		var err error
		target, err = story.Load(filepath.Join(dir, "dev.json"))
		return err == nil && target.PID == p.PID()
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, target
}

// needed fails the test with an error, or skips it aloud if a server is not installed and nobody
// insists.
func needed(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, rig.ErrMissing) && os.Getenv("CI") == "":
		t.Skipf("SKIPPED: a server of its own is needed here: %v", err)
	default:
		t.Fatal(err)
	}
}

// startRedis starts a Redis of the test's own, which can be stopped and flushed.
func startRedis(t *testing.T) *rig.Redis {
	t.Helper()
	r, err := rig.StartRedis(t.TempDir())
	needed(t, err)
	t.Cleanup(func() { r.Stop() }) // of the process that runs by then
	return r
}

// startMariaDB starts a MariaDB of the test's own.
func startMariaDB(t *testing.T) *rig.MariaDB {
	t.Helper()
	m, err := rig.StartMariaDB(t.Context(), t.TempDir())
	needed(t, err)
	t.Cleanup(func() { m.Stop() })
	return m
}

// installation is a database, a Redis and a configuration, for tallystick serve.
type installation struct {
	*rig.Site

	auth   string // address of the authorization server
	wallet string // address of the wallet; the same for one process
	redis  *rig.Redis
	target story.Target
	config string
}

// install makes an installation with the clients and users of the story. The wallet listens on an
// address of its own if split says so.
func install(t *testing.T, split bool) *installation {
	t.Helper()
	db, redis := engine.MySQL(t), startRedis(t)
	return found(t, split, rig.Plan{Binary: binary(t), DSN: db.DSN.Reveal(), Redis: redis.Addr}, redis)
}

// found makes an installation of a plan, to which it adds the folder and the addresses.
func found(t *testing.T, split bool, p rig.Plan, redis *rig.Redis) *installation {
	t.Helper()
	p.Dir, p.Issuer = t.TempDir(), freeAddr(t)
	p.Wallet = p.Issuer
	if split {
		p.Wallet = freeAddr(t)
	}
	site, err := rig.Found(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return &installation{Site: site, auth: p.Issuer, wallet: p.Wallet, redis: redis, target: site.Target, config: site.Config}
}

// serve starts a process of the installation in a role.
func (i *installation) serve(t *testing.T, role string, env ...string) *rig.Process {
	t.Helper()
	addr := i.auth
	if role == "wallet" {
		addr = i.wallet
	}
	return i.serveAt(t, role, addr, env...)
}

// serveAt starts a process in a role at an address of its own.
func (i *installation) serveAt(t *testing.T, role, addr string, env ...string) *rig.Process {
	t.Helper()
	p, err := i.Serve(role, addr, env...)
	if err != nil {
		t.Fatal(err)
	}
	watch(t, role+" at "+addr, p)
	return p
}
