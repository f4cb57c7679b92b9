package storagetest

import (
	"errors"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

func revokeCases() cases {
	return cases{
		"the only family out ends the session":                        revokeOnly,
		"a used token signs its family out as well":                   revokeUsed,
		"others stay in a shared session, and the last one out":       revokeShared,
		"no token of a family that has left is taken for theft":       revokeNoTheft,
		"another client's and unknown tokens change nothing":          revokeForeign,
		"revoking again, or what has ended, is nothing":               revokeAgain,
		"a member past its time does not keep the session":            revokePastMember,
		"members are those with an unused token that is in time":      membersCount,
		"families are all that there have been, each with its client": familiesAll,
		"the audit record names user and session":                     revokeAudit,
		"of racing departures one is the last":                        revokeRace,
		"a departure that races with a refresh takes the family out":  revokeRaceRotate,
	}
}

// leave revokes a refresh token.
func (w *world) leave(hash storage.RefreshHash) []storage.Event {
	w.Helper()
	events, err := w.Revoke(w.ctx(), hash, ClientID, "user:tom", nil, w.now())
	w.ok(err)
	return events
}

// members makes sure how many families a session has.
func (w *world) members(id storage.SessionID, want int) {
	w.Helper()
	got, err := w.Members(w.ctx(), id, w.now())
	w.ok(err)
	w.same(got, want)
}

// refusedAs presents a refresh token that is refused with the end of its session or family.
func (w *world) refusedAs(hash storage.RefreshHash, reason storage.Reason) storage.End {
	w.Helper()
	_, events, err := w.Rotate(w.ctx(), NewRotation(hash, w.now()))
	w.same(len(events), 0)
	return w.ended(err, reason)
}

func revokeOnly(w *world) {
	in := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	now := storage.Instant(w.clock.Advance(time.Minute))
	end := storage.End{Reason: storage.SignedOut, At: now, Actor: "user:tom"}
	events := w.leave(in.Refresh.Hash)
	w.same(len(events), 1)
	w.same(events[0].Key, string(in.Session.ID))
	w.same(events[0].End, end)
	w.same(events[0].Until, in.Session.AccessUntil)
	w.same(w.tail(0), events)
	w.same(w.endOf(in.Session.ID), end)
	w.same(w.refusedAs(in.Refresh.Hash, storage.SignedOut), end)
	token, err := w.Refresh(w.ctx(), in.Refresh.Hash)
	w.ok(err)
	w.same(token.UsedAt, &now)
	w.same(token.Next, storage.RefreshHash{})
	w.members(in.Session.ID, 0)
}

func revokeUsed(w *world) {
	in := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	next := w.mustRotate(NewRotation(in.Refresh.Hash, w.clock.Advance(time.Minute)))
	w.clock.Advance(time.Hour)
	w.same(len(w.leave(in.Refresh.Hash)), 1)
	w.refusedAs(next.Refresh.Hash, storage.SignedOut)
	w.same(w.endOf(in.Session.ID).Reason, storage.SignedOut)
}

// party signs so many in to one shared session.
func (w *world) party(n int) (storage.User, []storage.Opened) {
	w.Helper()
	u := w.user("tom")
	var all []storage.Opened
	for range n {
		w.clock.Advance(time.Second)
		all = append(all, w.signIn(u.ID, storage.Shared, "x"))
	}
	return u, all
}

func revokeShared(w *world) {
	u, all := w.party(3)
	id := all[0].Session.ID
	w.members(id, 3)
	for i, member := range all[:2] {
		w.same(len(w.leave(member.Refresh.Hash)), 0)
		w.members(id, 2-i)
		w.same(w.live(u.ID), []storage.SessionID{id})
		w.same(w.refusedAs(member.Refresh.Hash, storage.SignedOut).At, storage.Instant(w.now()))
	}
	w.ok(w.Check(w.ctx(), storage.Bearer{Session: id}, w.now()))
	last := w.mustRotate(NewRotation(all[2].Refresh.Hash, w.clock.Advance(time.Minute)))
	back := w.signIn(u.ID, storage.Shared, "y")
	w.same(back.Joined, true)
	w.same(len(w.leave(back.Refresh.Hash)), 0)
	w.same(len(w.leave(last.Refresh.Hash)), 1)
	w.ended(w.Check(w.ctx(), storage.Bearer{Session: id}, w.now()), storage.SignedOut)
	w.same(w.signIn(u.ID, storage.Shared, "z").Joined, false)
}

func revokeNoTheft(w *world) {
	u, all := w.party(2)
	chain := []storage.RefreshHash{all[0].Refresh.Hash}
	for range 3 {
		next := w.mustRotate(NewRotation(chain[len(chain)-1], w.clock.Advance(time.Minute)))
		chain = append(chain, next.Refresh.Hash)
	}
	w.clock.Advance(Window / 2) // the last but one would get the same answer again
	w.leave(chain[len(chain)-1])
	left := storage.Instant(w.now())
	for _, wait := range []time.Duration{0, Window / 2, time.Hour} {
		w.clock.Advance(wait)
		for _, hash := range chain {
			w.same(w.refusedAs(hash, storage.SignedOut).At, left)
		}
	}
	w.same(w.live(u.ID), []storage.SessionID{all[0].Session.ID})
	w.mustRotate(NewRotation(all[1].Refresh.Hash, w.now()))
	w.same(len(w.tail(0)), 0)
}

func revokeForeign(w *world) {
	in := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	audit := NewAudit("session.ended", w.now())
	_, err := w.Revoke(w.ctx(), in.Refresh.Hash, "other-app", "client:other-app", audit, w.now())
	w.is(err, storage.ErrNotFound)
	_, err = w.Revoke(w.ctx(), HashOf("none"), ClientID, "client:none", audit, w.now())
	w.is(err, storage.ErrNotFound)
	w.unended(in.Session.ID)
	w.members(in.Session.ID, 1)
	w.audited()
	w.mustRotate(NewRotation(in.Refresh.Hash, w.now()))
}

func revokeAgain(w *world) {
	u, all := w.party(2)
	audit := NewAudit("session.ended", w.now())
	again := func(hash storage.RefreshHash) {
		w.Helper()
		events, err := w.Revoke(w.ctx(), hash, ClientID, "user:tom", audit, w.now())
		w.ok(err)
		w.same(len(events), 0)
	}
	w.leave(all[0].Refresh.Hash)
	again(all[0].Refresh.Hash)
	w.members(all[1].Session.ID, 1)
	w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Kicked, Actor: "operator:amy", Now: w.now()})
	again(all[1].Refresh.Hash)
	w.same(w.endOf(all[0].Session.ID).Reason, storage.Kicked)
	w.audited()
	past := w.signIn(u.ID, storage.Shared, "x")
	w.clock.Advance(SessionTTL)
	again(past.Refresh.Hash)
	w.unended(past.Session.ID)
	w.audited()
}

func revokePastMember(w *world) {
	u := w.user("tom")
	o := NewOpening(u.ID, storage.Shared, w.now())
	o.Refresh.ExpiresAt = w.now().Add(time.Hour)
	first := w.mustOpen(o)
	second := w.signIn(u.ID, storage.Shared, "y")
	w.members(first.Session.ID, 2)
	w.clock.Advance(time.Hour)
	w.members(first.Session.ID, 1)
	w.same(len(w.leave(first.Refresh.Hash)), 0)
	w.same(len(w.leave(second.Refresh.Hash)), 1)
}

func membersCount(w *world) {
	u, all := w.party(3)
	id := all[0].Session.ID
	w.members("none", 0)
	next := w.mustRotate(NewRotation(all[0].Refresh.Hash, w.clock.Advance(time.Minute)))
	w.mustRotate(NewRotation(next.Refresh.Hash, w.clock.Advance(time.Minute)))
	w.members(id, 3)
	w.signIn(u.ID, storage.Concurrent, "elsewhere")
	w.members(id, 3)
	w.clock.Advance(SessionTTL)
	w.members(id, 0)
}

func revokeAudit(w *world) {
	u, all := w.party(2)
	for _, member := range all {
		audit := NewAudit("session.ended", w.clock.Advance(time.Second))
		_, err := w.Revoke(w.ctx(), member.Refresh.Hash, ClientID, "user:tom", audit, w.now())
		w.ok(err)
	}
	list, err := w.ListAudit(w.ctx(), time.Time{}, "", 10)
	w.ok(err)
	w.same(len(list), 2)
	for _, r := range list {
		w.same(r.User, u.ID)
		w.same(r.Session, all[0].Session.ID)
	}
}

func revokeRace(w *world) {
	u, all := w.party(racers)
	events, errs := make([][]storage.Event, 2*racers), make([]error, 2*racers)
	race(2*racers, func(i int) {
		events[i], errs[i] = w.Revoke(w.ctx(), all[i/2].Refresh.Hash, ClientID, "user:tom", nil, w.now())
	})
	w.ok(errors.Join(errs...))
	w.same(len(slices.Concat(events...)), 1)
	w.same(len(w.tail(0)), 1)
	w.same(len(w.live(u.ID)), 0)
}

// revokeRaceRotate: whichever comes first, the family is out and nobody is called a thief.
func revokeRaceRotate(w *world) {
	_, all := w.party(rounds + 1)
	id := all[0].Session.ID
	for i, member := range all[:rounds] {
		var rotated storage.Rotated
		var rotating, leaving error
		race(2, func(i int) {
			if i == 0 {
				rotated, _, rotating = w.Rotate(w.ctx(), NewRotation(member.Refresh.Hash, w.now()))
				return
			}
			_, leaving = w.Revoke(w.ctx(), member.Refresh.Hash, ClientID, "user:tom", nil, w.now())
		})
		w.ok(leaving)
		if rotating == nil {
			w.refusedAs(rotated.Refresh.Hash, storage.SignedOut)
		} else {
			w.ended(rotating, storage.SignedOut)
		}
		w.members(id, rounds-i)
	}
	w.unended(id)
}
