package guard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tallystick/tallystick/storage"
)

// maxDirect is how many direct checks run at once; more wait, for at most the timeout.
const maxDirect = 64

// Sessions answers for sessions, clients and tokens directly. [storage.Sessions] is one.
type Sessions interface {
	Check(ctx context.Context, b storage.Bearer, now time.Time) error
}

// direct asks the store, with bounds on how many ask and for how long.
type direct struct {
	sessions Sessions
	timeout  time.Duration
	now      func() time.Time
	slots    chan struct{}
	flights  singleflight.Group
	metrics  *metrics
}

func newDirect(sessions Sessions, timeout time.Duration, now func() time.Time, m *metrics) *direct {
	return &direct{sessions: sessions, timeout: timeout, now: now, slots: make(chan struct{}, maxDirect), metrics: m}
}

// ask reads the store now. It returns nil for what stands, a [*storage.EndedError] for what does
// not, and storage.ErrUnavailable when nobody can tell.
//
// The read is made for this caller alone: an answer that somebody else is already waiting for may
// have been read before the sign-in that this caller has to see.
func (d *direct) ask(ctx context.Context, b storage.Bearer) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		d.metrics.direct.WithLabelValues("crowded").Inc()
		return fmt.Errorf("check session: %w", errors.Join(storage.ErrUnavailable, ctx.Err()))
	}
	err := d.sessions.Check(ctx, b, d.now())
	if err == nil {
		d.metrics.direct.WithLabelValues("stands").Inc()
		return nil
	}
	if _, ok := errors.AsType[*storage.EndedError](err); ok {
		d.metrics.direct.WithLabelValues("ended").Inc()
		return err
	}
	d.metrics.direct.WithLabelValues("failed").Inc()
	return fmt.Errorf("check session: %w", errors.Join(storage.ErrUnavailable, err))
}

// share is like ask, but callers who ask at once about one token share an answer, which may have
// been read up to the timeout ago. It is for local checks, whose bound allows for that.
func (d *direct) share(ctx context.Context, b storage.Bearer) error {
	key := string(b.Session) + "\x00" + string(b.Client) + "\x00" + b.JTI
	answer := d.flights.DoChan(key, func() (any, error) {
		return nil, d.ask(context.WithoutCancel(ctx), b)
	})
	select {
	case r := <-answer:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("check session: %w", errors.Join(storage.ErrUnavailable, ctx.Err()))
	}
}
