package storagetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// FederationStore is a store that keeps ways in by other providers.
type FederationStore interface {
	Store
	storage.Identities
	storage.Exchanges
	storage.Nonces
}

// federation is what its cases play in.
type federation struct {
	*world
	storage.Identities
	storage.Exchanges
	storage.Nonces
}

// Federation checks a driver against every promise written on [storage.Identities], [storage.Exchanges] and
// [storage.Nonces]. open must return an empty store.
func Federation(t *testing.T, open func(t *testing.T) FederationStore) {
	for name, check := range map[string]func(federation){
		"an identity that nobody knows makes a user":              identityNew,
		"a known identity stays with its user":                    identityKnown,
		"identities of one union are one user":                    identityUnion,
		"a union that belongs to another takes nobody's identity": identityUnionTaken,
		"names are compared as bytes":                             identityBytes,
		"of racing arrivals of one identity one makes the user":   identityRace,
		"of racing arrivals of one union one makes the user":      identityUnionRace,
		"an identity is linked to a user who is there":            identityLink,
		"what belongs to another is not linked":                   identityLinkTaken,
		"a user links so many and no more":                        identityLinkFull,
		"the last way in stays":                                   identityLastWay,
		"of two who take the last two ways one is refused":        identityLastWayRace,
		"a union goes with its last identity":                     identityUnionGoes,
		"a code is one holder's until it is finished":             exchangeOnce,
		"a code that was dropped is new":                          exchangeDropped,
		"a holder who was too slow loses the code":                exchangeStale,
		"what became of a code is forgotten in time":              exchangeForgotten,
		"of racing holders one gets the code":                     exchangeRace,
		"a nonce is good once":                                    nonceOnce,
		"of racing users of a nonce one gets it":                  nonceRace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			check(federation{&world{T: t, Store: s, clock: NewClock()}, s, s, s})
		})
	}
}

// arrival makes an arrival of a subject at the app "app-1", with a union or ("") without.
func (f federation) arrival(subject, union string) storage.Arrival {
	now := storage.Instant(f.now())
	a := storage.Arrival{
		Identity: storage.Identity{
			ID: storage.IdentityID(storage.NewID(now)), Provider: "wechat", App: "app-1", Subject: subject,
			Sealed: []byte{1, 0, 0xff, '\''}, CreatedAt: now, UsedAt: now,
		},
		Newcomer: NewUser("newcomer-"+storage.NewID(now), now), Now: now,
		Created: NewAudit("user.created", now), Linked: NewAudit("identity.linked", now),
	}
	a.Newcomer.Password = ""
	if union != "" {
		a.Identity.Realm, a.Identity.Union = "realm", union
	}
	return a
}

func (f federation) admit(a storage.Arrival) storage.Identity {
	f.Helper()
	id, err := f.AdmitIdentity(f.ctx(), a)
	f.ok(err)
	return id
}

func (f federation) ways(user storage.UserID) []storage.Identity {
	f.Helper()
	list, err := f.ListIdentities(f.ctx(), user)
	f.ok(err)
	return list
}

// people counts the users there are.
func (f federation) people() int {
	f.Helper()
	list, err := f.ListUsers(f.ctx(), "", 100)
	f.ok(err)
	return len(list)
}

func identityNew(f federation) {
	a := f.arrival("Öpenid-1 ", "union-1")
	got := f.admit(a)
	want := a.Identity
	want.User = a.Newcomer.ID
	f.same(got, want)
	f.same(f.ways(got.User), []storage.Identity{want})
	user, err := f.User(f.ctx(), got.User)
	f.ok(err)
	f.same(user, a.Newcomer)
	records, err := f.ListAudit(f.ctx(), time.Time{}, "", 10)
	f.ok(err)
	f.same(len(records), 2)
	for _, r := range records {
		f.same(r.User, got.User)
	}
}

func identityKnown(f federation) {
	first := f.admit(f.arrival("openid-1", ""))
	f.clock.Advance(time.Minute)
	again := f.arrival("openid-1", "union-1")
	again.Identity.Sealed = []byte("another")
	got := f.admit(again)
	want := first
	want.Sealed, want.UsedAt, want.Realm, want.Union = []byte("another"), again.Now, "realm", "union-1"
	f.same(got, want)
	f.clock.Advance(time.Minute)
	last := f.arrival("openid-1", "") // what was told once is not forgotten
	want.Sealed, want.UsedAt = last.Identity.Sealed, last.Now
	f.same(f.admit(last), want)
	f.same(f.ways(first.User), []storage.Identity{want})
	f.same(f.people(), 1)
	other := f.arrival("openid-9", "union-1") // the union became the user's
	other.Identity.App = "app-2"
	f.same(f.admit(other).User, first.User)
}

func identityUnion(f federation) {
	first := f.admit(f.arrival("openid-1", "union-1"))
	second := f.arrival("openid-2", "union-1")
	second.Identity.App = "app-2"
	f.same(f.admit(second).User, first.User)
	elsewhere := f.arrival("openid-3", "union-1")
	elsewhere.Identity.Realm = "another realm"
	if f.admit(elsewhere).User == first.User {
		f.Error("the union of another realm is the same person")
	}
	f.same(f.people(), 2)
	f.same(len(f.ways(first.User)), 2)
}

func identityUnionTaken(f federation) {
	alone := f.admit(f.arrival("openid-1", ""))
	united := f.arrival("openid-2", "union-1")
	united.Identity.App = "app-2"
	other := f.admit(united)
	got := f.admit(f.arrival("openid-1", "union-1"))
	f.same(got.User, alone.User)
	f.same(got.Union, "")
	third := f.arrival("openid-3", "union-1")
	third.Identity.App = "app-3"
	f.same(f.admit(third).User, other.User)
}

func identityBytes(f federation) {
	seen := map[storage.UserID]string{}
	for _, subject := range []string{"openid", "OPENID", "openid ", "öpenid", "' OR ''='", strings.Repeat("x", 128)} {
		id := f.admit(f.arrival(subject, ""))
		if other, twice := seen[id.User]; twice {
			f.Errorf("%q is the same as %q", subject, other)
		}
		seen[id.User] = subject
	}
}

func identityRace(f federation) {
	ids, errs := make([]storage.Identity, racers), make([]error, racers)
	race(racers, func(i int) { ids[i], errs[i] = f.AdmitIdentity(f.ctx(), f.arrival("openid-1", "union-1")) })
	for i := range ids {
		f.ok(errs[i])
		f.same(ids[i].User, ids[0].User)
		f.same(ids[i].ID, ids[0].ID)
	}
	f.same(f.people(), 1)
}

func identityUnionRace(f federation) {
	ids, errs := make([]storage.Identity, racers), make([]error, racers)
	race(racers, func(i int) {
		a := f.arrival(fmt.Sprint("openid-", i%3), "union-1")
		a.Identity.App = fmt.Sprint("app-", i%3)
		ids[i], errs[i] = f.AdmitIdentity(f.ctx(), a)
	})
	for i := range ids {
		f.ok(errs[i])
		f.same(ids[i].User, ids[0].User)
	}
	f.same(f.people(), 1)
	f.same(len(f.ways(ids[0].User)), 3)
}

// linkOf is the arrival of a subject that is to be linked to a user.
func (f federation) linkOf(user storage.UserID, subject, union string) storage.Arrival {
	a := f.arrival(subject, union)
	a.Identity.User = user
	return a
}

func identityLink(f federation) {
	tom := f.user("tom")
	a := f.linkOf(tom.ID, "openid-1", "union-1")
	id, made, err := f.LinkIdentity(f.ctx(), a)
	f.ok(err)
	f.same(id, a.Identity)
	f.same(made, true)
	f.audited(func() storage.AuditRecord { r := *a.Linked; r.User = tom.ID; return r }())
	again, made, err := f.LinkIdentity(f.ctx(), f.linkOf(tom.ID, "openid-1", "union-1"))
	f.ok(err)
	f.same(again.ID, id.ID)
	f.same(made, false)
	f.same(f.admit(f.arrival("openid-1", "")).User, tom.ID)
	other := f.arrival("openid-2", "union-1")
	other.Identity.App = "app-2"
	f.same(f.admit(other).User, tom.ID)
	_, _, err = f.LinkIdentity(f.ctx(), f.linkOf("nobody", "openid-3", ""))
	f.is(err, storage.ErrNotFound)
	f.same(f.people(), 1)
}

func identityLinkTaken(f federation) {
	tom := f.user("tom")
	amy := f.admit(f.arrival("openid-1", "union-1"))
	_, _, err := f.LinkIdentity(f.ctx(), f.linkOf(tom.ID, "openid-1", ""))
	f.is(err, storage.ErrExists)
	united := f.linkOf(tom.ID, "openid-2", "union-1")
	united.Identity.App = "app-2"
	_, _, err = f.LinkIdentity(f.ctx(), united)
	f.is(err, storage.ErrExists)
	f.same(len(f.ways(tom.ID)), 0)
	f.same(len(f.ways(amy.User)), 1)
}

func identityLinkFull(f federation) {
	tom := f.user("tom")
	for i := range storage.MaxIdentities {
		_, _, err := f.LinkIdentity(f.ctx(), f.linkOf(tom.ID, fmt.Sprint("openid-", i), ""))
		f.ok(err)
	}
	_, _, err := f.LinkIdentity(f.ctx(), f.linkOf(tom.ID, "one more", ""))
	f.is(err, storage.ErrFull)
	_, _, err = f.LinkIdentity(f.ctx(), f.linkOf(tom.ID, "openid-3", "")) // it is there
	f.ok(err)
}

func (f federation) unlink(id storage.Identity) error {
	return f.UnlinkIdentity(f.ctx(), id.User, id.ID, NewAudit("identity.unlinked", f.now()), f.now())
}

func identityLastWay(f federation) {
	only := f.admit(f.arrival("openid-1", ""))
	f.is(f.unlink(only), storage.ErrLastWay)
	second, _, err := f.LinkIdentity(f.ctx(), f.linkOf(only.User, "openid-2", ""))
	f.ok(err)
	f.ok(f.unlink(only))
	f.is(f.unlink(only), storage.ErrNotFound)
	f.is(f.unlink(second), storage.ErrLastWay)
	tom := f.user("tom") // has a password
	toms, _, err := f.LinkIdentity(f.ctx(), f.linkOf(tom.ID, "openid-3", ""))
	f.ok(err)
	stolen := toms
	stolen.User = only.User
	f.is(f.unlink(stolen), storage.ErrNotFound)
	f.ok(f.unlink(toms))
	f.same(len(f.ways(tom.ID)), 0)
	if f.admit(f.arrival("openid-3", "")).User == tom.ID {
		f.Error("an identity that was taken away still lets in")
	}
}

func identityLastWayRace(f federation) {
	one := f.admit(f.arrival("openid-1", ""))
	two, _, err := f.LinkIdentity(f.ctx(), f.linkOf(one.User, "openid-2", ""))
	f.ok(err)
	errs := make([]error, 2)
	race(2, func(i int) { errs[i] = f.unlink([]storage.Identity{one, two}[i]) })
	if errs[0] != nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	f.ok(errs[0])
	f.is(errs[1], storage.ErrLastWay)
	f.same(len(f.ways(one.User)), 1)
}

func identityUnionGoes(f federation) {
	tom := f.user("tom")
	var both []storage.Identity
	for i := range 2 {
		a := f.linkOf(tom.ID, "openid", "union-1")
		a.Identity.App = fmt.Sprint("app-", i)
		id, _, err := f.LinkIdentity(f.ctx(), a)
		f.ok(err)
		both = append(both, id)
	}
	f.ok(f.unlink(both[0]))
	f.same(f.admit(f.arrival("another", "union-1")).User, tom.ID) // the union is still theirs
	for _, id := range f.ways(tom.ID) {
		f.ok(f.unlink(id))
	}
	if f.admit(f.arrival("another", "union-1")).User == tom.ID {
		f.Error("the union still lets in")
	}
}

// The times of exchanges: how long one may take, and is remembered.
const (
	exchangePatience = 10 * time.Second
	exchangeMemory   = 5 * time.Minute
)

var someCode = storage.CodeHash{1, 0, 0xff}

func (f federation) begin(holder string) storage.Exchange {
	f.Helper()
	e, err := f.BeginExchange(f.ctx(), someCode, holder, f.now().Add(-exchangePatience), f.now().Add(exchangeMemory), f.now())
	f.ok(err)
	return e
}

func (f federation) finish(holder string) error {
	return f.FinishExchange(f.ctx(), someCode, holder, []byte{0, 'x', 0xff}, f.now().Add(exchangeMemory))
}

func exchangeOnce(f federation) {
	f.same(f.begin("one"), storage.Exchange{Mine: true})
	f.same(f.begin("two"), storage.Exchange{})
	f.is(f.finish("two"), storage.ErrStale)
	f.ok(f.finish("one"))
	f.is(f.finish("one"), storage.ErrStale)
	f.same(f.begin("two"), storage.Exchange{Outcome: []byte{0, 'x', 0xff}})
	f.ok(f.DropExchange(f.ctx(), someCode, "one")) // it is finished
	f.same(f.begin("one"), storage.Exchange{Outcome: []byte{0, 'x', 0xff}})
}

func exchangeDropped(f federation) {
	f.begin("one")
	f.ok(f.DropExchange(f.ctx(), someCode, "two"))
	f.same(f.begin("two"), storage.Exchange{})
	f.ok(f.DropExchange(f.ctx(), someCode, "one"))
	f.same(f.begin("two"), storage.Exchange{Mine: true})
}

func exchangeStale(f federation) {
	f.begin("one")
	f.clock.Advance(exchangePatience - time.Microsecond)
	f.same(f.begin("two"), storage.Exchange{})
	f.clock.Advance(time.Microsecond)
	f.same(f.begin("two"), storage.Exchange{Mine: true})
	f.is(f.finish("one"), storage.ErrStale)
	f.ok(f.finish("two"))
}

func exchangeForgotten(f federation) {
	f.begin("one")
	f.ok(f.finish("one"))
	f.clock.Advance(exchangeMemory - time.Microsecond)
	f.same(f.begin("two"), storage.Exchange{Outcome: []byte{0, 'x', 0xff}})
	f.clock.Advance(time.Microsecond)
	f.same(f.begin("two"), storage.Exchange{Mine: true})
	f.ok(f.finish("two"))
	f.trim(storage.TrimExchanges, f.now().Add(exchangeMemory), 0)
	f.trim(storage.TrimExchanges, f.now().Add(exchangeMemory+1), 0) // cut to the microsecond
	f.trim(storage.TrimExchanges, f.now().Add(exchangeMemory+time.Microsecond), 1)
	f.same(f.begin("three"), storage.Exchange{Mine: true})
}

func exchangeRace(f federation) {
	got, errs := make([]storage.Exchange, racers), make([]error, racers)
	race(racers, func(i int) {
		got[i], errs[i] = f.BeginExchange(f.ctx(), someCode, fmt.Sprint(i), f.now().Add(-exchangePatience), f.now().Add(exchangeMemory), f.now())
	})
	mine := 0
	for i := range got {
		f.ok(errs[i])
		if got[i].Mine {
			mine++
		}
	}
	f.same(mine, 1)
}

func nonceOnce(f federation) {
	until := storage.Instant(f.now().Add(time.Minute))
	f.ok(f.UseNonce(f.ctx(), storage.NonceHash{1}, until))
	f.ok(f.UseNonce(f.ctx(), storage.NonceHash{2}, until.Add(time.Second)))
	f.is(f.UseNonce(f.ctx(), storage.NonceHash{1}, until.Add(time.Hour)), storage.ErrConsumed)
	f.trim(storage.TrimNonces, until, 0)
	f.trim(storage.TrimNonces, until.Add(time.Microsecond), 1)
	f.is(f.UseNonce(f.ctx(), storage.NonceHash{2}, until), storage.ErrConsumed)
}

func nonceRace(f federation) {
	errs := make([]error, racers)
	race(racers, func(i int) { errs[i] = f.UseNonce(f.ctx(), storage.NonceHash{1}, f.now().Add(time.Minute)) })
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		f.is(err, storage.ErrConsumed)
	}
	f.same(winners, 1)
}
