// Command play plays the story against a running instance:
//
//	go run ./cmd/internal/story/play --target .tallystick/dev.json
//
// With --own it starts a "tallystick dev" of its own on a free port with its data in a temporary
// folder, plays the story with a restart in the middle, and stops it.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

const startTimeout = 30 * time.Second

func main() {
	target := flag.String("target", filepath.Join(".tallystick", "dev.json"), "`file` in the form of dev.json that tells the instance, its clients and users")
	own := flag.Bool("own", false, "start an instance to play against, and restart it in the middle")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *target, *own)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "story: "+err.Error())
		os.Exit(1)
	}
	fmt.Println("The story ends well.")
}

func run(ctx context.Context, path string, own bool) error {
	if own {
		return playOwn(ctx)
	}
	t, err := story.Load(path)
	if err != nil {
		return fmt.Errorf("%w (start an instance with: go run ./cmd/tallystick dev, or let the story start its own with --own)", err)
	}
	return story.Play(ctx, t, os.Stdout, nil)
}

// playOwn builds the binary, so that the process can be signalled, and plays against it.
func playOwn(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tallystick-story-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "tallystick")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/tallystick/tallystick/cmd/tallystick")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	i := &instance{binary: binary, dir: filepath.Join(dir, "data"), addr: addr}
	t, err := i.start(ctx)
	if err != nil {
		return err
	}
	defer func() { i.stop() }()
	return story.Play(ctx, t, os.Stdout, func(ctx context.Context) (story.Target, error) {
		i.stop()
		return i.start(ctx)
	})
}

// instance is a "tallystick dev" of our own.
type instance struct {
	binary, dir, addr string
	cmd               *exec.Cmd
}

func (i *instance) start(ctx context.Context) (story.Target, error) {
	i.cmd = exec.CommandContext(ctx, i.binary, "dev", "--addr", i.addr, "--data-dir", i.dir)
	i.cmd.Stderr = os.Stderr
	i.cmd.Cancel = func() error { return i.cmd.Process.Signal(syscall.SIGTERM) }
	if err := i.cmd.Start(); err != nil {
		return story.Target{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		// dev.json of an instance that is ready names its process.
		if t, err := story.Load(filepath.Join(i.dir, "dev.json")); err == nil && t.PID == i.cmd.Process.Pid {
			return t, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			i.stop()
			return story.Target{}, fmt.Errorf("tallystick dev was not ready within %s", startTimeout)
		}
	}
}

func (i *instance) stop() {
	_ = i.cmd.Process.Signal(syscall.SIGTERM)
	_ = i.cmd.Wait()
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
