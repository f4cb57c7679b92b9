package storagetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Refreshes checks a driver against every promise written on [storage.Refreshes]. open must return
// an empty store.
func Refreshes(t *testing.T, open func(t *testing.T) Store) {
	t.Run("revoke", func(t *testing.T) { revokeCases().run(t, open) })
	cases{
		"an unused token is exchanged for its successor":               rotateOnce,
		"a chain of exchanges keeps family, client and scope":          rotateChain,
		"a rotation does not raise the version":                        rotateVersion,
		"within the window the same answer comes again":                rotateReplay,
		"after the window reuse ends the session":                      rotateLate,
		"an older ancestor ends the session, even within the window":   rotateAncestor,
		"another client's token is not found and nothing changes":      rotateOtherClient,
		"a token is read without being used up":                        refreshRead,
		"an unknown token is not found":                                rotateUnknown,
		"the token of an ended session says why":                       rotateEnded,
		"the token of a session past its time is expired":              rotateSessionExpired,
		"a token past its own time is expired":                         rotateTokenExpired,
		"successors and access tokens end with their session":          rotateCuts,
		"use pushes the idle limit ahead, never past the end":          rotateIdle,
		"a shared session keeps its access token while it is good":     rotateSharedKeeps,
		"a shared session does not change it for one as short":         rotateSharedAtEnd,
		"members of a shared session rotate on their own":              rotateMembers,
		"of racing exchanges one happens and all get its answer":       rotateRace,
		"racing exchanges of one member leave the other members alone": rotateRaceMembers,
		"racing reuse ends the session once":                           rotateRaceReuse,
	}.run(t, open)
}

func rotateOnce(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	now := storage.Instant(w.clock.Advance(5*time.Minute + 3*time.Microsecond))
	r := NewRotation(first.Refresh.Hash, now)
	got := w.mustRotate(r)
	w.same(got.Replayed, false)
	want := first.Session
	want.LastSeenAt, want.Access, want.AccessUntil = now, r.Next.Access, r.Next.Access.ExpiresAt
	w.same(got.Session, want)
	w.same(w.stored(want.ID), want)
	next := r.Next
	next.Session, next.Family, next.Client, next.Scope = want.ID, first.Refresh.Family, ClientID, first.Refresh.Scope
	next.ExpiresAt = want.ExpiresAt
	w.same(got.Refresh, next)
	w.same(len(w.tail(0)), 0)
}

func rotateChain(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	token := first.Refresh.Hash
	for range 4 {
		got := w.mustRotate(NewRotation(token, w.clock.Advance(time.Hour)))
		w.same(got.Refresh.Family, first.Refresh.Family)
		w.same(got.Refresh.Scope, first.Refresh.Scope)
		w.same(got.Refresh.Client, first.Refresh.Client)
		token = got.Refresh.Hash
	}
	narrow := NewRotation(token, w.now())
	narrow.Next.Scope = "profile"
	w.same(w.mustRotate(narrow).Refresh.Scope, "profile")
}

func rotateVersion(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "x")
	w.same(w.mustRotate(NewRotation(first.Refresh.Hash, w.now())).Session.Version, int64(1))
	w.same(w.signIn(u.ID, storage.Kickout, "y").Session.Version, int64(2))
}

func rotateReplay(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	w.clock.Advance(time.Minute)
	r := NewRotation(first.Refresh.Hash, w.now())
	want := w.mustRotate(r)
	for _, later := range []time.Duration{0, -time.Second, Window} { // a clock behind, and the last instant
		replay := NewRotation(first.Refresh.Hash, w.now().Add(later))
		got := w.mustRotate(replay)
		w.same(got.Replayed, true)
		w.same(got.Refresh, want.Refresh)
		w.same(got.Session, want.Session)
	}
	w.clock.Advance(time.Hour)
	w.mustRotate(NewRotation(want.Refresh.Hash, w.now())) // the successor is as good as ever
}

func rotateLate(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "x")
	next := w.mustRotate(NewRotation(first.Refresh.Hash, w.now()))
	now := storage.Instant(w.clock.Advance(Window + time.Microsecond))
	_, events, err := w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, now))
	end := storage.End{Reason: storage.ReuseDetected, At: now, Actor: "client:" + string(ClientID)}
	w.same(w.ended(err, storage.ReuseDetected), end)
	w.same(w.endOf(first.Session.ID), end) // committed, although the caller got an error
	w.same(w.tail(0), events)
	w.same(events, []storage.Event{{
		ID: events[0].ID, Subject: storage.SubjectSession, Key: string(first.Session.ID), User: u.ID,
		Product: Product, Terminal: storage.Mobile, End: end, Until: next.Session.AccessUntil,
	}})
	_, events, err = w.Rotate(w.ctx(), NewRotation(next.Refresh.Hash, w.now()))
	w.ended(err, storage.ReuseDetected) // the successor is dead too
	w.same(len(events), 0)
}

func rotateAncestor(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	second := w.mustRotate(NewRotation(first.Refresh.Hash, w.now()))
	w.mustRotate(NewRotation(second.Refresh.Hash, w.clock.Advance(time.Second)))
	_, events, err := w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, w.clock.Advance(time.Second)))
	w.ended(err, storage.ReuseDetected)
	w.same(len(events), 1)
	w.same(w.endOf(first.Session.ID).Reason, storage.ReuseDetected)
}

func rotateOtherClient(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	w.mustRotate(NewRotation(first.Refresh.Hash, w.now()))
	w.clock.Advance(time.Hour) // its own client would be a thief now
	thief := NewRotation(first.Refresh.Hash, w.now())
	thief.Client = "music-app"
	before := w.stored(first.Session.ID)
	_, events, err := w.Rotate(w.ctx(), thief)
	w.is(err, storage.ErrNotFound)
	w.same(len(events), 0)
	w.same(w.stored(first.Session.ID), before)
}

func rotateUnknown(w *world) {
	_, _, err := w.Rotate(w.ctx(), NewRotation(HashOf("nothing"), w.now()))
	w.is(err, storage.ErrNotFound)
}

func refreshRead(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	for range 2 {
		got, err := w.Refresh(w.ctx(), first.Refresh.Hash)
		w.ok(err)
		w.same(got, *first.Refresh)
	}
	at := storage.Instant(w.clock.Advance(time.Second))
	next := w.mustRotate(NewRotation(first.Refresh.Hash, at))
	used, err := w.Refresh(w.ctx(), first.Refresh.Hash)
	w.ok(err)
	want := *first.Refresh
	want.UsedAt, want.Next = &at, next.Refresh.Hash
	w.same(used, want)
	_, err = w.Refresh(w.ctx(), HashOf("nothing"))
	w.is(err, storage.ErrNotFound)
}

func rotateEnded(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "x")
	w.signIn(u.ID, storage.Kickout, "y")
	for range 2 {
		_, events, err := w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, w.now()))
		w.same(w.ended(err, storage.Superseded).By.DeviceName, "y")
		w.same(len(events), 0)
		w.clock.Advance(2 * SessionTTL) // supersession outranks expiry
	}
}

func rotateSessionExpired(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	_, events, err := w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, first.Session.ExpiresAt))
	w.same(w.ended(err, storage.Expired).At, first.Session.ExpiresAt)
	w.same(len(events), 0)
}

func rotateTokenExpired(w *world) {
	o := NewOpening(w.user("tom").ID, storage.Kickout, w.now())
	o.Refresh.ExpiresAt = w.now().Add(time.Minute)
	w.mustOpen(o)
	_, _, err := w.Rotate(w.ctx(), NewRotation(o.Refresh.Hash, w.clock.Advance(time.Minute)))
	w.is(err, storage.ErrExpired)
	w.unended(o.Session.ID)
	w.mustRotate(NewRotation(o.Refresh.Hash, w.clock.Advance(-time.Microsecond)))
}

func rotateCuts(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	w.clock.Advance(SessionTTL - time.Minute)
	got := w.mustRotate(NewRotation(first.Refresh.Hash, w.now()))
	w.same(got.Refresh.ExpiresAt, first.Session.ExpiresAt)
	w.same(got.Refresh.Access.ExpiresAt, first.Session.ExpiresAt)
	w.same(got.Session.Access.ExpiresAt, first.Session.ExpiresAt)
	w.same(got.Session.ExpiresAt, first.Session.ExpiresAt)
}

func rotateIdle(w *world) {
	o := NewOpening(w.user("tom").ID, storage.Kickout, w.now())
	o.Session.IdleAt = w.now().Add(time.Hour)
	token := w.mustOpen(o).Refresh.Hash
	rotate := func(at time.Time, ttl time.Duration) storage.Rotated {
		r := NewRotation(token, at)
		r.IdleTTL = ttl
		got := w.mustRotate(r)
		token = got.Refresh.Hash
		return got
	}
	at := w.clock.Advance(59*time.Minute + 500*time.Millisecond)
	got := rotate(at, time.Hour)
	w.same(got.Session.IdleAt, at.Add(time.Hour).Truncate(time.Second))
	w.same(got.Refresh.ExpiresAt, got.Session.IdleAt)
	kept := rotate(w.clock.Advance(time.Minute), 0)
	w.same(kept.Session.IdleAt, got.Session.IdleAt)
	w.same(rotate(w.now(), 2*SessionTTL).Session.IdleAt, o.Session.ExpiresAt)
	w.same(w.stored(o.Session.ID).IdleAt, o.Session.ExpiresAt)
}

func rotateSharedKeeps(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Shared, "x")
	keep := NewRotation(first.Refresh.Hash, w.clock.Advance(9*time.Minute)) // 6 left, 5 are enough
	got := w.mustRotate(keep)
	w.same(got.Session.Access, first.Session.Access)
	w.same(got.Refresh.Access, first.Session.Access)
	replace := NewRotation(got.Refresh.Hash, w.clock.Advance(time.Minute)) // 5 left: not more than 5
	fresh := w.mustRotate(replace)
	w.same(fresh.Session.Access, replace.Next.Access)
	w.same(fresh.Refresh.Access, replace.Next.Access)
	w.same(w.stored(first.Session.ID).Access, replace.Next.Access)
}

func rotateSharedAtEnd(w *world) {
	o := NewOpening(w.user("tom").ID, storage.Shared, w.now())
	o.Session.ExpiresAt = w.now().Add(10 * time.Minute)
	o.Session.IdleAt = o.Session.ExpiresAt
	first := w.mustOpen(o)
	w.same(first.Session.Access.ExpiresAt, o.Session.ExpiresAt)
	got := w.mustRotate(NewRotation(first.Refresh.Hash, w.clock.Advance(9*time.Minute)))
	w.same(got.Session.Access, first.Session.Access) // a new one would not live longer
}

func rotateMembers(w *world) {
	u := w.user("tom")
	first, second := w.signIn(u.ID, storage.Shared, "a"), w.signIn(u.ID, storage.Shared, "b")
	a := w.mustRotate(NewRotation(first.Refresh.Hash, w.clock.Advance(11*time.Minute)))
	b := w.mustRotate(NewRotation(second.Refresh.Hash, w.clock.Advance(time.Minute)))
	w.same(b.Session.Access, a.Session.Access) // replaced by the first, kept by the second
	w.same(a.Refresh.Family, first.Refresh.Family)
	w.same(b.Refresh.Family, second.Refresh.Family)
	replayed := w.mustRotate(NewRotation(second.Refresh.Hash, w.clock.Advance(time.Second)))
	w.same(replayed.Refresh, b.Refresh)
}

func rotateRace(w *world) {
	first := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	outs, errs := make([]storage.Rotated, racers), make([]error, racers)
	race(racers, func(i int) {
		at := w.now().Add(time.Duration(i) * time.Millisecond)
		outs[i], _, errs[i] = w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, at)) // each with a stamp of its own
	})
	w.ok(errors.Join(errs...))
	fresh := 0
	for _, out := range outs {
		w.same(out.Refresh, outs[0].Refresh)
		w.same(out.Session.Access, outs[0].Session.Access)
		if !out.Replayed {
			fresh++
		}
	}
	w.same(fresh, 1)
	w.unended(first.Session.ID)
	w.mustRotate(NewRotation(outs[0].Refresh.Hash, w.now()))
}

func rotateRaceMembers(w *world) {
	u := w.user("tom")
	first, second := w.signIn(u.ID, storage.Shared, "a"), w.signIn(u.ID, storage.Shared, "b")
	w.clock.Advance(AccessTTL - time.Second)
	outs, errs := make([]storage.Rotated, racers), make([]error, racers)
	race(racers, func(i int) {
		token := []storage.RefreshHash{first.Refresh.Hash, second.Refresh.Hash}[i%2]
		outs[i], _, errs[i] = w.Rotate(w.ctx(), NewRotation(token, w.now()))
	})
	w.ok(errors.Join(errs...))
	for i, out := range outs {
		w.same(out.Refresh, outs[i%2].Refresh)
		w.same(out.Refresh.Access, outs[0].Refresh.Access) // one access token for all of them
	}
	w.same(w.live(u.ID), []storage.SessionID{first.Session.ID})
}

func rotateRaceReuse(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "x")
	w.mustRotate(NewRotation(first.Refresh.Hash, w.now()))
	w.clock.Advance(time.Hour)
	events, errs := make([][]storage.Event, racers), make([]error, racers)
	race(racers, func(i int) {
		_, events[i], errs[i] = w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, w.now()))
	})
	for _, err := range errs {
		w.ended(err, storage.ReuseDetected)
	}
	w.same(len(slices.Concat(events...)), 1)
	w.same(len(w.tail(0)), 1)
}
