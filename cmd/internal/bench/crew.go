package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// readyTime bounds the start of a worker, answerTime the wait for what a worker should say at once.
	readyTime  = 30 * time.Second
	answerTime = watchTime + 5*time.Second
	// stopTime is how long a worker that was told to stop may take.
	stopTime = 5 * time.Second
)

// Start says how to start a worker: the binary's own command, and what it is told on its first line.
type Start struct {
	Feed     string
	Path     string
	Args     []string
	Settings any
}

// hand is a worker as the bench sees it.
type hand struct {
	feed    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	watched chan note // about tokens that are watched
	strict  chan note // about strict checks
	gone    chan error
}

// hire starts a worker and waits until its guard sees. Its log goes to errs.
func hire(ctx context.Context, s Start, errs io.Writer) (*hand, error) {
	cmd := exec.CommandContext(ctx, s.Path, s.Args...) //nolint:gosec // G204: this binary.
	cmd.Stderr, cmd.Env = errs, os.Environ()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	h := &hand{
		feed: s.Feed, cmd: cmd, in: in, orders: json.NewEncoder(in),
		watched: make(chan note, 4), strict: make(chan note, 4), gone: make(chan error, 1),
	}
	seen := make(chan struct{})
	go h.listen(out, seen)
	if err := h.orders.Encode(s.Settings); err != nil {
		return nil, errors.Join(fmt.Errorf("tell guard: %w", err), h.dismiss())
	}
	timer := time.NewTimer(readyTime)
	defer timer.Stop()
	select {
	case <-seen:
		return h, nil
	case err = <-h.gone:
		h.gone <- err
	case <-timer.C:
		err = fmt.Errorf("not ready within %v", readyTime)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(fmt.Errorf("guard by %s: %w", s.Feed, err), h.dismiss())
}

// listen sorts what the worker says, and ends with it.
func (h *hand) listen(out io.Reader, seen chan<- struct{}) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var n note
		if json.Unmarshal(lines.Bytes(), &n) != nil {
			continue
		}
		switch {
		case n.What == ready:
			close(seen)
		case n.Number < 0:
			h.strict <- n
		default:
			h.watched <- n
		}
	}
	err := h.cmd.Wait()
	if err == nil {
		err = errors.New("ended")
	}
	h.gone <- err
}

// await waits for a note about a number.
func (h *hand) await(ctx context.Context, from <-chan note, number int) (note, error) {
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	for {
		select {
		case n := <-from:
			if n.Number == number {
				return n, nil
			}
		case err := <-h.gone:
			h.gone <- err
			return note{}, fmt.Errorf("guard by %s: %w", h.feed, err)
		case <-timer.C:
			return note{}, fmt.Errorf("guard by %s says nothing", h.feed)
		case <-ctx.Done():
			return note{}, ctx.Err()
		}
	}
}

// dismiss ends the worker and waits for it.
func (h *hand) dismiss() error {
	_ = h.in.Close() // its input ends, and so does it
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	for {
		select {
		case err := <-h.gone:
			h.gone <- err
			return nil
		case <-h.watched:
		case <-h.strict:
		case <-timer.C:
			return h.cmd.Process.Kill()
		}
	}
}
