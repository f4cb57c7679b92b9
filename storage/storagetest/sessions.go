package storagetest

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Sessions checks a driver against every promise written on [storage.Sessions]. open must return an
// empty store.
func Sessions(t *testing.T, open func(t *testing.T) Store) {
	t.Run("open", func(t *testing.T) { openCases().run(t, open) })
	t.Run("end", func(t *testing.T) { endCases().run(t, open) })
	t.Run("check", func(t *testing.T) { checkCases().run(t, open) })
	t.Run("race", func(t *testing.T) { raceCases().run(t, open) })
	t.Run("touch", func(t *testing.T) { touchCases().run(t, open) })
	t.Run("revoke token", func(t *testing.T) { tokenCases().run(t, open) })
}

func openCases() cases {
	return cases{
		"what is opened is what is stored":                                 openRoundTrip,
		"kickout ends the session before it as superseded":                 kickoutSupersedes,
		"kickout leaves other slots alone":                                 kickoutOtherSlots,
		"kickout supersedes a session whose time is past":                  kickoutExpired,
		"kickout supersedes all that another mode left":                    kickoutAll,
		"shared joins the session that lives there":                        sharedJoins,
		"shared replaces an access token that is past its time":            sharedReplacesAccess,
		"shared makes a new session when none is live":                     sharedAfterExpiry,
		"shared joins the newest that another mode left":                   sharedNewest,
		"concurrent evicts the least recently seen":                        concurrentEvicts,
		"concurrent counts live sessions only":                             concurrentCountsLive,
		"refresh and access tokens end with their session":                 openCuts,
		"no refresh token where none is asked for":                         openWithoutRefresh,
		"unknown, disabled and banned users are refused":                   openRefuses,
		"a credential that has changed is refused":                         openCredential,
		"a sign-in that fails changes nothing":                             openAtomic,
		"a sign-in leaves its audit record, which names the session":       openAudit,
		"slots are told apart by the bytes of product and user":            openSlotBytes,
		"the version of a slot grows over ends of every kind":              openVersions,
		"an unknown mode is refused":                                       openUnknownMode,
		"live sessions are listed newest first, those past their time out": liveList,
		"all sessions are listed newest first, page after page":            keptList,
	}
}

func openRoundTrip(w *world) {
	u := w.user("tom")
	o := NewOpening(u.ID, storage.Kickout, w.now())
	o.Session.IdleAt = o.Session.IdleAt.Add(-time.Hour)
	got := w.mustOpen(o)
	want := o.Session
	want.Version, want.AccessUntil = 1, want.Access.ExpiresAt
	w.same(got.Session, want)
	w.same(w.stored(want.ID), want)
	w.same(got.Joined, false)
	w.same(len(got.Ended), 0)
	refresh := *o.Refresh
	refresh.Session, refresh.Access, refresh.ExpiresAt = want.ID, want.Access, want.IdleAt
	w.same(*got.Refresh, refresh)
	_, err := w.Session(w.ctx(), "none")
	w.is(err, storage.ErrNotFound)

	bare := NewOpening(u.ID, storage.Concurrent, w.now())
	bare.Session.Data, bare.Session.Device, bare.Session.Scope = nil, storage.Device{}, ""
	got = w.mustOpen(bare)
	if s := w.stored(got.Session.ID); s.Data != nil || s.Device != (storage.Device{}) {
		w.Errorf("a bare session came back with %s and %+v", s.Data, s.Device)
	}
}

func kickoutSupersedes(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "old phone")
	at := storage.Instant(w.clock.Advance(90*time.Second + 7*time.Microsecond))
	second := w.signIn(u.ID, storage.Kickout, "new phone")
	w.same(second.Session.Version, first.Session.Version+1)
	w.same(w.live(u.ID), []storage.SessionID{second.Session.ID})

	end := storage.End{
		Reason: storage.Superseded, At: at, Actor: "user:" + string(u.ID),
		By: &storage.Superseder{Terminal: storage.Mobile, DeviceName: "new phone", At: at},
	}
	w.same(w.endOf(first.Session.ID), end)
	if len(second.Ended) != 1 {
		w.Fatalf("%d events, want 1", len(second.Ended))
	}
	event := storage.Event{
		ID: second.Ended[0].ID, Subject: storage.SubjectSession, Key: string(first.Session.ID),
		User: u.ID, Product: Product, Terminal: storage.Mobile, End: end, Until: first.Session.Access.ExpiresAt,
	}
	w.same(second.Ended[0], event)
	w.same(w.tail(0), []storage.Event{event})
}

func kickoutOtherSlots(w *world) {
	u, other := w.user("tom"), w.user("amy")
	music := NewOpening(u.ID, storage.Kickout, w.now())
	music.Session.Product = "music"
	browser := NewOpening(u.ID, storage.Kickout, w.now())
	browser.Session.Terminal = storage.Browser
	spared := []storage.SessionID{
		w.mustOpen(music).Session.ID, w.mustOpen(browser).Session.ID, w.signIn(other.ID, storage.Kickout, "x").Session.ID,
	}
	w.signIn(u.ID, storage.Kickout, "a")
	w.signIn(u.ID, storage.Kickout, "b")
	w.unended(spared...)
	for _, id := range spared {
		w.same(w.stored(id).Version, int64(1))
	}
}

func kickoutExpired(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "a")
	w.clock.Advance(SessionTTL + time.Hour)
	past := w.stored(first.Session.ID)
	w.same(past.EndedAt(w.now()).Reason, storage.Expired)
	second := w.signIn(u.ID, storage.Kickout, "b")
	end := w.endOf(first.Session.ID)
	w.same(end.Reason, storage.Superseded)
	w.same(end.By.DeviceName, "b")
	w.same(second.Session.Version, int64(2))
	err := w.Check(w.ctx(), storage.Bearer{Session: first.Session.ID}, w.now())
	w.ended(err, storage.Superseded) // it outranks expiry
}

func kickoutAll(w *world) {
	u := w.user("tom")
	for range 3 {
		o := NewOpening(u.ID, storage.Concurrent, w.clock.Advance(time.Second))
		o.MaxSessions = 3
		w.mustOpen(o)
	}
	kick := NewOpening(u.ID, storage.Kickout, w.clock.Advance(time.Second))
	kick.Session.Terminal = storage.API
	got := w.mustOpen(kick)
	w.same(len(got.Ended), 3)
	w.same(got.Session.Version, int64(4))
	w.same(w.live(u.ID), []storage.SessionID{got.Session.ID})
}

func sharedJoins(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Shared, "a")
	w.same(first.Joined, false)
	w.clock.Advance(5 * time.Minute)
	second := w.signIn(u.ID, storage.Shared, "b")
	w.same(second.Joined, true)
	want := first.Session
	want.LastSeenAt = storage.Instant(w.now())
	w.same(second.Session, want) // the stamp of the access token and all times included
	w.same(w.stored(want.ID), want)
	w.same(len(second.Ended), 0)
	w.same(second.Refresh.Session, want.ID)
	w.same(second.Refresh.Access, want.Access)
	if second.Refresh.Hash == first.Refresh.Hash || second.Refresh.Family == first.Refresh.Family {
		w.Error("the joiner has no refresh token of its own")
	}
	w.mustRotate(NewRotation(first.Refresh.Hash, w.now()))
	w.mustRotate(NewRotation(second.Refresh.Hash, w.now())) // rotating one leaves the other alone
}

func sharedReplacesAccess(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Shared, "a")
	w.clock.Advance(AccessTTL - time.Microsecond)
	w.same(w.signIn(u.ID, storage.Shared, "b").Session.Access, first.Session.Access)
	w.clock.Advance(time.Microsecond)
	o := NewOpening(u.ID, storage.Shared, w.now())
	third := w.mustOpen(o)
	w.same(third.Joined, true)
	w.same(third.Session.ID, first.Session.ID)
	w.same(third.Session.Access, o.Session.Access)
	w.same(third.Session.AccessUntil, o.Session.Access.ExpiresAt)
	w.same(third.Session.ExpiresAt, first.Session.ExpiresAt)
	w.same(w.stored(first.Session.ID), third.Session)

	w.clock.Advance(third.Session.ExpiresAt.Sub(w.now()) - time.Minute)
	fourth := w.signIn(u.ID, storage.Shared, "d")
	w.same(fourth.Joined, true)
	w.same(fourth.Session.Access.ExpiresAt, first.Session.ExpiresAt) // cut to the session's end
}

func sharedAfterExpiry(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Shared, "a")
	w.clock.Advance(SessionTTL)
	second := w.signIn(u.ID, storage.Shared, "b")
	w.same(second.Joined, false)
	w.same(second.Session.Version, int64(2))
	w.same(w.endOf(first.Session.ID), storage.End{Reason: storage.Expired, At: first.Session.ExpiresAt, Actor: "system"})
	w.same(len(second.Ended), 0) // no access token of the first can be unexpired

	w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.SignedOut, Now: w.now()})
	third := w.signIn(u.ID, storage.Shared, "c")
	w.same(third.Joined, false)
	w.same(third.Session.Version, int64(3))
}

func sharedNewest(w *world) {
	u := w.user("tom")
	var newest storage.SessionID
	for range 3 {
		o := NewOpening(u.ID, storage.Concurrent, w.now())
		o.MaxSessions = 5
		newest = w.mustOpen(o).Session.ID
	}
	join := NewOpening(u.ID, storage.Shared, w.now())
	join.Session.Terminal = storage.API
	got := w.mustOpen(join)
	w.same(got.Joined, true)
	w.same(got.Session.ID, newest)
	w.same(w.stored(newest).Mode, storage.Shared)
	w.same(len(w.live(u.ID)), 3)
}

func concurrentEvicts(w *world) {
	u := w.user("tom")
	sign := func(room int) storage.Opened {
		o := NewOpening(u.ID, storage.Concurrent, w.clock.Advance(time.Minute))
		o.MaxSessions, o.Session.Device.Name = room, "newest"
		return w.mustOpen(o)
	}
	a, b, c := sign(3), sign(3), sign(3)
	w.clock.Advance(time.Minute)
	w.mustRotate(NewRotation(a.Refresh.Hash, w.now())) // the oldest is seen again, so b is next to go
	d := sign(3)
	end := w.endOf(b.Session.ID)
	w.same(end.Reason, storage.Evicted)
	w.same(*end.By, storage.Superseder{Terminal: storage.API, DeviceName: "newest", At: storage.Instant(w.now())})
	w.same(len(d.Ended), 1)
	w.same(d.Ended[0].Key, string(b.Session.ID))
	w.unended(a.Session.ID, c.Session.ID, d.Session.ID)

	e := sign(2) // the limit was lowered: c, then a have to go
	w.same([]string{e.Ended[0].Key, e.Ended[1].Key}, []string{string(c.Session.ID), string(a.Session.ID)})
	w.same(w.live(u.ID), []storage.SessionID{e.Session.ID, d.Session.ID})
	w.same(e.Session.Version, int64(5))
	f := sign(0) // at least one lives
	w.same(w.live(u.ID), []storage.SessionID{f.Session.ID})
}

func concurrentCountsLive(w *world) {
	u := w.user("tom")
	short := NewOpening(u.ID, storage.Concurrent, w.now())
	short.Session.IdleAt = w.now().Add(time.Minute)
	first := w.mustOpen(short)
	second := w.mustOpen(func() storage.Opening {
		o := NewOpening(u.ID, storage.Concurrent, w.now())
		o.MaxSessions = 2
		return o
	}())
	w.clock.Advance(time.Minute)
	o := NewOpening(u.ID, storage.Concurrent, w.now())
	o.MaxSessions = 2
	third := w.mustOpen(o)
	w.unended(second.Session.ID, third.Session.ID)
	w.same(w.endOf(first.Session.ID), storage.End{Reason: storage.Expired, At: short.Session.IdleAt, Actor: "system"})
}

func openCuts(w *world) {
	u := w.user("tom")
	o := NewOpening(u.ID, storage.Kickout, w.now())
	o.Session.ExpiresAt = w.now().Add(10 * time.Minute)
	o.Session.IdleAt = w.now().Add(5 * time.Minute)
	got := w.mustOpen(o)
	w.same(got.Refresh.ExpiresAt, o.Session.IdleAt)
	w.same(got.Session.Access.ExpiresAt, o.Session.IdleAt)
	w.same(w.stored(got.Session.ID).AccessUntil, o.Session.IdleAt)
}

func openWithoutRefresh(w *world) {
	o := NewOpening(w.user("tom").ID, storage.Kickout, w.now())
	o.Refresh = nil
	if got := w.mustOpen(o); got.Refresh != nil {
		w.Errorf("got a refresh token: %+v", got.Refresh)
	}
}

func openRefuses(w *world) {
	at := storage.Instant(w.now())
	soon := at.Add(time.Hour)
	disabled, banned, for1h := NewUser("a", at), NewUser("b", at), NewUser("c", at)
	disabled.DisabledAt = &at
	banned.Ban = &storage.Ban{At: at}
	for1h.Ban = &storage.Ban{At: at, Until: &soon}
	for _, u := range []storage.User{disabled, banned, for1h} {
		w.ok(w.CreateUser(w.ctx(), u))
		_, err := w.Open(w.ctx(), NewOpening(u.ID, storage.Kickout, w.now()))
		w.is(err, storage.ErrDisabled)
		w.same(len(w.live(u.ID)), 0)
	}
	_, err := w.Open(w.ctx(), NewOpening("nobody", storage.Kickout, w.now()))
	w.is(err, storage.ErrNotFound)
	w.clock.Advance(time.Hour)
	w.signIn(for1h.ID, storage.Kickout, "x") // the ban is over
}

func openCredential(w *world) {
	u := w.user("tom")
	stale, right := u.Credential-1, u.Credential
	o := NewOpening(u.ID, storage.Kickout, w.now())
	o.Credential = &stale
	_, err := w.Open(w.ctx(), o)
	w.is(err, storage.ErrStale)
	w.same(len(w.live(u.ID)), 0)
	o.Credential = &right
	w.mustOpen(o)
}

func openAtomic(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "a")
	again := NewOpening(u.ID, storage.Kickout, w.now())
	again.Session.ID = first.Session.ID // taken, which shows only after the first has been ended
	again.Audit = NewAudit("session.opened", w.now())
	_, err := w.Open(w.ctx(), again)
	w.is(err, storage.ErrExists)
	w.unended(first.Session.ID)
	w.same(len(w.tail(0)), 0)
	w.audited()
	w.same(w.signIn(u.ID, storage.Kickout, "b").Session.Version, int64(2))
}

func openAudit(w *world) {
	o := NewOpening(w.user("tom").ID, storage.Shared, w.now())
	first := *NewAudit("session.opened", w.now())
	o.Audit = &first
	got := w.mustOpen(o)
	w.same(first.Session, storage.SessionID("")) // the caller's record is the caller's

	join := NewOpening(o.Session.User, storage.Shared, w.clock.Advance(time.Second))
	second := *NewAudit("session.opened", w.now())
	join.Audit = &second
	w.mustOpen(join)
	first.Session, second.Session = got.Session.ID, got.Session.ID
	w.audited(first, second)
}

func openSlotBytes(w *world) {
	u := w.user("tom")
	for _, product := range []string{"shop", "Shop", "shop "} {
		o := NewOpening(u.ID, storage.Kickout, w.now())
		o.Session.Product = product
		w.same(w.mustOpen(o).Session.Version, int64(1))
	}
	w.same(len(w.live(u.ID)), 3)
}

func openVersions(w *world) {
	u := w.user("tom")
	for i, reason := range []storage.Reason{storage.SignedOut, storage.Kicked, storage.Banned} {
		got := w.signIn(u.ID, storage.Kickout, "x")
		w.same(got.Session.Version, int64(i+1))
		w.mustEnd(storage.EndOrder{User: u.ID, Reason: reason, Now: w.clock.Advance(time.Second)})
	}
}

func openUnknownMode(w *world) {
	u := w.user("tom")
	o := NewOpening(u.ID, storage.Kickout, w.now())
	o.Session.Mode = "solo"
	if _, err := w.Open(w.ctx(), o); err == nil {
		w.Error("a session was opened in a mode that there is not")
	}
	w.same(len(w.live(u.ID)), 0)
}
