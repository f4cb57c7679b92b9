package storagetest

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Users checks a driver against every promise written on [storage.Users]. open must return an
// empty store.
func Users(t *testing.T, open func(t *testing.T) Store) {
	cases{
		"what was created is found by id and by name":             userRoundTrip,
		"a taken id or username is refused":                       userTaken,
		"unknown users are not found":                             userUnknown,
		"usernames and ids are compared as bytes":                 userBytes,
		"users are listed in the order of names, page after page": userPages,
		"a hash is upgraded only from the one that was checked":   userUpgrade,
		"reinstating clears disabling and ban, with its audit":    userReinstated,
		"of racing creations of one name one wins":                userCreationRace,
	}.run(t, open)
}

func userRoundTrip(w *world) {
	u := NewUser("tömas", w.now())
	later := storage.Instant(w.now().Add(time.Hour + 7*time.Microsecond))
	u.DisabledAt = &later
	u.Ban = &storage.Ban{At: storage.Instant(w.now()), Until: &later, Reason: "späm"}
	w.ok(w.CreateUser(w.ctx(), u))
	byID, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(byID, u)
	byName, err := w.UserByName(w.ctx(), "tömas")
	w.ok(err)
	w.same(byName, u)

	forever := NewUser("forever", w.now())
	forever.Ban = &storage.Ban{At: storage.Instant(w.now())}
	w.ok(w.CreateUser(w.ctx(), forever))
	got, err := w.User(w.ctx(), forever.ID)
	w.ok(err)
	w.same(got, forever)
}

func userTaken(w *world) {
	u := w.user("tom")
	sameID := NewUser("amy", w.now())
	sameID.ID = u.ID
	w.is(w.CreateUser(w.ctx(), sameID), storage.ErrExists)
	w.is(w.CreateUser(w.ctx(), NewUser("tom", w.now())), storage.ErrExists)
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	w.same(got, u)
	_, err = w.UserByName(w.ctx(), "amy")
	w.is(err, storage.ErrNotFound)
}

func userUnknown(w *world) {
	_, err := w.User(w.ctx(), "nobody")
	w.is(err, storage.ErrNotFound)
	_, err = w.UserByName(w.ctx(), "nobody")
	w.is(err, storage.ErrNotFound)
	w.is(w.UpgradeHash(w.ctx(), "nobody", "a", "b", w.now()), storage.ErrNotFound)
	w.is(w.Reinstate(w.ctx(), "nobody", nil, w.now()), storage.ErrNotFound)
}

func userBytes(w *world) {
	for _, name := range []string{"alice", "Alice", "ALICE", "alice ", "álice", "a\u0301lice", "ａlice", "straße", "strasse"} {
		u := w.user(name)
		got, err := w.UserByName(w.ctx(), name)
		w.ok(err)
		w.same(got.ID, u.ID)
	}
	u := NewUser("lower", w.now())
	u.ID = "abc"
	w.ok(w.CreateUser(w.ctx(), u))
	for _, other := range []storage.UserID{"ABC", "abc ", "Abc"} {
		_, err := w.User(w.ctx(), other)
		w.is(err, storage.ErrNotFound)
	}
	for _, other := range []string{"aliCe", "alice  ", "lower\x00", "' OR ''='", `\' OR 1=1 -- `} {
		_, err := w.UserByName(w.ctx(), other)
		w.is(err, storage.ErrNotFound)
	}
}

func userPages(w *world) {
	for _, name := range []string{"carol", "Bob", "bob", "alice", "dave"} {
		w.user(name)
	}
	var names []string
	for after := ""; ; {
		page, err := w.ListUsers(w.ctx(), after, 2)
		w.ok(err)
		if len(page) > 2 {
			w.Fatalf("a page of %d, asked for 2", len(page))
		}
		if len(page) == 0 {
			break
		}
		for _, u := range page {
			names = append(names, u.Username)
		}
		after = names[len(names)-1]
	}
	w.same(names, []string{"Bob", "alice", "bob", "carol", "dave"})
	for _, none := range []int{0, -1} {
		page, err := w.ListUsers(w.ctx(), "", none)
		w.ok(err)
		w.same(len(page), 0)
	}
}

func userUpgrade(w *world) {
	u := w.user("tom")
	at := storage.Instant(w.clock.Advance(time.Minute))
	w.is(w.UpgradeHash(w.ctx(), u.ID, "another hash", "better", at), storage.ErrStale)
	w.ok(w.UpgradeHash(w.ctx(), u.ID, u.Password, "better", at))
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	u.Password, u.UpdatedAt = "better", at
	w.same(got, u) // the credential number did not move: the password is the same
	w.is(w.UpgradeHash(w.ctx(), u.ID, "hash-of-a-password", "best", at), storage.ErrStale)
	w.ok(w.UpgradeHash(w.ctx(), u.ID, "better", "better", at)) // finding the row is what counts
}

func userReinstated(w *world) {
	u := NewUser("tom", w.now())
	at := storage.Instant(w.now())
	u.DisabledAt, u.Ban = &at, &storage.Ban{At: at, Reason: "spam"}
	w.ok(w.CreateUser(w.ctx(), u))
	audit := NewAudit("user.enabled", w.now())
	later := storage.Instant(w.clock.Advance(time.Minute))
	w.ok(w.Reinstate(w.ctx(), u.ID, audit, later))
	got, err := w.User(w.ctx(), u.ID)
	w.ok(err)
	u.DisabledAt, u.Ban, u.UpdatedAt = nil, nil, later
	w.same(got, u)
	w.audited(*audit)
	w.ok(w.Reinstate(w.ctx(), u.ID, nil, later)) // a second time changes nothing

	w.is(w.Reinstate(w.ctx(), "nobody", NewAudit("user.enabled", w.now()), later), storage.ErrNotFound)
	w.audited(*audit) // and a refusal leaves no record
}

func userCreationRace(w *world) {
	const callers = 10
	errs := make([]error, callers)
	race(callers, func(i int) { errs[i] = w.CreateUser(w.ctx(), NewUser("tom", w.now())) })
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		w.is(err, storage.ErrExists)
	}
	w.same(winners, 1)
}
