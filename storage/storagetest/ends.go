package storagetest

import (
	"time"

	"github.com/tallystick/tallystick/storage"
)

func endCases() cases {
	return cases{
		"an order ends what it selects, with events":              endSelects,
		"a session is spared":                                     endSpares,
		"somebody else's session is not ended":                    endOthers,
		"ending twice is not an error and the first reason stays": endTwice,
		"an unknown user is not found":                            endUnknown,
		"a password change raises the credential and ends":        endPassword,
		"a change on a stale credential does nothing":             endStaleCredential,
		"disabling and enabling":                                  endDisables,
		"banning and lifting the ban":                             endBans,
		"a session past its time ends as expired":                 endExpired,
		"the audit record is written with the end":                endAudit,
		"an order that fails changes nothing":                     endAtomic,
	}
}

func checkCases() cases {
	return cases{
		"a live session stands":                          checkLive,
		"an ended session says why":                      checkEnded,
		"a session past its time is expired":             checkExpired,
		"an unknown session is expired":                  checkUnknown,
		"a disabled client's session tokens are dead":    checkClientOfSession,
		"what cannot be told is neither live nor ended":  checkCancelled,
		"supersession outranks the ends that come after": checkOutranks,
	}
}

// family signs a user in on two products and two terminals.
func (w *world) family(u storage.UserID) map[string]storage.SessionID {
	w.Helper()
	ids := map[string]storage.SessionID{}
	for _, product := range []string{"shop", "music"} {
		for _, terminal := range []storage.Terminal{storage.Mobile, storage.Browser} {
			o := NewOpening(u, storage.Kickout, w.clock.Advance(time.Second))
			o.Session.Product, o.Session.Terminal = product, terminal
			ids[product+"/"+string(terminal)] = w.mustOpen(o).Session.ID
		}
	}
	return ids
}

func endSelects(w *world) {
	u := w.user("tom")
	ids := w.family(u.ID)
	now := storage.Instant(w.clock.Advance(time.Minute))
	order := func(o storage.EndOrder) map[string]storage.Event {
		o.User, o.Reason, o.Actor, o.Now = u.ID, storage.Kicked, "operator:amy", w.now()
		byKey := map[string]storage.Event{}
		for _, e := range w.mustEnd(o) {
			byKey[e.Key] = e
		}
		return byKey
	}
	first := ids["shop/mobile"]
	got := order(storage.EndOrder{Product: "shop", Terminal: storage.Mobile})
	end := storage.End{Reason: storage.Kicked, At: now, Actor: "operator:amy"}
	w.same(w.endOf(first), end)
	w.same(got, map[string]storage.Event{string(first): {
		ID: got[string(first)].ID, Subject: storage.SubjectSession, Key: string(first), User: u.ID, Product: "shop",
		Terminal: storage.Mobile, End: end, Until: w.stored(first).AccessUntil,
	}})
	w.unended(ids["shop/browser"], ids["music/mobile"], ids["music/browser"])

	w.same(len(order(storage.EndOrder{Session: ids["music/mobile"]})), 1)
	w.unended(ids["shop/browser"], ids["music/browser"])
	w.same(len(order(storage.EndOrder{Terminal: storage.Browser, Product: "music"})), 1)
	w.unended(ids["shop/browser"])
	w.same(len(order(storage.EndOrder{})), 1)
	w.same(len(w.live(u.ID)), 0)
	w.same(len(w.tail(0)), 4)
}

func endSpares(w *world) {
	u := w.user("tom")
	ids := w.family(u.ID)
	keep := ids["shop/mobile"]
	events := w.mustEnd(storage.EndOrder{User: u.ID, Except: keep, Reason: storage.Kicked, Now: w.now()})
	w.same(len(events), 3)
	w.same(w.live(u.ID), []storage.SessionID{keep})
	w.same(len(w.mustEnd(storage.EndOrder{User: u.ID, Session: keep, Except: keep, Reason: storage.Kicked, Now: w.now()})), 0)
	w.unended(keep)
}

func endOthers(w *world) {
	tom, amy := w.user("tom"), w.user("amy")
	hers := w.signIn(amy.ID, storage.Kickout, "x").Session.ID
	events := w.mustEnd(storage.EndOrder{User: tom.ID, Session: hers, Reason: storage.Kicked, Now: w.now()})
	w.same(len(events), 0)
	w.unended(hers)
}

func endTwice(w *world) {
	u := w.user("tom")
	id := w.signIn(u.ID, storage.Kickout, "x").Session.ID
	order := storage.EndOrder{User: u.ID, Reason: storage.SignedOut, Actor: "user:tom", Now: w.now()}
	w.same(len(w.mustEnd(order)), 1)
	first := w.endOf(id)
	order.Reason, order.Actor, order.Now = storage.Banned, "operator:amy", w.clock.Advance(time.Minute)
	w.same(len(w.mustEnd(order)), 0)
	w.same(w.endOf(id), first)
	w.same(len(w.tail(0)), 1)
}

func endUnknown(w *world) {
	_, err := w.End(w.ctx(), storage.EndOrder{User: "nobody", Reason: storage.Kicked, Now: w.now()})
	w.is(err, storage.ErrNotFound)
	yes := true
	for _, change := range []storage.AccountChange{{Disabled: &yes}, {Ban: &storage.Ban{At: w.now()}}, {}} {
		_, err = w.End(w.ctx(), storage.EndOrder{
			User: "nobody", Reason: storage.Banned, Account: &change, Audit: NewAudit("user.banned", w.now()), Now: w.now(),
		})
		w.is(err, storage.ErrNotFound)
	}
	w.audited()
}

func endPassword(w *world) {
	u := w.user("tom")
	ids := w.family(u.ID)
	keep := ids["shop/mobile"]
	hash, present := storage.PasswordHash("new hash"), u.Credential
	now := storage.Instant(w.clock.Advance(time.Minute))
	events := w.mustEnd(storage.EndOrder{
		User: u.ID, Except: keep, Reason: storage.PasswordChanged, Actor: "user:tom", Now: now,
		Account: &storage.AccountChange{Password: &hash, Credential: &present},
	})
	w.same(len(events), 3)
	w.same(w.live(u.ID), []storage.SessionID{keep})
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	u.Password, u.Credential, u.UpdatedAt = hash, u.Credential+1, now
	w.same(got, u)
}

func endStaleCredential(w *world) {
	u := w.user("tom")
	id := w.signIn(u.ID, storage.Kickout, "x").Session.ID
	hash, stale := storage.PasswordHash("new hash"), u.Credential+1
	_, err := w.End(w.ctx(), storage.EndOrder{
		User: u.ID, Reason: storage.PasswordChanged, Now: w.now(), Audit: NewAudit("user.password", w.now()),
		Account: &storage.AccountChange{Password: &hash, Credential: &stale},
	})
	w.is(err, storage.ErrStale)
	w.unended(id)
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(got, u)
	w.audited()
}

func endDisables(w *world) {
	u := w.user("tom")
	id := w.signIn(u.ID, storage.Kickout, "x").Session.ID
	yes, no := true, false
	first := storage.Instant(w.clock.Advance(time.Minute))
	order := storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: first, Account: &storage.AccountChange{Disabled: &yes}}
	w.same(len(w.mustEnd(order)), 1)
	w.same(w.endOf(id).Reason, storage.Banned)
	order.Now = w.clock.Advance(time.Minute)
	w.mustEnd(order)
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(got.DisabledAt, &first) // disabled since the first time
	w.same(got.Credential, u.Credential)
	order.Account = &storage.AccountChange{Disabled: &no}
	w.mustEnd(order)
	got, err = w.User(w.ctx(), u.ID)
	w.ok(err)
	if got.DisabledAt != nil {
		w.Errorf("still disabled since %v", got.DisabledAt)
	}
}

func endBans(w *world) {
	u := w.user("tom")
	id := w.signIn(u.ID, storage.Kickout, "x").Session.ID
	now := storage.Instant(w.clock.Advance(time.Minute))
	until := now.Add(time.Hour)
	ban := storage.Ban{At: now, Until: &until, Reason: "spam"}
	w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: now, Account: &storage.AccountChange{Ban: &ban}})
	w.same(w.endOf(id).Reason, storage.Banned)
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(got.Ban, &ban)
	_, err = w.Open(w.ctx(), NewOpening(u.ID, storage.Kickout, now))
	w.is(err, storage.ErrDisabled)

	timeless := storage.Ban{Reason: "spam"}
	w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: now, Account: &storage.AccountChange{Ban: &timeless}})
	got, err = w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(got.Ban, &storage.Ban{At: now, Reason: "spam"})

	w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: now, Account: &storage.AccountChange{Ban: &storage.Ban{}}})
	got, err = w.User(w.ctx(), u.ID)
	w.ok(err)
	if got.Ban != nil {
		w.Errorf("still banned: %+v", got.Ban)
	}
	w.signIn(u.ID, storage.Kickout, "y")
}

// endExpired: a session that idled away may still have an access token that guards accept, so its
// event is written; one whose tokens are all past their time needs none.
func endExpired(w *world) {
	u := w.user("tom")
	long := w.signIn(u.ID, storage.Shared, "x")
	w.clock.Advance(long.Session.ExpiresAt.Sub(w.now()))
	events := w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: w.now()})
	w.same(len(events), 0)
	w.same(w.endOf(long.Session.ID), storage.End{Reason: storage.Expired, At: long.Session.ExpiresAt, Actor: "system"})

	o := NewOpening(u.ID, storage.Kickout, w.now())
	first := w.mustOpen(o)
	rotation := NewRotation(first.Refresh.Hash, w.now())
	rotation.IdleTTL = time.Minute
	got := w.mustRotate(rotation)
	at := w.clock.Advance(2 * time.Minute)
	if !got.Session.AccessUntil.After(at) {
		w.Fatalf("the first access token was good until %v", got.Session.AccessUntil)
	}
	events = w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: at})
	w.same(len(events), 1)
	w.same(events[0].End.Reason, storage.Expired)
	w.same(events[0].Until, got.Session.AccessUntil)
}

func endAudit(w *world) {
	u := w.user("tom")
	w.signIn(u.ID, storage.Kickout, "x")
	audit := NewAudit("session.ended", w.now())
	audit.User = u.ID
	w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Kicked, Audit: audit, Now: w.now()})
	w.audited(*audit)
}

func endAtomic(w *world) {
	u := w.user("tom")
	id := w.signIn(u.ID, storage.Kickout, "x").Session.ID
	audit := NewAudit("user.disabled", w.now())
	w.ok(w.Append(w.ctx(), *audit))
	yes := true
	_, err := w.End(w.ctx(), storage.EndOrder{ // its last step fails: the audit record is there already
		User: u.ID, Reason: storage.Banned, Audit: audit, Now: w.now(), Account: &storage.AccountChange{Disabled: &yes},
	})
	w.is(err, storage.ErrExists)
	w.unended(id)
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(got, u)
	w.same(len(w.tail(0)), 0)
}

func checkLive(w *world) {
	s := w.signIn(w.user("tom").ID, storage.Kickout, "x").Session
	b := storage.Bearer{Session: s.ID, Client: s.Client, JTI: s.Access.JTI, IssuedAt: s.Access.IssuedAt}
	w.ok(w.Check(w.ctx(), b, w.now())) // whether or not its client is known
	w.client(s.Client)
	w.ok(w.Check(w.ctx(), b, w.now()))
	w.ok(w.Check(w.ctx(), b, s.ExpiresAt.Add(-time.Microsecond)))
}

func checkEnded(w *world) {
	u := w.user("tom")
	for _, reason := range []storage.Reason{
		storage.Kicked, storage.SignedOut, storage.PasswordChanged, storage.Banned, storage.ReuseDetected,
	} {
		s := w.signIn(u.ID, storage.Kickout, "x").Session
		w.mustEnd(storage.EndOrder{User: u.ID, Reason: reason, Actor: "operator:amy", Now: w.now()})
		err := w.Check(w.ctx(), storage.Bearer{Session: s.ID}, w.now())
		w.is(err, storage.ErrEnded)
		w.same(w.ended(err, reason), storage.End{Reason: reason, At: storage.Instant(w.now()), Actor: "operator:amy"})
	}
}

func checkExpired(w *world) {
	u := w.user("tom")
	s := w.signIn(u.ID, storage.Kickout, "x").Session
	w.ended(w.Check(w.ctx(), storage.Bearer{Session: s.ID}, s.ExpiresAt), storage.Expired)
	o := NewOpening(u.ID, storage.Kickout, w.now())
	o.Session.IdleAt = w.now().Add(time.Minute)
	idle := w.mustOpen(o).Session
	w.ok(w.Check(w.ctx(), storage.Bearer{Session: idle.ID}, idle.IdleAt.Add(-time.Microsecond)))
	end := w.ended(w.Check(w.ctx(), storage.Bearer{Session: idle.ID}, idle.IdleAt), storage.Expired)
	w.same(end.At, idle.IdleAt)
}

func checkUnknown(w *world) {
	w.ended(w.Check(w.ctx(), storage.Bearer{Session: "none", Client: ClientID}, w.now()), storage.Expired)
	w.ended(w.Check(w.ctx(), storage.Bearer{Client: "nobody"}, w.now()), storage.Expired)
}

func checkClientOfSession(w *world) {
	s := w.signIn(w.user("tom").ID, storage.Kickout, "x").Session
	w.client(s.Client)
	_, err := w.DisableClient(w.ctx(), s.Client, "operator:amy", w.now().Add(AccessTTL), nil, w.clock.Advance(time.Second))
	w.ok(err)
	b := storage.Bearer{Session: s.ID, Client: s.Client, IssuedAt: s.Access.IssuedAt}
	w.ended(w.Check(w.ctx(), b, w.now()), storage.Kicked)
}

func checkCancelled(w *world) {
	s := w.signIn(w.user("tom").ID, storage.Kickout, "x").Session
	ctx, cancel := withCancelled(w.ctx())
	defer cancel()
	err := w.Check(ctx, storage.Bearer{Session: s.ID}, w.now())
	if err == nil {
		w.Fatal("a check that was not made says that the session stands")
	}
	if isEnded(err) {
		w.Fatalf("a check that was not made says that the session has ended: %v", err)
	}
}

func checkOutranks(w *world) {
	u := w.user("tom")
	first := w.signIn(u.ID, storage.Kickout, "x").Session
	w.signIn(u.ID, storage.Kickout, "y")
	w.mustEnd(storage.EndOrder{User: u.ID, Reason: storage.Banned, Now: w.now()})
	w.ended(w.Check(w.ctx(), storage.Bearer{Session: first.ID}, w.now()), storage.Superseded)
	w.ended(w.Check(w.ctx(), storage.Bearer{Session: first.ID}, w.now().Add(2*SessionTTL)), storage.Superseded)
}
