package storagetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

func ledgerPosts() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"a transfer moves money and leaves a trail":              transferLeavesTrail,
		"a deposit comes from the world":                         depositComesFromWorld,
		"more than is available is refused and recorded":         overdraftRefused,
		"the last of it can be spent":                            lastOfItSpent,
		"a user who must exist and does not is refused":          unknownUserRefused,
		"a balance beyond the range is refused and recorded":     rangeRefused,
		"what no caller may ask for is an error":                 unsoundPostings,
		"an account keeps its owner and currency":                foreignAccount,
		"currencies do not mix":                                  currenciesApart,
		"a stale fence aborts and records nothing":               staleFence,
		"a stale fence does not hide the answer of its own key":  staleFenceReplays,
		"every debit raises the fence, and nothing else does":    fenceGrows,
		"entries are paged newest first":                         entriesPaged,
		"times are kept to the microsecond":                      timesKept,
		"journals and accounts that are not there are not found": nothingThere,
		"chains of random operations match a model":              randomOperations,
	}
}

func transferLeavesTrail(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 1000), d.wallet(t, 0)
	p := d.transfer(tom, amy, 300)
	d.must(t, p)

	j, err := d.Journal(t.Context(), p.Journal.ID)
	if diff := cmp.Diff(p.Journal, j); err != nil || diff != "" {
		t.Errorf("journal: %v\n%s", err, diff)
	}
	entry := storage.Entry{
		Journal: p.Journal.ID, Kind: storage.KindTransfer, Currency: cny, Memo: p.Journal.Memo, CreatedAt: d.now,
	}
	out, in := entry, entry
	out.Account, out.Sequence, out.Amount, out.BalanceAfter, out.Counterparty = tom.account(), 2, -300, 700, amy.user
	in.Account, in.Sequence, in.Amount, in.BalanceAfter, in.Counterparty = amy.account(), 1, 300, 300, tom.user
	for want, of := range map[*storage.Entry]wallet{&out: tom, &in: amy} {
		entries, err := d.Entries(t.Context(), of.account(), 0, 1)
		if diff := cmp.Diff([]storage.Entry{*want}, entries); err != nil || diff != "" {
			t.Errorf("entries: %v\n%s", err, diff)
		}
	}
	want := storage.Account{
		ID: tom.account(), User: tom.user, Currency: cny, Balance: 700, Version: 2, Fence: 1, CreatedAt: d.now,
		Spent: 300, SpentDay: storage.Day(d.now),
	}
	if diff := cmp.Diff(want, d.state(t, tom)); diff != "" {
		t.Error(diff)
	}
}

func depositComesFromWorld(t *testing.T, d *desk) {
	amy := d.wallet(t, 0)
	if got := d.state(t, amy); got.ID != "" {
		t.Errorf("an account before any money: %+v", got)
	}
	p := d.deposit(amy.user, 250)
	d.must(t, p)
	entries, err := d.Entries(t.Context(), storage.WorldAccount(cny), 0, 10)
	if err != nil || len(entries) != 1 || entries[0].BalanceAfter != -250 || entries[0].Counterparty != amy.user {
		t.Errorf("entries of the world: %+v, %v", entries, err)
	}
	entries, err = d.Entries(t.Context(), amy.account(), 0, 10)
	if err != nil || len(entries) != 1 || entries[0].BalanceAfter != 250 || entries[0].Counterparty != "" {
		t.Errorf("entries of the wallet: %+v, %v", entries, err)
	}
}

func overdraftRefused(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.transfer(tom, amy, 101)
	answer := d.refused(t, p, codeInsufficient)
	if _, err := d.Journal(t.Context(), p.Journal.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the journal of a refusal: %v", err)
	}
	d.must(t, d.deposit(tom.user, 1000)) // it could be paid now; the answer stays
	posted, err := d.Post(t.Context(), d.again(p))
	if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
		t.Errorf("repeated: %v\n%s", err, diff)
	}
	if tom, amy := d.balance(t, tom), d.balance(t, amy); tom != 1100 || amy != 0 {
		t.Errorf("balances %d and %d after a refusal", tom, amy)
	}
	d.refused(t, d.transfer(amy, tom, 1), codeInsufficient) // an account that never was has nothing
}

func lastOfItSpent(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	d.must(t, d.transfer(tom, amy, 100))
	d.refused(t, d.transfer(tom, amy, 1), codeInsufficient)
	if tom, amy := d.balance(t, tom), d.balance(t, amy); tom != 0 || amy != 100 {
		t.Errorf("balances %d and %d", tom, amy)
	}
}

func unknownUserRefused(t *testing.T, d *desk) {
	tom := d.wallet(t, 100)
	nobody := wallet{user: storage.NewUserID()}
	for name, p := range map[string]storage.Posting{"transfer": d.transfer(tom, nobody, 1), "deposit": d.deposit(nobody.user, 1)} {
		answer := d.refused(t, p, codeUnknown)
		posted, err := d.Post(t.Context(), d.again(p))
		if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
			t.Errorf("%s repeated: %v\n%s", name, err, diff)
		}
	}
	if got := d.state(t, nobody); got.ID != "" {
		t.Errorf("an account of nobody: %+v", got)
	}
	// Who must exist need not be a party.
	p := d.deposit(tom.user, 1)
	p.MustExist = nobody.user
	d.refused(t, p, codeUnknown)
	p = d.deposit(tom.user, 1)
	p.MustExist = d.user(t)
	d.must(t, p)
}

func rangeRefused(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, money.Max), d.wallet(t, 0)
	for _, to := range []wallet{tom, amy} {
		p := d.deposit(to.user, 1)
		answer := d.refused(t, p, codeRange)
		posted, err := d.Post(t.Context(), d.again(p))
		if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
			t.Errorf("repeated: %v\n%s", err, diff)
		}
	}
	d.must(t, d.transfer(tom, amy, money.Max))
	if got := d.balance(t, amy); got != money.Max {
		t.Errorf("balance %d, want all there is", got)
	}
}

func unsoundPostings(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	for name, spoil := range map[string]func(*storage.Posting){
		"nothing":         func(p *storage.Posting) { p.Journal.Amount.Minor = 0 },
		"less than none":  func(p *storage.Posting) { p.Journal.Amount.Minor = -5 },
		"beyond the most": func(p *storage.Posting) { p.Journal.Amount.Minor = money.Max + 1 },
		"to itself":       func(p *storage.Posting) { p.To, p.Journal.To = p.From, p.Journal.From },
		"without a code": func(p *storage.Posting) {
			p.MustExist, p.Refuse = "nobody", func(error) storage.Answer { return storage.Answer{} }
		},
		"a long answer": func(p *storage.Posting) {
			p.Success = func(storage.Journal) storage.Answer { return storage.Answer{Body: make([]byte, 8<<10+1)} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := d.transfer(tom, amy, 1)
			spoil(&p)
			err := d.failed(t, p)
			for _, s := range []error{storage.ErrUnavailable, storage.ErrStale, storage.ErrEnded} {
				if errors.Is(err, s) {
					t.Errorf("a fault of the caller comes as %v", err)
				}
			}
		})
	}
	if got := d.balance(t, tom); got != 100 {
		t.Errorf("balance %d after nothing", got)
	}
}

func foreignAccount(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 100)
	p := d.transfer(tom, amy, 1)
	p.From = d.wallet(t, 100).account() // the journal still says Tom
	d.failed(t, p)
	p = d.transfer(tom, amy, 1)
	p.Journal.Amount.Currency = "JPY" // on accounts in CNY
	d.failed(t, p)
	kim := d.wallet(t, 0)
	p = d.deposit(amy.user, 1)
	p.To = kim.account() // not there yet, and not to be made in the name of Amy
	d.failed(t, p)
	p = d.deposit(amy.user, 1)
	p.From, p.MustExist = kim.account(), "" // not there yet, and nobody's by the journal
	d.failed(t, p)
	d.must(t, d.deposit(kim.user, 1))
}

func currenciesApart(t *testing.T, d *desk) {
	tom := d.wallet(t, 100)
	yen := d.posting(d.app, storage.Journal{
		Kind: storage.KindDeposit, To: tom.user, Amount: money.Amount{Minor: 7, Currency: "JPY"},
	}, storage.WorldAccount("JPY"), storage.WalletAccount(tom.user, "JPY"))
	d.must(t, yen)
	accounts, err := d.Accounts(t.Context(), tom.user)
	if err != nil || len(accounts) != 2 || accounts[0].Balance != 100 || accounts[1].Balance != 7 || accounts[1].Currency != "JPY" {
		t.Errorf("accounts: %+v, %v", accounts, err)
	}
}

func staleFence(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	fence, err := d.fence(t, tom.account())
	if err != nil {
		t.Fatal(err)
	}
	d.must(t, d.transfer(tom, amy, 1)) // somebody else, who had the lock in between
	p := d.transfer(tom, amy, 1)
	p.Fence = &fence
	if err := d.failed(t, p); !errors.Is(err, storage.ErrStale) {
		t.Errorf("a stale fence gives %v", err)
	}
	fence++
	d.must(t, p)
	if got := d.balance(t, tom); got != 98 {
		t.Errorf("balance %d, want 98", got)
	}
}

func staleFenceReplays(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	p := d.transfer(tom, amy, 1)
	p.Fence = new(int64)
	answer := d.must(t, p) // which raises the fence
	posted, err := d.Post(t.Context(), d.again(p))
	if diff := cmp.Diff(storage.Posted{Answer: answer, Replayed: true}, posted); err != nil || diff != "" {
		t.Errorf("repeated: %v\n%s", err, diff)
	}
	p.RequestHash[0]++
	if _, err := d.Post(t.Context(), d.again(p)); !errors.Is(err, storage.ErrKeyReused) {
		t.Errorf("with another request: %v, want ErrKeyReused", err)
	}
}

func fenceGrows(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 100)
	for i := range int64(3) {
		p := d.transfer(tom, amy, 1)
		if i == 1 {
			p.Fence = &i
		}
		d.must(t, p)
	}
	d.refused(t, d.transfer(tom, amy, 1000), codeInsufficient)
	d.must(t, d.deposit(tom.user, 1))
	for id, want := range map[storage.AccountID]int64{tom.account(): 3, amy.account(): 0, storage.WorldAccount(cny): 0, "user/x/CNY": 0} {
		if got, err := d.fence(t, id); err != nil || got != want {
			t.Errorf("fence of %s is %d, %v; want %d", id, got, err, want)
		}
	}
}

func entriesPaged(t *testing.T, d *desk) {
	tom := d.wallet(t, 0)
	for i := range int64(5) {
		d.must(t, d.deposit(tom.user, i+1))
	}
	for before, want := range map[int64][]int64{0: {5, 4}, 4: {3, 2}, 2: {1}, 1: nil, 99: {5, 4}} {
		entries, err := d.Entries(t.Context(), tom.account(), before, 2)
		var got []int64
		for _, e := range entries {
			got = append(got, e.Sequence)
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("entries before %d: %v\n%s", before, err, diff)
		}
	}
	if entries, err := d.Entries(t.Context(), tom.account(), 0, 0); err != nil || len(entries) != 0 {
		t.Errorf("no entries asked for: %+v, %v", entries, err)
	}
}

func timesKept(t *testing.T, d *desk) {
	tom := d.wallet(t, 0)
	p := d.deposit(tom.user, 1)
	p.Journal.CreatedAt = d.now.Add(1234567 * time.Nanosecond).In(time.FixedZone("CST", 8*3600))
	var told time.Time
	p.Success = func(j storage.Journal) storage.Answer {
		told = j.CreatedAt
		return success(j)
	}
	d.must(t, p)
	j, err := d.Journal(t.Context(), p.Journal.ID)
	want := d.now.Add(1234 * time.Microsecond)
	if err != nil || !j.CreatedAt.Equal(want) || !told.Equal(want) || told.Location() != time.UTC {
		t.Errorf("stored %v, answered %v, want %v (%v)", j.CreatedAt, told, want, err)
	}
}

func nothingThere(t *testing.T, d *desk) {
	if _, err := d.Journal(t.Context(), "nothing"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("journal: %v", err)
	}
	if accounts, err := d.Accounts(t.Context(), "nobody"); err != nil || len(accounts) != 0 {
		t.Errorf("accounts: %+v, %v", accounts, err)
	}
	d.wallet(t, 1) // so that the world has an account
	if accounts, err := d.Accounts(t.Context(), ""); err != nil || len(accounts) != 0 {
		t.Errorf("the system's accounts are nobody's: %+v, %v", accounts, err)
	}
	if entries, err := d.Entries(t.Context(), "user/nobody/CNY", 0, 10); err != nil || len(entries) != 0 {
		t.Errorf("entries: %+v, %v", entries, err)
	}
	key := storage.IdempotencyKey{Client: d.app.Client, Key: fmt.Sprintf("%064d", 0)}
	if _, err := d.Answered(t.Context(), key, [32]byte{}); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("answer: %v", err)
	}
}
