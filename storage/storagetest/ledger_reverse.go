package storagetest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

func ledgerReversals() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"a withdrawal goes to the world":                          withdrawalLeaves,
		"a reversal moves back what was moved":                    reverseAll,
		"reversals in parts never exceed the original":            reverseParts,
		"a reversal of what the recipient has spent is refused":   reverseSpent,
		"deposits, withdrawals and captures can be reversed":      reverseOthers,
		"an original that is not there is refused":                reverseUnknown,
		"a reversal of the rest takes what is left":               reverseRest,
		"of racing reversals of the rest one happens":             racingRests,
		"reversals are replayed by their keys":                    reversalReplays,
		"what no caller may ask of a reversal is an error":        unsoundReversals,
		"racing reversals never exceed the original":              racingReversals,
		"racing reversals in the other direction of one original": racingReversalsAcross,
	}
}

// withdraw asks to pay money out, with a token of the app.
func (d *desk) withdraw(from wallet, amount int64) storage.Posting {
	return d.posting(d.app, storage.Journal{
		Kind: storage.KindWithdrawal, From: from.user, Reference: "payout 7", Amount: money.Amount{Minor: amount, Currency: cny},
	}, from.account(), storage.WorldAccount(cny))
}

// reverse asks to move back an amount of a journal, with a token of the app.
func (d *desk) reverse(original storage.Posting, amount int64) storage.Posting {
	j := original.Journal
	p := d.posting(d.app, storage.Journal{
		Kind: storage.KindReversal, Original: j.ID, From: j.To, To: j.From, Amount: money.Amount{Minor: amount, Currency: cny},
	}, original.To, original.From)
	p.MustExist = ""
	return p
}

func withdrawalLeaves(t *testing.T, d *desk) {
	tom := d.wallet(t, 100)
	p := d.withdraw(tom, 60)
	d.must(t, p)
	entries, err := d.Entries(t.Context(), storage.WorldAccount(cny), 0, 1)
	if err != nil || entries[0].Amount != 60 || entries[0].Counterparty != tom.user || entries[0].Kind != storage.KindWithdrawal {
		t.Errorf("entries of the world: %+v, %v", entries, err)
	}
	d.refused(t, d.withdraw(tom, 41), codeInsufficient)
	d.must(t, d.withdraw(tom, 40))
	d.stands(t, tom, 0, 0)
	into := d.withdraw(tom, 1)
	into.Journal.To = tom.user
	d.failed(t, into)
}

func reverseAll(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	original := d.transfer(tom, amy, 60)
	d.must(t, original)
	p := d.reverse(original, 60)
	d.must(t, p)
	d.stands(t, tom, 100, 0)
	d.stands(t, amy, 0, 0)
	j, err := d.Journal(t.Context(), p.Journal.ID)
	if err != nil || j.Original != original.Journal.ID || j.Kind != storage.KindReversal {
		t.Errorf("journal %+v, %v", j, err)
	}
	d.refused(t, d.reverse(original, 1), codeExceeds)
}

func reverseParts(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 50)
	original, other := d.transfer(tom, amy, 60), d.transfer(tom, amy, 5)
	d.must(t, original)
	d.must(t, other)
	d.refused(t, d.reverse(original, 61), codeExceeds)
	d.must(t, d.reverse(original, 20))
	d.must(t, d.reverse(original, 20)) // as much again
	d.refused(t, d.reverse(original, 21), codeExceeds)
	d.must(t, d.reverse(other, 5))
	d.must(t, d.reverse(original, 19))
	d.must(t, d.reverse(original, 1))
	d.refused(t, d.reverse(original, 1), codeExceeds)
	d.stands(t, tom, 100, 0)
	d.stands(t, amy, 50, 0)
}

// rest asks to move back what is left of a journal.
func (d *desk) rest(original storage.Posting) storage.Posting {
	p := d.reverse(original, 0)
	p.Rest = true
	return p
}

func reverseRest(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 50)
	original := d.transfer(tom, amy, 60)
	d.must(t, original)
	d.must(t, d.reverse(original, 20))
	p := d.rest(original)
	answer := d.must(t, p)
	if j, err := d.Journal(t.Context(), p.Journal.ID); err != nil || j.Amount.Minor != 40 {
		t.Errorf("the rest of 60 after 20 is %d (%v)", j.Amount.Minor, err)
	}
	d.stands(t, tom, 100, 0)
	d.refused(t, d.rest(original), codeExceeds)
	posted, err := d.Post(t.Context(), d.again(p))
	if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
		t.Errorf("repeated: %v\n%s", err, diff)
	}
	d.stands(t, amy, 50, 0)
	d.failed(t, d.reverse(original, 0))
	d.failed(t, spoilt(d.reverse(original, 1), func(p *storage.Posting) { p.Rest = true }))
	d.failed(t, spoilt(d.transfer(tom, amy, 0), func(p *storage.Posting) { p.Rest = true }))
}

func racingRests(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 100)
	original := d.transfer(tom, amy, 100)
	d.must(t, original)
	won := 0
	for _, c := range contest(t, 20, func(n int) (storage.Posted, error) {
		if n%4 == 0 {
			return d.Post(t.Context(), d.reverse(original, 7))
		}
		return d.Post(t.Context(), d.rest(original))
	}) {
		if c.Answer.Code == "" {
			won++
		} else if c.Answer.Code != codeExceeds {
			t.Errorf("answered %+v", c)
		}
	}
	if won < 1 || won > 6 {
		t.Errorf("%d of them happened", won)
	}
	d.stands(t, tom, 100, 0)
	d.stands(t, amy, 100, 0)
}

func reverseSpent(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	original := d.transfer(tom, amy, 60)
	d.must(t, original)
	hold := d.hold(amy, tom, 50)
	d.must(t, hold)
	d.refused(t, d.reverse(original, 11), codeInsufficient)
	d.must(t, d.reverse(original, 10))
	d.must(t, d.void(hold))
	d.must(t, d.reverse(original, 50)) // the refusal took nothing of it
	d.stands(t, tom, 100, 0)
}

func reverseOthers(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 0), d.wallet(t, 0)
	deposit := d.deposit(tom.user, 100)
	d.must(t, deposit)
	d.must(t, d.reverse(deposit, 10))
	withdrawal := d.withdraw(tom, 40)
	d.must(t, withdrawal)
	d.must(t, d.reverse(withdrawal, 15))
	d.stands(t, tom, 65, 0)
	hold := d.hold(tom, amy, 30)
	d.must(t, hold)
	capture := d.capture(hold, 20)
	d.must(t, capture)
	d.must(t, d.reverse(capture, 20))
	d.refused(t, d.reverse(capture, 1), codeExceeds)
	d.stands(t, tom, 65, 0)
	d.stands(t, amy, 0, 0)
}

func reverseUnknown(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 10)
	d.refused(t, d.reverse(d.transfer(tom, amy, 10), 1), codeUnknown) // never posted
	refused := d.transfer(tom, amy, 1000)
	d.refused(t, refused, codeInsufficient)
	d.refused(t, d.reverse(refused, 1), codeUnknown)
}

func reversalReplays(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	original := d.transfer(tom, amy, 60)
	d.must(t, original)
	p := d.reverse(original, 60)
	answer := d.must(t, p)
	for range 2 {
		posted, err := d.Post(t.Context(), d.again(p)) // nothing is left of it
		if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
			t.Errorf("repeated: %v\n%s", err, diff)
		}
	}
	d.stands(t, tom, 100, 0)
}

func unsoundReversals(t *testing.T, d *desk) {
	tom, amy, ann := d.wallet(t, 100), d.wallet(t, 100), d.wallet(t, 100)
	original, hold := d.transfer(tom, amy, 60), d.hold(tom, amy, 10)
	d.must(t, original)
	d.must(t, hold)
	reversal := d.reverse(original, 10)
	d.must(t, reversal)
	for name, p := range map[string]storage.Posting{
		"of nothing":    spoilt(d.reverse(original, 1), func(p *storage.Posting) { p.Journal.Original = "" }),
		"of a reversal": d.reverse(reversal, 1),
		"of a hold":     d.reverse(hold, 1),
		"from another":  spoilt(d.reverse(original, 1), func(p *storage.Posting) { p.Journal.From, p.From = ann.user, ann.account() }),
		"to another":    spoilt(d.reverse(original, 1), func(p *storage.Posting) { p.Journal.To, p.To = ann.user, ann.account() }),
		"of a transfer": spoilt(d.transfer(tom, amy, 1), func(p *storage.Posting) { p.Journal.Original = original.Journal.ID }),
		"the same way on": spoilt(d.transfer(tom, amy, 1), func(p *storage.Posting) {
			p.Journal.Kind, p.Journal.Original = storage.KindReversal, original.Journal.ID
		}),
	} {
		err := d.failed(t, p)
		for _, sentinel := range []error{storage.ErrNotFound, storage.ErrExceeds, storage.ErrUnavailable, storage.ErrInsufficient} {
			if errors.Is(err, sentinel) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	d.stands(t, tom, 50, 10)
}

func racingReversals(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 100)
	original := d.transfer(tom, amy, 100)
	d.must(t, original)
	out := contest(t, 40, func(int) (storage.Posted, error) { return d.Post(t.Context(), d.reverse(original, 9)) })
	done := 0
	for _, posted := range out {
		switch posted.Answer.Code {
		case "":
			done++
		case codeExceeds:
		default:
			t.Errorf("answer %+v", posted.Answer)
		}
	}
	if done != 11 {
		t.Errorf("%d reversals of 9 of 100, want 11", done)
	}
	d.stands(t, tom, 99, 0)
	d.stands(t, amy, 101, 0)
}

// racingReversalsAcross reverses transfers in both directions between two wallets at once.
func racingReversalsAcross(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 500), d.wallet(t, 500)
	there, back := d.transfer(tom, amy, 50), d.transfer(amy, tom, 50)
	d.must(t, there)
	d.must(t, back)
	out := contest(t, 24, func(i int) (storage.Posted, error) {
		if i%2 == 0 {
			return d.Post(t.Context(), d.reverse(there, 10))
		}
		return d.Post(t.Context(), d.reverse(back, 10))
	})
	done := 0
	for _, posted := range out {
		if posted.Answer.Code == "" {
			done++
		}
	}
	if done != 10 {
		t.Errorf("%d reversals, want 5 of each", done)
	}
	d.stands(t, tom, 500, 0)
	d.stands(t, amy, 500, 0)
}
