package events_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/authserver/events"
	"github.com/tallystick/tallystick/storage"
)

func TestSnapshotThenLive(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	before := s.kick("before")
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	if r.status != http.StatusOK || r.header.Get("Content-Type") != "text/event-stream; charset=utf-8" || r.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", r.status, r.header)
	}
	begin, _ := r.until("the beginning", of("begin"))
	if begin.Version != 1 || begin.Mode != "snapshot" || begin.Because != "no position" {
		t.Errorf("begins with %s", begin.raw)
	}
	first, between := r.until("the end of the snapshot", of("heard"))
	if got := slices.Compact(sessions(between)); !slices.Equal(got, []string{string(before)}) {
		t.Errorf("snapshot has %v, want %s", got, before)
	}
	if first.Moment != begin.Moment {
		t.Errorf("the snapshot vouches for %d, want the moment of the request, %d", first.Moment, begin.Moment)
	}
	after := s.kick("after")
	m, _ := r.until("a kick-out", ofSession(after))
	if m.Reason != storage.Superseded || m.Code != 2 {
		t.Errorf("%s", m.raw)
	}
	heard, _ := r.until("a position", placed("2"))
	if heard.Moment <= begin.Moment || heard.Age < 0 {
		t.Errorf("%s after %s", heard.raw, begin.raw)
	}
}

func TestHeardIsSaidAfterWhatItVouchesFor(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	raw, _ := s.token(events.Scope, time.Hour)
	sent := time.Now() // not after the moment of begin
	r := s.watch(raw, "")
	begin, _ := r.until("the beginning", of("begin"))
	for i := range 30 {
		sid := s.kick(fmt.Sprint(i))
		committed := time.Since(sent).Milliseconds() + begin.Moment // on the server's clock, not before the commit but for rounding
		seen := false
		r.until("a moment after the commit", func(m message) bool {
			seen = seen || m.Session == string(sid)
			return m.kind == "heard" && m.Moment > committed+1
		})
		if !seen {
			t.Fatalf("kick-out %d: it was vouched for before it was sent", i)
		}
	}
}

func TestAppliedEndsAreSentAtOnceAndOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(s *stand) { s.poll = 300 * time.Millisecond })
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	r.until("the beginning", of("heard"))
	user := s.user()
	old, _ := s.signIn(user, "phone")
	_, ended := s.signIn(user, "tablet")
	s.guard.Apply(ended)
	r.until("the end", ofSession(old))
	_, between := r.until("a position", placed("1"))
	_, further := r.until("another reading", func() func(message) bool {
		n := 0
		return func(m message) bool {
			if m.kind == "heard" {
				n++
			}
			return n == 3
		}
	}())
	if again := sessions(append(between, further...)); len(again) != 0 {
		t.Errorf("sent again: %v", again)
	}
}

func TestHeartbeatWhileNothingCanBeRead(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(s *stand) { s.config.Beat = 20 * time.Millisecond })
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	r.until("a reading", func(m message) bool { return m.kind == "heard" && m.Age >= 0 })
	s.guard.Stop() // reads no more
	var last int64
	same := 0
	r.until("the same moment again and again, growing old", func(m message) bool {
		if m.kind != "heard" {
			return false
		}
		if m.Moment == last {
			same++
		} else {
			same = 0
		}
		last = m.Moment
		return same >= 5 && m.Age >= 60
	})
}

func TestResume(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	one := s.kick("one")
	r.until("one", ofSession(one))
	position, _ := r.until("a position", placed("1"))
	r.cancel()
	two, three := s.kick("two"), s.kick("three")
	resumed := s.watch(raw, position.id)
	begin, _ := resumed.until("the beginning", of("begin"))
	if begin.Mode != "resume" || begin.Because != "" {
		t.Errorf("begins with %s", begin.raw)
	}
	_, between := resumed.until("the moment of the request", of("heard"))
	got := sessions(between)
	slices.Sort(got)
	got = slices.Compact(got) // one that is numbered while it is read is read twice
	want := []string{string(two), string(three)}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("resumed with %v, want %v", got, want)
	}
}

func TestPositionsThatAreOfNoUse(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ended := s.kick("one")
	s.kick("two")
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	position, _ := r.until("a position", placed("2"))
	_, event, _ := strings.Cut(position.id, "-")
	for id, because := range map[string]string{
		"": "no position", "x": "malformed", "2": "malformed", "2-": "malformed", "-2-x": "malformed", "+2-" + event: "malformed",
		"02-" + event: "malformed", "0-" + event: "malformed", "99999999999999999999-x": "malformed", strings.Repeat("9", 200): "malformed",
		"3-" + event: "another feed", "2-" + event[:len(event)-1] + "!": "another feed", "1-" + event: "another feed",
	} {
		r := s.watch(raw, id)
		begin, _ := r.until("the beginning", of("begin"))
		if begin.Mode != "snapshot" || begin.Because != because {
			t.Errorf("%q: begins with %s, want %q", id, begin.raw, because)
		}
		r.until("the snapshot after "+id, ofSession(ended))
		r.cancel()
	}
}

func TestPositionThatWasTrimmed(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.kick("one")
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	position, _ := r.until("a position", placed("1"))
	r.cancel()
	n, err := s.db.Trim(t.Context(), storage.TrimEvents, time.Now().Add(time.Hour), 10)
	if err != nil || n != 1 {
		t.Fatalf("trimmed %d, %v", n, err)
	}
	begin, _ := s.watch(raw, position.id).until("the beginning", of("begin"))
	if begin.Mode != "snapshot" || begin.Because != "too old" {
		t.Errorf("begins with %s", begin.raw)
	}
}

func TestResumeOverARestart(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	s.kick("one")
	position, _ := r.until("a position", placed("1"))
	s.stop()
	for range r.messages { // to its end
	}
	two := s.kick("two")
	s.start()
	resumed := s.watch(raw, position.id)
	begin, _ := resumed.until("the beginning", of("begin"))
	if begin.Mode != "resume" {
		t.Errorf("begins with %s", begin.raw)
	}
	_, between := resumed.until("the moment of the request", of("heard"))
	if got := slices.Compact(sessions(between)); !slices.Equal(got, []string{string(two)}) {
		t.Errorf("resumed with %v, want %v", got, two)
	}
	resumed.until("a position", placed("2"))
}

func TestWhoMayWatch(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for scope, status := range map[string]int{events.Scope: 200, "wallet:read": 403, "": 403, "other " + events.Scope: 200} {
		raw, _ := s.token(scope, time.Hour)
		if r := s.watch(raw, ""); r.status != status {
			t.Errorf("scope %q: %d, want %d", scope, r.status, status)
		} else {
			r.cancel()
		}
	}
	if r := s.watch("x", ""); r.status != http.StatusUnauthorized {
		t.Errorf("no token: %d", r.status)
	}
}

func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		life   time.Duration
		do     func(s *stand, jti string) error
		reason storage.Reason
	}{
		"it expires": {2 * time.Second, func(*stand, string) error { return nil }, storage.Expired},
		"it is revoked": {time.Hour, func(s *stand, jti string) error {
			_, err := s.db.RevokeToken(s.t.Context(), jti, watcher, "client:parcels", time.Now().Add(time.Hour), nil, storage.Instant(time.Now()))
			return err
		}, storage.SignedOut},
		"its client is disabled": {time.Hour, func(s *stand, _ string) error {
			_, err := s.db.DisableClient(s.t.Context(), watcher, "operator:test", time.Now().Add(time.Hour), nil, storage.Instant(time.Now()))
			return err
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			raw, jti := s.token(events.Scope, end.life)
			r := s.watch(raw, "")
			r.until("the beginning", of("heard"))
			must(t, end.do(s, jti))
			bye, _ := r.until("the farewell", of("bye"))
			if bye.Why != "token" || bye.Reason == "" || end.reason != "" && bye.Reason != end.reason {
				t.Errorf("ends with %s, want reason %q", bye.raw, end.reason)
			}
			if _, open := <-r.messages; open {
				t.Error("the stream goes on")
			}
			if again := s.watch(raw, ""); again.status != http.StatusUnauthorized {
				t.Errorf("again: %d", again.status)
			}
		})
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(s *stand) { s.hubConfig.MaxWatchers, s.hubConfig.MaxPerClient = 3, 2 })
	raw, _ := s.token(events.Scope, time.Hour)
	one, two := s.watch(raw, ""), s.watch(raw, "")
	three := s.watch(raw, "")
	if one.status != 200 || two.status != 200 || three.status != http.StatusTooManyRequests || three.header.Get("Retry-After") == "" {
		t.Fatalf("%d %d %d %v", one.status, two.status, three.status, three.header)
	}
	one.cancel()
	deadline := time.Now().Add(patience)
	for {
		r := s.watch(raw, "")
		if r.status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a reader that left is not given back")
		}
	}
	full := newStand(t, func(s *stand) { s.hubConfig.MaxWatchers = 1 })
	raw, _ = full.token(events.Scope, time.Hour)
	if r := full.watch(raw, ""); r.status != 200 {
		t.Fatal(r.status)
	}
	if r := full.watch(raw, ""); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("a full process: %d %v", r.status, r.header)
	}
}

// brokenFeed fails where a stream begins.
type brokenFeed struct {
	storage.Feed

	snapshot, position error
}

func (f brokenFeed) Snapshot(ctx context.Context, now time.Time, each func(storage.Event) error) error {
	if f.snapshot != nil {
		return f.snapshot
	}
	return f.Feed.Snapshot(ctx, now, each)
}

func (f brokenFeed) Position(ctx context.Context) (int64, error) {
	if f.position != nil {
		return 0, f.position
	}
	return f.Feed.Position(ctx)
}

func TestStoreThatFailsAtTheBeginning(t *testing.T) {
	t.Parallel()
	away := errors.Join(storage.ErrUnavailable, errors.New("private"))
	s := newStand(t, func(s *stand) { s.feed = brokenFeed{s.db, away, away} })
	raw, _ := s.token(events.Scope, time.Hour)
	if r := s.watch(raw, "1-x"); r.status != http.StatusServiceUnavailable {
		t.Errorf("a position that cannot be judged: %d", r.status)
	}
	r := s.watch(raw, "")
	bye, before := r.until("the farewell", of("bye"))
	if bye.Why != "unavailable" {
		t.Errorf("ends with %s", bye.raw)
	}
	for _, m := range before {
		if m.kind == "heard" {
			t.Errorf("vouches for what it could not read: %s", m.raw)
		}
	}
}
