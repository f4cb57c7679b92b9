package password

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var at = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// cheap is a checker that costs a test next to nothing.
func cheap(t testing.TB, change func(*Config)) *Checker {
	t.Helper()
	cfg := Config{
		Users: nobody{}, Memory: 64, Time: 1, Unsafe: true, Wait: time.Minute, Queue: 1000,
		Now:  func() time.Time { return at },
		Keys: map[string]secret.Text{"old-site": secret.New("old-site-key"), "php": secret.New("aaaaaaaaaaa1")},
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bundle is a checker over a store, with what it counts.
type bundle struct {
	*Checker

	store    storage.Users
	registry *prometheus.Registry
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{store: engine.Open(t), registry: prometheus.NewRegistry()}
	b.Checker = cheap(t, func(c *Config) { c.Users, c.Metrics = b.store, b.registry })
	return b
}

func (b *bundle) user(t *testing.T, name string, h storage.PasswordHash, change func(*storage.User)) storage.User {
	t.Helper()
	u := storage.User{ID: storage.NewUserID(), Username: name, Password: h, Credential: 1, CreatedAt: at, UpdatedAt: at}
	if change != nil {
		change(&u)
	}
	if err := b.store.CreateUser(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func (b *bundle) hash(t *testing.T, pw string) storage.PasswordHash {
	t.Helper()
	h, err := b.Hash(t.Context(), secret.New(pw))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// count sums a counter of the registry over the label values given, all if none are.
func (b *bundle) count(t *testing.T, name string, label ...string) float64 {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if len(label) == 0 || (len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label[0]) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestVerifyProvesByNameAndPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tom := b.user(t, "tom", b.hash(t, "correct horse"), nil)
	for _, name := range []string{"tom", "TOM", "Ｔom"} {
		got, err := b.Verify(t.Context(), name, secret.New("correct horse"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tom, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every way to be wrong is one error after one argon2id, whatever is stored.
func TestEveryRefusalCostsTheSameAndSaysTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	banned := func(u *storage.User) { u.Ban = &storage.Ban{At: at, Reason: "spam"} }
	b.user(t, "tom", b.hash(t, "correct horse"), nil)
	b.user(t, "banned", b.hash(t, "correct horse"), banned)
	b.user(t, "legacy", "{md5}2741137c32ddedeeb868e4484b429679$s4lt$suffix", nil)
	b.user(t, "legacybanned", "{md5}2741137c32ddedeeb868e4484b429679$s4lt$suffix", banned)
	b.user(t, "passwordless", "", nil)
	b.user(t, "corrupt", "$argon2id$nonsense", nil)
	for name, attempt := range map[string][2]string{
		"wrong password":                  {"tom", "wrong"},
		"empty password":                  {"tom", ""},
		"password too long":               {"tom", strings.Repeat("x", MaxLength+1)},
		"unknown user":                    {"nobody", "correct horse"},
		"no name":                         {"", "correct horse"},
		"a name that cannot be":           {"to m", "correct horse"},
		"a name too long":                 {strings.Repeat("x", 1000), "correct horse"},
		"user without password":           {"passwordless", ""},
		"banned user, wrong password":     {"banned", "wrong"},
		"foreign hash, wrong password":    {"legacy", "wrong"},
		"foreign hash, password too long": {"legacy", strings.Repeat("x", MaxLength+1)},
		"banned and foreign, wrong":       {"legacybanned", "wrong"},
		"stored hash not usable":          {"corrupt", "correct horse"},
	} {
		before := b.count(t, "tallystick_password_hashes_total", "argon2id")
		user, err := b.Verify(t.Context(), attempt[0], secret.New(attempt[1]))
		if !errors.Is(err, ErrWrong) || err.Error() != ErrWrong.Error() || user.ID != "" {
			t.Errorf("%s: user %q, error %v", name, user.ID, err)
		}
		if n := b.count(t, "tallystick_password_hashes_total", "argon2id") - before; n != 1 {
			t.Errorf("%s: %v argon2id, want 1", name, n)
		}
	}
}

func TestBarredUsersLearnOfItOnlyWithTheRightPassword(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := b.hash(t, "correct horse")
	past, future := at.Add(-time.Hour), at.Add(time.Hour)
	b.user(t, "disabled", h, func(u *storage.User) { u.DisabledAt = &past })
	b.user(t, "banned", h, func(u *storage.User) { u.Ban = &storage.Ban{At: past, Until: &future} })
	b.user(t, "served", h, func(u *storage.User) { u.Ban = &storage.Ban{At: past, Until: &past} })
	legacy := b.user(t, "legacy", "{md5}2741137c32ddedeeb868e4484b429679$s4lt$suffix", func(u *storage.User) { u.DisabledAt = &past })
	for name, want := range map[string]error{"disabled": ErrBarred, "banned": ErrBarred, "legacy": ErrBarred, "served": nil} {
		if _, err := b.Verify(t.Context(), name, secret.New("correct horse")); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	got, err := b.store.User(t.Context(), legacy.ID)
	if err != nil || got.Password != legacy.Password {
		t.Errorf("the hash of a barred user was changed (%v)", err)
	}
}

func TestForeignAndWeakHashesAreUpgradedAtSignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	weak, err := New(Config{Users: b.store, Memory: 32, Time: 1, Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	weakHash, err := weak.Hash(t.Context(), secret.New("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]storage.PasswordHash{"weak": weakHash}
	for i, f := range foreign {
		if f.password == "correct horse" {
			cases[fmt.Sprintf("foreign%d", i)] = f.hash
		}
	}
	for name, h := range cases {
		before := b.user(t, name, h, nil)
		got, err := b.Verify(t.Context(), name, secret.New("correct horse"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stored, err := b.store.User(t.Context(), before.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(stored.Password), "$argon2id$v=19$m=64,t=1,p=1$") || stored.Password != got.Password {
			t.Errorf("%s: not upgraded", name)
		}
		if stored.Credential != before.Credential {
			t.Errorf("%s: the upgrade counts as a change of password", name)
		}
		upgrades := b.count(t, "tallystick_password_upgrades_total")
		if again, err := b.Verify(t.Context(), name, secret.New("correct horse")); err != nil || again.Password != stored.Password {
			t.Errorf("%s: the second sign-in: %v", name, err)
		}
		if b.count(t, "tallystick_password_upgrades_total") != upgrades {
			t.Errorf("%s: upgraded twice", name)
		}
	}
	if n := b.count(t, "tallystick_password_upgrades_total"); n != float64(len(cases)) {
		t.Errorf("%v upgrades counted of %d", n, len(cases))
	}
}

func TestRacingSignInsUpgradeOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tom := b.user(t, "tom", "{md5}2741137c32ddedeeb868e4484b429679$s4lt$suffix", nil)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := b.Verify(t.Context(), "tom", secret.New("correct horse")); err != nil {
				t.Errorf("sign-in: %v", err)
			}
		})
	}
	all.Wait()
	if n := b.count(t, "tallystick_password_upgrades_total", "md5"); n != 1 {
		t.Errorf("%v upgrades, want 1", n)
	}
	stored, err := b.store.User(t.Context(), tom.ID)
	if err != nil {
		t.Fatal(err)
	}
	if right, err := b.Matches(t.Context(), stored.Password, secret.New("correct horse")); !right || err != nil {
		t.Errorf("the hash that stands is not of the password: %v, %v", right, err)
	}
}

func TestAFailedUpgradeIsNotTheUsersProblem(t *testing.T) {
	t.Parallel()
	store := readOnly{Users: engine.Open(t)}
	var log strings.Builder
	c := cheap(t, func(c *Config) { c.Users, c.Log = store, slog.New(slog.NewTextHandler(&log, nil)) })
	tom := storage.User{ID: "tom1", Username: "tom", Password: "{md5}2741137c32ddedeeb868e4484b429679$s4lt$suffix", CreatedAt: at, UpdatedAt: at}
	if err := store.CreateUser(t.Context(), tom); err != nil {
		t.Fatal(err)
	}
	got, err := c.Verify(t.Context(), "tom", secret.New("correct horse"))
	if err != nil || got.Password != tom.Password {
		t.Errorf("sign-in: %v", err)
	}
	if !strings.Contains(log.String(), "tom1") || strings.Contains(log.String(), "2741137c") {
		t.Errorf("the log should name the user and not the hash: %s", log.String())
	}
}

func TestVerifyShedsAndDecidesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.user(t, "tom", b.hash(t, "correct horse"), nil)
	b.gate.queue = 0
	for range cap(b.gate.places) {
		if err := b.gate.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for what, call := range map[string]func() error{
		"right password": func() error { _, err := b.Verify(t.Context(), "tom", secret.New("correct horse")); return err },
		"wrong password": func() error { _, err := b.Verify(t.Context(), "tom", secret.New("wrong")); return err },
		"unknown user":   func() error { _, err := b.Verify(t.Context(), "nobody", secret.New("wrong")); return err },
		"hashing":        func() error { _, err := b.Hash(t.Context(), secret.New("correct horse")); return err },
		"matching":       func() error { _, err := b.Matches(t.Context(), foreign[0].hash, secret.New("x")); return err },
	} {
		err := call()
		if _, ok := errors.AsType[*OverloadError](err); !ok {
			t.Errorf("%s: not shed: %v", what, err)
		}
	}
	if n := b.count(t, "tallystick_password_shed_total", "full"); n != 5 {
		t.Errorf("%v shed, want 5", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Verify(ctx, "tom", secret.New("correct horse")); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled caller: %v", err)
	}
	for range cap(b.gate.places) {
		b.gate.leave()
	}
	if _, err := b.Verify(t.Context(), "tom", secret.New("correct horse")); err != nil {
		t.Errorf("after the rush: %v", err)
	}
}

func TestStoreFaultsAreNotWrongPasswords(t *testing.T) {
	t.Parallel()
	c := cheap(t, func(c *Config) { c.Users = away{} })
	if _, err := c.Verify(t.Context(), "tom", secret.New("correct horse")); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, ErrWrong) {
		t.Errorf("got %v", err)
	}
}

func TestHashRefusesWhatItCannotHash(t *testing.T) {
	t.Parallel()
	c := cheap(t, nil)
	for _, pw := range []string{"", strings.Repeat("x", MaxLength+1)} {
		if _, err := c.Hash(t.Context(), secret.New(pw)); err == nil {
			t.Errorf("%d bytes were hashed", len(pw))
		} else if _, ok := errors.AsType[*PolicyError](err); !ok {
			t.Errorf("%d bytes: %v", len(pw), err)
		}
	}
	one, err1 := c.Hash(t.Context(), secret.New("correct horse"))
	two, err2 := c.Hash(t.Context(), secret.New("correct horse"))
	if err := errors.Join(err1, err2); err != nil || one == two {
		t.Errorf("two hashes of one password are equal (%v)", err)
	}
	if printed := fmt.Sprint(one); strings.Contains(printed, "argon2") {
		t.Errorf("a hash prints as %s", printed)
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"nothing":         {Config{}, []string{"no users"}},
		"weak":            {Config{Users: nobody{}, Memory: 1024, Time: 1, MinLength: 4}, []string{"below the minimum of OWASP", "must be 8 or more"}},
		"almost":          {Config{Users: nobody{}, Memory: 19455, Time: 2}, []string{"below the minimum"}},
		"immoderate":      {Config{Users: nobody{}, Memory: 1 << 20, Time: 17, Threads: 17}, []string{"argon2id is limited to"}},
		"negative":        {Config{Users: nobody{}, Workers: -1}, []string{"must not be below zero"}},
		"empty key":       {Config{Users: nobody{}, Keys: map[string]secret.Text{"php": {}}}, []string{`"php"`}},
		"lanes and no KB": {Config{Users: nobody{}, Memory: 64, Threads: 16, Unsafe: true}, []string{"8 KiB for each thread"}},
		"length":          {Config{Users: nobody{}, MinLength: 500}, []string{"between 1 and 64"}},
	} {
		_, err := New(c.cfg)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want it to say %q", name, err, want)
			}
		}
	}
	for _, p := range []parameters{{19456, 2, 1}, {47104, 1, 1}, {12288, 3, 1}, {7168, 5, 1}, {65536, 3, 4}} {
		if _, err := New(Config{Users: nobody{}, Memory: p.memory, Time: p.time, Threads: p.lanes}); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	registry := prometheus.NewRegistry()
	cheap(t, func(c *Config) { c.Metrics = registry })
	if _, err := New(Config{Users: nobody{}, Metrics: registry}); err == nil {
		t.Error("metrics that cannot be registered are no fault")
	}
}

// nobody is a store without users, away one that does not answer, readOnly one that takes no
// upgrades.
type (
	nobody   struct{ storage.Users }
	away     struct{ storage.Users }
	readOnly struct{ storage.Users }
)

func (nobody) UserByName(context.Context, string) (storage.User, error) {
	return storage.User{}, storage.ErrNotFound
}

func (away) UserByName(context.Context, string) (storage.User, error) {
	return storage.User{}, storage.ErrUnavailable
}

func (readOnly) UpgradeHash(context.Context, storage.UserID, storage.PasswordHash, storage.PasswordHash, time.Time) error {
	return storage.ErrUnavailable
}
