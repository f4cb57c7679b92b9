package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

// UpkeepStore is a store that can be trimmed, the answers to postings included.
type UpkeepStore interface {
	Store
	storage.Ledger
	storage.Books
	storage.Bookkeeper
	storage.Wallets
}

// Upkeep checks a driver against every promise written on [storage.Upkeep]. open must return an empty
// store.
func Upkeep(t *testing.T, open func(t *testing.T) UpkeepStore) {
	plain := func(t *testing.T) Store { return open(t) }
	cases{
		"sessions go with their refresh tokens, once their time is past": trimSessions,
		"a session with many tokens goes bit by bit":                     trimManyTokens,
		"a limit bounds all that goes, oldest first":                     trimLimit,
		"refresh tokens go by their own time, and not before":            trimRefreshes,
		"events go when nobody needs them, if numbered":                  trimEvents,
		"revoked tokens go when they have expired":                       trimRevoked,
		"audit records go by their time":                                 trimAudit,
		"what comes in below where trimming left off is found":           trimBelow,
		"an unknown kind is refused":                                     trimUnknown,
		"of processes that trim at once each row goes once":              trimRace,
		"trimming and signing in do not get in each other's way":         trimSignIns,
	}.run(t, plain)
	t.Run("lead", func(t *testing.T) { leadCases().run(t, plain) })
	t.Run("recorded answers go by their time", func(t *testing.T) {
		t.Parallel()
		trimAnswers(t, newDesk(t, open(t)))
	})
}

// trim removes what is due before a time, and says how much must have been.
func (w *world) trim(kind storage.TrimKind, before time.Time, want int) {
	w.Helper()
	n, err := w.Trim(w.ctx(), kind, before, storage.MaxTrim)
	w.ok(err)
	if n != want {
		w.Errorf("trimmed %d %s, want %d", n, kind, want)
	}
}

// gone makes sure that there are no such sessions and refresh tokens.
func (w *world) gone(all ...storage.Opened) {
	w.Helper()
	for _, in := range all {
		_, err := w.Session(w.ctx(), in.Session.ID)
		w.is(err, storage.ErrNotFound)
		_, err = w.Refresh(w.ctx(), in.Refresh.Hash)
		w.is(err, storage.ErrNotFound)
	}
}

func trimSessions(w *world) {
	u := w.user("tom")
	ended := w.signIn(u.ID, storage.Kickout, "x")
	expired := w.signIn(u.ID, storage.Concurrent, "y")
	w.clock.Advance(time.Second)
	kept := w.signIn(u.ID, storage.Kickout, "z")
	end := ended.Session.ExpiresAt
	w.trim(storage.TrimSessions, end, 0)
	w.trim(storage.TrimSessions, end.Add(time.Microsecond), 4)
	w.gone(ended, expired)
	w.same(w.stored(kept.Session.ID).Version, int64(2))
	w.trim(storage.TrimSessions, end.Add(time.Microsecond), 0)
	w.same(w.signIn(u.ID, storage.Kickout, "x").Session.Version, int64(3))
	w.clock.Advance(2 * SessionTTL)
	_, _, err := w.Rotate(w.ctx(), NewRotation(ended.Refresh.Hash, w.now()))
	w.is(err, storage.ErrNotFound)
	w.ended(w.Check(w.ctx(), storage.Bearer{Session: ended.Session.ID}, w.now()), storage.Expired)
}

func trimManyTokens(w *world) {
	const uses = 150 // more than go at once
	in := w.signIn(w.user("tom").ID, storage.Kickout, "x")
	token := in.Refresh.Hash
	for range uses {
		token = w.mustRotate(NewRotation(token, w.clock.Advance(time.Second))).Refresh.Hash
	}
	before := w.clock.Advance(2 * SessionTTL)
	n, err := w.Trim(w.ctx(), storage.TrimSessions, before, 120)
	w.ok(err)
	w.same(n, 120)
	w.stored(in.Session.ID)
	w.trim(storage.TrimSessions, before, uses+2-120)
	_, err = w.Session(w.ctx(), in.Session.ID)
	w.is(err, storage.ErrNotFound)
	_, err = w.Refresh(w.ctx(), token)
	w.is(err, storage.ErrNotFound)
}

func trimLimit(w *world) {
	u := w.user("tom")
	var all []storage.Opened
	for range 6 {
		w.clock.Advance(time.Second)
		all = append(all, w.signIn(u.ID, storage.Kickout, "x"))
	}
	before := w.clock.Advance(2 * SessionTTL)
	for _, limit := range []int{0, -1} {
		n, err := w.Trim(w.ctx(), storage.TrimRefreshes, before, limit)
		w.ok(err)
		w.same(n, 0)
	}
	for i := range 3 {
		n, err := w.Trim(w.ctx(), storage.TrimRefreshes, before, 2)
		w.ok(err)
		w.same(n, 2)
		for k, in := range all {
			_, err := w.Refresh(w.ctx(), in.Refresh.Hash)
			w.same(errors.Is(err, storage.ErrNotFound), k < 2*(i+1))
		}
	}
	w.trim(storage.TrimRefreshes, before, 0)
	w.trim(storage.TrimSessions, before, len(all))
}

// trimRefreshes: as long as an ancestor could pass for a token that is in time, it is told as theft.
func trimRefreshes(w *world) {
	u := w.user("tom")
	o := NewOpening(u.ID, storage.Kickout, w.now())
	o.Refresh.ExpiresAt = w.now().Add(time.Hour)
	in := w.mustOpen(o)
	next := w.mustRotate(NewRotation(in.Refresh.Hash, w.clock.Advance(time.Minute)))
	w.clock.Advance(time.Minute)
	due := in.Refresh.ExpiresAt
	w.trim(storage.TrimRefreshes, due, 0)
	w.trim(storage.TrimRefreshes, due.Add(time.Second), 1)
	_, _, err := w.Rotate(w.ctx(), NewRotation(in.Refresh.Hash, w.now()))
	w.is(err, storage.ErrNotFound)
	w.unended(in.Session.ID)
	last := w.mustRotate(NewRotation(next.Refresh.Hash, w.clock.Advance(2*time.Hour)))
	w.trim(storage.TrimRefreshes, w.now(), 0)
	w.mustRotate(NewRotation(last.Refresh.Hash, w.clock.Advance(time.Hour)))
	_, _, err = w.Rotate(w.ctx(), NewRotation(next.Refresh.Hash, w.now()))
	w.ended(err, storage.ReuseDetected)
}

func trimEvents(w *world) {
	u := w.user("tom")
	for range 3 {
		w.clock.Advance(time.Minute)
		w.signIn(u.ID, storage.Kickout, "x")
	}
	events := w.tail(0)
	w.same(len(events), 2)
	after := w.clock.Advance(time.Hour)
	w.trim(storage.TrimEvents, after, 0) // nobody has numbered them
	w.same(w.number(10), 2)
	w.trim(storage.TrimEvents, events[0].Until, 0)
	w.trim(storage.TrimEvents, events[1].Until, 1)
	w.same(w.tail(0), []storage.Event{numbered(events[1], 2)})
	w.trim(storage.TrimEvents, after, 1)
	w.same(len(w.tail(0)), 0)
	w.same(w.position(), int64(2))
	w.endOne("amy")
	w.same(w.number(10), 1)
	w.same(w.position(), int64(3))
}

func trimRevoked(w *world) {
	one := w.machine("billing")
	until := w.now().Add(AccessTTL)
	_, err := w.RevokeToken(w.ctx(), one.JTI, one.Client, "client:billing", until, nil, w.now())
	w.ok(err)
	w.trim(storage.TrimRevoked, until, 0)
	w.ended(w.Check(w.ctx(), one, w.now()), storage.SignedOut)
	w.trim(storage.TrimRevoked, until.Add(time.Second), 1)
	w.trim(storage.TrimRevoked, until.Add(time.Second), 0)
	w.ok(w.Check(w.ctx(), one, w.now()))
}

func trimAudit(w *world) {
	var all []storage.AuditRecord
	for range 3 {
		r := *NewAudit("session.opened", w.clock.Advance(time.Second))
		w.ok(w.Append(w.ctx(), r))
		all = append(all, r)
	}
	w.trim(storage.TrimAudit, all[0].At, 0)
	w.trim(storage.TrimAudit, all[2].At, 2)
	w.audited(all[2])
}

func trimBelow(w *world) {
	add := func(at time.Time) {
		r := *NewAudit("session.opened", at)
		w.ok(w.Append(w.ctx(), r))
	}
	start := w.now()
	for i := range 4 {
		add(start.Add(time.Duration(i) * time.Hour))
	}
	before := start.Add(24 * time.Hour)
	n, err := w.Trim(w.ctx(), storage.TrimAudit, before, 2)
	w.ok(err)
	w.same(n, 2)
	add(start.Add(-time.Hour))
	w.trim(storage.TrimAudit, before, 3)
	w.audited()
}

func trimUnknown(w *world) {
	if n, err := w.Trim(w.ctx(), "users", w.now(), 10); err == nil || n != 0 {
		w.Errorf("trimmed %d users: %v", n, err)
	}
	for _, kind := range storage.TrimKinds() {
		w.trim(kind, w.now(), 0)
	}
}

func trimRace(w *world) {
	const rows = 120 // more than go at once
	u := w.user("tom")
	for range rows {
		w.signIn(u.ID, storage.Kickout, "x")
	}
	before := w.clock.Advance(2 * SessionTTL)
	const processes = 3
	counts, errs := make([]int, processes), make([]error, processes)
	race(processes, func(i int) {
		counts[i], errs[i] = w.Trim(w.ctx(), storage.TrimSessions, before, storage.MaxTrim)
	})
	w.ok(errors.Join(errs...))
	total := 0
	for _, n := range counts {
		total += n
	}
	w.same(total, 2*rows)
	list, err := w.Sessions(w.ctx(), u.ID, true, "", 10)
	w.ok(err)
	w.same(len(list), 0)
}

// trimSignIns: sessions that nobody has ended are trimmed while sign-ins come to supersede them.
func trimSignIns(w *world) {
	var users []storage.UserID
	for i := range racers {
		users = append(users, w.user(fmt.Sprint("user-", i)).ID)
		w.signIn(users[i], storage.Kickout, "old")
	}
	before := w.clock.Advance(2 * SessionTTL)
	var trimming error
	outs, errs := make([]storage.Opened, racers), make([]error, racers)
	race(racers+1, func(i int) {
		if i == racers {
			_, trimming = w.Trim(w.ctx(), storage.TrimSessions, before, storage.MaxTrim)
			return
		}
		outs[i], errs[i] = w.Open(w.ctx(), NewOpening(users[i], storage.Kickout, w.now()))
	})
	w.ok(errors.Join(errors.Join(errs...), trimming))
	for i, u := range users {
		w.same(w.live(u), []storage.SessionID{outs[i].Session.ID})
		w.same(outs[i].Session.Version, int64(2))
	}
}

func trimAnswers(t *testing.T, d *desk) {
	tom := d.wallet(t, 0)
	first := d.deposit(tom.user, 1)
	d.must(t, first)
	d.now = d.now.Add(time.Hour)
	second := d.deposit(tom.user, 2)
	d.must(t, second)
	if from, err := d.AnswersFrom(t.Context()); !from.IsZero() || err != nil {
		t.Errorf("answers from %v, %v: nobody has trimmed any", from, err)
	}
	for _, want := range []int{1, 0} {
		if n, err := d.LedgerStore.(storage.Upkeep).Trim(t.Context(), storage.TrimAnswers, d.now, 10); n != want || err != nil {
			t.Fatalf("trimmed %d answers, %v; want %d", n, err, want)
		}
	}
	if _, err := d.Answered(t.Context(), first.Key, first.RequestHash); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the older answer: %v", err)
	}
	answer, err := d.Answered(t.Context(), second.Key, second.RequestHash)
	if diff := cmp.Diff(second.Journal.ID, answer.Journal); diff != "" || err != nil {
		t.Errorf("the newer answer: %v\n%s", err, diff)
	}
	if got := d.balance(t, tom); got != 3 {
		t.Errorf("trimming answers moved money: balance %d", got)
	}
	if from, err := d.AnswersFrom(t.Context()); !from.Equal(d.now) || err != nil {
		t.Errorf("answers from %v, %v; want %v", from, err, d.now)
	}
	d.prove(t)
}

func leadCases() cases {
	return cases{
		"one leads until its time has passed": leadExpires,
		"duties are had one by one":           leadDuties,
		"a duty can be given up":              leadGivesUp,
		"of many who ask at once one leads":   leadRace,
	}
}

// leads asks for the duty "trim" and says what the answer must be.
func (w *world) leads(holder string, ttl time.Duration, want bool) {
	w.Helper()
	got, err := w.Lead(w.ctx(), "trim", holder, ttl, w.now())
	w.ok(err)
	if got != want {
		w.Errorf("%s leads: %v", holder, got)
	}
}

func leadExpires(w *world) {
	w.leads("one", time.Minute, true)
	w.leads("two", time.Minute, false)
	w.clock.Advance(30 * time.Second)
	w.leads("one", time.Minute, true)
	w.clock.Advance(59 * time.Second)
	w.leads("two", time.Minute, false)
	w.clock.Advance(time.Second)
	w.leads("two", time.Minute, true)
	w.leads("one", time.Minute, false)
}

func leadDuties(w *world) {
	w.leads("one", time.Minute, true)
	got, err := w.Lead(w.ctx(), "number", "two", time.Minute, w.now())
	w.ok(err)
	w.same(got, true)
}

func leadGivesUp(w *world) {
	w.leads("one", time.Minute, true)
	w.leads("two", 0, false)
	w.leads("one", 0, true)
	w.leads("two", time.Minute, true)
}

func leadRace(w *world) {
	for range rounds {
		got, errs := make([]bool, racers), make([]error, racers)
		race(racers, func(i int) {
			got[i], errs[i] = w.Lead(w.ctx(), "trim", fmt.Sprint("process-", i), time.Minute, w.now())
		})
		w.ok(errors.Join(errs...))
		w.same(len(slices.DeleteFunc(got, func(leads bool) bool { return !leads })), 1)
		w.clock.Advance(time.Minute)
	}
}
