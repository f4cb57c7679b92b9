package storagetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

func ledgerBooks() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"books show every row once, in order, over several pages": booksInOrder,
		"books of one instant add up while others write":          booksWhileWriting,
		"an error of the reader ends the reading":                 readerGivesUp,
		"empty books are no error":                                func(*testing.T, *desk) {},
	}
}

// booksInOrder has more journals than a page, several accounts that end within one, and one account
// that is longer than two.
func booksInOrder(t *testing.T, d *desk) {
	const journals = 520 // more than a page of journals, and two of entries
	wallets := make([]wallet, 7)
	for i := range wallets {
		wallets[i] = d.wallet(t, 0)
	}
	for i := range journals {
		d.must(t, d.deposit(wallets[i%len(wallets)].user, 1))
	}
	d.refused(t, d.deposit("nobody", 1), codeUnknown)
	err := d.ReadBooks(t.Context(), func(b storage.Books) error {
		for name, books := range map[string]storage.Books{"one instant": b, "any instant": d} {
			accounts, entries, posted, answers := rowsOf(t, books)
			ordered(t, name+": accounts", accounts, len(wallets)+1)
			ordered(t, name+": entries", entries, 2*journals)
			ordered(t, name+": journals", posted, journals)
			ordered(t, name+": answers", answers, journals+1)
			if n, err := books.CountEntries(t.Context()); err != nil || n != 2*journals {
				t.Errorf("%s: %d entries, %v; want %d", name, n, err, 2*journals)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// row is the key of a row, in the order of keys.
type row struct {
	a, b, c string
	n       int64
}

func (r row) before(other row) bool {
	return slices.Compare([]string{r.a, r.b, r.c}, []string{other.a, other.b, other.c}) < 0 ||
		r.a == other.a && r.b == other.b && r.c == other.c && r.n < other.n
}

func rowsOf(t *testing.T, b storage.Books) (accounts, entries, journals, answers []row) {
	t.Helper()
	err := errors.Join(
		b.AllAccounts(t.Context(), func(a storage.Account) error {
			accounts = append(accounts, row{a: string(a.ID)})
			return nil
		}),
		b.AllEntries(t.Context(), func(e storage.Entry) error {
			entries = append(entries, row{a: string(e.Account), n: e.Sequence})
			return nil
		}),
		b.AllJournals(t.Context(), func(j storage.Journal, e []storage.Entry) error {
			journals = append(journals, row{a: string(j.ID)})
			if len(e) != 2 || e[0].Journal != j.ID || e[1].Journal != j.ID || e[0].Account >= e[1].Account {
				t.Errorf("journal %s has entries %+v", j.ID, e)
			}
			return nil
		}),
		b.AllAnswers(t.Context(), func(k storage.IdempotencyKey, _ storage.Answer) error {
			answers = append(answers, row{a: string(k.User), b: string(k.Client), c: k.Key})
			return nil
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return accounts, entries, journals, answers
}

func ordered(t *testing.T, what string, rows []row, want int) {
	t.Helper()
	if len(rows) != want {
		t.Errorf("%s: %d, want %d", what, len(rows), want)
	}
	for i := 1; i < len(rows); i++ {
		if !rows[i-1].before(rows[i]) {
			t.Fatalf("%s: %+v comes before %+v", what, rows[i-1], rows[i])
		}
	}
}

// booksWhileWriting proves the books again and again while money moves, until enough has moved.
func booksWhileWriting(t *testing.T, d *desk) {
	const transfers, writers = 60, 3
	tom, amy := d.wallet(t, transfers*writers), d.wallet(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range transfers {
				if _, err := d.Post(t.Context(), d.transfer(tom, amy, 1)); err != nil {
					t.Errorf("transfer: %v", err)
				}
			}
		})
	}
	go func() {
		defer cancel()
		wg.Wait()
	}()
	for ctx.Err() == nil && !t.Failed() {
		d.prove(t)
	}
	<-ctx.Done()
	// The snapshot stands although money moves while it is open.
	err := d.ReadBooks(t.Context(), func(b storage.Books) error {
		before, err := b.CountEntries(t.Context())
		if err != nil {
			return err
		}
		d.must(t, d.deposit(tom.user, 1))
		if after, err := b.CountEntries(t.Context()); err != nil || after != before {
			t.Errorf("%d entries, then %d in one snapshot (%v)", before, after, err)
		}
		return proof(t.Context(), b)
	})
	if err != nil {
		t.Error(err)
	}
}

func readerGivesUp(t *testing.T, d *desk) {
	d.wallet(t, 1)
	enough := errors.New("enough")
	calls := 0
	stop := func() error { calls++; return enough }
	err := d.ReadBooks(t.Context(), func(b storage.Books) error {
		for name, err := range map[string]error{
			"accounts": b.AllAccounts(t.Context(), func(storage.Account) error { return stop() }),
			"entries":  b.AllEntries(t.Context(), func(storage.Entry) error { return stop() }),
			"journals": b.AllJournals(t.Context(), func(storage.Journal, []storage.Entry) error { return stop() }),
			"answers":  b.AllAnswers(t.Context(), func(storage.IdempotencyKey, storage.Answer) error { return stop() }),
		} {
			if err != enough { //nolint:errorlint // as it is, the contract says.
				t.Errorf("%s: %v", name, err)
			}
		}
		return enough
	})
	if err != enough || calls != 4 { //nolint:errorlint // as it is, the contract says.
		t.Errorf("%v after %d calls, want the reader's own error after one each", err, calls)
	}
	if got := (money.Amount{Minor: d.balance(t, d.wallet(t, 5)), Currency: cny}); got.Minor != 5 {
		t.Errorf("after giving up, a deposit leaves %v", got)
	}
}
