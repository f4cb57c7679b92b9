package storagetest

import (
	"errors"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

func tokenCases() cases {
	return cases{
		"a revoked token is dead, with its event":          tokenRevoked,
		"revoking again changes nothing":                   tokenAgain,
		"a token that has expired needs no revoking":       tokenExpired,
		"a session's token is judged by its session alone": tokenOfSession,
		"of those who revoke one token one has the event":  tokenRace,
	}
}

// machine makes a client and a token of it.
func (w *world) machine(id storage.ClientID) storage.Bearer {
	w.Helper()
	w.ok(w.CreateClient(w.ctx(), NewClient(id, w.now()), nil))
	return storage.Bearer{Client: id, JTI: storage.NewID(w.now()), IssuedAt: w.now()}
}

func tokenRevoked(w *world) {
	one := w.machine("billing")
	other := one
	other.JTI = storage.NewID(w.now())
	now := storage.Instant(w.clock.Advance(time.Minute + time.Nanosecond))
	until := w.now().Add(AccessTTL)
	audit := NewAudit("token.revoked", now)
	events, err := w.RevokeToken(w.ctx(), one.JTI, one.Client, "client:billing", until, audit, w.now())
	w.ok(err)
	end := storage.End{Reason: storage.SignedOut, At: now, Actor: "client:billing"}
	w.same(len(events), 1)
	w.same(events, []storage.Event{{
		ID: events[0].ID, Subject: storage.SubjectToken, Key: one.JTI, End: end, Until: storage.Instant(until),
	}})
	w.same(w.tail(0), events)
	w.audited(*audit)
	w.same(w.ended(w.Check(w.ctx(), one, w.now()), storage.SignedOut), end)
	w.ok(w.Check(w.ctx(), other, w.now()))
	_, err = w.DisableClient(w.ctx(), one.Client, "operator:amy", until, nil, w.now())
	w.ok(err)
	w.ended(w.Check(w.ctx(), other, w.now()), storage.Kicked)
}

func tokenAgain(w *world) {
	one := w.machine("billing")
	until := w.now().Add(AccessTTL)
	first, err := w.RevokeToken(w.ctx(), one.JTI, one.Client, "client:billing", until, nil, w.now())
	w.ok(err)
	w.same(len(first), 1)
	again, err := w.RevokeToken(w.ctx(), one.JTI, one.Client, "operator:amy", until, NewAudit("token.revoked", w.now()), w.clock.Advance(time.Second))
	w.ok(err)
	w.same(len(again), 0)
	w.same(w.tail(0), first)
	w.audited()
	w.same(w.ended(w.Check(w.ctx(), one, w.now()), storage.SignedOut), first[0].End)
}

func tokenExpired(w *world) {
	one := w.machine("billing")
	events, err := w.RevokeToken(w.ctx(), one.JTI, one.Client, "client:billing", w.now(), NewAudit("token.revoked", w.now()), w.now())
	w.ok(err)
	w.same(len(events), 0)
	w.same(len(w.tail(0)), 0)
	w.audited()
}

func tokenOfSession(w *world) {
	b := w.machine("shop-app")
	b.Session = w.signIn(w.user("tom").ID, storage.Kickout, "x").Session.ID
	_, err := w.RevokeToken(w.ctx(), b.JTI, b.Client, "client:shop-app", w.now().Add(AccessTTL), nil, w.now())
	w.ok(err)
	w.ok(w.Check(w.ctx(), b, w.now()))
}

func tokenRace(w *world) {
	one := w.machine("billing")
	events, errs := make([][]storage.Event, racers), make([]error, racers)
	race(racers, func(i int) {
		events[i], errs[i] = w.RevokeToken(w.ctx(), one.JTI, one.Client, "client:billing", w.now().Add(AccessTTL), nil, w.now())
	})
	w.ok(errors.Join(errs...))
	w.same(len(slices.Concat(events...)), 1)
	w.same(len(w.tail(0)), 1)
}
