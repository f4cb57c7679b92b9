package seal_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/seal"
)

func transfer() (storage.Journal, []storage.Entry) {
	at := time.UnixMicro(1700000000000001)
	j := storage.Journal{
		ID: "j1", Kind: storage.KindTransfer, From: "tom", To: "amy", Amount: money.Amount{Minor: 1250, Currency: "CNY"}, Memo: "午饭",
		Client: "shop", Actor: "tom", Session: "s1", CreatedAt: at,
	}
	line := func(account storage.AccountID, sequence, amount, balance int64, counterparty storage.UserID) storage.Entry {
		return storage.Entry{
			Account: account, Sequence: sequence, Journal: j.ID, Kind: j.Kind, Amount: amount, Currency: "CNY", BalanceAfter: balance,
			Counterparty: counterparty, Memo: j.Memo, CreatedAt: at,
		}
	}
	return j, []storage.Entry{line("user/amy/CNY", 1, 1250, 1250, "tom"), line("user/tom/CNY", 7, -1250, 0, "amy")}
}

// The hashes were computed by a program of another language from the package's comment alone. If this fails, all that
// was ever sealed is lost for proof: make a version 2 of the format instead.
func TestFormatStaysAsItIs(t *testing.T) {
	t.Parallel()
	j, entries := transfer()
	var h seal.Hasher
	leaf := h.Leaf(&j, entries)
	if want := "6640119effc9a7c5c1ddb460848011960e8bb5de3bed16f2b23b5b9ac35cbfd9"; leaf.String() != want {
		t.Errorf("leaf %s, want %s", leaf, want)
	}
	slices.Reverse(entries)
	if again := h.Leaf(&j, entries); again != leaf {
		t.Errorf("entries in another order give %s", again)
	}
	b := seal.NewBlock(&storage.Block{Number: 1, First: 1, Journals: 2, SealedAt: time.UnixMicro(1700000000000009)})
	b.Add(&storage.Seal{Number: 1, Block: 1, Journal: "j1", Leaf: leaf, After: storage.Standing{Sequence: 7, Fence: 3}})
	b.Add(&storage.Seal{Number: 2, Block: 1, Journal: "j2", Leaf: leaf, After: storage.UnknownStanding()})
	if got, want := b.Sum().String(), "a0b093d3f1614b270d7b875646858627cb0b1a17b8dbaa2a09fe056ca4f7e353"; got != want {
		t.Errorf("block %s, want %s", got, want)
	}
}

// Each column counts.
func TestEveryChangeShows(t *testing.T) {
	t.Parallel()
	var h seal.Hasher
	seen := map[storage.Hash]int{}
	for i, change := range []func(*storage.Journal, []storage.Entry){
		func(*storage.Journal, []storage.Entry) {},
		func(j *storage.Journal, _ []storage.Entry) { j.ID = "j" },
		func(j *storage.Journal, _ []storage.Entry) { j.Kind = storage.KindCapture },
		func(j *storage.Journal, _ []storage.Entry) { j.From, j.To = j.To, j.From },
		func(j *storage.Journal, _ []storage.Entry) { j.From, j.To = "tomamy", "" },
		func(j *storage.Journal, _ []storage.Entry) { j.Amount.Minor++ },
		func(j *storage.Journal, _ []storage.Entry) { j.Amount.Currency = "USD" },
		func(j *storage.Journal, _ []storage.Entry) { j.Memo = "" },
		func(j *storage.Journal, _ []storage.Entry) { j.Memo, j.Reference = "", j.Memo },
		func(j *storage.Journal, _ []storage.Entry) { j.Original = "j0" },
		func(j *storage.Journal, _ []storage.Entry) { j.Client = "other" },
		func(j *storage.Journal, _ []storage.Entry) { j.Actor = "" },
		func(j *storage.Journal, _ []storage.Entry) { j.Session = "s2" },
		func(j *storage.Journal, _ []storage.Entry) { j.CreatedAt = j.CreatedAt.Add(time.Microsecond) },
		func(_ *storage.Journal, e []storage.Entry) { e[0].Account = "user/amy/USD" },
		func(_ *storage.Journal, e []storage.Entry) { e[0].Sequence++ },
		func(_ *storage.Journal, e []storage.Entry) { e[0].Kind = storage.KindDeposit },
		func(_ *storage.Journal, e []storage.Entry) { e[0].Amount++ },
		func(_ *storage.Journal, e []storage.Entry) { e[0].Currency = "USD" },
		func(_ *storage.Journal, e []storage.Entry) { e[0].BalanceAfter++ },
		func(_ *storage.Journal, e []storage.Entry) { e[0].Counterparty = "" },
		func(_ *storage.Journal, e []storage.Entry) { e[0].Memo = "x" },
		func(_ *storage.Journal, e []storage.Entry) { e[0].CreatedAt = e[0].CreatedAt.Add(time.Hour) },
	} {
		j, entries := transfer()
		change(&j, entries)
		leaf := h.Leaf(&j, entries)
		if other, twice := seen[leaf]; twice {
			t.Errorf("changes %d and %d give the same hash", other, i)
		}
		seen[leaf] = i
	}
}
