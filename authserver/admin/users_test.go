package admin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/session"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var (
	operator = audit.Operator("root")
	start    = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
)

// bundle is the service over a store of its own, and what was told of ends.
type bundle struct {
	*admin.Users

	db        *sqlstore.DB
	checker   *password.Checker
	announced *announced
}

// announced collects what other processes are sent.
type announced struct {
	mu     sync.Mutex
	events []storage.Event
	hooked []storage.Event
}

func (a *announced) Announce(_ context.Context, events []storage.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, events...)
}

func setup(t testing.TB) *bundle {
	t.Helper()
	return setupOn(t, engine.Open(t))
}

func setupOn(t testing.TB, db *sqlstore.DB) *bundle {
	t.Helper()
	now := func() time.Time { return start }
	checker, err := password.New(password.Config{
		Users: db, Memory: 64, Time: 1, Unsafe: true, Now: now, Wait: time.Minute,
		Keys: map[string]secret.Text{"php": secret.New("aaaaaaaaaaa1")},
	})
	if err != nil {
		t.Fatal(err)
	}
	trail, err := audit.New(audit.Config{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{db: db, checker: checker, announced: &announced{}}
	book, err := session.New(session.Config{
		Sessions: db, Refreshes: db, Trail: trail, Now: now, Announcer: b.announced,
		Ended: func(events []storage.Event) { b.announced.hooked = append(b.announced.hooked, events...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.Users, err = admin.New(admin.Config{Users: db, Sessions: book, Passwords: checker, Wallets: db, Trail: trail, Now: now}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bundle) create(t testing.TB, name, pw string) storage.User {
	t.Helper()
	text := secret.New(pw)
	u, err := b.Create(t.Context(), operator, name, &text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// open opens a session of a user.
func (b *bundle) open(t testing.TB, u storage.User, product string, terminal storage.Terminal) storage.SessionID {
	t.Helper()
	opened, err := b.db.Open(t.Context(), storage.Opening{
		Session: storage.Session{
			ID: storage.SessionID(storage.NewID(start)), User: u.ID, Product: product, Terminal: terminal, Mode: storage.Concurrent, Client: "app",
			CreatedAt: start, LastSeenAt: start, ExpiresAt: start.Add(time.Hour), IdleAt: start.Add(time.Hour),
			Access:      storage.Stamp{JTI: storage.NewID(start), KeyID: "k1", IssuedAt: start, ExpiresAt: start.Add(time.Minute)},
			AccessUntil: start.Add(time.Minute),
		},
		MaxSessions: 10, Now: start,
	})
	if err != nil {
		t.Fatal(err)
	}
	return opened.Session.ID
}

// reasons tells how sessions ended, "live" for those that have not.
func (b *bundle) reasons(t testing.TB, ids ...storage.SessionID) string {
	t.Helper()
	var all []string
	for _, id := range ids {
		s, err := b.db.Session(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if s.End == nil {
			all = append(all, "live")
		} else {
			all = append(all, string(s.End.Reason))
		}
	}
	return strings.Join(all, " ")
}

func (b *bundle) actions(t testing.TB) []string {
	t.Helper()
	records, err := b.db.ListAudit(t.Context(), start.Add(-time.Hour), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, r := range records {
		actions = append(actions, r.Action)
		if printed := fmt.Sprint(r); strings.Contains(printed, "argon2") || strings.Contains(printed, "correct horse") {
			t.Errorf("%s shows a password or hash: %s", r.Action, printed)
		}
	}
	return actions
}

func (b *bundle) verify(t testing.TB, name, pw string, want error) {
	t.Helper()
	if _, err := b.checker.Verify(t.Context(), name, secret.New(pw)); !errors.Is(err, want) {
		t.Errorf("%s signs in: %v, want %v", name, err, want)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.create(t, "Tom", "correct horse")
	if u.Username != "tom" || u.Password != "" || len(u.ID) != storage.IDLength {
		t.Errorf("created %+v", u)
	}
	b.verify(t, "tom", "correct horse", nil)
	none, err := b.Create(t.Context(), operator, "amy", nil)
	if err != nil {
		t.Fatal(err)
	}
	b.verify(t, "amy", "", password.ErrWrong)
	if byName, err := b.ByName(t.Context(), "AMY"); err != nil || byName.ID != none.ID {
		t.Errorf("by name: %+v, %v", byName, err)
	}
	if byID, err := b.User(t.Context(), u.ID); err != nil || byID.Username != "tom" || byID.Password != "" {
		t.Errorf("by identifier: %+v, %v", byID, err)
	}
	if diff := cmp.Diff([]string{"user.created", "user.created"}, b.actions(t)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.create(t, "tom", "correct horse")
	for name, c := range map[string]struct {
		name, pw string
		is       func(error) bool
	}{
		"taken":           {"TOM", "correct horse", func(err error) bool { return errors.Is(err, storage.ErrExists) }},
		"no name":         {"", "correct horse", func(err error) bool { return errors.Is(err, password.ErrUsername) }},
		"a worst one":     {"amy", "password", policy},
		"too short":       {"amy", "short", policy},
		"the name itself": {"amy.jones", "Amy.Jones", policy},
	} {
		text := secret.New(c.pw)
		if _, err := b.Create(t.Context(), operator, c.name, &text); !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"amy", "", "a b"} {
		if _, err := b.ByName(t.Context(), name); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("by name %q: %v", name, err)
		}
	}
	if _, err := b.User(t.Context(), "nobody"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("by identifier: %v", err)
	}
}

func policy(err error) bool {
	_, ok := errors.AsType[*password.PolicyError](err)
	return ok
}

func TestListPagesByName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"tom", "amy", "bob"} {
		b.create(t, name, "correct horse")
	}
	first, err1 := b.List(t.Context(), "", 2)
	rest, err2 := b.List(t.Context(), "bob", 0)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, u := range append(first, rest...) {
		names = append(names, u.Username)
		if u.Password != "" {
			t.Errorf("%s comes with the hash", u.Username)
		}
	}
	if diff := cmp.Diff([]string{"amy", "bob", "tom"}, names); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestKickEndsWhatItNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		product  string
		terminal storage.Terminal
		want     string
	}{
		"everything":           {"", "", "kicked kicked kicked kicked"},
		"a product":            {"shop", "", "kicked kicked live live"},
		"a terminal":           {"", storage.Mobile, "kicked live kicked live"},
		"both":                 {"music", storage.API, "live live live kicked"},
		"nothing that is here": {"games", "", "live live live live"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			u, other := b.create(t, "tom", "correct horse"), b.create(t, "amy", "correct horse")
			ids := []storage.SessionID{
				b.open(t, u, "shop", storage.Mobile), b.open(t, u, "shop", storage.API),
				b.open(t, u, "music", storage.Mobile), b.open(t, u, "music", storage.API),
			}
			spared := b.open(t, other, "shop", storage.Mobile)
			events, err := b.Kick(t.Context(), operator, u.ID, c.product, c.terminal)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.reasons(t, ids...); got != c.want {
				t.Errorf("ended: %s, want %s", got, c.want)
			}
			if n := strings.Count(c.want, "kicked"); len(events) != n || len(b.announced.events) != n || len(b.announced.hooked) != n {
				t.Errorf("%d events, %d announced, %d told here; want %d", len(events), len(b.announced.events), len(b.announced.hooked), n)
			}
			if got := b.reasons(t, spared); got != "live" {
				t.Errorf("another user's session: %s", got)
			}
			b.verify(t, "tom", "correct horse", nil)
		})
	}
}

func TestDisableAndEnable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.create(t, "tom", "correct horse")
	id := b.open(t, u, "shop", storage.Mobile)
	if _, err := b.Disable(t.Context(), operator, u.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.reasons(t, id); got != "banned" {
		t.Errorf("the session: %s", got)
	}
	b.verify(t, "tom", "correct horse", password.ErrBarred)
	if err := b.Enable(t.Context(), operator, u.ID); err != nil {
		t.Fatal(err)
	}
	b.verify(t, "tom", "correct horse", nil)
	if got := b.reasons(t, id); got != "banned" {
		t.Errorf("enabling revived the session: %s", got)
	}
}

func TestBanAndUnban(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.create(t, "tom", "correct horse")
	id := b.open(t, u, "shop", storage.Mobile)
	until := start.Add(time.Hour)
	if _, err := b.Ban(t.Context(), operator, u.ID, &until, "spam"); err != nil {
		t.Fatal(err)
	}
	if got := b.reasons(t, id); got != "banned" {
		t.Errorf("the session: %s", got)
	}
	got, err := b.User(t.Context(), u.ID)
	if diff := cmp.Diff(&storage.Ban{At: start, Until: &until, Reason: "spam"}, got.Ban); err != nil || diff != "" {
		t.Errorf("%v; the ban (-want +got):\n%s", err, diff)
	}
	b.verify(t, "tom", "correct horse", password.ErrBarred)
	if err := b.Unban(t.Context(), operator, u.ID); err != nil {
		t.Fatal(err)
	}
	b.verify(t, "tom", "correct horse", nil)
	if _, err := b.Ban(t.Context(), operator, u.ID, nil, ""); err != nil {
		t.Fatal(err)
	}
	b.verify(t, "tom", "correct horse", password.ErrBarred)
}

func TestUnbanLeavesSessionsAndDisabledUsersAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.create(t, "tom", "correct horse")
	id := b.open(t, u, "shop", storage.Mobile)
	if err := b.Unban(t.Context(), operator, u.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.reasons(t, id); got != "live" {
		t.Errorf("lifting no ban ended a session: %s", got)
	}
	if _, err := b.Disable(t.Context(), operator, u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Ban(t.Context(), operator, u.ID, nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := b.Unban(t.Context(), operator, u.ID); err != nil {
		t.Fatal(err)
	}
	got, err := b.User(t.Context(), u.ID)
	if err != nil || got.Ban != nil || got.DisabledAt == nil {
		t.Errorf("disabled, banned and unbanned: %+v, %v", got, err)
	}
	if _, err := b.Ban(t.Context(), operator, u.ID, nil, ""); err != nil {
		t.Fatal(err)
	}
	if err := b.Enable(t.Context(), operator, u.ID); err != nil {
		t.Fatal(err)
	}
	if got, err = b.User(t.Context(), u.ID); err != nil || got.Ban != nil || got.DisabledAt != nil {
		t.Errorf("enabling lifts both: %+v, %v", got, err)
	}
}

func TestSetPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.create(t, "tom", "correct horse")
	id := b.open(t, u, "shop", storage.Mobile)
	if _, err := b.SetPassword(t.Context(), operator, u.ID, secret.New("password")); !policy(err) {
		t.Errorf("a worst one: %v", err)
	}
	if got := b.reasons(t, id); got != "live" {
		t.Errorf("a refused password ended a session: %s", got)
	}
	events, err := b.SetPassword(t.Context(), operator, u.ID, secret.New("battery staple"))
	if err != nil || len(events) != 1 || len(b.announced.events) != 1 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if got := b.reasons(t, id); got != "password_changed" {
		t.Errorf("the session: %s", got)
	}
	b.verify(t, "tom", "correct horse", password.ErrWrong)
	b.verify(t, "tom", "battery staple", nil)
	if got, err := b.User(t.Context(), u.ID); err != nil || got.Credential != u.Credential+1 {
		t.Errorf("credential %d, was %d (%v)", got.Credential, u.Credential, err)
	}
}

func TestEveryChangeLeavesARecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.create(t, "tom", "correct horse")
	_, err1 := b.Kick(t.Context(), operator, u.ID, "shop", storage.Mobile)
	_, err2 := b.Disable(t.Context(), operator, u.ID)
	err3 := b.Enable(t.Context(), operator, u.ID)
	_, err4 := b.Ban(t.Context(), operator, u.ID, nil, "spam")
	err5 := b.Unban(t.Context(), operator, u.ID)
	_, err6 := b.SetPassword(t.Context(), operator, u.ID, secret.New("battery staple"))
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	records, err := b.db.ListAudit(t.Context(), start, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]map[string]string)
	for _, r := range records {
		got[r.Action] = r.Detail
		if r.Actor != "operator:root" || r.User != u.ID || !r.At.Equal(start) {
			t.Errorf("%s: %+v", r.Action, r)
		}
	}
	want := map[string]map[string]string{
		"user.created": {"username": "tom"}, "user.kicked": {"product": "shop", "terminal": "mobile"}, "user.disabled": nil, "user.enabled": nil,
		"user.banned": {"until": "for ever", "reason": "spam"}, "user.unbanned": nil, "user.password_set": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u := b.create(t, "tom", "correct horse")
	now := start
	input := func(err error) bool { _, ok := errors.AsType[*admin.InputError](err); return ok }
	unknown := func(err error) bool { return errors.Is(err, storage.ErrNotFound) }
	for name, c := range map[string]struct {
		call func() error
		is   func(error) bool
	}{
		"kick: no such terminal": {func() error { _, err := b.Kick(t.Context(), operator, u.ID, "", "tv"); return err }, input},
		"kick: endless product":  {func() error { _, err := b.Kick(t.Context(), operator, u.ID, strings.Repeat("x", 65), ""); return err }, input},
		"ban: over already":      {func() error { _, err := b.Ban(t.Context(), operator, u.ID, &now, ""); return err }, input},
		"ban: endless reason":    {func() error { _, err := b.Ban(t.Context(), operator, u.ID, nil, strings.Repeat("x", 257)); return err }, input},
		"ban: reason not text":   {func() error { _, err := b.Ban(t.Context(), operator, u.ID, nil, "\xff"); return err }, input},
		"kick: unknown":          {func() error { _, err := b.Kick(t.Context(), operator, "nobody", "", ""); return err }, unknown},
		"ban: unknown":           {func() error { _, err := b.Ban(t.Context(), operator, "nobody", nil, ""); return err }, unknown},
		"unban: unknown":         {func() error { return b.Unban(t.Context(), operator, "nobody") }, unknown},
		"disable: unknown":       {func() error { _, err := b.Disable(t.Context(), operator, "nobody"); return err }, unknown},
		"enable: unknown":        {func() error { return b.Enable(t.Context(), operator, "nobody") }, unknown},
		"password: unknown": {func() error {
			_, err := b.SetPassword(t.Context(), operator, "nobody", secret.New("battery staple"))
			return err
		}, unknown},
	} {
		if err := c.call(); !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"user.created"}, b.actions(t)); diff != "" {
		t.Errorf("refusals changed something (-want +got):\n%s", diff)
	}
	if _, err := admin.New(admin.Config{}); err == nil {
		t.Error("a service of nothing was built")
	}
}
