package storagetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

func ledgerLimits() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"a single limit bounds each transfer and hold":               limitSingle,
		"a daily limit bounds a day in UTC, and the next is new":     limitDaily,
		"a hold that lets go gives back on its day alone":            limitGivesBack,
		"an account's own limits go before those configured":         limitOwn,
		"deposits, withdrawals, captures and reversals do not count": limitUncounted,
		"racing transfers and holds stay within a daily limit":       limitRace,
		"out of a frozen wallet nothing leaves":                      frozenLets,
		"a freeze holds in currencies that come later":               frozenLater,
		"a freeze that was answered is seen by every posting":        frozenRace,
		"what is set on a wallet is read again, with its audit":      walletState,
	}
}

func bound(single, daily int64) storage.Limits {
	var l storage.Limits
	if single >= 0 {
		l.Single = &single
	}
	if daily >= 0 {
		l.Daily = &daily
	}
	return l
}

// within is a posting under configured limits.
func within(p storage.Posting, l storage.Limits) storage.Posting {
	p.Limits = l
	return p
}

// limited posts what has to be refused by a limit, and checks which one and how much it says is left.
func (d *desk) limited(t *testing.T, p storage.Posting, limit string, left int64) {
	t.Helper()
	var told *storage.LimitError
	p.Refuse = func(err error) storage.Answer {
		told, _ = errors.AsType[*storage.LimitError](err)
		return refuse(err)
	}
	d.refused(t, p, codeLimit)
	if told == nil || told.Limit != limit || told.Left != left || told.Currency != cny {
		t.Errorf("refused by %+v; want the %s limit with %d left", told, limit, left)
	}
}

func (d *desk) change(t *testing.T, user storage.UserID, c storage.WalletChange) {
	t.Helper()
	if err := d.ChangeWallet(t.Context(), user, c, nil, d.now); err != nil {
		t.Fatalf("change wallet: %v", err)
	}
}

func (d *desk) freeze(t *testing.T, user storage.UserID, frozen bool) {
	t.Helper()
	d.change(t, user, storage.WalletChange{Frozen: &frozen, Reason: "stolen phone"})
}

func limitSingle(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	l := bound(50, -1)
	d.limited(t, within(d.transfer(tom, amy, 51), l), storage.LimitSingle, 50)
	d.limited(t, within(d.hold(tom, amy, 51), l), storage.LimitSingle, 50)
	d.must(t, within(d.transfer(tom, amy, 50), l))
	d.must(t, within(d.hold(tom, amy, 50), l))
	d.limited(t, within(d.transfer(tom, amy, 1), bound(0, -1)), storage.LimitSingle, 0)
}

func limitDaily(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	l := bound(-1, 100)
	d.must(t, within(d.transfer(tom, amy, 60), l))
	d.must(t, within(d.hold(tom, amy, 30), l))
	d.limited(t, within(d.transfer(tom, amy, 11), l), storage.LimitDaily, 10)
	d.must(t, within(d.transfer(tom, amy, 10), l))
	d.limited(t, within(d.hold(tom, amy, 1), l), storage.LimitDaily, 0)
	today := d.now
	d.now = time.Date(2026, 11, 20, 23, 59, 59, 999999000, time.UTC)
	tom.bearer = d.signIn(t, tom.user)
	d.limited(t, within(d.transfer(tom, amy, 1), l), storage.LimitDaily, 0)
	d.now = d.now.Add(time.Microsecond)
	d.must(t, within(d.transfer(tom, amy, 100), l))
	// A clock that is behind does not bring yesterday's allowance back.
	d.now = today
	d.limited(t, within(d.transfer(tom, amy, 1), l), storage.LimitDaily, 0)
}

func limitGivesBack(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	l := bound(-1, 100)
	part, whole, late := within(d.hold(tom, amy, 40), l), within(d.hold(tom, amy, 40), l), within(d.hold(tom, amy, 20), l)
	late.HoldUntil = d.now.Add(24 * time.Hour)
	d.must(t, part)
	d.must(t, whole)
	d.must(t, late)
	d.limited(t, within(d.transfer(tom, amy, 1), l), storage.LimitDaily, 0)
	d.must(t, d.capture(part, 30))
	d.limited(t, within(d.transfer(tom, amy, 11), l), storage.LimitDaily, 10)
	d.must(t, d.void(whole))
	d.must(t, within(d.transfer(tom, amy, 50), l))
	d.limited(t, within(d.transfer(tom, amy, 1), l), storage.LimitDaily, 0)
	d.now = d.now.Add(24 * time.Hour)
	tom.bearer = d.signIn(t, tom.user)
	d.must(t, within(d.transfer(tom, amy, 100), l))
	d.expire(t, d.now, 1)
	d.limited(t, within(d.transfer(tom, amy, 1), l), storage.LimitDaily, 0)
}

func limitOwn(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	d.change(t, tom.user, storage.WalletChange{Limits: map[money.Currency]storage.Limits{cny: bound(-1, 200)}})
	l := bound(120, 100)
	d.must(t, within(d.transfer(tom, amy, 120), l))
	d.limited(t, within(d.transfer(tom, amy, 121), l), storage.LimitSingle, 120)
	d.limited(t, within(d.transfer(tom, amy, 81), l), storage.LimitDaily, 80)
	d.change(t, tom.user, storage.WalletChange{Limits: map[money.Currency]storage.Limits{cny: {}}})
	d.limited(t, within(d.transfer(tom, amy, 1), l), storage.LimitDaily, 0)
	d.must(t, d.transfer(tom, amy, 500))
	// Of a currency in which there is no account yet, and of a user who never had one.
	eve := d.user(t)
	d.change(t, eve, storage.WalletChange{Limits: map[money.Currency]storage.Limits{cny: bound(5, -1), "USD": bound(-1, 7)}})
	w := wallet{user: eve, bearer: d.signIn(t, eve)}
	d.must(t, d.deposit(eve, 100))
	d.limited(t, d.transfer(w, amy, 6), storage.LimitSingle, 5)
}

func limitUncounted(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	l := bound(-1, 100)
	paid, hold := within(d.transfer(tom, amy, 60), l), within(d.hold(tom, amy, 40), l)
	d.must(t, paid)
	d.must(t, hold)
	d.must(t, within(d.capture(hold, 40), l))
	d.must(t, within(d.withdraw(tom, 500), l))
	d.must(t, within(d.reverse(paid, 60), l))
	d.must(t, within(d.deposit(tom.user, 60), l))
	d.limited(t, within(d.transfer(tom, amy, 1), l), storage.LimitDaily, 0)
	if a := d.state(t, tom); a.SpentOn(d.now) != 100 || a.SpentOn(d.now.Add(24*time.Hour)) != 0 {
		t.Errorf("spent %d on day %d, want 100", a.Spent, a.SpentDay)
	}
}

func limitRace(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	l := bound(-1, 100)
	postings := make([]storage.Posting, 24)
	for i := range postings {
		if postings[i] = within(d.transfer(tom, amy, 10), l); i%2 == 0 {
			postings[i] = within(d.hold(tom, amy, 10), l)
		}
	}
	posted := make([]storage.Posted, len(postings))
	errs := make([]error, len(postings))
	var wg sync.WaitGroup
	for i := range postings {
		wg.Go(func() { posted[i], errs[i] = d.Post(t.Context(), postings[i]) })
	}
	wg.Wait()
	done := 0
	for i := range postings {
		switch {
		case errs[i] != nil:
			t.Errorf("posting %d: %v", i, errs[i])
		case posted[i].Answer.Code == "":
			done++
		case posted[i].Answer.Code != codeLimit:
			t.Errorf("posting %d: %+v", i, posted[i])
		}
	}
	if done != 10 {
		t.Errorf("%d postings of 10 under a daily limit of 100, want 10", done)
	}
}

func frozenLets(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 100)
	got := d.transfer(amy, tom, 50)
	d.must(t, got)
	captured, voided, expired := d.hold(tom, amy, 10), d.hold(tom, amy, 20), d.hold(tom, amy, 30)
	for _, p := range []storage.Posting{captured, voided, expired} {
		d.must(t, p)
	}
	d.freeze(t, tom.user, true)
	d.refused(t, d.transfer(tom, amy, 1), codeFrozen)
	d.refused(t, d.hold(tom, amy, 1), codeFrozen)
	d.refused(t, d.capture(captured, 1), codeFrozen)
	d.refused(t, d.withdraw(tom, 1), codeFrozen)
	byTom := d.reverse(got, 1)
	byTom.Journal.Actor = tom.user
	d.refused(t, byTom, codeFrozen)

	d.must(t, d.deposit(tom.user, 5))
	d.must(t, d.transfer(amy, tom, 5))
	d.must(t, d.void(voided))
	byApp := d.reverse(got, 25)
	byApp.Journal.Actor = ""
	d.must(t, byApp)
	d.now = d.now.Add(time.Hour)
	d.expire(t, d.now, 2)
	d.stands(t, tom, 1035, 0)

	d.freeze(t, tom.user, false)
	tom.bearer = d.signIn(t, tom.user)
	d.must(t, d.transfer(tom, amy, 1035))
}

func frozenLater(t *testing.T, d *desk) {
	tom, amy := wallet{user: d.user(t)}, d.wallet(t, 0)
	tom.bearer = d.signIn(t, tom.user)
	d.freeze(t, tom.user, true)
	d.must(t, d.deposit(tom.user, 100))
	d.refused(t, d.transfer(tom, amy, 1), codeFrozen)
	d.freeze(t, tom.user, false)
	d.must(t, d.transfer(tom, amy, 1))
}

// frozenRace freezes a wallet while its account is made and paid from by others: as soon as the freeze has
// returned, nothing leaves.
func frozenRace(t *testing.T, d *desk) {
	amy := d.wallet(t, 0)
	for round := range 10 {
		tom := wallet{user: d.user(t)}
		tom.bearer = d.signIn(t, tom.user)
		in := []storage.Posting{d.deposit(tom.user, 100), d.deposit(tom.user, 100)}
		var wg sync.WaitGroup
		errs := make([]error, len(in)+1)
		for i, p := range in {
			wg.Go(func() { _, errs[i] = d.Post(t.Context(), p) })
		}
		wg.Go(func() {
			frozen := true
			errs[len(in)] = d.ChangeWallet(t.Context(), tom.user, storage.WalletChange{Frozen: &frozen}, nil, d.now)
		})
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		d.refused(t, d.transfer(tom, amy, 1), codeFrozen)
	}
}

func walletState(t *testing.T, d *desk) {
	tom := d.wallet(t, 100)
	frozen, single := true, int64(5)
	if err := d.ChangeWallet(t.Context(), "nobody", storage.WalletChange{Frozen: &frozen}, nil, d.now); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("change of nobody's wallet: %v", err)
	}
	if _, err := d.WalletState(t.Context(), "nobody"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("nobody's wallet: %v", err)
	}
	record := &storage.AuditRecord{ID: storage.NewID(d.now), At: d.now, Action: "wallet.frozen", Result: "ok", Actor: "operator", User: tom.user}
	c := storage.WalletChange{Frozen: &frozen, Reason: "läuft heiß", Limits: map[money.Currency]storage.Limits{cny: {Single: &single}, "JPY": {Daily: &single}}}
	if err := d.ChangeWallet(t.Context(), tom.user, c, record, d.now); err != nil {
		t.Fatalf("change: %v", err)
	}
	for range 2 { // freezing again keeps the time
		s, err := d.WalletState(t.Context(), tom.user)
		if err != nil || s.FrozenAt == nil || !s.FrozenAt.Equal(d.now) || s.Reason != "läuft heiß" || len(s.Accounts) != 2 {
			t.Fatalf("state %+v, %v", s, err)
		}
		var shown strings.Builder
		for _, a := range s.Accounts {
			fmt.Fprintf(&shown, "%s %v %v %v;", a.Currency, number(a.Limits.Single), number(a.Limits.Daily), a.FrozenAt.Equal(d.now))
		}
		if diff := cmp.Diff("CNY 5 none true;JPY none 5 true;", shown.String()); diff != "" {
			t.Error(diff)
		}
		c.Limits = nil
		if err := d.ChangeWallet(t.Context(), tom.user, c, nil, d.now.Add(time.Minute)); err != nil {
			t.Fatalf("again: %v", err)
		}
	}
}

func number(n *int64) string {
	if n == nil {
		return "none"
	}
	return fmt.Sprint(*n)
}
