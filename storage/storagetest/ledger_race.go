package storagetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallystick/tallystick/storage"
)

func ledgerRaces() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"transfers that together exceed a wallet stop at zero": racingOverdraft,
		"opposite transfers neither stall nor lose anything":   oppositeTransfers,
		"first deposits race to make the accounts":             racingFirstDeposits,
		"of holders of one fence exactly one posts":            racingFence,
		"no transfer follows a sign-in that has returned":      signInAgainstTransfers,
	}
}

// contest runs n callers at once and returns what each got; an error of any fails the test.
func contest[T any](t *testing.T, n int, call func(i int) (T, error)) []T {
	t.Helper()
	var (
		wg    sync.WaitGroup
		start = make(chan struct{})
		out   = make([]T, n)
		errs  = make([]error, n)
	)
	for i := range n {
		wg.Go(func() {
			<-start
			out[i], errs[i] = call(i)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("of %d callers at once: %v", n, err)
	}
	return out
}

func racingOverdraft(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	out := contest(t, 40, func(int) (storage.Posted, error) { return d.Post(t.Context(), d.transfer(tom, amy, 9)) })
	paid := 0
	for _, posted := range out {
		switch posted.Answer.Code {
		case "":
			paid++
		case codeInsufficient:
		default:
			t.Errorf("answer %+v", posted.Answer)
		}
	}
	if tom, amy := d.balance(t, tom), d.balance(t, amy); paid != 11 || tom != 1 || amy != 99 {
		t.Errorf("%d paid, balances %d and %d; want 11, 1 and 99", paid, tom, amy)
	}
}

func oppositeTransfers(t *testing.T, d *desk) {
	const rounds = 25
	tom, amy := d.wallet(t, 1000), d.wallet(t, 1000)
	contest(t, 8, func(i int) (struct{}, error) {
		from, to := tom, amy
		if i%2 == 1 {
			from, to = to, from
		}
		for range rounds {
			if posted, err := d.Post(t.Context(), d.transfer(from, to, 1)); err != nil || posted.Answer.Code != "" {
				return struct{}{}, errors.Join(err, errors.New("opposite transfer: "+posted.Answer.Code))
			}
		}
		return struct{}{}, nil
	})
	if tom, amy := d.state(t, tom), d.state(t, amy); tom.Balance != 1000 || amy.Balance != 1000 || tom.Version != 8*rounds+1 {
		t.Errorf("accounts %+v and %+v", tom, amy)
	}
}

// racingFirstDeposits makes the accounts of the world and of a few users, all of which are missing.
func racingFirstDeposits(t *testing.T, d *desk) {
	wallets := []wallet{d.wallet(t, 0), d.wallet(t, 0), d.wallet(t, 0)}
	contest(t, 24, func(i int) (storage.Posted, error) {
		return d.Post(t.Context(), d.deposit(wallets[i%len(wallets)].user, 5))
	})
	for _, w := range wallets {
		if got := d.balance(t, w); got != 40 {
			t.Errorf("balance %d, want 40", got)
		}
	}
}

func racingFence(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	out := contest(t, 16, func(int) (bool, error) {
		p := d.transfer(tom, amy, 1)
		p.Fence = new(int64)
		_, err := d.Post(t.Context(), p)
		if errors.Is(err, storage.ErrStale) {
			return false, nil
		}
		return err == nil, err
	})
	won := 0
	for _, posted := range out {
		if posted {
			won++
		}
	}
	if got := d.balance(t, amy); won != 1 || got != 1 {
		t.Errorf("%d posted and %d moved, want one", won, got)
	}
}

// signInAgainstTransfers lets the owner of a phone pay as fast as it can while another phone signs
// in. No payment that begins after the sign-in has returned may happen, and none that began before
// may become visible after it.
func signInAgainstTransfers(t *testing.T, d *desk) {
	const rounds, payers = 12, 4
	tom, amy := d.wallet(t, 1_000_000), d.wallet(t, 0)
	for range rounds {
		r := &payment{desk: d, from: tom, to: amy, started: make(chan struct{}, payers)}
		var wg sync.WaitGroup
		for range payers {
			wg.Go(func() { r.payUntilEnded(t) })
		}
		for range payers {
			<-r.started
		}
		opened, err := d.Open(t.Context(), d.opening(tom.user))
		if err != nil {
			t.Errorf("sign in: %v", err)
		}
		r.returned.Store(true)
		seen := d.state(t, tom).Version
		wg.Wait()
		if after := d.state(t, tom).Version; after != seen {
			t.Errorf("%d payments of the ended session became visible after the sign-in", after-seen)
		}
		if r.paid.Load() == 0 {
			t.Error("nothing was paid before the sign-in: the race was none")
		}
		if t.Failed() {
			return
		}
		tom.bearer = bearerOf(opened.Session)
	}
}

// payment is what those who pay from one phone share with the sign-in on another.
type payment struct {
	*desk
	from, to wallet
	started  chan struct{} // one for each payer who has paid once
	returned atomic.Bool   // the sign-in has
	paid     atomic.Int64
}

// payUntilEnded pays until it is refused as superseded.
func (r *payment) payUntilEnded(t *testing.T) {
	var once sync.Once
	tell := func() { once.Do(func() { r.started <- struct{}{} }) }
	defer tell()
	for {
		late := r.returned.Load()
		_, err := r.Post(t.Context(), r.transfer(r.from, r.to, 1))
		if err != nil {
			if end, ok := errors.AsType[*storage.EndedError](err); !ok || end.End.Reason != storage.Superseded || end.End.By == nil {
				t.Errorf("payment of a superseded session: %v", err)
			}
			return
		}
		if late {
			t.Error("a payment begun after the sign-in had returned was made")
			return
		}
		r.paid.Add(1)
		tell()
	}
}
