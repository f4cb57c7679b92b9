package guard_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// lostKeys cannot tell whether a token is good.
type lostKeys struct{ err error }

func (l lostKeys) Access(string, time.Time) (token.Access, error) { return token.Access{}, l.err }

func TestNoTellingIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("key of token: %w", keys.ErrUnavailable), 503},
		{errors.New("anything else"), 503},
		{fmt.Errorf("x: %w", token.ErrInvalid), 401},
	} {
		f := &feed{}
		g, err := guard.New(guard.Config{Tokens: lostKeys{c.err}, Feed: f, Sessions: f})
		must(t, err)
		if got, reason := status(t, g, "s"); got != c.status || reason != "" {
			t.Errorf("%v: %d %q, want %d", c.err, got, reason, c.status)
		}
	}
	f := &feed{}
	g, err := guard.New(guard.Config{Tokens: lostKeys{errors.New("never asked")}, Feed: f, Sessions: f})
	must(t, err)
	if _, err := g.Check(t.Context(), strings.Repeat("x", 9000)); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("too long: %v, want one that is not valid", err)
	}
}

// authority answers with an error after a while, and remembers what it was asked.
type authority struct {
	mu    sync.Mutex
	after time.Duration
	err   error
	asked []guard.Presented
}

func (a *authority) Judge(ctx context.Context, p guard.Presented, _ time.Time) error {
	a.mu.Lock()
	a.asked = append(a.asked, p)
	after, err := a.after, a.err
	a.mu.Unlock()
	select {
	case <-time.After(after):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *authority) set(after time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.after, a.err = after, err
}

// script is a source that a test drives.
type script struct {
	sink chan guard.Sink
	end  chan error
}

func newScript() *script { return &script{make(chan guard.Sink, 8), make(chan error)} }

func (s *script) Follow(ctx context.Context, sink guard.Sink) error {
	s.sink <- sink
	select {
	case err := <-s.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onRoads runs a test with a guard that a script tells and an authority answers.
func onRoads(t *testing.T, change func(*guard.Config), test func(t *testing.T, g *guard.Guard, s *script, a *authority)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, a := newScript(), &authority{}
		c := guard.Config{Tokens: plainTokens{time.Now()}, Source: s, Authority: a}
		if change != nil {
			change(&c)
		}
		g, err := guard.New(c)
		must(t, err)
		defer g.Stop()
		test(t, g, s, a)
	})
}

// started starts a guard that is told at once that it sees.
func started(t *testing.T, g *guard.Guard, s *script) guard.Sink {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- g.Start(t.Context()) }()
	sink := <-s.sink
	sink.Heard(time.Now(), guard.Place{})
	must(t, <-done)
	return sink
}

func TestStrictChecksAreMorePatientThanBlindOnes(t *testing.T) {
	t.Parallel()
	onRoads(t, nil, func(t *testing.T, g *guard.Guard, _ *script, a *authority) {
		a.set(guard.DefaultDirectTimeout+time.Millisecond, nil)
		if got, _ := status(t, g, "s"); got != 503 {
			t.Errorf("blind, and slow: %d, want 503", got)
		}
		if _, err := g.CheckStrictly(t.Context(), "s"); err != nil {
			t.Errorf("strict, and slow: %v", err)
		}
		a.set(guard.DefaultStrictTimeout+time.Millisecond, nil)
		began := time.Now()
		if _, err := g.CheckStrictly(t.Context(), "s"); !errors.Is(err, storage.ErrUnavailable) || time.Since(began) != guard.DefaultStrictTimeout {
			t.Errorf("strict, and slower than that: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := g.CheckStrictly(ctx, "s"); !errors.Is(err, storage.ErrUnavailable) || time.Since(began) != time.Second {
			t.Errorf("strict, beyond the time of the request: %v after %v", err, time.Since(began))
		}
	})
}

func TestStrictChecksLeaveRoomForBlindOnes(t *testing.T) {
	t.Parallel()
	onRoads(t, nil, func(t *testing.T, g *guard.Guard, _ *script, a *authority) {
		a.set(4*time.Second, nil)
		var strict sync.WaitGroup
		for i := range 100 { // more than have a place
			strict.Go(func() { _, _ = g.CheckStrictly(t.Context(), fmt.Sprint("strict", i)) })
		}
		synctest.Wait()
		a.set(0, nil)
		if got, _ := status(t, g, "local"); got != 200 {
			t.Errorf("a blind check while strict ones wait: %d", got)
		}
		strict.Wait()
	})
}

func TestAuthorityIsShownTheTokenWhereThereIsOne(t *testing.T) {
	t.Parallel()
	onRoads(t, nil, func(t *testing.T, g *guard.Guard, _ *script, a *authority) {
		p, err := g.Check(t.Context(), "s")
		must(t, err)
		_, err = g.CheckStrictly(t.Context(), "s")
		must(t, err)
		must(t, g.Standing(t.Context(), p))
		if len(a.asked) != 3 || a.asked[0].Raw != "s" || a.asked[1].Raw != "s" || a.asked[2].Raw != "" || a.asked[2].Session != "s" {
			t.Errorf("asked %+v", a.asked)
		}
	})
}

func TestEndWithoutAReason(t *testing.T) {
	t.Parallel()
	onRoads(t, nil, func(t *testing.T, g *guard.Guard, _ *script, a *authority) {
		a.set(0, &storage.EndedError{})
		if got, reason := status(t, g, "s"); got != 401 || reason != "" {
			t.Errorf("%d %q, want 401 without a reason", got, reason)
		}
		time.Sleep(2 * time.Hour)
		if got, reason := status(t, g, "s"); got != 401 || reason != storage.Expired {
			t.Errorf("past its time: %d %q, want 401 expired", got, reason)
		}
	})
}

func TestWhatASourceTells(t *testing.T) {
	t.Parallel()
	onRoads(t, nil, func(t *testing.T, g *guard.Guard, s *script, a *authority) {
		sink := started(t, g, s)
		if got, _ := status(t, g, "s"); got != 200 || len(a.asked) != 0 {
			t.Errorf("seeing: %d after %d questions", got, len(a.asked))
		}
		time.Sleep(guard.DefaultBlind)
		sink.Heard(time.Now().Add(-time.Minute), guard.Place{}) // an old moment makes nothing newer
		time.Sleep(time.Nanosecond)
		if got, _ := status(t, g, "s"); got != 200 || len(a.asked) != 1 {
			t.Errorf("blind: %d after %d questions", got, len(a.asked))
		}
		sink.Heard(time.Now(), guard.Place{})
		sink.Heard(time.Now().Add(-time.Minute), guard.Place{}) // nor anything older
		sink.Take("stream", []storage.Event{{
			Subject: storage.SubjectSession, Key: "dead", End: storage.End{Reason: storage.Kicked, At: time.Now()}, Until: time.Now().Add(time.Hour),
		}})
		if got, _ := status(t, g, "s"); got != 200 || len(a.asked) != 1 {
			t.Errorf("seeing again: %d after %d questions", got, len(a.asked))
		}
		if got, reason := status(t, g, "dead"); got != 401 || reason != storage.Kicked {
			t.Errorf("%d %s", got, reason)
		}
		s.end <- errors.New("gone")
		time.Sleep(time.Second)
		again := <-s.sink // it is started again
		again.Heard(time.Now(), guard.Place{})
		if got, _ := status(t, g, "s"); got != 200 || len(a.asked) != 1 {
			t.Errorf("after the source was started again: %d after %d questions", got, len(a.asked))
		}
	})
}

func TestStartIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	onRoads(t, nil, func(t *testing.T, g *guard.Guard, s *script, _ *authority) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		told := errors.New("the road is closed")
		go func() { (<-s.sink).Lost(told) }()
		if err := g.Start(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, told) {
			t.Errorf("a source that says nothing: %v", err)
		}
		go func() { <-s.sink; s.end <- told }()
		if err := g.Start(t.Context()); !errors.Is(err, told) {
			t.Errorf("a source that ends: %v", err)
		}
		started(t, g, s)
	})
}

func TestOneRoadOfEachKind(t *testing.T) {
	t.Parallel()
	f, s, a := &feed{}, newScript(), &authority{}
	for name, c := range map[string]guard.Config{
		"no feed": {Sessions: f}, "two feeds": {Feed: f, Source: s, Sessions: f},
		"nobody to ask": {Feed: f}, "two to ask": {Feed: f, Sessions: f, Authority: a}, "a negative time": {Feed: f, Sessions: f, StrictTimeout: -1},
	} {
		c.Tokens = plainTokens{}
		if _, err := guard.New(c); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}

// relay remembers what it was handed, and what the guard said at that moment.
type relay struct {
	mu     sync.Mutex
	guard  *guard.Guard
	lines  []string
	places []guard.Place
}

func (r *relay) Take(way string, events []storage.Event) {
	for _, e := range events {
		_, err := r.guard.Check(context.Background(), e.Key)
		r.mu.Lock()
		r.lines = append(r.lines, fmt.Sprintf("%s %s known=%v", way, e.Key, err != nil))
		r.mu.Unlock()
	}
}

func (r *relay) Heard(_ time.Time, place guard.Place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places = append(r.places, place)
}

func TestRelayIsToldAfterTheGuard(t *testing.T) {
	t.Parallel()
	f, r := &feed{}, &relay{}
	end := func(key string) storage.Event {
		return storage.Event{
			ID: storage.EventID("e-" + key), Subject: storage.SubjectSession, Key: key,
			End: storage.End{Reason: storage.Kicked, At: time.Now()}, Until: time.Now().Add(time.Hour),
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f.end(end("before"))
		g, err := guard.New(guard.Config{Tokens: plainTokens{time.Now()}, Feed: f, Sessions: f, Relay: r})
		must(t, err)
		r.guard = g
		must(t, g.Start(t.Context()))
		defer g.Stop()
		g.Apply([]storage.Event{end("applied")})
		f.end(end("after"))
		time.Sleep(time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		all := strings.Join(r.lines, "\n")
		for _, want := range []string{"snapshot before known=true", "applied applied known=true", "feed after known=true"} {
			if !strings.Contains(all, want) {
				t.Errorf("%q is missing in\n%s", want, all)
			}
		}
		if strings.Contains(all, "known=false") {
			t.Errorf("the relay was told first:\n%s", all)
		}
		if last := r.places[len(r.places)-1]; last != (guard.Place{Number: 2, Event: "e-after"}) {
			t.Errorf("the last place is %+v", last)
		}
	})
}

func TestPlaceIsKnownFromTheStart(t *testing.T) {
	t.Parallel()
	f, r := &feed{last: 7, events: []storage.Event{{ID: "e7", Number: 7, Subject: storage.SubjectSession, Key: "s", Until: time.Now().Add(time.Hour)}}}, &relay{}
	trimmed, q := &feed{last: 7}, &relay{}
	for want, on := range map[storage.EventID]struct {
		feed  *feed
		relay *relay
	}{"e7": {f, r}, "": {trimmed, q}} {
		g, err := guard.New(guard.Config{Tokens: plainTokens{time.Now()}, Feed: on.feed, Sessions: on.feed, Relay: on.relay})
		must(t, err)
		on.relay.guard = g
		must(t, g.Start(t.Context()))
		g.Stop()
		if got := on.relay.places[0]; got != (guard.Place{Number: 7, Event: want}) {
			t.Errorf("%+v, want event %q", got, want)
		}
	}
}
