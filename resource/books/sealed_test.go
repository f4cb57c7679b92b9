package books_test

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/books"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/seal"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// sealedLedger is a ledger with holds and reversals, all of it sealed, four journals to a block.
type sealedLedger struct {
	*ledger
	open, captured, capture, voided, void, reversal storage.JournalID
	head                                            books.Anchor
}

func newSealedLedger(t *testing.T, e engine.Engine) *sealedLedger {
	t.Helper()
	l := &sealedLedger{ledger: newLedger(t, e)}
	l.open, l.captured, l.voided = l.hold(t, 100), l.hold(t, 60), l.hold(t, 30)
	app := storage.Bearer{Client: app, IssuedAt: time.Now()}
	out, err := l.wallet.Capture(t.Context(), wallet.CaptureOrder{Bearer: app, Hold: l.captured, Amount: 45, Key: storage.NewID(time.Now())})
	must(t, err)
	l.capture = out.Journal
	out, err = l.wallet.Void(t.Context(), wallet.VoidOrder{Bearer: app, Hold: l.voided, Key: storage.NewID(time.Now())})
	must(t, err)
	l.void = out.Journal
	out, err = l.wallet.Reverse(t.Context(), wallet.ReversalOrder{Bearer: app, Original: l.transfer, Amount: 20, Key: storage.NewID(time.Now())})
	must(t, err)
	l.reversal = out.Journal
	l.seal(t)
	for { // all that is there is taken note of
		n, err := l.db.Enrol(t.Context(), time.Now().Add(time.Minute), storage.MaxSeal)
		must(t, err)
		if n == 0 {
			return l
		}
	}
}

func (l *sealedLedger) hold(t *testing.T, fen int64) storage.JournalID {
	t.Helper()
	out, err := l.wallet.Hold(t.Context(), wallet.HoldOrder{
		Bearer: storage.Bearer{Client: app, IssuedAt: time.Now()}, User: l.tom, To: l.amy,
		Amount: money.Amount{Minor: fen, Currency: "CNY"}, Key: storage.NewID(time.Now()),
	})
	must(t, err)
	if out.Code != "" {
		t.Fatalf("hold: %s", out.Code)
	}
	return out.Journal
}

// seal seals what waits, and writes the head down.
func (l *sealedLedger) seal(t *testing.T) {
	t.Helper()
	for {
		n, err := l.db.Seal(t.Context(), 4, time.Now())
		must(t, err)
		if n == 0 {
			break
		}
	}
	head, err := l.db.Head(t.Context())
	must(t, err)
	l.head = books.Anchor{Block: head.Number, Hash: head.Hash}
}

// rehash makes the hashes of a block right again, and those of all after it if told to, as somebody would who knows how.
func (l *sealedLedger) rehash(t *testing.T, raw *sql.DB, from int64, toTheEnd bool) {
	t.Helper()
	var hasher seal.Hasher
	for n := from; ; n++ {
		b, err := l.db.Block(t.Context(), n)
		if errors.Is(err, storage.ErrNotFound) {
			return
		}
		must(t, err)
		if n > 1 {
			before, err := l.db.Block(t.Context(), n-1)
			must(t, err)
			b.Previous = before.Hash
		}
		list, err := l.db.SealedAfter(t.Context(), b.First-1, int(b.Journals))
		must(t, err)
		sum := seal.NewBlock(&b)
		for _, s := range list {
			s.Seal.Leaf = hasher.Leaf(&s.Journal, s.Entries)
			_, err := raw.ExecContext(t.Context(), "UPDATE seals SET leaf = ? WHERE number = ?", s.Seal.Leaf[:], s.Seal.Number)
			must(t, err)
			sum.Add(&s.Seal)
		}
		hash := sum.Sum()
		_, err = raw.ExecContext(t.Context(), "UPDATE blocks SET hash = ?, previous_hash = ? WHERE block = ?", hash[:], b.Previous[:], n)
		must(t, err)
		if !toTheEnd {
			return
		}
	}
}

// sealedTampering is what somebody did to a sealed ledger, and how the report names it.
type sealedTampering struct {
	name string
	do   []string
	then func(t *testing.T, raw *sql.DB)
	want []string // beginnings of the lines of the report, all of them
}

func (l *sealedLedger) tamperings() []sealedTampering {
	tom, amy := storage.WalletAccount(l.tom, "CNY"), storage.WalletAccount(l.amy, "CNY")
	f := fmt.Sprintf
	changed := func(id storage.JournalID) string { return f("seal_mismatch journal %s block", id) }
	memo := f("UPDATE journals SET memo = 'rent' WHERE journal_id = '%s'", l.transfer)
	memos := []string{memo, f("UPDATE entries SET memo = 'rent' WHERE journal_id = '%s'", l.transfer)}
	return []sealedTampering{
		{name: "an amount changed everywhere", do: []string{
			f("UPDATE journals SET amount = 90 WHERE journal_id = '%s'", l.open), f("UPDATE holds SET amount = 90 WHERE hold_id = '%s'", l.open),
			f("UPDATE accounts SET held = 90 WHERE account_id = '%s'", tom), f("UPDATE answers SET body = REPLACE(body, '100', '90') WHERE journal_id = '%s'", l.open),
		}, want: []string{changed(l.open)}},
		{name: "an entry deleted", do: []string{f("DELETE FROM entries WHERE account_id = '%s' AND sequence = 1", amy)}, want: []string{
			changed(l.transfer), f("entry_sequence account %s journal %s entry 2", amy, l.back), f("entry_balance account %s journal %s entry 2", amy, l.back),
			f("journal_unbalanced journal %s", l.transfer), f("journal_entries journal %s", l.transfer),
		}},
		{name: "a journal deleted with its entries and its answer", do: []string{
			f("DELETE FROM journals WHERE journal_id = '%s'", l.void), f("DELETE FROM answers WHERE journal_id = '%s'", l.void),
			f("UPDATE holds SET state = 'open', closed_by = '', closed_at = NULL WHERE hold_id = '%s'", l.voided),
			f("UPDATE accounts SET held = held + 30 WHERE account_id = '%s'", tom),
		}, want: []string{f("journal_missing journal %s block", l.void)}},
		{name: "balances swapped", do: []string{
			f("UPDATE entries SET balance_after = balance_after + 7 WHERE account_id = '%s' AND sequence = 2", tom),
			f("UPDATE entries SET balance_after = balance_after - 7 WHERE account_id = '%s' AND sequence = 1", amy),
		}, want: []string{
			f("entry_balance account %s journal %s entry 2", tom, l.transfer), f("entry_balance account %s journal %s entry 3", tom, l.back),
			f("entry_balance account %s journal %s entry 1", amy, l.transfer), f("entry_balance account %s journal %s entry 2", amy, l.back),
			changed(l.transfer),
		}},
		{name: "a memo changed", do: memos, want: []string{changed(l.transfer)}},
		{name: "a memo changed and its block made right", do: memos, then: func(t *testing.T, raw *sql.DB) { l.rehash(t, raw, 1, false) }, want: []string{
			"block_chain block 2: was made after a block 1",
		}},
		{name: "a memo changed and the chain made right to its end", do: memos, then: func(t *testing.T, raw *sql.DB) { l.rehash(t, raw, 1, true) }, want: []string{
			f("head_mismatch block %d: expected with hash %s", l.head.Block, l.head.Hash),
		}},
		{name: "the chain cut short", do: []string{"DELETE FROM seals WHERE block = 3", "DELETE FROM blocks WHERE block = 3"}, want: []string{
			f("seal_missing journal %s", l.void), f("seal_missing journal %s", l.reversal), "head_mismatch block 3",
		}},
		{name: "a hash changed", do: []string{"UPDATE blocks SET hash = previous_hash WHERE block = 2"}, want: []string{
			"block_hash block 2", "block_chain block 3: was made after a block 2",
		}},
		{name: "a seal moved", do: []string{"UPDATE seals SET after_fence = after_fence + 1 WHERE number = 6"}, want: []string{"block_hash block 2"}},
		{name: "a hold changed", do: []string{f("UPDATE holds SET amount = 99 WHERE hold_id = '%s'", l.open)}, want: []string{
			f("origin_mismatch journal %s: it is a hold of 100", l.open), f("hold_mismatch account %s: held 100 where its holds come to 99", tom),
		}},
		{name: "a hold reopened", do: []string{
			f("UPDATE holds SET state = 'open', closed_by = '', closed_at = NULL WHERE hold_id = '%s'", l.voided),
			f("UPDATE accounts SET held = held + 30 WHERE account_id = '%s'", tom),
		}, want: []string{f("origin_mismatch journal %s: no hold or reversal tells of it: void of 30", l.void)}},
		{name: "more captured", do: []string{f("UPDATE holds SET captured = 60 WHERE hold_id = '%s'", l.captured)}, want: []string{
			f("origin_mismatch journal %s: it is a capture of 45", l.capture),
		}},
		{name: "a reversal forgotten", do: []string{f("DELETE FROM reversals WHERE original_id = '%s'", l.transfer)}, want: []string{
			f("origin_mismatch journal %s: no hold or reversal tells of it: reversal of 20", l.reversal),
		}},
		{name: "a reversal of too much", do: []string{f("UPDATE reversals SET total = 251 WHERE original_id = '%s'", l.transfer)}, want: []string{
			f("reversal_mismatch journal %s: takes what is moved back of the transfer %s to 251 of 250", l.reversal, l.transfer),
			f("origin_mismatch journal %s", l.reversal),
		}},
		{name: "an answer changed", do: []string{f("UPDATE answers SET body = REPLACE(body, '45', '54') WHERE journal_id = '%s'", l.capture)}, want: []string{
			f("answer_mismatch journal %s", l.capture),
		}},
		{name: "more held than there was", do: []string{
			f("UPDATE seals SET after_sequence = 0 WHERE journal_id = '%s'", l.open),
		}, want: []string{
			"block_hash block 2", f("overdraft account %s journal %s: 100 was held of 0", tom, l.open),
		}},
	}
}

func TestTamperingWithWhatIsSealedIsNamed(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		l := newSealedLedger(t, e)
		report, err := books.Verify(t.Context(), l.db, books.Options{ExpectHead: &l.head})
		must(t, err)
		if !report.OK() || report.Sealed != 10 || report.Blocks != 3 || report.Holds != 3 || report.Waiting != 0 || *report.Head != l.head || report.UnknownHolds != 0 {
			t.Fatalf("%+v", report)
		}
		for i, kind := range l.tamperings() {
			t.Run(kind.name, func(t *testing.T) {
				t.Parallel()
				e := fresh(t, e)
				l := newSealedLedger(t, e)
				kind, raw := l.tamperings()[i], e.Raw(t)
				for _, statement := range kind.do {
					result, err := raw.ExecContext(t.Context(), statement)
					must(t, err)
					if n, err := result.RowsAffected(); err != nil || n < 1 {
						t.Fatalf("%d rows changed, %v: %s", n, err, statement)
					}
				}
				if kind.then != nil {
					kind.then(t, raw)
				}
				report, err := books.Verify(t.Context(), l.db, books.Options{ExpectHead: &l.head})
				must(t, err)
				compare(t, kind.want, report)
			})
		}
	})
}

// fresh makes a database on the same engine.
func fresh(t *testing.T, e engine.Engine) engine.Engine {
	t.Helper()
	if e.Name == "mysql" {
		return engine.MySQL(t)
	}
	return engine.SQLite(t)
}

// A later run goes on where an earlier one has come to, and proves what came after it.
func TestVerifyGoesOn(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		l := newSealedLedger(t, e)
		proven := l.head
		younger := l.move(t, l.tom, l.amy, 1)
		app := storage.Bearer{Client: app, IssuedAt: time.Now()}
		_, err := l.wallet.Reverse(t.Context(), wallet.ReversalOrder{Bearer: app, Original: l.transfer, Amount: 5, Key: storage.NewID(time.Now())})
		must(t, err)
		_, err = l.wallet.Void(t.Context(), wallet.VoidOrder{Bearer: app, Hold: l.open, Key: storage.NewID(time.Now())})
		must(t, err)
		l.seal(t)
		report, err := books.Verify(t.Context(), l.db, books.Options{After: &proven})
		must(t, err)
		if !report.OK() || report.Blocks != 1 || report.Sealed != 3 || report.Journals >= 10 || report.Head.Block != proven.Block+1 {
			t.Fatalf("%+v", report)
		}
		raw := e.Raw(t)
		for _, id := range []storage.JournalID{l.deposit, younger} {
			_, err := raw.ExecContext(t.Context(), fmt.Sprintf("UPDATE journals SET reference = 'x' WHERE journal_id = '%s'", id))
			must(t, err)
		}
		report, err = books.Verify(t.Context(), l.db, books.Options{After: &proven})
		must(t, err)
		compare(t, []string{fmt.Sprintf("seal_mismatch journal %s", younger)}, report)
		proven.Hash[0]++
		report, err = books.Verify(t.Context(), l.db, books.Options{After: &proven})
		must(t, err)
		compare(t, []string{fmt.Sprintf("seal_mismatch journal %s", younger), fmt.Sprintf("head_mismatch block %d", proven.Block)}, report)
	})
}
