package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// grouped is a store that posts in groups.
type grouped struct {
	*sqlstore.DB
	group *sqlstore.Group
}

// Post implements [storage.Ledger].
func (g grouped) Post(ctx context.Context, p storage.Posting) (storage.Posted, error) {
	return g.group.Post(ctx, p)
}

func startGroup(t testing.TB, db *sqlstore.DB) *sqlstore.Group {
	t.Helper()
	g := newGroup(t, db)
	g.Start()
	t.Cleanup(g.Stop)
	return g
}

func newGroup(t testing.TB, db *sqlstore.DB) *sqlstore.Group {
	t.Helper()
	// By its clock nothing ever expires: the tests' own clocks stand in the past, and they let holds go themselves.
	g, err := sqlstore.NewGroup(db, sqlstore.GroupConfig{Now: func() time.Time { return time.UnixMicro(0) }})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A ledger that posts in groups keeps every promise of one that does not.
func TestLedgerInGroups(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) engine.Engine{"sqlite": engine.SQLite, "mysql": engine.MySQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storagetest.Ledger(t, func(t *testing.T) storagetest.LedgerStore {
				db := start(t).Open(t)
				return grouped{db, startGroup(t, db)}
			})
		})
	}
}

// postAll posts all at once, in any order.
func postAll(ctx context.Context, l storage.Ledger, postings []storage.Posting) ([]storage.Posted, []error) {
	out, errs := make([]storage.Posted, len(postings)), make([]error, len(postings))
	var wg sync.WaitGroup
	for i, p := range postings {
		wg.Go(func() { out[i], errs[i] = l.Post(ctx, p) })
	}
	wg.Wait()
	return out, errs
}

// One member that cannot be posted does not take the others with it, whatever is wrong with it.
func TestGroupMembersFailAlone(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db := e.Open(t)
		c := newTill(t, db)
		group := startGroup(t, db)
		taken := c.deposit("taken", 1)
		if _, err := group.Post(t.Context(), taken); err != nil {
			t.Fatal(err)
		}
		wrong := map[string]storage.Posting{}
		add := func(name string, spoil func(*storage.Posting)) {
			p := c.deposit(name, 1)
			spoil(&p)
			wrong[name] = p
		}
		add("nothing", func(p *storage.Posting) { p.Journal.Amount.Minor = 0 })
		add("unknown bearer", func(p *storage.Posting) { p.Bearer.Session = "nothing" })
		add("journal of another", func(p *storage.Posting) { p.Journal.ID = taken.Journal.ID })
		add("stale", func(p *storage.Posting) { p.Fence = new(int64(7)) })
		add("panics", func(p *storage.Posting) { p.Success = func(storage.Journal) storage.Answer { panic("spoilt") } })
		add("taken", func(p *storage.Posting) { p.RequestHash[0]++ })
		for name, bad := range wrong {
			var all []storage.Posting
			for i := range 20 {
				all = append(all, c.deposit(fmt.Sprint(name, i), 1))
			}
			all = append(all, bad)
			out, errs := postAll(t.Context(), group, all)
			for i := range 20 {
				if errs[i] != nil || out[i].Answer.Code != "" || out[i].Replayed {
					t.Errorf("%s: neighbour %d: %+v, %v", name, i, out[i], errs[i])
				}
			}
			if errs[20] == nil {
				t.Errorf("%s: %+v", name, out[20])
			}
		}
	})
}

// Wherever the connection of a group is lost, each member is posted or not, and posting all of them
// again brings each to its end, once.
func TestGroupSurvivesCutAtEveryStep(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db, s := cutStore(t, e)
		c := newTill(t, db)
		group := startGroup(t, db)
		const members = 12
		for step := range postSteps + 1 {
			s.late.Store(step%2 == 0)
			var all []storage.Posting
			for i := range members {
				all = append(all, c.deposit(fmt.Sprintf("%d at %d", i, step), 1))
			}
			s.left.Store(int64(step))
			_, errs := postAll(t.Context(), group, all)
			for _, err := range errs {
				if err != nil && !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("cut at step %d: %v", step, err)
				}
			}
			s.left.Store(-1)
			_, errs = postAll(t.Context(), group, all)
			if err := errors.Join(errs...); err != nil {
				t.Fatalf("again after a cut at step %d: %v", step, err)
			}
			accounts, err := db.Accounts(t.Context(), c.user)
			if err != nil || len(accounts) != 1 || accounts[0].Version != int64(members*(step+1)) || accounts[0].Balance != accounts[0].Version {
				t.Fatalf("after a cut at step %d: %+v, %v; want %d entries", step, accounts, err, members*(step+1))
			}
		}
	})
}

// Whoever leaves before its turn has not posted; whoever is told so may post again.
func TestGroupLetsCallersLeave(t *testing.T) {
	t.Parallel()
	db := engine.Open(t)
	c := newTill(t, db)
	group := startGroup(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 50 {
		p := c.deposit(fmt.Sprint(i), 1)
		_, err := group.Post(ctx, p)
		_, answered := db.Answered(t.Context(), p.Key, p.RequestHash)
		if (err == nil) != (answered == nil) {
			t.Errorf("posting gives %v, its key %v", err, answered)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("a caller who left gets %v", err)
		}
	}
}

// Stopping finishes what is under way, more than once and while others post.
func TestGroupStops(t *testing.T) {
	t.Parallel()
	db := engine.Open(t)
	c := newTill(t, db)
	newGroup(t, db).Stop() // never started
	group := newGroup(t, db)
	if _, err := group.Post(t.Context(), c.deposit("before", 1)); err != nil {
		t.Errorf("before the start: %v", err)
	}
	group.Start()
	group.Start()
	const n = 100
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := group.Post(t.Context(), c.deposit(fmt.Sprint(i), 1)); err != nil {
				t.Errorf("while it stops: %v", err)
			}
		})
	}
	wg.Go(group.Stop)
	wg.Go(group.Stop)
	wg.Wait()
	group.Start() // stopped for good
	if _, err := group.Post(t.Context(), c.deposit("after", 1)); err != nil {
		t.Errorf("after the end: %v", err)
	}
	if got, err := db.Entries(t.Context(), storage.WalletAccount(c.user, "CNY"), 0, 1); err != nil || got[0].Sequence != n+2 {
		t.Errorf("%+v, %v; want %d entries", got, err, n+2)
	}
}

// Not parallel: it looks at all goroutines there are.
func TestGroupLeavesNothingRunning(t *testing.T) {
	group := newGroup(t, engine.Open(t))
	before := goleak.IgnoreCurrent()
	group.Start()
	group.Stop()
	goleak.VerifyNone(t, before)
}

// Whoever finds the queue full is told so at once, has posted nothing, and may post again.
func TestGroupTurnsAwayWhatItCannotHold(t *testing.T) {
	t.Parallel()
	db := engine.Open(t)
	c := newTill(t, db)
	reg := prometheus.NewRegistry()
	group, err := sqlstore.NewGroup(db, sqlstore.GroupConfig{Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	group.Narrow(1)
	group.Start()
	defer group.Stop()
	busy, resume := make(chan struct{}), make(chan struct{})
	slow := c.deposit("slow", 1)
	render := slow.Success
	slow.Success = func(j storage.Journal) storage.Answer {
		close(busy)
		<-resume
		return render(j)
	}
	var wg sync.WaitGroup
	post := func(p storage.Posting) {
		if _, err := group.Post(t.Context(), p); err != nil {
			t.Errorf("%s: %v", p.Key.Key, err)
		}
	}
	wg.Go(func() { post(slow) })
	<-busy
	// One of two finds room, whichever is first; the other finds none.
	full := make(chan storage.Posting, 2)
	for _, key := range []string{"one", "other"} {
		wg.Go(func() {
			p := c.deposit(key, 1)
			switch _, err := group.Post(t.Context(), p); {
			case errors.Is(err, storage.ErrUnavailable):
				full <- p
			case err != nil:
				t.Errorf("%s: %v", key, err)
			}
		})
	}
	var turnedAway float64
	away := <-full
	if _, err := db.Answered(t.Context(), away.Key, away.RequestHash); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("turned away, and its key gives %v", err)
	}
	close(resume)
	wg.Wait()
	post(away)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tallystick_ledger_queue_full_total" {
			turnedAway = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if turnedAway != 1 {
		t.Errorf("%v turned away, want 1 (%v)", turnedAway, families)
	}
	if _, err := sqlstore.NewGroup(db, sqlstore.GroupConfig{Metrics: reg}); err == nil {
		t.Error("metrics are registered twice")
	}
}

// Keys that were answered are replayed from within a group, and the rest of it is posted.
func TestGroupSiftsReplays(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db := e.Open(t)
		c := newTill(t, db)
		group := startGroup(t, db)
		const half = 20
		var all []storage.Posting
		for i := range 2 * half {
			all = append(all, c.deposit(fmt.Sprint(i), 1))
		}
		first, errs := postAll(t.Context(), group, all[:half])
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for i := range half {
			all[i].Journal.ID = storage.JournalID(storage.NewID(c.now)) // as a retry would have it
		}
		out, errs := postAll(t.Context(), group, all)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for i, posted := range out {
			if posted.Replayed != (i < half) {
				t.Errorf("posting %d is replayed: %v", i, posted.Replayed)
			}
			if i < half {
				if diff := cmp.Diff(first[i].Answer, posted.Answer); diff != "" {
					t.Errorf("posting %d gets another answer:\n%s", i, diff)
				}
			}
		}
		if got := c.entries(t, db); got != 2*half {
			t.Errorf("%d entries, want %d", got, 2*half)
		}
	})
}

// A hold whose time is past is let go of by whoever keeps the ledger, without being asked.
func TestGroupExpiresHolds(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		db := e.Open(t)
		c := newTill(t, db)
		hold := c.hold("hold", 7)
		for _, p := range []storage.Posting{c.deposit("deposit", 10), hold} {
			if posted, err := db.Post(t.Context(), p); err != nil || posted.Answer.Code != "" {
				t.Fatalf("%+v, %v", posted, err)
			}
		}
		// The second look begins when the first is over.
		looks := make(chan struct{}, 1)
		looked := 0
		group, err := sqlstore.NewGroup(db, sqlstore.GroupConfig{Expiry: time.Millisecond, Now: func() time.Time {
			if looked++; looked == 2 {
				close(looks)
			}
			return hold.HoldUntil
		}})
		if err != nil {
			t.Fatal(err)
		}
		group.Start()
		defer group.Stop()
		<-looks
		if h, err := db.Hold(t.Context(), hold.Journal.ID); err != nil || h.State != storage.HoldExpired {
			t.Errorf("%+v, %v", h, err)
		}
	})
}

// hold reserves an amount of the user's.
func (c till) hold(key string, amount int64) storage.Posting {
	p := c.deposit(key, amount)
	p.Journal.Kind, p.Journal.From, p.Journal.To = storage.KindHold, c.user, ""
	p.From, p.To = p.To, p.From
	p.HoldUntil = c.now.Add(time.Minute)
	return p
}

// A group that is held up does not hold up those who want none of its accounts, once they are enough.
func TestGroupsGoSideBySide(t *testing.T) {
	t.Parallel()
	db := engine.MySQL(t).Open(t)
	c := newTill(t, db)
	group := startGroup(t, db)
	busy, resume := make(chan struct{}), make(chan struct{})
	slow := c.inCurrency("slow", "EUR")
	render := slow.Success
	slow.Success = func(j storage.Journal) storage.Answer {
		close(busy)
		<-resume
		return render(j)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := group.Post(t.Context(), slow); err != nil {
			t.Error(err)
		}
	})
	<-busy
	var others []storage.Posting
	for i := range sqlstore.GroupWorth {
		others = append(others, c.deposit(fmt.Sprint(i), 1))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, errs := postAll(ctx, group, others)
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	close(resume)
	wg.Wait()
}

// inCurrency is a deposit in another currency, which has other accounts on both sides.
func (c till) inCurrency(key string, currency money.Currency) storage.Posting {
	p := c.deposit(key, 1)
	p.Journal.Amount.Currency = currency
	p.From, p.To = storage.WorldAccount(currency), storage.WalletAccount(c.user, currency)
	return p
}
