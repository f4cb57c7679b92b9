package wallet

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// paper is a ledger that is only read, and counts what is.
type paper struct {
	storage.Ledger

	accounts []storage.Account
	entries  map[storage.AccountID][]storage.Entry // by sequence
	calls    int
	rows     int
}

// Accounts implements storage.Ledger.
func (p *paper) Accounts(context.Context, storage.UserID) ([]storage.Account, error) {
	return p.accounts, nil
}

// Entries implements storage.Ledger.
func (p *paper) Entries(_ context.Context, id storage.AccountID, before int64, limit int) ([]storage.Entry, error) {
	all := p.entries[id]
	if before > 0 && before <= int64(len(all)) {
		all = all[:before-1]
	}
	read := slices.Clone(all[max(0, len(all)-limit):])
	slices.Reverse(read)
	p.calls++
	p.rows += len(read)
	return read, nil
}

type nobody struct{ storage.Locker }

var paperStart = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// paperWallet makes up accounts whose entries are out of the order of their times, but by less than clockSlack.
func paperWallet(t *rapid.T, currencies ...money.Currency) (*Wallet, *paper) {
	p := &paper{entries: map[storage.AccountID][]storage.Entry{}}
	for _, c := range currencies {
		id := storage.WalletAccount("tom", c)
		n := rapid.OneOf(rapid.IntRange(0, 30), rapid.IntRange(0, 3000)).Draw(t, "entries")
		step := rapid.Int64Range(1, int64(10*time.Minute)).Draw(t, "step")
		disorder := rapid.Int64Range(1, int64(clockSlack)-1).Draw(t, "disorder")
		kinds := rapid.SliceOfN(rapid.SampledFrom(Kinds()), 1, 5).Draw(t, "kinds")
		noise := rapid.Uint64().Draw(t, "noise")
		for i := range n {
			noise = noise*6364136223846793005 + 1442695040888963407
			at := paperStart.Add(time.Duration(int64(i)*step + int64(noise>>33)%disorder)).Truncate(time.Microsecond)
			p.entries[id] = append(p.entries[id], storage.Entry{
				Account: id, Sequence: int64(i + 1), Journal: storage.JournalID(fmt.Sprintf("%s-%06d", c, i)), Currency: c,
				Kind: kinds[int(noise>>40)%len(kinds)], BalanceAfter: int64(i + 1), CreatedAt: at,
			})
		}
		p.accounts = append(p.accounts, storage.Account{ID: id, User: "tom", Currency: c, Version: int64(n), Balance: int64(n)})
	}
	now := paperStart.Add(10000 * time.Hour)
	w, err := New(Config{Ledger: p, Locker: nobody{}, Currencies: currencies, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

// drawTime is a time among those of the entries, often exactly one of them.
func drawTime(t *rapid.T, p *paper, name string) time.Time {
	for _, a := range p.accounts {
		if all := p.entries[a.ID]; len(all) > 0 && rapid.Bool().Draw(t, name+" of an entry") {
			return all[rapid.IntRange(0, len(all)-1).Draw(t, name+" entry")].CreatedAt
		}
	}
	return paperStart.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(600*time.Hour)).Draw(t, name)))
}

// TestFiltersFindWhatLookingAtEverythingFinds walks all pages of random filters over random accounts.
func TestFiltersFindWhatLookingAtEverythingFinds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, p := paperWallet(t, "CNY", "USD")
		q := Query{Limit: rapid.IntRange(1, MaxLimit).Draw(t, "limit"), Kinds: rapid.SliceOfN(rapid.SampledFrom(Kinds()), 0, 3).Draw(t, "wanted")}
		q.Currency = rapid.SampledFrom([]money.Currency{"", "CNY"}).Draw(t, "currency")
		if rapid.Bool().Draw(t, "has since") {
			q.Since = drawTime(t, p, "since")
		}
		if rapid.Bool().Draw(t, "has until") {
			q.Until = drawTime(t, p, "until")
		}
		if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
			return
		}
		want, got := map[money.Currency][]int64{}, map[money.Currency][]int64{}
		for _, all := range p.entries {
			for _, e := range slices.Backward(all) {
				if (q.Currency == "" || q.Currency == e.Currency) && q.wants(&e) {
					want[e.Currency] = append(want[e.Currency], e.Sequence)
				}
			}
		}
		for pages := 0; ; pages++ {
			p.rows, p.calls = 0, 0
			page, err := w.Entries(t.Context(), "tom", q)
			if err != nil || pages > 10000 {
				t.Fatalf("page %d: %v", pages, err)
			}
			if most := len(p.accounts) * (MaxLooked + chunk + 20); p.rows > most || len(page.Entries) > q.Limit {
				t.Fatalf("page %d: %d entries were looked at, %d given; not more than %d and %d", pages, p.rows, len(page.Entries), most, q.Limit)
			}
			for _, e := range page.Entries {
				got[e.Currency] = append(got[e.Currency], e.Sequence)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("entries of %+v (-want +got):\n%s", q, diff)
		}
	})
}

func TestABalanceOfThePastIsThatAfterTheLastEntryByThen(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, p := paperWallet(t, "CNY")
		at := drawTime(t, p, "at")
		got, err := w.BalancesAt(t.Context(), "tom", at)
		if err != nil {
			t.Fatal(err)
		}
		all := p.entries[p.accounts[0].ID]
		var want int64
		dense := 0
		for _, e := range all {
			if !e.CreatedAt.After(at) {
				want, dense = e.BalanceAfter, 0
			} else if e.CreatedAt.Before(at.Add(clockSlack)) {
				dense++
			}
		}
		if got[0].Total != want && dense < MaxLooked-chunk {
			t.Fatalf("at %s: %d, want %d", at, got[0].Total, want)
		}
		if p.rows > MaxLooked+chunk+40 {
			t.Fatalf("%d entries were looked at", p.rows)
		}
	})
}

func TestACursorIsOfAllItsFilters(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	filters := []Query{
		{}, {Currency: "CNY"}, {Kinds: []storage.JournalKind{"transfer"}}, {Kinds: []storage.JournalKind{"capture", "transfer"}},
		{Since: paperStart}, {Until: paperStart}, {Since: paperStart, Until: paperStart.Add(day)}, {Until: paperStart.Add(day)},
		{Currency: "CNY", Since: paperStart}, {Since: paperStart.Add(time.Nanosecond)},
	}
	for i := range filters {
		c := writeCursor("tom", filters[i].filter(), places3)
		for j := range filters {
			if _, err := readCursor("tom", filters[j].filter(), c); (err == nil) != (i == j) {
				t.Errorf("a cursor of %+v with %+v: %v", filters[i], filters[j], err)
			}
		}
	}
	same := [2]Query{{Kinds: []storage.JournalKind{"transfer", "capture", "transfer"}}, {Kinds: []storage.JournalKind{"capture", "transfer"}}}
	if same[0].filter() != same[1].filter() {
		t.Error("the order of kinds makes another filter")
	}
	longest := Query{Currency: "CNY", Kinds: Kinds(), Since: paperStart, Until: paperStart.Add(day)}
	places := make([]place, MaxCurrencies)
	for i := range places {
		places[i] = place{money.Currency(fmt.Sprintf("A%c%c", 'A'+i/26, 'A'+i%26)), money.Max}
	}
	if _, err := readCursor("tom", longest.filter(), writeCursor("tom", longest.filter(), places)); err != nil {
		t.Errorf("the longest cursor: %v", err)
	}
}

// TestAPageWaitsForTheAccountThatIsReadLess has an account in which the newer of two wanted entries stands behind more
// entries than are looked at for a page.
func TestAPageWaitsForTheAccountThatIsReadLess(t *testing.T) {
	t.Parallel()
	p := &paper{entries: map[storage.AccountID][]storage.Entry{}}
	add := func(c money.Currency, kind storage.JournalKind, second int) {
		id := storage.WalletAccount("tom", c)
		p.entries[id] = append(p.entries[id], storage.Entry{
			Account: id, Sequence: int64(len(p.entries[id]) + 1), Currency: c, Kind: kind, CreatedAt: paperStart.Add(time.Duration(second) * time.Second),
		})
	}
	add("USD", storage.KindTransfer, 1)
	add("CNY", storage.KindTransfer, 2)
	for i := range MaxLooked + 1 {
		add("CNY", storage.KindDeposit, 3+i)
	}
	for _, c := range []money.Currency{"CNY", "USD"} {
		id := storage.WalletAccount("tom", c)
		p.accounts = append(p.accounts, storage.Account{ID: id, User: "tom", Currency: c, Version: int64(len(p.entries[id]))})
	}
	w, err := New(Config{Ledger: p, Locker: nobody{}, Currencies: []money.Currency{"CNY", "USD"}})
	if err != nil {
		t.Fatal(err)
	}
	q := Query{Kinds: []storage.JournalKind{storage.KindTransfer}}
	var got []money.Currency
	for range 3 {
		page, err := w.Entries(t.Context(), "tom", q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			got = append(got, e.Currency)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([]money.Currency{"CNY", "USD"}, got); diff != "" || q.Cursor != "" {
		t.Errorf("entries (-want +got):\n%s, then %q", diff, q.Cursor)
	}
}
