package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	racers = 10 // who race
	rounds = 5  // how often two of different kinds race, so that either may come first
)

func raceCases() cases {
	return cases{
		"of two kickout sign-ins one lives":                      func(w *world) { raceKickout(w, 2) },
		"of many kickout sign-ins one lives":                     func(w *world) { raceKickout(w, racers) },
		"all who sign in at first to a shared slot join one":     raceShared,
		"concurrent sign-ins never exceed their limit":           raceConcurrent,
		"a ban leaves nothing of a sign-in":                      raceBan,
		"a password change leaves nothing of an older sign-in":   racePassword,
		"of racing password changes one wins":                    racePasswords,
		"a sign-in wins over a refresh":                          raceRefresh,
		"ends that race write one event for each session":        raceEnds,
		"an end that has returned is seen, whoever else asks":    raceChecks,
		"first sign-ins on many slots of one user all come true": raceSlots,
	}
}

func raceKickout(w *world, n int) {
	u := w.user("tom")
	outs, errs := make([]storage.Opened, n), make([]error, n)
	race(n, func(i int) {
		o := NewOpening(u.ID, storage.Kickout, w.now())
		o.Session.Device.Name = fmt.Sprint("device ", i)
		outs[i], errs[i] = w.Open(w.ctx(), o)
	})
	w.ok(errors.Join(errs...))
	slices.SortFunc(outs, func(a, b storage.Opened) int { return int(a.Session.Version - b.Session.Version) })
	last := outs[n-1].Session
	w.same(w.live(u.ID), []storage.SessionID{last.ID})
	for i, out := range outs {
		w.same(out.Session.Version, int64(i+1))
		if i == n-1 {
			break
		}
		end := w.endOf(out.Session.ID)
		w.same(end.Reason, storage.Superseded)
		w.same(end.By.DeviceName, outs[i+1].Session.Device.Name)
		w.same(len(outs[i+1].Ended), 1)
		w.same(outs[i+1].Ended[0].Key, string(out.Session.ID))
	}
	w.same(len(w.tail(0)), n-1)
}

// raceChecks ends sessions while many ask about them: who asks after an end has returned is told of it, also where
// their question shares a statement with those of others.
func raceChecks(w *world) {
	const sessions, askers = 12, 16
	list := make([]storage.Session, sessions)
	for i := range list {
		list[i] = w.signIn(w.user(fmt.Sprint("user ", i)).ID, storage.Kickout, "x").Session
	}
	var over [sessions]atomic.Bool
	errs := make([]error, askers+1)
	race(askers+1, func(n int) {
		if n == askers {
			for i, s := range list {
				if _, err := w.End(w.ctx(), storage.EndOrder{User: s.User, Reason: storage.Kicked, Now: w.now()}); err != nil {
					errs[n] = err
				}
				over[i].Store(true)
			}
			return
		}
		for i := n; !over[sessions-1].Load(); i++ {
			ended := over[i%sessions].Load()
			err := w.Check(w.ctx(), storage.Bearer{Session: list[i%sessions].ID, Client: ClientID}, w.now())
			if err != nil && !isEnded(err) || ended && err == nil {
				errs[n] = fmt.Errorf("session %d, of which it is %t that it has ended: %w", i%sessions, ended, err)
			}
		}
	})
	w.ok(errors.Join(errs...))
}

func raceShared(w *world) {
	u := w.user("tom")
	outs, errs := make([]storage.Opened, racers), make([]error, racers)
	race(racers, func(i int) { outs[i], errs[i] = w.Open(w.ctx(), NewOpening(u.ID, storage.Shared, w.now())) })
	w.ok(errors.Join(errs...))
	joined := 0
	for _, out := range outs {
		w.same(out.Session, outs[0].Session)
		w.same(out.Refresh.Access, outs[0].Session.Access)
		if out.Joined {
			joined++
		}
	}
	w.same(joined, racers-1)
	w.same(w.live(u.ID), []storage.SessionID{outs[0].Session.ID})
	w.same(len(w.tail(0)), 0)
}

func raceConcurrent(w *world) {
	const limit = 3
	u := w.user("tom")
	errs := make([]error, racers)
	race(racers, func(i int) {
		o := NewOpening(u.ID, storage.Concurrent, w.now())
		o.MaxSessions = limit
		_, errs[i] = w.Open(w.ctx(), o)
	})
	w.ok(errors.Join(errs...))
	w.same(len(w.live(u.ID)), limit)
	w.same(len(w.tail(0)), racers-limit)
}

// raceBan and racePassword: whichever comes first, no sign-in of before outlives the order.
func raceBan(w *world) {
	for i := range rounds {
		u := w.user(fmt.Sprint("user ", i))
		var opened, ended error
		race(2, func(i int) {
			if i == 0 {
				_, opened = w.Open(w.ctx(), NewOpening(u.ID, storage.Kickout, w.now()))
				return
			}
			_, ended = w.End(w.ctx(), storage.EndOrder{
				User: u.ID, Reason: storage.Banned, Now: w.now(),
				Account: &storage.AccountChange{Ban: &storage.Ban{At: w.now()}},
			})
		})
		w.ok(ended)
		if opened != nil {
			w.is(opened, storage.ErrDisabled)
		}
		w.same(len(w.live(u.ID)), 0)
	}
}

func racePassword(w *world) {
	for i := range rounds {
		u := w.user(fmt.Sprint("user ", i))
		var opened, ended error
		race(2, func(i int) {
			if i == 0 {
				o := NewOpening(u.ID, storage.Kickout, w.now())
				o.Credential = &u.Credential
				_, opened = w.Open(w.ctx(), o)
				return
			}
			hash := storage.PasswordHash("new")
			_, ended = w.End(w.ctx(), storage.EndOrder{
				User: u.ID, Reason: storage.PasswordChanged, Now: w.now(),
				Account: &storage.AccountChange{Password: &hash, Credential: &u.Credential},
			})
		})
		w.ok(ended)
		if opened != nil {
			w.is(opened, storage.ErrStale)
		}
		w.same(len(w.live(u.ID)), 0)
	}
}

func racePasswords(w *world) {
	u := w.user("tom")
	errs := make([]error, racers)
	race(racers, func(i int) {
		hash := storage.PasswordHash(fmt.Sprint("new ", i))
		_, errs[i] = w.End(w.ctx(), storage.EndOrder{
			User: u.ID, Reason: storage.PasswordChanged, Now: w.now(),
			Account: &storage.AccountChange{Password: &hash, Credential: &u.Credential},
		})
	})
	winner := ""
	for i, err := range errs {
		switch {
		case err != nil:
			w.is(err, storage.ErrStale)
		case winner != "":
			w.Errorf("caller %d and the one who set %s both changed the password", i, winner)
		default:
			winner = fmt.Sprint("new ", i)
		}
	}
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(string(got.Password), winner)
	w.same(got.Credential, u.Credential+1)
}

func raceRefresh(w *world) {
	for i := range rounds {
		u := w.user(fmt.Sprint("user ", i))
		first := w.signIn(u.ID, storage.Kickout, "a")
		var second storage.Opened
		var opened, rotated error
		race(2, func(i int) {
			if i == 0 {
				second, opened = w.Open(w.ctx(), NewOpening(u.ID, storage.Kickout, w.now()))
				return
			}
			_, _, rotated = w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, w.now()))
		})
		w.ok(opened)
		if rotated != nil {
			w.ended(rotated, storage.Superseded)
		}
		w.same(w.endOf(first.Session.ID).Reason, storage.Superseded)
		w.same(w.live(u.ID), []storage.SessionID{second.Session.ID})
		_, _, err := w.Rotate(w.ctx(), NewRotation(first.Refresh.Hash, w.now()))
		w.ended(err, storage.Superseded)
	}
}

func raceEnds(w *world) {
	u := w.user("tom")
	w.family(u.ID)
	events, errs := make([][]storage.Event, racers), make([]error, racers)
	race(racers, func(i int) {
		events[i], errs[i] = w.End(w.ctx(), storage.EndOrder{User: u.ID, Reason: storage.Kicked, Now: w.now()})
	})
	w.ok(errors.Join(errs...))
	w.same(len(slices.Concat(events...)), 4)
	w.same(len(w.tail(0)), 4)
	w.same(len(w.live(u.ID)), 0)
}

func raceSlots(w *world) {
	u := w.user("tom")
	errs := make([]error, racers)
	race(racers, func(i int) {
		o := NewOpening(u.ID, storage.Kickout, w.clock.Advance(time.Millisecond))
		o.Session.Product = fmt.Sprint("product-", i)
		_, errs[i] = w.Open(w.ctx(), o)
	})
	w.ok(errors.Join(errs...))
	w.same(len(w.live(u.ID)), racers)
}
