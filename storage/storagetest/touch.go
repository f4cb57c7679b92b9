package storagetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/storage"
)

func touchCases() cases {
	return cases{
		"times go forward and never back":                  touchForward,
		"ended and unknown sessions are passed over":       touchEnded,
		"a thousand at once, and no more":                  touchMany,
		"what was touched decides who is evicted":          touchEvicts,
		"touching and signing in do not get in each other": touchRace,
	}
}

func touchForward(w *world) {
	u := w.user("tom")
	one, two := w.signIn(u.ID, storage.Kickout, "x").Session, w.signIn(u.ID, storage.Shared, "y").Session
	late := w.clock.Advance(time.Hour + time.Nanosecond)
	w.ok(w.Touch(w.ctx(), map[storage.SessionID]time.Time{one.ID: late, two.ID: two.LastSeenAt.Add(-time.Second)}))
	one.LastSeenAt = storage.Instant(late)
	w.same(w.stored(one.ID), one)
	w.same(w.stored(two.ID), two)
	w.ok(w.Touch(w.ctx(), map[storage.SessionID]time.Time{one.ID: late.Add(-time.Minute), two.ID: late}))
	two.LastSeenAt = one.LastSeenAt
	w.same(w.stored(one.ID), one)
	w.same(w.stored(two.ID), two)
	w.ok(w.Touch(w.ctx(), nil))
}

func touchEnded(w *world) {
	u := w.user("tom")
	old := w.signIn(u.ID, storage.Kickout, "x").Session.ID
	live := w.signIn(u.ID, storage.Kickout, "y").Session.ID
	before := w.stored(old)
	now := w.clock.Advance(time.Minute)
	w.ok(w.Touch(w.ctx(), map[storage.SessionID]time.Time{old: now, "none": now, live: now}))
	w.same(w.stored(old), before)
	w.same(w.stored(live).LastSeenAt, storage.Instant(now))
}

func touchMany(w *world) {
	u := w.user("tom")
	seen := map[storage.SessionID]time.Time{}
	var some []storage.SessionID
	for i := range 120 { // more than go into one statement
		o := NewOpening(u.ID, storage.Concurrent, w.now())
		o.MaxSessions = 1000
		id := w.mustOpen(o).Session.ID
		some = append(some, id)
		seen[id] = w.now().Add(time.Duration(i+1) * time.Second)
	}
	for i := len(seen); i < storage.MaxTouch; i++ {
		seen[storage.SessionID(fmt.Sprint("none-", i))] = w.now()
	}
	w.ok(w.Touch(w.ctx(), seen))
	for _, id := range some {
		w.same(w.stored(id).LastSeenAt, seen[id])
	}
	seen["one-more"] = w.now()
	if w.Touch(w.ctx(), seen) == nil {
		w.Error("more sessions than are taken at once were taken")
	}
}

func touchEvicts(w *world) {
	u := w.user("tom")
	var ids []storage.SessionID
	for range 3 {
		o := NewOpening(u.ID, storage.Concurrent, w.clock.Advance(time.Second))
		o.MaxSessions = 3
		ids = append(ids, w.mustOpen(o).Session.ID)
	}
	w.ok(w.Touch(w.ctx(), map[storage.SessionID]time.Time{ids[0]: w.clock.Advance(time.Second)}))
	o := NewOpening(u.ID, storage.Concurrent, w.clock.Advance(time.Second))
	o.MaxSessions = 3
	w.mustOpen(o)
	w.same(w.endOf(ids[1]).Reason, storage.Evicted)
	w.unended(ids[0], ids[2])
}

func touchRace(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "x")
	var signedIn atomic.Bool
	var last storage.SessionID
	race(2, func(i int) {
		if i == 0 {
			defer signedIn.Store(true)
			for range rounds {
				out, err := w.Open(w.ctx(), NewOpening(u.ID, storage.Kickout, w.now()))
				if err != nil {
					w.Error(err)
				}
				last = out.Session.ID
			}
			return
		}
		for n := 1; !signedIn.Load(); n++ {
			if err := w.Touch(w.ctx(), map[storage.SessionID]time.Time{first.Session.ID: w.now().Add(time.Duration(n) * time.Second)}); err != nil {
				w.Error(err)
				return
			}
		}
	})
	w.same(w.live(u.ID), []storage.SessionID{last})
	w.same(w.endOf(first.Session.ID).Reason, storage.Superseded)
}
