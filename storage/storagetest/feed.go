package storagetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// SlowEnd begins a transaction that writes an event without a number, as every end does, and does
// not commit it before commit is called. It is nil for an engine with a single writer, on which no
// transaction can be overtaken.
type SlowEnd func(t *testing.T, e storage.Event) (commit func())

// Feed checks a driver against every promise written on [storage.Feed]. open must return an empty
// store and the driver's SlowEnd for it.
func Feed(t *testing.T, open func(t *testing.T) (Store, SlowEnd)) {
	cases{
		"events are numbered in order, without gaps":         feedNumbers,
		"numbering takes no more than it is asked to":        feedLimits,
		"the tail holds what is numbered and what is not":    feedTail,
		"an event that is older than those numbered is told": feedOlder,
		"racing writers and numberers lose nothing":          feedRace,
		"the snapshot holds what is not over at now":         feedSnapshot,
		"the snapshot stops where its reader does":           feedSnapshotStops,
		"a thousand and one events are paged":                feedThousand,
	}.run(t, func(t *testing.T) Store {
		s, _ := open(t)
		return s
	})
	t.Run("a transaction that commits after later ones is not missed", func(t *testing.T) {
		t.Parallel()
		s, slow := open(t)
		if slow == nil {
			t.Log("declared: a single writer, so no transaction can be overtaken")
			return
		}
		feedOvertaken(&world{T: t, Store: s, clock: NewClock()}, slow)
	})
}

// endOne signs a user in and out again, and returns the event.
func (w *world) endOne(name string) storage.Event {
	w.Helper()
	u := w.user(name)
	w.signIn(u.ID, storage.Kickout, "x")
	return w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.SignedOut, Now: w.clock.Advance(time.Second)})[0]
}

func (w *world) number(limit int) int {
	w.Helper()
	n, err := w.Number(w.ctx(), limit)
	w.ok(err)
	return n
}

func (w *world) position() int64 {
	w.Helper()
	n, err := w.Position(w.ctx())
	w.ok(err)
	return n
}

func numbered(e storage.Event, n int64) storage.Event {
	e.Number = n
	return e
}

func feedNumbers(w *world) {
	w.same(w.position(), int64(0))
	w.same(w.number(10), 0)
	var want []storage.Event
	for i := range 3 {
		want = append(want, w.endOne(fmt.Sprint("user ", i)))
	}
	w.same(w.number(10), 3)
	w.same(w.number(10), 0)
	w.same(w.position(), int64(3))
	for i := range want {
		want[i].Number = int64(i + 1)
	}
	w.same(w.tail(0), want)
	last := w.endOne("last")
	w.same(w.number(10), 1)
	w.same(w.tail(3), []storage.Event{numbered(last, 4)})
	w.same(len(w.tail(4)), 0)
}

func feedLimits(w *world) {
	for i := range 5 {
		w.endOne(fmt.Sprint("user ", i))
	}
	w.same(w.number(0), 0)
	w.same(w.number(2), 2)
	w.same(w.number(2), 2)
	w.same(w.number(2), 1)
	w.same(w.position(), int64(5))
	page, err := w.Tail(w.ctx(), 1, 2)
	w.ok(err)
	w.same([]int64{page[0].Number, page[1].Number}, []int64{2, 3})
	w.same(len(page), 2)
}

func feedTail(w *world) {
	a, b := w.endOne("a"), w.endOne("b")
	w.same(w.number(2), 2)
	c, d := w.endOne("c"), w.endOne("d")
	w.same(w.tail(0), []storage.Event{numbered(a, 1), numbered(b, 2), c, d})
	w.same(w.tail(2), []storage.Event{c, d})
	page, err := w.Tail(w.ctx(), 0, 1)
	w.ok(err)
	w.same(page, []storage.Event{numbered(a, 1), c})
}

// feedOlder: an event whose time, and so its identifier, is before that of others that have been
// numbered already. A reader who went by identifiers would never see it.
func feedOlder(w *world) {
	first := w.endOne("first")
	w.same(w.number(10), 1)
	w.clock.Advance(-time.Hour)
	older := w.endOne("older")
	if older.ID >= first.ID {
		w.Fatalf("%s is not older than %s", older.ID, first.ID)
	}
	w.same(w.tail(1), []storage.Event{older})
	w.same(w.number(10), 1)
	w.same(w.tail(1), []storage.Event{numbered(older, 2)})
}

func feedOvertaken(w *world, slow SlowEnd) {
	now := storage.Instant(w.now())
	overtaken := storage.Event{
		ID: storage.EventID(storage.NewID(now)), Subject: storage.SubjectToken, Key: "jti",
		End: storage.End{Reason: storage.SignedOut, At: now, Actor: "user:x"}, Until: now.Add(AccessTTL),
	}
	commit := slow(w.T, overtaken)
	w.clock.Advance(time.Second)
	fast := w.endOne("fast")
	w.same(w.number(10), 1) // it does not wait for the slow transaction
	w.same(w.tail(0), []storage.Event{numbered(fast, 1)})
	commit()
	w.same(w.tail(1), []storage.Event{overtaken}) // above the reader's last number, or without one
	w.same(w.number(10), 1)
	w.same(w.tail(1), []storage.Event{numbered(overtaken, 2)})
	w.same(w.position(), int64(2))
}

func feedRace(w *world) {
	const writers, each, numberers = 4, 8, 3
	users := make([]storage.UserID, writers)
	for i := range users {
		users[i] = w.user(fmt.Sprint("user ", i)).ID
	}
	var wrote, failed atomic.Int64
	var last error
	seen := map[string]bool{}
	race(writers+numberers+1, func(i int) {
		var err error
		switch {
		case i < writers:
			for range each {
				_, e := w.Open(w.ctx(), NewOpening(users[i], storage.Kickout, w.clock.Advance(time.Millisecond)))
				err = errors.Join(err, e)
			}
			wrote.Add(1)
		case i < writers+numberers:
			for wrote.Load() < writers {
				_, e := w.Number(w.ctx(), 5)
				err = errors.Join(err, e)
			}
		default:
			err = follow(w, seen, func() bool { return wrote.Load() == writers })
		}
		if err != nil {
			failed.Add(1)
			last = err // any of them
		}
	})
	if failed.Load() > 0 {
		w.Fatal(last)
	}
	w.same(len(seen), writers*(each-1)) // each sign-in but a user's first superseded one
	for w.number(100) > 0 {
	}
	for i, e := range w.tail(0) {
		w.same(e.Number, int64(i+1))
	}
	w.same(w.position(), int64(writers*(each-1)))
}

// follow reads the feed as a guard does, until a read that began after done returned true.
func follow(w *world, seen map[string]bool, done func() bool) error {
	var at int64
	for {
		over := done()
		for more := true; more; {
			events, err := w.Tail(w.ctx(), at, 100)
			if err != nil {
				return err
			}
			before := at
			for _, e := range events {
				seen[e.Key] = true
				at = max(at, e.Number)
			}
			more = at > before
		}
		if over {
			return nil
		}
	}
}

func feedSnapshot(w *world) {
	a, b := w.endOne("a"), w.endOne("b")
	w.same(w.number(1), 1)
	read := func(now time.Time) (keys []string) {
		w.ok(w.Snapshot(w.ctx(), now, func(e storage.Event) error {
			keys = append(keys, e.Key)
			return nil
		}))
		return keys
	}
	w.same(read(w.now()), []string{a.Key, b.Key}) // numbered or not
	w.same(read(a.Until.Add(-time.Microsecond)), []string{a.Key, b.Key})
	w.same(read(a.Until), []string{b.Key}) // "after now": the instant itself is over
	w.same(len(read(b.Until)), 0)
}

func feedSnapshotStops(w *world) {
	w.endOne("a")
	w.endOne("b")
	enough := errors.New("enough")
	calls := 0
	err := w.Snapshot(w.ctx(), w.now(), func(storage.Event) error {
		calls++
		_, err := w.Position(w.ctx()) // the reader may use the store
		return errors.Join(err, enough)
	})
	w.is(err, enough)
	w.same(calls, 1)
}

// feedThousand has one event more than fits a page, most of them with the same Until, so that pages
// cannot be told apart by it.
func feedThousand(w *world) {
	const n = 1001
	u := w.user("tom")
	errs := make([]error, n)
	race(racers, func(r int) {
		for i := r; i < n; i += racers {
			o := NewOpening(u.ID, storage.Kickout, w.now())
			o.Session.Product, o.Refresh = fmt.Sprint("p", i), nil
			_, errs[i] = w.Open(w.ctx(), o)
		}
	})
	w.ok(errors.Join(errs...))
	w.same(len(w.live(u.ID)), 1000) // at most
	events := w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: w.now()})
	w.same(len(events), n)
	seen := map[string]int{}
	w.ok(w.Snapshot(w.ctx(), w.now(), func(e storage.Event) error {
		seen[e.Key]++
		return nil
	}))
	w.same(len(seen), n)
	for key, times := range seen {
		if times != 1 {
			w.Errorf("%s came %d times", key, times)
		}
	}
	total := 0
	for got := w.number(1000); got > 0; got = w.number(1000) {
		total += got
	}
	w.same(total, n)
	tail, err := w.Tail(w.ctx(), 0, 1_000_000)
	w.ok(err)
	if len(tail) > n {
		w.Errorf("a tail of %d is not bounded", len(tail))
	}
	w.same(tail[0].Number, int64(1))
}
