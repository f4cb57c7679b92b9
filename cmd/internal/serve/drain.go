package serve

import (
	"context"
	"sync"
)

// drain counts the streams of a server and ends them when it stops. A nil drain, as in a handler that
// is tested without a server, lets everything pass.
type drain struct {
	mu       sync.Mutex
	streams  int
	empty    chan struct{}   // closed when the server stops and no stream is left
	stopping context.Context //nolint:containedctx // It ends when the server begins to stop.
	stop     context.CancelFunc
}

type drainKey struct{}

func newDrain() *drain {
	d := &drain{empty: make(chan struct{})}
	d.stopping, d.stop = context.WithCancel(context.Background())
	return d
}

func drainOf(ctx context.Context) *drain {
	d, _ := ctx.Value(drainKey{}).(*drain)
	return d
}

// enter counts a stream. Its context ends with its parent, or when the server begins to stop; leave
// must be called at its end. open is false when the server is stopping already.
func (d *drain) enter(parent context.Context) (ctx context.Context, leave func(), open bool) {
	if d == nil {
		return parent, func() {}, true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping.Err() != nil {
		return parent, nil, false
	}
	d.streams++
	ctx, cancel := context.WithCancel(parent)
	forget := context.AfterFunc(d.stopping, cancel)
	return ctx, func() { forget(); cancel(); d.leave() }, true
}

func (d *drain) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streams--
	if d.stopping.Err() != nil && d.streams == 0 {
		close(d.empty)
	}
}

// begin ends all streams and lets no more in. It may be called twice.
func (d *drain) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping.Err() != nil {
		return
	}
	d.stop()
	if d.streams == 0 {
		close(d.empty)
	}
}

// wait waits until no stream is left, or ctx ends.
func (d *drain) wait(ctx context.Context) error {
	select {
	case <-d.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
