package storagetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

func ledgerHolds() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"a hold reserves and moves nothing":                            holdReserves,
		"what is held cannot be spent or held again":                   heldIsNotAvailable,
		"a capture takes all of a hold":                                captureAll,
		"a capture takes a part and lets go of the rest":               capturePart,
		"a capture above the hold is refused, and the hold stays":      captureTooMuch,
		"a capture to nobody goes outside":                             captureOutside,
		"a void lets go of all":                                        voidHold,
		"a closed hold stays closed":                                   closedStaysClosed,
		"a hold expires at its time, by itself and once":               holdExpires,
		"a hold past its time is closed before anybody expires it":     lateIsClosed,
		"expiry is done oldest first, so many at a time":               expiryInPages,
		"a hold that is not there is refused":                          unknownHold,
		"holds, captures and voids are replayed by their keys":         holdsReplay,
		"an ended bearer neither holds, nor captures, nor voids":       endedBearerHolds,
		"a hold and a capture raise the fence, a void does not":        holdFences,
		"what no caller may ask of a hold is an error":                 unsoundHolds,
		"of racing captures, voids and expiries exactly one happens":   racingClosers,
		"holds and transfers that race take no more than is available": racingHolds,
	}
}

// hold asks to reserve money of one wallet for another, for an hour.
func (d *desk) hold(from, to wallet, amount int64) storage.Posting {
	p := d.posting(from.bearer, storage.Journal{
		Kind: storage.KindHold, From: from.user, To: to.user, Actor: from.user, Memo: "room 7",
		Amount: money.Amount{Minor: amount, Currency: cny},
	}, from.account(), to.account())
	p.HoldUntil = d.now.Add(time.Hour)
	return p
}

// capture asks to take an amount out of a hold, with a token of the app.
func (d *desk) capture(hold storage.Posting, amount int64) storage.Posting {
	return d.closer(hold, storage.KindCapture, amount)
}

// void asks to let go of a hold.
func (d *desk) void(hold storage.Posting) storage.Posting {
	return d.closer(hold, storage.KindVoid, hold.Journal.Amount.Minor)
}

func (d *desk) closer(hold storage.Posting, kind storage.JournalKind, amount int64) storage.Posting {
	return d.posting(d.app, storage.Journal{
		Kind: kind, Original: hold.Journal.ID, From: hold.Journal.From, To: hold.Journal.To,
		Amount: money.Amount{Minor: amount, Currency: cny},
	}, hold.From, hold.To)
}

// stands checks what a wallet has and how much of it is held.
func (d *desk) stands(t *testing.T, w wallet, balance, held int64) {
	t.Helper()
	if a := d.state(t, w); a.Balance != balance || a.Held != held {
		t.Errorf("balance %d, held %d; want %d and %d", a.Balance, a.Held, balance, held)
	}
}

// held reads a hold that is there.
func (d *desk) held(t *testing.T, hold storage.Posting) storage.Hold {
	t.Helper()
	h, err := d.Hold(t.Context(), hold.Journal.ID)
	if err != nil {
		t.Fatalf("hold: %v", err)
	}
	return h
}

func (d *desk) expire(t *testing.T, now time.Time, want int) {
	t.Helper()
	if n, err := d.ExpireHolds(t.Context(), now, storage.MaxExpire); n != want || err != nil {
		t.Errorf("expired %d holds, %v; want %d", n, err, want)
	}
}

func holdReserves(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.hold(tom, amy, 30)
	d.must(t, p)
	d.stands(t, tom, 100, 30)
	want := storage.Hold{
		ID: p.Journal.ID, Account: tom.account(), From: tom.user, To: amy.user, Amount: p.Journal.Amount,
		State: storage.HoldOpen, CreatedAt: d.now, ExpiresAt: p.HoldUntil,
	}
	if diff := cmp.Diff(want, d.held(t, p)); diff != "" {
		t.Error(diff)
	}
	j, err := d.Journal(t.Context(), p.Journal.ID)
	if diff := cmp.Diff(p.Journal, j); err != nil || diff != "" {
		t.Errorf("journal: %v\n%s", err, diff)
	}
	if entries, err := d.Entries(t.Context(), tom.account(), 0, 10); err != nil || len(entries) != 1 {
		t.Errorf("a hold leaves entries: %+v, %v", entries, err)
	}
	if a := d.state(t, amy); a.ID != "" {
		t.Errorf("a hold makes an account for who may get it: %+v", a)
	}
}

func heldIsNotAvailable(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	d.must(t, d.hold(tom, amy, 60))
	d.refused(t, d.transfer(tom, amy, 41), codeInsufficient)
	d.refused(t, d.hold(tom, amy, 41), codeInsufficient)
	d.refused(t, d.withdraw(tom, 41), codeInsufficient)
	d.must(t, d.hold(tom, amy, 10))
	d.must(t, d.transfer(tom, amy, 30))
	d.stands(t, tom, 70, 70)
	d.refused(t, d.transfer(tom, amy, 1), codeInsufficient)
}

func captureAll(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	hold := d.hold(tom, amy, 100)
	d.must(t, hold)
	p := d.capture(hold, 100)
	d.must(t, p)
	d.stands(t, tom, 0, 0)
	d.stands(t, amy, 100, 0)
	h := d.held(t, hold)
	if h.State != storage.HoldCaptured || h.Captured != 100 || h.ClosedBy != p.Journal.ID || h.ClosedAt == nil || !h.ClosedAt.Equal(d.now) {
		t.Errorf("hold %+v", h)
	}
	j, err := d.Journal(t.Context(), p.Journal.ID)
	if err != nil || j.Original != hold.Journal.ID || j.Client != d.app.Client {
		t.Errorf("journal %+v, %v", j, err)
	}
	entries, err := d.Entries(t.Context(), amy.account(), 0, 1)
	if err != nil || entries[0].Kind != storage.KindCapture || entries[0].Counterparty != tom.user || entries[0].Journal != p.Journal.ID {
		t.Errorf("entries %+v, %v", entries, err)
	}
}

func capturePart(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	one, other := d.hold(tom, amy, 60), d.hold(tom, amy, 20)
	d.must(t, one)
	d.must(t, other)
	d.must(t, d.capture(one, 25))
	d.stands(t, tom, 75, 20)
	d.stands(t, amy, 25, 0)
	if h := d.held(t, one); h.Captured != 25 || h.Amount.Minor != 60 {
		t.Errorf("hold %+v", h)
	}
	d.must(t, d.transfer(tom, amy, 55))
}

func captureTooMuch(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	hold := d.hold(tom, amy, 60)
	d.must(t, hold)
	d.refused(t, d.capture(hold, 61), codeExceeds)
	d.stands(t, tom, 100, 60)
	d.must(t, d.capture(hold, 60))
}

func captureOutside(t *testing.T, d *desk) {
	tom := d.wallet(t, 100)
	hold := d.hold(tom, wallet{}, 60)
	hold.To, hold.MustExist = storage.WorldAccount(cny), ""
	d.must(t, hold)
	p := d.capture(hold, 50)
	p.MustExist = ""
	d.must(t, p)
	d.stands(t, tom, 50, 0)
	entries, err := d.Entries(t.Context(), storage.WorldAccount(cny), 0, 1)
	if err != nil || entries[0].Amount != 50 || entries[0].BalanceAfter != -50 {
		t.Errorf("entries of the world: %+v, %v", entries, err)
	}
}

func voidHold(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	hold := d.hold(tom, amy, 60)
	d.must(t, hold)
	p := d.void(hold)
	d.must(t, p)
	d.stands(t, tom, 100, 0)
	if h := d.held(t, hold); h.State != storage.HoldVoided || h.Captured != 0 || h.ClosedBy != p.Journal.ID {
		t.Errorf("hold %+v", h)
	}
	d.must(t, d.transfer(tom, amy, 100))
}

func closedStaysClosed(t *testing.T, d *desk) {
	for name, shut := range map[string]func(*desk, storage.Posting) storage.Posting{
		"captured": func(d *desk, h storage.Posting) storage.Posting { return d.capture(h, 10) },
		"voided":   (*desk).void,
	} {
		t.Run(name, func(t *testing.T) {
			tom, amy := d.wallet(t, 100), d.wallet(t, 0)
			hold := d.hold(tom, amy, 60)
			d.must(t, hold)
			d.must(t, shut(d, hold))
			before := d.held(t, hold)
			p := d.capture(hold, 1)
			answer := d.refused(t, p, codeClosed)
			d.refused(t, d.void(hold), codeClosed)
			d.expire(t, d.now.Add(2*time.Hour), 0)
			posted, err := d.Post(t.Context(), d.again(p))
			if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
				t.Errorf("repeated: %v\n%s", err, diff)
			}
			if diff := cmp.Diff(before, d.held(t, hold)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func holdExpires(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	hold := d.hold(tom, amy, 60)
	d.must(t, hold)
	d.expire(t, hold.HoldUntil.Add(-time.Microsecond), 0)
	d.stands(t, tom, 100, 60)
	d.expire(t, hold.HoldUntil, 1)
	d.expire(t, hold.HoldUntil, 0)
	d.stands(t, tom, 100, 0)
	h := d.held(t, hold)
	if h.State != storage.HoldExpired || !h.ClosedAt.Equal(hold.HoldUntil) {
		t.Errorf("hold %+v", h)
	}
	j, err := d.Journal(t.Context(), h.ClosedBy)
	if err != nil || j.Kind != storage.KindExpiry || j.Original != h.ID || j.Client != storage.SystemClient || j.Amount != h.Amount {
		t.Errorf("journal %+v, %v", j, err)
	}
	d.refused(t, d.capture(hold, 1), codeClosed)
}

func lateIsClosed(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	hold := d.hold(tom, amy, 60)
	hold.HoldUntil = d.now.Add(time.Second)
	d.must(t, hold)
	for _, p := range []storage.Posting{d.capture(hold, 1), d.void(hold)} {
		p.Now = hold.HoldUntil
		d.refused(t, p, codeClosed)
	}
	d.stands(t, tom, 100, 60)
	p := d.capture(hold, 60)
	p.Now = hold.HoldUntil.Add(-time.Microsecond)
	d.must(t, p)
}

func expiryInPages(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 100)
	var holds []storage.Posting
	for i := range 5 {
		p := d.hold(tom, amy, 1)
		if i%2 == 1 {
			p = d.hold(amy, tom, 1)
		}
		p.HoldUntil = d.now.Add(time.Duration(5-i) * time.Second)
		d.must(t, p)
		holds = append(holds, p)
	}
	for _, want := range []int{3, 2, 0} {
		if n, err := d.ExpireHolds(t.Context(), d.now.Add(time.Minute), 3); n != want || err != nil {
			t.Errorf("expired %d, %v; want %d", n, err, want)
		}
		if want != 3 {
			continue
		}
		for i, p := range holds {
			if open := d.held(t, p).State == storage.HoldOpen; open != (i < 2) {
				t.Errorf("hold %d of 5 is open: %v", i, open)
			}
		}
	}
	if n, err := d.ExpireHolds(t.Context(), d.now.Add(time.Minute), 0); n != 0 || err != nil {
		t.Errorf("none asked for: %d, %v", n, err)
	}
}

func unknownHold(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	hold := d.hold(tom, amy, 60) // never posted
	d.refused(t, d.capture(hold, 1), codeUnknown)
	d.refused(t, d.void(hold), codeUnknown)
	nobody := wallet{user: storage.NewUserID()}
	d.refused(t, d.hold(tom, nobody, 1), codeUnknown)
	if _, err := d.Hold(t.Context(), "nothing"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("hold: %v", err)
	}
	// A journal of another kind is no hold.
	p := d.transfer(tom, amy, 1)
	d.must(t, p)
	d.refused(t, d.capture(p, 1), codeUnknown)
}

func holdsReplay(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	first, second := d.hold(tom, amy, 60), d.hold(tom, amy, 10)
	for _, p := range []storage.Posting{first, second, d.capture(first, 30), d.void(second)} {
		answer := d.must(t, p)
		posted, err := d.Post(t.Context(), d.again(p))
		if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
			t.Errorf("%s repeated: %v\n%s", p.Journal.Kind, err, diff)
		}
		p.RequestHash[0]++
		if _, err := d.Post(t.Context(), d.again(p)); !errors.Is(err, storage.ErrKeyReused) {
			t.Errorf("another %s under its key: %v", p.Journal.Kind, err)
		}
	}
	d.stands(t, tom, 70, 0)
	d.stands(t, amy, 30, 0)
}

func endedBearerHolds(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	hold := d.hold(tom, amy, 60)
	d.must(t, hold)
	d.end(t, tom.user, storage.Kicked)
	postings := []storage.Posting{d.hold(tom, amy, 1), d.capture(hold, 1), d.void(hold)}
	for _, p := range postings {
		p.Bearer, p.Key.Client = tom.bearer, tom.bearer.Client
		if err := d.failed(t, p); !errors.Is(err, storage.ErrEnded) {
			t.Errorf("%s by an ended bearer: %v", p.Journal.Kind, err)
		}
	}
	d.stands(t, tom, 100, 60)
}

func holdFences(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	fence := int64(0)
	post := func(p storage.Posting, raises int64) {
		t.Helper()
		stale := p
		stale.Fence = new(fence + 1)
		if err := d.failed(t, stale); !errors.Is(err, storage.ErrStale) {
			t.Errorf("%s with a fence that is not there: %v", p.Journal.Kind, err)
		}
		p.Fence = new(fence)
		d.must(t, p)
		fence += raises
		if got, err := d.fence(t, tom.account()); got != fence || err != nil {
			t.Errorf("fence %d, %v; want %d", got, err, fence)
		}
	}
	one, other := d.hold(tom, amy, 10), d.hold(tom, amy, 10)
	post(one, 1)
	post(other, 1)
	post(d.capture(one, 10), 1)
	post(d.void(other), 0)
}

func unsoundHolds(t *testing.T, d *desk) {
	tom, amy, ann := d.wallet(t, 100), d.wallet(t, 100), d.wallet(t, 100)
	hold := d.hold(tom, amy, 60)
	d.must(t, hold)
	for name, p := range map[string]storage.Posting{
		"without an end":         spoilt(d.hold(tom, amy, 1), func(p *storage.Posting) { p.HoldUntil = time.Time{} }),
		"that ends at once":      spoilt(d.hold(tom, amy, 1), func(p *storage.Posting) { p.HoldUntil = p.Now }),
		"of another hold":        spoilt(d.hold(tom, amy, 1), func(p *storage.Posting) { p.Journal.Original = hold.Journal.ID }),
		"transfer with an end":   spoilt(d.transfer(tom, amy, 1), func(p *storage.Posting) { p.HoldUntil = d.now.Add(time.Hour) }),
		"capture of no hold":     spoilt(d.capture(hold, 1), func(p *storage.Posting) { p.Journal.Original = "" }),
		"void of a part":         d.closer(hold, storage.KindVoid, 59),
		"void of more":           d.closer(hold, storage.KindVoid, 61),
		"expiry by a caller":     d.closer(hold, storage.KindExpiry, 60),
		"capture for another":    spoilt(d.capture(hold, 1), func(p *storage.Posting) { p.Journal.To, p.To, p.MustExist = ann.user, ann.account(), ann.user }),
		"capture from another":   spoilt(d.capture(hold, 1), func(p *storage.Posting) { p.Journal.From, p.From = ann.user, ann.account() }),
		"kind that there is not": spoilt(d.transfer(tom, amy, 1), func(p *storage.Posting) { p.Journal.Kind = "gift" }),
	} {
		err := d.failed(t, p)
		for _, sentinel := range []error{storage.ErrNotFound, storage.ErrClosed, storage.ErrExceeds, storage.ErrUnavailable, storage.ErrInsufficient} {
			if errors.Is(err, sentinel) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	d.stands(t, tom, 100, 60)
}

// spoilt is a posting after somebody has laid hands on it.
func spoilt(p storage.Posting, spoil func(*storage.Posting)) storage.Posting {
	spoil(&p)
	return p
}

// racingClosers lets captures and voids under keys of their own, and expiries at the same time, fall on one hold.
func racingClosers(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	balance := int64(1000)
	for range 6 {
		hold := d.hold(tom, amy, 60)
		d.must(t, hold)
		out := contest(t, 24, func(i int) (int64, error) {
			p := d.capture(hold, 7)
			switch i % 3 {
			case 1:
				p = d.void(hold)
			case 2:
				n, err := d.ExpireHolds(t.Context(), hold.HoldUntil, 1)
				return int64(n), err
			}
			posted, err := d.Post(t.Context(), p)
			if err != nil || posted.Answer.Code == codeClosed {
				return 0, err
			}
			return 1, nil
		})
		won := int64(0)
		for _, n := range out {
			won += n
		}
		h := d.held(t, hold)
		balance -= h.Captured
		if won != 1 || h.State == storage.HoldOpen {
			t.Errorf("%d closed the hold, want one: %+v", won, h)
		}
		d.stands(t, tom, balance, 0)
	}
}

func racingHolds(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	out := contest(t, 40, func(i int) (storage.Posted, error) {
		if i%2 == 0 {
			return d.Post(t.Context(), d.hold(tom, amy, 9))
		}
		return d.Post(t.Context(), d.transfer(tom, amy, 9))
	})
	taken := int64(0)
	for _, posted := range out {
		if posted.Answer.Code == "" {
			taken++
		}
	}
	a := d.state(t, tom)
	if taken != 11 || a.Available() != 1 || a.Held+d.balance(t, amy) != 99 {
		t.Errorf("%d taken, account %+v; want 11 and 1 left", taken, a)
	}
}
