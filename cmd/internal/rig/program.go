package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// ReadyWithin bounds the start of a program.
	ReadyWithin = 30 * time.Second
	// stopWithin is how long a program that is asked to stop may take.
	stopWithin = 20 * time.Second
	// look is the pause between two looks at whether a program is ready.
	look = 10 * time.Millisecond
	// mostOutput is how much of a program's output is kept.
	mostOutput = 64 << 10
)

// ErrMissing says that a server is not installed.
var ErrMissing = errors.New("is not installed")

const command = "github.com/tallystick/tallystick/cmd/tallystick"

// Build builds the binary into a folder and returns its path.
func Build(ctx context.Context, dir string, tags ...string) (string, error) {
	if err := lookAtSources(); err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	path := filepath.Join(dir, strings.Join(append([]string{"tallystick"}, tags...), "-"))
	out, err := exec.CommandContext(ctx, "go", "build", "-tags", strings.Join(tags, ","), "-o", path, command).CombinedOutput() //nolint:gosec // G204: tags of our own.
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}

// lookAtSources looks at every file of the module. The go command notes what a test looks at, and gives
// a cached result only if all of that is as it was: without this, tests of the binary would pass from
// the cache though the binary has changed.
func lookAtSources() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since it was listed, as an editor's temporary files
			return nil
		case err != nil:
			return err
		case path != root && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if _, err = os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// moduleRoot is the folder of go.mod, here or above.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, gone := os.Stat(filepath.Join(dir, "go.mod")); gone == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod here or above")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Program is what to start.
type Program struct {
	Path string
	Args []string
	// Env is added to the environment.
	Env []string
}

// Process is a program that was started.
type Process struct {
	cmd    *exec.Cmd
	output tail
	exited chan struct{}
	once   sync.Once
}

// Launch starts a program. The caller stops it.
func Launch(p Program) (*Process, error) {
	started := &Process{cmd: exec.Command(p.Path, p.Args...), exited: make(chan struct{})} //nolint:gosec,noctx // G204: our own programs; stopped by hand, in order.
	started.cmd.Env = append(os.Environ(), p.Env...)
	started.cmd.Stdout, started.cmd.Stderr = &started.output, &started.output
	if err := started.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Path, err)
	}
	go func() {
		_ = started.cmd.Wait() // how it ended is of no interest: that it did is
		close(started.exited)
	}()
	return started, nil
}

// PID is the identifier of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Output is the last that the process printed.
func (p *Process) Output() string { return p.output.String() }

// Stop asks the process to stop, waits for it, and kills it if it does not heed. Stopping twice does
// nothing.
func (p *Process) Stop() {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(stopWithin):
			p.Kill()
		}
	})
}

// Kill is kill -9.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Pause stops the process in the middle of whatever it does, as a machine that hangs would. It keeps its
// connections and its locks, and goes on with Resume.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on. It finds that time has passed.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Await polls until ready says yes.
func (p *Process) Await(what string, ready func() bool) error {
	deadline := time.Now().Add(ReadyWithin)
	for !ready() {
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before %s\n%s", filepath.Base(p.cmd.Path), what, p.Output())
		case <-time.After(look):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no %s within %s\n%s", what, ReadyWithin, p.Output())
		}
	}
	return nil
}

// FreeAddr returns a loopback address that nobody listens on.
func FreeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait for anything.
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// find looks for a server, also in the folders that are not on a user's path.
func find(names ...string) (string, error) {
	for _, name := range names {
		for _, path := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name, "/usr/libexec/" + name} {
			if found, err := exec.LookPath(path); err == nil {
				return found, nil
			}
		}
	}
	return "", fmt.Errorf("none of %v %w", names, ErrMissing)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept.Write(b)
	if over := t.kept.Len() - mostOutput; over > 0 {
		t.kept.Next(over)
	}
	return len(b), nil
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kept.String()
}
