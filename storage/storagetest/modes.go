package storagetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/storage"
)

// ClosingStore is a store that can be closed, and opened again.
type ClosingStore interface {
	Store
	io.Closer
}

// RunModes plays random sign-ins, refreshes, departures, ends, changes of accounts, waits, restarts and
// trims on a store and on a model of the run modes in memory, and demands the same answers and the same
// state after every step. A failure prints the shortest play that shows it, and its seed.
//
// open must make an empty database, and return what opens a store on it.
func RunModes(t *testing.T, open func(t *testing.T) func(t *testing.T) ClosingStore) {
	reopen := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		p := newPlay(t, rt, reopen)
		defer p.close()
		rt.Repeat(p.actions())
	})
}

// actions are what may happen. Rapid leans towards the first and the last in the order of their names, so
// what matters more is named there, and more than once.
func (p *play) actions() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){"": p.compare}
	for i, a := range []struct {
		name string
		run  func(*rapid.T)
	}{
		{"sign in", p.signIn},
		{"refresh", p.refreshNewest},
		{"present any token", p.refresh},
		{"sign out", p.revoke},
		{"wait", p.wait},
		{"sign in again", p.signIn},
		{"present any token again", p.refresh},
		{"touch", p.touch},
		{"kick", p.kick},
		{"trim", p.trim},
		{"restart", p.restart},
		{"change password", p.changePassword},
		{"reinstate", p.reinstate},
		{"ban", p.ban},
		{"sign in once more", p.signIn},
	} {
		all[fmt.Sprintf("%02d %s", i, a.name)] = a.run
	}
	return all
}

// play is one run on the store and on the model.
type play struct {
	t      *testing.T
	reopen func(t *testing.T) ClosingStore
	store  ClosingStore
	model  *modeModel
	clock  *Clock
	// mode is that of most sign-ins.
	mode storage.Mode
	// room is for how many sessions most concurrent slots have room.
	room int
	// number is that of the last event seen.
	number int64
}

func newPlay(t *testing.T, rt *rapid.T, reopen func(t *testing.T) ClosingStore) *play {
	t.Helper()
	p := &play{t: t, reopen: reopen, store: reopen(t), clock: NewClock(), model: newModeModel()}
	p.mode = rapid.SampledFrom(modes()).Draw(rt, "mode of the play")
	p.room = rapid.IntRange(1, 4).Draw(rt, "room")
	p.pass(rt) // what a play before this one left when it failed
	var err error
	if p.number, err = p.store.Position(t.Context()); err != nil {
		rt.Fatal(err)
	}
	for range 2 {
		u := NewUser(storage.NewID(p.clock.Now()), p.clock.Now())
		if err := p.store.CreateUser(t.Context(), u); err != nil {
			rt.Fatal(err)
		}
		p.model.users = append(p.model.users, &u)
	}
	return p
}

func (p *play) close() {
	if err := p.store.Close(); err != nil {
		p.t.Error(err)
	}
}

// pass has all events numbered.
func (p *play) pass(rt *rapid.T) {
	for n := 1; n > 0; {
		var err error
		if n, err = p.store.Number(p.t.Context(), 500); err != nil {
			rt.Fatal(err)
		}
	}
}

func (p *play) user(rt *rapid.T) *storage.User {
	if seldom(rt, "another user") {
		return p.model.users[1]
	}
	return p.model.users[0]
}

func (p *play) signIn(rt *rapid.T) {
	u := p.user(rt)
	mode := p.mode
	if seldom(rt, "another mode") {
		mode = rapid.SampledFrom(modes()).Draw(rt, "mode")
	}
	o := NewOpening(u.ID, mode, p.clock.Now())
	s := &o.Session
	s.Terminal = storage.Browser
	if seldom(rt, "elsewhere") {
		s.Product = rapid.SampledFrom([]string{"shop", "music"}).Draw(rt, "product")
		s.Terminal = rapid.SampledFrom(storage.Terminals()).Draw(rt, "terminal")
	}
	s.Device.Name = rapid.SampledFrom([]string{"phone", "tablet"}).Draw(rt, "device")
	at := p.clock.Now().Truncate(time.Second)
	s.ExpiresAt = at.Add(rapid.SampledFrom([]time.Duration{12 * time.Hour, time.Hour, 10 * time.Minute}).Draw(rt, "session TTL"))
	s.IdleAt = at.Add(rapid.SampledFrom([]time.Duration{12 * time.Hour, 5 * time.Minute, 12 * time.Hour}).Draw(rt, "idle TTL"))
	if s.IdleAt.After(s.ExpiresAt) {
		s.IdleAt = s.ExpiresAt
	}
	s.Access.ExpiresAt = at.Add(rapid.SampledFrom([]time.Duration{AccessTTL, time.Minute}).Draw(rt, "access TTL"))
	o.MaxSessions = p.room
	if seldom(rt, "less room") {
		o.MaxSessions = 1
	}
	o.Credential = new(u.Credential)
	if seldom(rt, "stale") {
		*o.Credential--
	}
	want, wantErr := p.model.open(o)
	got, err := p.store.Open(p.t.Context(), o)
	p.same(rt, err, wantErr, got, want, got.Ended)
}

func modes() []storage.Mode {
	return []storage.Mode{storage.Shared, storage.Concurrent, storage.Kickout}
}

// seldom is true once in a while.
func seldom(rt *rapid.T, what string) bool {
	return rapid.IntRange(0, 9).Draw(rt, what) == 9
}

// refresh presents any token ever made.
func (p *play) refresh(rt *rapid.T) {
	f := p.family(rt)
	p.rotate(rt, rapid.SampledFrom(f.tokens).Draw(rt, "token").Hash)
}

func (p *play) refreshNewest(rt *rapid.T) {
	f := p.family(rt)
	p.rotate(rt, f.tokens[len(f.tokens)-1].Hash)
}

func (p *play) family(rt *rapid.T) *modeFamily {
	if len(p.model.families) == 0 {
		rt.Skip("nobody has signed in")
	}
	families := p.model.families
	if !seldom(rt, "an old family") {
		families = families[max(len(families)-3, 0):]
	}
	return rapid.SampledFrom(families).Draw(rt, "family")
}

func (p *play) rotate(rt *rapid.T, hash storage.RefreshHash) {
	r := NewRotation(hash, p.clock.Now())
	r.IdleTTL = rapid.SampledFrom([]time.Duration{0, 5 * time.Minute}).Draw(rt, "idle TTL")
	if seldom(rt, "another client") {
		r.Client = "other-app"
	}
	want, wantErr := p.model.rotate(r)
	got, events, err := p.store.Rotate(p.t.Context(), r)
	p.same(rt, err, wantErr, got, want, events)
}

func (p *play) revoke(rt *rapid.T) {
	token := rapid.SampledFrom(p.family(rt).tokens).Draw(rt, "token")
	now := p.clock.Now()
	wantErr := p.model.revoke(token.Hash, "user:x", now)
	events, err := p.store.Revoke(p.t.Context(), token.Hash, ClientID, "user:x", nil, now)
	p.same(rt, err, wantErr, nil, nil, events)
}

func (p *play) kick(rt *rapid.T) {
	o := storage.EndOrder{User: p.user(rt).ID, Reason: storage.Kicked, Actor: "operator:x", Now: p.clock.Now()}
	o.Product = rapid.SampledFrom([]string{"", "shop", "music"}).Draw(rt, "product")
	o.Terminal = rapid.SampledFrom(append(storage.Terminals(), "")).Draw(rt, "terminal")
	o.Session, o.Except = p.session(rt, "session"), p.session(rt, "except")
	p.end(rt, o)
}

// session is one of the sessions, or none.
func (p *play) session(rt *rapid.T, label string) storage.SessionID {
	ids := []storage.SessionID{""}
	for _, s := range p.model.sessions {
		ids = append(ids, s.ID)
	}
	return rapid.SampledFrom(ids).Draw(rt, label)
}

func (p *play) end(rt *rapid.T, o storage.EndOrder) {
	wantErr := p.model.endOrder(o)
	events, err := p.store.End(p.t.Context(), o)
	p.same(rt, err, wantErr, nil, nil, events)
}

func (p *play) ban(rt *rapid.T) {
	until := storage.Instant(p.clock.Now().Add(time.Minute))
	ban := storage.Ban{At: storage.Instant(p.clock.Now()), Reason: "x"}
	if !seldom(rt, "for good") {
		ban.Until = &until
	}
	p.end(rt, storage.EndOrder{
		User: p.user(rt).ID, Reason: storage.Banned, Actor: "operator:x", Account: &storage.AccountChange{Ban: &ban}, Now: p.clock.Now(),
	})
}

func (p *play) changePassword(rt *rapid.T) {
	u := p.user(rt)
	credential := u.Credential
	if seldom(rt, "stale") {
		credential--
	}
	p.end(rt, storage.EndOrder{
		User: u.ID, Reason: storage.PasswordChanged, Actor: "user:x", Except: p.session(rt, "except"), Now: p.clock.Now(),
		Account: &storage.AccountChange{Password: new(storage.PasswordHash("other")), Credential: &credential},
	})
}

func (p *play) reinstate(rt *rapid.T) {
	u := p.user(rt)
	u.Ban = nil
	if err := p.store.Reinstate(p.t.Context(), u.ID, nil, p.clock.Now()); err != nil {
		rt.Fatal(err)
	}
}

func (p *play) touch(rt *rapid.T) {
	if len(p.model.sessions) == 0 {
		rt.Skip("nobody has signed in")
	}
	id, at := rapid.SampledFrom(p.model.sessions).Draw(rt, "session").ID, p.clock.Now().Add(-rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(rt, "ago"))
	for _, s := range p.model.sessions {
		if s.ID == id && s.End == nil {
			s.LastSeenAt = latest(s.LastSeenAt, storage.Instant(at))
		}
	}
	if err := p.store.Touch(p.t.Context(), map[storage.SessionID]time.Time{id: at}); err != nil {
		rt.Fatal(err)
	}
}

func (p *play) wait(rt *rapid.T) {
	p.clock.Advance(rapid.SampledFrom([]time.Duration{
		time.Second, time.Second, Window / 2, Window - time.Second, Window, Window + time.Microsecond, time.Minute, time.Minute, 5 * time.Minute,
		AccessTTL, time.Hour, 13 * time.Hour, time.Second,
	}).Draw(rt, "for"))
}

func (p *play) restart(*rapid.T) {
	p.close()
	p.store = p.reopen(p.t)
}

func (p *play) trim(rt *rapid.T) {
	before := p.clock.Now().Add(-12 * time.Hour)
	for _, kind := range []storage.TrimKind{storage.TrimRefreshes, storage.TrimSessions} {
		for n := storage.MaxTrim; n == storage.MaxTrim; {
			var err error
			if n, err = p.store.Trim(p.t.Context(), kind, before, storage.MaxTrim); err != nil {
				rt.Fatal(err)
			}
		}
	}
	p.model.trim(before)
}

// same compares an answer with that of the model, and the events with those that the model made and with
// those that the feed has.
func (p *play) same(rt *rapid.T, err, wantErr error, got, want any, events []storage.Event) {
	rt.Helper()
	ended, _ := errors.AsType[*storage.EndedError](err)
	wantEnded, _ := errors.AsType[*storage.EndedError](wantErr)
	if diff := cmp.Diff(wantEnded, ended); diff != "" {
		rt.Fatalf("end (-model +store), %v:\n%s", err, diff)
	}
	if (err == nil) != (wantErr == nil) || !errors.Is(err, wantErr) && wantEnded == nil {
		rt.Fatalf("the store says %v, the model %v", err, wantErr)
	}
	ignore := cmpopts.IgnoreFields(storage.Opened{}, "Ended")
	if diff := cmp.Diff(want, got, ignore); diff != "" && err == nil {
		rt.Fatalf("answer (-model +store):\n%s", diff)
	}
	model := p.model.takeEvents()
	p.sameEvents(rt, "returned", events, model)
	p.pass(rt)
	fed, err := p.store.Tail(p.t.Context(), p.number, 500)
	if err != nil {
		rt.Fatal(err)
	}
	p.number += int64(len(fed))
	p.sameEvents(rt, "in the feed", fed, model)
}

func (p *play) sameEvents(rt *rapid.T, where string, got, want []storage.Event) {
	rt.Helper()
	byKey := cmpopts.SortSlices(func(a, b storage.Event) bool { return a.Key < b.Key })
	ignore := cmpopts.IgnoreFields(storage.Event{}, "ID", "Number")
	if diff := cmp.Diff(want, got, byKey, ignore, cmpopts.EquateEmpty()); diff != "" {
		rt.Fatalf("events %s (-model +store):\n%s", where, diff)
	}
}

// compare looks at everything there is.
func (p *play) compare(rt *rapid.T) {
	now := p.clock.Now()
	for _, u := range p.model.users {
		stored, err := p.store.Sessions(p.t.Context(), u.ID, true, "", 1000)
		if err != nil {
			rt.Fatal(err)
		}
		live, err := p.store.LiveSessions(p.t.Context(), u.ID, now)
		if err != nil {
			rt.Fatal(err)
		}
		want, wantLive := p.model.of(u.ID, now)
		byID := func(a, b storage.Session) int { return strings.Compare(string(a.ID), string(b.ID)) }
		slices.SortFunc(live, byID)
		slices.SortFunc(stored, byID)
		if diff := cmp.Diff(want, stored, cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("sessions of %s (-model +store):\n%s", u.ID, diff)
		}
		if diff := cmp.Diff(wantLive, live, cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("live sessions of %s (-model +store):\n%s", u.ID, diff)
		}
	}
	p.compareStanding(rt)
	if !seldom(rt, "in the same instant") {
		p.clock.Advance(time.Second)
	}
}

// compareStanding asks about one session what guards and members ask.
func (p *play) compareStanding(rt *rapid.T) {
	id, now := p.session(rt, "look at"), p.clock.Now()
	if id == "" {
		return
	}
	err := p.store.Check(p.t.Context(), storage.Bearer{Session: id}, now)
	ended, _ := errors.AsType[*storage.EndedError](err)
	got := (*storage.End)(nil)
	if ended != nil {
		got = &ended.End
	}
	if diff := cmp.Diff(p.model.find(id).EndedAt(now), got); diff != "" {
		rt.Fatalf("check of %s (-model +store), %v:\n%s", id, err, diff)
	}
	n, err := p.store.Members(p.t.Context(), id, now)
	if want := p.model.members(id, now); n != want || err != nil {
		rt.Fatalf("%s has %d members, %v; the model says %d", id, n, err, want)
	}
}
