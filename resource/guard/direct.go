package guard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tallystick/tallystick/storage"
)

// maxDirect is how many direct checks of a kind run at once; more wait, for at most the timeout.
const maxDirect = 64

// Sessions answers for sessions, clients and tokens directly. [storage.Sessions] is one.
type Sessions interface {
	Check(ctx context.Context, b storage.Bearer, now time.Time) error
}

// Authority answers for one token at this moment, as far as whoever ends sessions knows.
type Authority interface {
	// Judge returns nil if what the token stands for has not ended, an [*storage.EndedError] if it has,
	// with an empty reason where none is told, and any other error if there is no telling.
	Judge(ctx context.Context, p Presented, now time.Time) error
}

// Presented is an access token that verified.
type Presented struct {
	storage.Bearer

	// Raw is the token itself, for those who can ask with nothing else. It is empty when a principal is
	// checked whose token is not at hand, as by [Guard.Standing].
	Raw string
}

// bySessions is the authority that reads the sessions' rows.
type bySessions struct{ sessions Sessions }

// Judge implements [Authority].
func (a bySessions) Judge(ctx context.Context, p Presented, now time.Time) error {
	return a.sessions.Check(ctx, p.Bearer, now)
}

// direct asks the authority, with bounds on how many ask and for how long.
type direct struct {
	authority Authority
	now       func() time.Time
	blind     lane
	strict    lane
	flights   singleflight.Group
	metrics   *metrics
}

// lane bounds the checks of a kind. Each kind has its own, so that patient strict checks on a slow store
// do not take the places of those whose answer is worth nothing after a moment.
type lane struct {
	timeout time.Duration
	slots   chan struct{}
}

func newDirect(c *Config, m *metrics) *direct {
	return &direct{
		authority: c.Authority, now: c.Now, metrics: m,
		blind:  lane{c.DirectTimeout, make(chan struct{}, maxDirect)},
		strict: lane{c.StrictTimeout, make(chan struct{}, maxDirect)},
	}
}

// ask asks now, for a strict check. It returns nil for what stands, a [*storage.EndedError] for what
// does not, and storage.ErrUnavailable when nobody can tell.
//
// The question is asked for this caller alone: an answer that somebody else is already waiting for may
// have been read before the sign-in that this caller has to see.
func (d *direct) ask(ctx context.Context, p Presented) error { return d.judge(ctx, &d.strict, p) }

// share is like ask, but callers who ask at once about one token share an answer, which may have
// been read up to the timeout ago. It is for local checks, whose bound allows for that.
func (d *direct) share(ctx context.Context, p Presented) error {
	key := string(p.Session) + "\x00" + string(p.Client) + "\x00" + p.JTI
	if p.Raw == "" {
		key += "\x00" // there may be less that one can do without the token
	}
	answer := d.flights.DoChan(key, func() (any, error) {
		return nil, d.judge(context.WithoutCancel(ctx), &d.blind, p)
	})
	select {
	case r := <-answer:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("check session: %w", errors.Join(storage.ErrUnavailable, ctx.Err()))
	}
}

func (d *direct) judge(ctx context.Context, l *lane, p Presented) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		d.metrics.direct.WithLabelValues("crowded").Inc()
		return fmt.Errorf("check session: %w", errors.Join(storage.ErrUnavailable, ctx.Err()))
	}
	err := d.authority.Judge(ctx, p, d.now())
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
