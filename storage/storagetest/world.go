package storagetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tallystick/tallystick/storage"
)

// Store is the durable contracts that identities are kept by.
type Store interface {
	storage.Users
	storage.Clients
	storage.Sessions
	storage.Refreshes
	storage.Feed
	storage.Keys
	storage.Audit
	storage.Upkeep
}

// world is what a case plays in: an empty store and a clock.
type world struct {
	*testing.T
	Store
	clock *Clock
}

// cases are the promises of a contract, by name.
type cases map[string]func(*world)

func (c cases) run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for name, check := range c {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(&world{T: t, Store: open(t), clock: NewClock()})
		})
	}
}

func (w *world) now() time.Time { return w.clock.Now() }

// ctx is the context of the test.
func (w *world) ctx() context.Context { return w.Context() }

// user creates a user.
func (w *world) user(name string) storage.User {
	w.Helper()
	u := NewUser(name, w.now())
	w.ok(w.CreateUser(w.ctx(), u))
	return u
}

// signIn opens a session in a mode and with a device of the given name.
func (w *world) signIn(user storage.UserID, mode storage.Mode, device string) storage.Opened {
	w.Helper()
	o := NewOpening(user, mode, w.now())
	o.Session.Device.Name = device
	return w.mustOpen(o)
}

func (w *world) mustOpen(o storage.Opening) storage.Opened {
	w.Helper()
	out, err := w.Open(w.ctx(), o)
	w.ok(err)
	return out
}

func (w *world) mustEnd(o storage.EndOrder) []storage.Event {
	w.Helper()
	events, err := w.End(w.ctx(), o)
	w.ok(err)
	return events
}

func (w *world) mustRotate(r storage.Rotation) storage.Rotated {
	w.Helper()
	out, events, err := w.Rotate(w.ctx(), r)
	w.ok(err)
	if len(events) > 0 {
		w.Errorf("a rotation that succeeds has events: %+v", events)
	}
	return out
}

// stored reads a session as it is.
func (w *world) stored(id storage.SessionID) storage.Session {
	w.Helper()
	s, err := w.Session(w.ctx(), id)
	w.ok(err)
	return s
}

// live reads the sessions of a user that are live.
func (w *world) live(user storage.UserID) []storage.SessionID {
	w.Helper()
	list, err := w.LiveSessions(w.ctx(), user, w.now())
	w.ok(err)
	ids := make([]storage.SessionID, 0, len(list))
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// end reads how a session has ended; it must have.
func (w *world) endOf(id storage.SessionID) storage.End {
	w.Helper()
	s := w.stored(id)
	if s.End == nil {
		w.Fatalf("session %s has not ended", id)
	}
	return *s.End
}

// unended makes sure that a session is as if nothing had happened to it.
func (w *world) unended(ids ...storage.SessionID) {
	w.Helper()
	for _, id := range ids {
		if s := w.stored(id); s.End != nil {
			w.Errorf("session %s has ended: %+v", id, *s.End)
		}
	}
}

// tail reads all events.
func (w *world) tail(after int64) []storage.Event {
	w.Helper()
	events, err := w.Tail(w.ctx(), after, 1000)
	w.ok(err)
	return events
}

// ok stops the case on an error.
func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// is makes sure that an error is the one that the contract names.
func (w *world) is(err, target error) {
	w.Helper()
	if !errors.Is(err, target) {
		w.Fatalf("got error %v, want %v", err, target)
	}
}

// ended makes sure that an error says that something has ended, and why.
func (w *world) ended(err error, reason storage.Reason) storage.End {
	w.Helper()
	e, ok := errors.AsType[*storage.EndedError](err)
	if !ok {
		w.Fatalf("got error %v, want an end as %s", err, reason)
	}
	if e.End.Reason != reason {
		w.Fatalf("ended as %s, want %s", e.End.Reason, reason)
	}
	return e.End
}

// same compares two values; no list and an empty list are the same.
func (w *world) same(got, want any) {
	w.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("not the same (-want +got):\n%s", diff)
	}
}

// race lets n callers begin at once and waits for all of them.
func race(n int, f func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	wg.Wait()
}

// withCancelled is a context that is over already.
func withCancelled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx, cancel
}

func isEnded(err error) bool { return errors.Is(err, storage.ErrEnded) }
