package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

const (
	// look is the pause between two looks at a token that is watched.
	look = 100 * time.Microsecond
	// watchTime bounds the watching of one token.
	watchTime = 10 * time.Second
	// maxLine bounds a line between the bench and a worker.
	maxLine = 64 << 10
)

// Guard is what a worker watches with. [guard.Guard] is one.
type Guard interface {
	Check(ctx context.Context, raw string) (guard.Principal, error)
	CheckStrictly(ctx context.Context, raw string) (guard.Principal, error)
}

// order is a line to a worker: what to do with a token. Secrets travel in pipes, not on command lines.
type order struct {
	Number int    `json:"n"`
	Token  string `json:"token"`
	Strict bool   `json:"strict,omitempty"`
}

// note is a line from a worker.
type note struct {
	Number int    `json:"n"`
	What   string `json:"what"`
	// At is in nanoseconds since 1970.
	At     int64  `json:"at,omitempty"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// What a note says.
const (
	ready    = "ready"   // the guard sees
	accepted = "let in"  // the token was let in, and is watched; or a strict check let it in
	refused  = "refused" // for the first time; or by a strict check
	unsure   = "unsure"  // a strict check got no answer, or the watching ended without a refusal
)

// Work watches tokens as told by the lines of in, until it ends or ctx does, and tells out what happens.
func Work(ctx context.Context, g Guard, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &worker{guard: g, out: json.NewEncoder(out)}
	defer w.watching.Wait()
	defer cancel()
	w.tell(note{What: ready})
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		if o.Strict {
			w.watching.Go(func() { w.strict(ctx, o) })
		} else {
			w.watching.Go(func() { w.watch(ctx, o) })
		}
	}
	return lines.Err()
}

type worker struct {
	guard    Guard
	watching sync.WaitGroup
	mu       sync.Mutex
	out      *json.Encoder
}

func (w *worker) tell(n note) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.out.Encode(n) //nolint:errchkjson // whoever started the worker has gone, and its input ends
}

// watch looks until the token is refused.
func (w *worker) watch(ctx context.Context, o order) {
	ctx, cancel := context.WithTimeout(ctx, watchTime)
	defer cancel()
	told := false
	for {
		_, err := w.guard.Check(ctx, o.Token)
		at := time.Now()
		if reason, ended := endOf(err); ended {
			w.tell(note{Number: o.Number, What: refused, At: at.UnixNano(), Reason: string(reason)})
			return
		}
		if err == nil && !told {
			told = true
			w.tell(note{Number: o.Number, What: accepted, At: at.UnixNano()})
		}
		select {
		case <-ctx.Done():
			w.tell(note{Number: o.Number, What: unsure, At: at.UnixNano(), Detail: fmt.Sprint(err)})
			return
		case <-time.After(look):
		}
	}
}

func (w *worker) strict(ctx context.Context, o order) {
	_, err := w.guard.CheckStrictly(ctx, o.Token)
	n := note{Number: o.Number, What: accepted, At: time.Now().UnixNano()}
	if reason, ended := endOf(err); ended {
		n.What, n.Reason = refused, string(reason)
	} else if err != nil {
		n.What, n.Detail = unsure, err.Error()
	}
	w.tell(n)
}

// endOf says whether a guard refused a token for good.
func endOf(err error) (reason storage.Reason, ended bool) {
	refusal, ok := errors.AsType[*guard.Refusal](err)
	if !ok || refusal.Status != http.StatusUnauthorized {
		return "", false
	}
	return refusal.Reason(), true
}
