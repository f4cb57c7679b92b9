package books

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// The classes of accounts.
const (
	classWallet = "wallet"
	classWorld  = "world"
)

type class struct {
	currency money.Currency
	name     string
}

// trial adds up accounts by currency and class.
type trial struct{ sums map[class]*Line }

func newTrial() *trial { return &trial{sums: make(map[class]*Line)} }

// add adds an account. A sum that leaves 64 bits is a fault: no ledger of ours can come to it.
func (t *trial) add(r *Report, a storage.Account) {
	k := class{a.Currency, classWallet}
	if a.User == "" {
		k.name = classWorld
	}
	line := t.sums[k]
	if line == nil {
		line = &Line{Currency: k.currency, Class: k.name}
		t.sums[k] = line
	}
	line.Accounts++
	sum := line.Balance + a.Balance
	if (a.Balance > 0) != (sum > line.Balance) && a.Balance != 0 {
		r.fault(Fault{Check: TrialBalanceOff, Account: a.ID, Currency: a.Currency}, "the sum of all %s accounts overflows", k.name)
		return
	}
	line.Balance = sum
}

// lines returns the sums, by currency, wallets first.
func (t *trial) lines() []Line {
	out := make([]Line, 0, len(t.sums))
	for _, line := range t.sums {
		out = append(out, *line)
	}
	slices.SortFunc(out, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.Class, b.Class))
	})
	return out
}

// check checks that each currency sums to zero.
func (t *trial) check(r *Report) {
	for _, line := range t.lines() {
		wallets, world := t.sums[class{line.Currency, classWallet}], t.sums[class{line.Currency, classWorld}]
		if line.Class == classWorld && wallets != nil {
			continue // told with the wallets
		}
		var owned, outside int64
		if wallets != nil {
			owned = wallets.Balance
		}
		if world != nil {
			outside = world.Balance
		}
		if owned != -outside {
			r.fault(Fault{Check: TrialBalanceOff, Currency: line.Currency}, "wallets come to %d and the world to %d", owned, outside)
		}
	}
}

// Trial adds up all accounts, by currency and class, as they stood at one instant; a currency whose lines do not
// come to zero is for [Verify] to explain. It reads every account, and delays no writer.
func Trial(ctx context.Context, keeper storage.Bookkeeper) ([]Line, error) {
	t, r := newTrial(), &Report{}
	err := keeper.ReadBooks(ctx, func(b storage.Books) error {
		return b.AllAccounts(ctx, func(a storage.Account) error {
			t.add(r, a)
			return ctx.Err()
		})
	})
	if err == nil && len(r.Faults) > 0 {
		err = fmt.Errorf("%s", r.Faults[0])
	}
	return t.lines(), err
}
