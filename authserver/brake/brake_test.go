package brake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/brake"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest"
)

const (
	home = "192.0.2.1"
	free = 20 // the free failures of the default limits
)

var key = bytes.Repeat([]byte{1}, brake.KeyLength)

// shelf keeps audit records.
type shelf struct {
	mu      sync.Mutex
	records []storage.AuditRecord
}

// Append implements storage.Audit.
func (s *shelf) Append(_ context.Context, r storage.AuditRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, r)
	return nil
}

// ListAudit implements storage.Audit.
func (s *shelf) ListAudit(context.Context, time.Time, string, int) ([]storage.AuditRecord, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]storage.AuditRecord(nil), s.records...), nil
}

// stand is a brake with what stands around it.
type stand struct {
	*testing.T
	*brake.Brake
	clock   *storagetest.Clock
	audit   *shelf
	metrics *prometheus.Registry
}

func newStand(t *testing.T, store storage.Brakes) *stand {
	t.Helper()
	s := &stand{T: t, clock: storagetest.NewClock(), audit: &shelf{}, metrics: prometheus.NewRegistry()}
	s.Brake = s.another(store, s.metrics)
	return s
}

// another makes a brake as another process would have it.
func (s *stand) another(store storage.Brakes, to prometheus.Registerer) *brake.Brake {
	s.Helper()
	trail, err := audit.New(audit.Config{Store: s.audit})
	if err != nil {
		s.Fatal(err)
	}
	b, err := brake.New(brake.Config{Store: store, Key: key, Trail: trail, Now: s.clock.Now, Metrics: to})
	if err != nil {
		s.Fatal(err)
	}
	return b
}

// guess tries a password, right or wrong, and says whether it was looked at.
func guess(ctx context.Context, b *brake.Brake, account, address string, right bool) (bool, error) {
	looked := false
	err := b.Try(ctx, account, address, func(context.Context) (bool, error) {
		looked = true
		return right, nil
	})
	return looked, err
}

// looked makes sure that n guesses are looked at.
func (s *stand) looked(n int, account, address string, right bool) {
	s.Helper()
	for i := range n {
		if looked, err := guess(s.Context(), s.Brake, account, address, right); err != nil || !looked {
			s.Fatalf("guess %d of %d: %v", i+1, n, err)
		}
	}
}

// refused makes sure that a guess is not looked at.
func (s *stand) refused(account, address string) *oauth.Error {
	s.Helper()
	looked, err := guess(s.Context(), s.Brake, account, address, true)
	if looked {
		s.Fatal("the password was looked at")
	}
	return slowDown(s.T, err)
}

func slowDown(t *testing.T, err error) *oauth.Error {
	t.Helper()
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Code != oauth.SlowDown || e.Status() != http.StatusTooManyRequests || e.RetryAfter <= 0 {
		t.Fatalf("got %v, want slow_down with 429", err)
	}
	return e
}

// eachStore runs a test over Redis, and with what a process has alone.
func eachStore(t *testing.T, f func(t *testing.T, store storage.Brakes)) {
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		store, _ := openRedis(t)
		f(t, store)
	})
	t.Run("alone", func(t *testing.T) { t.Parallel(); f(t, nil) })
}

func TestGuessesAreHeldBack(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		s.looked(free, "tom", home, false)
		if e := s.refused("tom", home); e.RetryAfter != 30*time.Second {
			t.Errorf("come again after %v", e.RetryAfter)
		}
		s.looked(1, "amy", "192.0.2.2", false)
		s.clock.Advance(30 * time.Second)
		s.looked(1, "tom", home, false)
		if e := s.refused("tom", home); e.RetryAfter != time.Minute {
			t.Errorf("come again after %v", e.RetryAfter)
		}
		s.clock.Advance(time.Minute)
		s.looked(1, "tom", home, true)
		s.looked(free, "tom", home, false)
		s.refused("tom", home)
	})
}

func TestWhoGuessesFromElsewhereDoesNotLockTheOwnerOut(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		s.looked(1, "tom", home, true)
		for day := range 14 { // a botnet that takes every chance there is
			for i := range 60 {
				_, err := guess(t.Context(), s.Brake, "tom", fmt.Sprintf("198.51.100.%d", i), false)
				if err != nil && slowDown(t, err).RetryAfter > 24*time.Hour {
					t.Errorf("day %d: locked for %v", day, err)
				}
				s.clock.Advance(24 * time.Minute)
			}
			s.looked(1, "tom", home, false)
			s.looked(1, "tom", home, true)
		}
	})
}

func TestHundredFailuresInARowAreTheMost(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	looked, since := 0, s.clock.Now()
	for i := 0; looked < 100; i++ {
		was, err := guess(t.Context(), s.Brake, "tom", fmt.Sprintf("198.51.%d.%d", i/250%250, i%250), false)
		if was {
			looked++
			continue
		}
		s.clock.Advance(slowDown(t, err).RetryAfter)
	}
	if took := s.clock.Now().Sub(since); took < 72*time.Hour || took > 96*time.Hour {
		t.Errorf("a hundred guesses took %v, and the package says some three and a half days", took)
	}
	if e := s.refused("tom", "203.0.113.9"); e.RetryAfter != 24*time.Hour {
		t.Errorf("then comes a pause of %v", e.RetryAfter)
	}
}

func TestAddressIsHeldBackOverAllAccounts(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		for i := range 100 { // one customer has a /64
			s.looked(1, fmt.Sprint("user", i), fmt.Sprintf("2001:db8:1:2:%x::%x", i, i), false)
		}
		s.refused("tom", "2001:db8:1:2::")
		s.looked(1, "tom", "2001:db8:1:3::", false)
		s.looked(1, "tom", home, true)
		s.looked(1, "tom", "::ffff:"+home, false)
	})
}

func TestAccountIsOneHoweverItsNameIsWritten(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i := range free {
		s.looked(1, []string{"tom", "Tom", "TOM", "ｔｏｍ"}[i%4], home, false)
	}
	s.refused("tOM", home)
	strange := "no name at all \x00 \xff"
	s.looked(free, strange, "192.0.2.7", false)
	s.refused(strange, "192.0.2.7")
}

func TestPlaceThatIsNoAddressHasNoLimitOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i := range 150 {
		s.looked(1, fmt.Sprint("user", i), "client:shop-server", false)
	}
	s.looked(free, "tom", "client:shop-server", false)
	s.refused("tom", "client:shop-server")
}

// TestRacingGuesses lets many guess at once on several processes: no more are looked at than are free.
func TestRacingGuesses(t *testing.T) {
	t.Parallel()
	store, _ := openRedis(t)
	s := newStand(t, store)
	processes := []*brake.Brake{s.Brake, s.another(store, nil), s.another(store, nil)}
	s.looked(free-3, "tom", home, false)
	var looked atomic.Int64
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			if was, err := guess(t.Context(), processes[i%3], "tom", home, false); was {
				looked.Add(1)
			} else if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.SlowDown {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if n := looked.Load(); n != 3 {
		t.Errorf("%d guesses were looked at, and 3 were left", n)
	}
	if n := len(s.audit.records); n != 1 {
		t.Errorf("%d audit records", n)
	}
}

// TestBurstsOfRightSignInsAreNotRefused lets one user sign in many times at once.
func TestBurstsOfRightSignInsAreNotRefused(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		s.looked(free-5, "tom", home, false)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if was, err := guess(t.Context(), s.Brake, "tom", home, true); !was {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
	})
}

func TestWaitingForOneAccountIsBounded(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	entered, leave := make(chan struct{}, 512), make(chan struct{})
	var overloaded atomic.Int64
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			err := s.Try(t.Context(), "tom", home, func(context.Context) (bool, error) {
				entered <- struct{}{}
				<-leave
				return true, nil
			})
			if _, ok := errors.AsType[*password.OverloadError](err); ok {
				if overloaded.Add(1) == 300-4-256 {
					close(leave)
				}
			} else if err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	for range 4 {
		<-entered
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if was, err := guess(ctx, s.Brake, "amy", home, true); !was || err != nil {
		t.Errorf("another account has to wait: %v", err)
	}
	wg.Wait()
	if n := overloaded.Load(); n != 300-4-256 {
		t.Errorf("%d were turned away", n)
	}
}

func TestOneEngagementIsOneRecord(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		s.looked(free, "tom", home, false)
		for range 10 {
			s.refused("tom", home)
		}
		want := []storage.AuditRecord{{
			At: s.clock.Now(), Action: audit.BrakeEngaged, Result: "slow_down", Actor: "system", Address: home,
			Detail: map[string]string{"brake": "account", "guessed": "password", "username": "tom", "failures": "20", "for": "30s"},
		}}
		if len(s.audit.records) == 1 {
			want[0].ID = s.audit.records[0].ID
		}
		if d := cmp.Diff(want, s.audit.records); d != "" {
			t.Error(d)
		}
	})
}

func TestWhatIsNotDecidedIsNotCounted(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		away := errors.New("away")
		for range 3 * free {
			err := s.Try(t.Context(), "tom", home, func(context.Context) (bool, error) { return false, away })
			if !errors.Is(err, away) {
				t.Fatalf("got %v", err)
			}
			func() {
				defer func() { _ = recover() }()
				_ = s.Try(t.Context(), "tom", home, func(context.Context) (bool, error) { panic("broken") })
			}()
			if err := s.Allow(t.Context(), "tom", home); err != nil {
				t.Fatal(err)
			}
			s.Undecided(t.Context(), "tom", home)
		}
		s.looked(free, "tom", home, false)
	})
}

func TestHangingUpDoesNotMakeGuessesFree(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		for range free {
			ctx, cancel := context.WithCancel(t.Context())
			_ = s.Try(ctx, "tom", home, func(context.Context) (bool, error) {
				cancel()
				return false, nil
			})
		}
		s.refused("tom", home)
	})
}

func TestAllowFailedSucceeded(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, store storage.Brakes) {
		s := newStand(t, store)
		for range free - 1 {
			if err := s.Allow(t.Context(), "tom", home); err != nil {
				t.Fatal(err)
			}
			s.Failed(t.Context(), "tom", home)
		}
		if err := s.Allow(t.Context(), "tom", home); err != nil {
			t.Fatal(err)
		}
		slowDown(t, s.Allow(t.Context(), "tom", home))
		s.Succeeded(t.Context(), "tom", home)
		for range free { // one that nobody settles stays a failure
			if err := s.Allow(t.Context(), "tom", home); err != nil {
				t.Fatal(err)
			}
		}
		slowDown(t, s.Allow(t.Context(), "tom", home))
	})
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	store, server := openRedis(t)
	s := newStand(t, store)
	s.looked(1, "amy", home, true)
	s.looked(free-2, "tom", home, false)
	server.Stop()
	// The process has counted along: two are left, not twenty.
	s.looked(2, "tom", home, false)
	s.refused("tom", home)
	// So has it learnt who was at home where.
	for i := range free {
		s.looked(1, "amy", fmt.Sprintf("198.51.100.%d", i), false)
	}
	s.refused("amy", "198.51.100.99")
	s.looked(1, "amy", home, true)
	// Another process has heard of none of this: it lets through once more what is free, and no more.
	s.Brake = s.another(store, nil)
	s.looked(free, "tom", home, false)
	s.refused("tom", home)
}

func TestRedisThatForgetsForgivesOnce(t *testing.T) {
	t.Parallel()
	store, server := openRedis(t)
	s := newStand(t, store)
	s.looked(free, "tom", home, false)
	s.refused("tom", home)
	server.Flush()
	s.looked(free, "tom", home, false)
	s.refused("tom", home)
}

func TestRedisLearnsNoNames(t *testing.T) {
	t.Parallel()
	store, server := openRedis(t)
	s := newStand(t, store)
	s.looked(1, "tom", home, true)
	s.looked(1, "tom", "192.0.2.200", false)
	o, err := redis.ParseURL(server.URL().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(o)
	defer client.Close()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatalf("keys are %q, %v", keys, err)
	}
	for _, key := range keys {
		values := client.HGetAll(t.Context(), key).Val()
		if text := key + fmt.Sprint(values); strings.Contains(text, "tom") || strings.Contains(text, "192.0") {
			t.Errorf("%s holds a name", text)
		}
	}
}

// counted counts how often a store is asked.
type counted struct {
	storage.Brakes
	asked atomic.Int64
}

// TakeTry implements storage.Brakes.
func (c *counted) TakeTry(ctx context.Context, t storage.Try, l storage.BrakeLimits, now time.Time) (storage.TryTaken, error) {
	c.asked.Add(1)
	return c.Brakes.TakeTry(ctx, t, l, now)
}

func TestClients(t *testing.T) {
	t.Parallel()
	store, _ := openRedis(t)
	asked := &counted{Brakes: store}
	s := newStand(t, asked)
	try := func(client storage.ClientID, address string, right bool) (bool, error) {
		looked := false
		err := s.TryClient(t.Context(), client, address, func(context.Context) (bool, error) {
			looked = true
			return right, nil
		})
		return looked, err
	}
	must := func(n int, client storage.ClientID, address string, right bool) {
		t.Helper()
		for range n {
			if looked, err := try(client, address, right); !looked || err != nil {
				t.Fatalf("looked %t, %v", looked, err)
			}
		}
	}
	must(100, "billing", home, true)
	if n := asked.asked.Load(); n != 0 {
		t.Errorf("right secrets cost %d round trips", n)
	}
	must(free, "billing", home, false)
	looked, err := try("billing", home, true)
	if looked {
		t.Error("the secret was looked at")
	}
	slowDown(t, err)
	must(1, "billing", "192.0.2.9", true)
	must(1, "shop-server", home, true)
	s.clock.Advance(30 * time.Second)
	must(1, "billing", home, true)
	must(free, "billing", home, false)
	slowDown(t, second(try("billing", home, true)))
	records := s.audit.records
	if len(records) != 2 || records[1].Client != "billing" {
		t.Fatalf("audit: %+v", records)
	}
	want := map[string]string{"brake": "known_address", "guessed": "client secret", "failures": "20", "for": "30s"}
	if d := cmp.Diff(want, records[1].Detail); d != "" {
		t.Error(d)
	}
}

func second(_ bool, err error) error { return err }

func TestClientsDoNotFillTheBucketOfUsers(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i := range 150 {
		_ = s.TryClient(t.Context(), storage.ClientID(fmt.Sprint("client-", i)), home, func(context.Context) (bool, error) { return false, nil })
	}
	s.looked(1, "tom", home, false)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.looked(free, "tom", home, false)
	s.refused("tom", home)
	s.refused("tom", home)
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = v
			}
		}
	}
	want := map[string]float64{
		"tallystick_brake_engaged_total account password": 1, "tallystick_brake_refused_total account password": 2,
		"tallystick_brake_floor_counters": 3,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*brake.Config){
		"no trail":          func(c *brake.Config) { c.Trail = nil },
		"short key":         func(c *brake.Config) { c.Key = []byte("short") },
		"no floor":          func(c *brake.Config) { c.FloorSize = 1 },
		"none is free":      func(c *brake.Config) { c.Limits.AccountFailures = 0 },
		"pairs":             func(c *brake.Config) { c.Limits.PairFailures = -1 },
		"addresses":         func(c *brake.Config) { c.Limits.AddressFailures = 0 },
		"most before free":  func(c *brake.Config) { c.Limits.MostFailures = 19 },
		"no delay":          func(c *brake.Config) { c.Limits.Delay = 0 },
		"delays shrink":     func(c *brake.Config) { c.Limits.MaxDelay = time.Second },
		"lock is shorter":   func(c *brake.Config) { c.Limits.Lock = time.Minute },
		"forgotten at once": func(c *brake.Config) { c.Limits.Window = time.Minute },
		"nobody is known":   func(c *brake.Config) { c.Limits.Known = 0 },
		"no window":         func(c *brake.Config) { c.Limits.AddressWindow = 50 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trail, err := audit.New(audit.Config{Store: &shelf{}})
			if err != nil {
				t.Fatal(err)
			}
			c := brake.Config{Key: key, Trail: trail, Limits: brake.DefaultLimits()}
			spoil(&c)
			if _, err := brake.New(c); err == nil {
				t.Error("it was built")
			}
		})
	}
}

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{home, "::1", "fe80::1%eth0", "::ffff:192.0.2.1", "", "client:x", "192.0.2.1:80", strings.Repeat(":", 300)} {
		f.Add(seed)
	}
	trail, err := audit.New(audit.Config{Store: &shelf{}})
	if err != nil {
		f.Fatal(err)
	}
	b, err := brake.New(brake.Config{Key: key, Trail: trail, FloorSize: 16})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if was, err := guess(t.Context(), b, "user "+address, address, true); !was || err != nil {
			t.Errorf("%q: %v", address, err)
		}
	})
}
