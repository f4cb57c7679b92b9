package storagetest

import (
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

func liveList(w *world) {
	u := w.user("tom")
	sign := func(mode storage.Mode, idle time.Duration) storage.SessionID {
		o := NewOpening(u.ID, mode, w.clock.Advance(time.Second))
		if idle > 0 {
			o.Session.IdleAt = w.now().Add(idle)
		}
		return w.mustOpen(o).Session.ID
	}
	mobile, browser := sign(storage.Kickout, 0), sign(storage.Shared, 0)
	sign(storage.Concurrent, time.Minute)
	w.clock.Advance(time.Minute)
	w.signIn(w.user("amy").ID, storage.Kickout, "x")
	w.same(w.live(u.ID), []storage.SessionID{browser, mobile})
	w.mustEnd(storage.EndOrder{User: u.ID, Session: browser, Reason: storage.Kicked, Now: w.now()})
	w.same(w.live(u.ID), []storage.SessionID{mobile})
	w.clock.Advance(SessionTTL)
	w.same(len(w.live(u.ID)), 0)
}

func keptList(w *world) {
	u := w.user("tom")
	w.signIn(w.user("amy").ID, storage.Kickout, "x")
	var all []storage.SessionID
	for range 5 {
		w.clock.Advance(time.Second)
		all = append(all, w.signIn(u.ID, storage.Kickout, "x").Session.ID)
	}
	past := NewOpening(u.ID, storage.Concurrent, w.clock.Advance(time.Second))
	past.Session.IdleAt = w.now().Add(time.Second)
	all = append(all, w.mustOpen(past).Session.ID)
	w.clock.Advance(time.Minute)
	slices.Reverse(all)
	var got []storage.SessionID
	for before := storage.SessionID(""); ; before = got[len(got)-1] {
		page, err := w.Sessions(w.ctx(), u.ID, true, before, 4)
		w.ok(err)
		for _, s := range page {
			w.same(s, w.stored(s.ID))
			got = append(got, s.ID)
		}
		if len(page) < 4 {
			break
		}
	}
	w.same(got, all)
	open, err := w.Sessions(w.ctx(), u.ID, false, "", 10)
	w.ok(err)
	w.same(len(open), 2) // the newest of the kickout slot, and the one past its time
	w.same([]storage.SessionID{open[0].ID, open[1].ID}, all[:2])
}
