package books_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/resource/books"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const app = storage.ClientID("billing")

// ledger is a store in which tom and amy have moved money.
type ledger struct {
	db       *sqlstore.DB
	wallet   *wallet.Wallet
	tom, amy storage.UserID
	deposit  storage.JournalID // 1000 CNY to tom
	transfer storage.JournalID // 250 CNY from tom to amy
	back     storage.JournalID // 50 CNY from amy to tom
}

func newLedger(t *testing.T, e engine.Engine) *ledger {
	t.Helper()
	l := &ledger{db: e.Open(t), tom: storage.NewUserID(), amy: storage.NewUserID()}
	ctx, now := t.Context(), storage.Instant(time.Now())
	must(t, l.db.CreateClient(ctx, storage.Client{ID: app, Name: "b", Kind: storage.Confidential, CreatedAt: now, UpdatedAt: now}, nil))
	for name, id := range map[string]storage.UserID{"tom": l.tom, "amy": l.amy} {
		must(t, l.db.CreateUser(ctx, storage.User{ID: id, Username: name, CreatedAt: now, UpdatedAt: now}))
	}
	var err error
	l.wallet, err = wallet.New(wallet.Config{Ledger: l.db, Locker: free{}, Currencies: []money.Currency{"CNY", "USD"}})
	must(t, err)
	l.deposit = l.put(t, l.tom, 1000, "CNY")
	l.put(t, l.amy, 30, "USD")
	l.transfer = l.move(t, l.tom, l.amy, 250)
	l.back = l.move(t, l.amy, l.tom, 50)
	if refused := l.send(t, l.amy, l.tom, 5000); refused.Code != wallet.CodeInsufficientFunds {
		t.Fatalf("spending too much: %+v", refused)
	}
	return l
}

func (l *ledger) put(t *testing.T, user storage.UserID, minor int64, c money.Currency) storage.JournalID {
	t.Helper()
	out, err := l.wallet.Deposit(t.Context(), wallet.DepositOrder{
		Bearer: storage.Bearer{Client: app, IssuedAt: time.Now()}, User: user, Amount: money.Amount{Minor: minor, Currency: c},
		Reference: "r", Key: storage.NewID(time.Now()),
	})
	must(t, err)
	return out.Journal
}

func (l *ledger) send(t *testing.T, from, to storage.UserID, fen int64) wallet.Outcome {
	t.Helper()
	out, err := l.wallet.Transfer(t.Context(), wallet.TransferOrder{
		Bearer: storage.Bearer{Client: app, IssuedAt: time.Now()}, User: from, To: to, Amount: money.Amount{Minor: fen, Currency: "CNY"},
		Memo: "午饭", Key: storage.NewID(time.Now()),
	})
	must(t, err)
	return out
}

func (l *ledger) move(t *testing.T, from, to storage.UserID, fen int64) storage.JournalID {
	t.Helper()
	out := l.send(t, from, to, fen)
	if out.Code != "" {
		t.Fatalf("transfer: %s", out.Code)
	}
	return out.Journal
}

// free is a locker for tests in which nobody races.
type free struct{}

func (free) Lock(context.Context, storage.UserID, time.Duration) (storage.Lease, error) {
	return free{}, nil
}

func (free) Release(context.Context) {}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGoodBooksAreProven(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		l := newLedger(t, e)
		var last [2]int64
		report, err := books.Verify(t.Context(), l.db, books.Options{Progress: func(done, total int64) { last = [2]int64{done, total} }})
		must(t, err)
		want := books.Report{
			Accounts: 5, Entries: 8, Journals: 4, Answers: 5, Waiting: 4, Faults: []books.Fault{},
			TrialBalance: []books.Line{
				{Currency: "CNY", Class: "wallet", Accounts: 2, Balance: 1000}, {Currency: "CNY", Class: "world", Accounts: 1, Balance: -1000},
				{Currency: "USD", Class: "wallet", Accounts: 1, Balance: 30}, {Currency: "USD", Class: "world", Accounts: 1, Balance: -30},
			},
		}
		if diff := cmp.Diff(want, report); diff != "" || !report.OK() {
			t.Errorf("report (-want +got):\n%s", diff)
		}
		if last != [2]int64{16, 16} {
			t.Errorf("the last word on progress is %v, want 16 of 16", last)
		}
		lines, err := books.TrialBalance(t.Context(), l.db)
		must(t, err)
		if diff := cmp.Diff(want.TrialBalance, lines); diff != "" {
			t.Errorf("trial balance (-want +got):\n%s", diff)
		}
	})
}

// Answers are trimmed after a while, journals never: the old ones are not missed, the younger ones are.
func TestTrimmedAnswersAreNotMissed(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		l := newLedger(t, e)
		horizon := time.Now().Add(5 * time.Millisecond)
		for time.Now().Before(horizon.Add(2 * time.Millisecond)) { // until younger journals can be told from older ones
			time.Sleep(time.Millisecond)
		}
		if n, err := l.db.Trim(t.Context(), storage.TrimAnswers, horizon, storage.MaxTrim); n != 5 || err != nil {
			t.Fatalf("trimmed %d answers, %v", n, err)
		}
		younger := l.put(t, l.tom, 7, "CNY")
		report, err := books.Verify(t.Context(), l.db, books.Options{})
		must(t, err)
		if !report.OK() || report.Answers != 1 || report.Journals != 5 {
			t.Fatalf("%+v", report)
		}
		_, err = e.Raw(t).ExecContext(t.Context(), "DELETE FROM answers")
		must(t, err)
		report, err = books.Verify(t.Context(), l.db, books.Options{})
		must(t, err)
		if report.FaultCount != 1 || report.Faults[0].Check != books.AnswerMissing || report.Faults[0].Journal != younger {
			t.Fatalf("%+v", report)
		}
	})
}

func TestEmptyBooksAreProven(t *testing.T) {
	t.Parallel()
	report, err := books.Verify(t.Context(), engine.Open(t), books.Options{})
	must(t, err)
	if !report.OK() || report.Accounts != 0 {
		t.Errorf("got %+v", report)
	}
}

// tampering is what somebody with the database at hand did, and how the report names it.
type tampering struct {
	name string
	do   string
	want []string // beginnings of the lines of the report, all of them
}

func (l *ledger) tamperings() []tampering {
	tom, amy := storage.WalletAccount(l.tom, "CNY"), storage.WalletAccount(l.amy, "CNY")
	world := storage.WorldAccount("CNY")
	f := fmt.Sprintf
	return []tampering{
		{"a balance raised", f("UPDATE accounts SET balance = balance + 1 WHERE account_id = '%s'", tom), []string{
			f("account_balance account %s: balance 801", tom), "trial_balance currency CNY: wallets come to 1001",
		}},
		{"a version raised", f("UPDATE accounts SET version = version + 1 WHERE account_id = '%s'", tom), []string{
			f("account_version account %s: version 4", tom),
		}},
		{"an account in another currency", f("UPDATE accounts SET currency = 'EUR' WHERE account_id = '%s'", amy), []string{
			f("account_name account %s", amy), f("entry_currency account %s journal %s entry 1", amy, l.transfer), f("entry_currency account %s journal %s entry 2", amy, l.back),
			"trial_balance currency CNY", "trial_balance currency EUR",
		}},
		{"an account given away", f("UPDATE accounts SET user_id = '%s' WHERE account_id = '%s'", l.tom, amy), []string{
			f("account_name account %s", amy),
		}},
		{"an account deleted", f("DELETE FROM accounts WHERE account_id = '%s'", amy), []string{
			f("account_missing account %s journal %s entry 1", amy, l.transfer), "trial_balance currency CNY",
		}},
		{"an entry changed", f("UPDATE entries SET amount = amount - 1 WHERE account_id = '%s' AND sequence = 2", tom), []string{
			f("entry_balance account %s journal %s entry 2: balance 750 after 1000 and -251", tom, l.transfer),
			f("journal_unbalanced journal %s currency CNY: its entries sum to -1", l.transfer),
			f("journal_entries account %s journal %s entry 2", tom, l.transfer),
		}},
		{"an entry's balance changed", f("UPDATE entries SET balance_after = 5 WHERE account_id = '%s' AND sequence = 2", tom), []string{
			f("entry_balance account %s journal %s entry 2", tom, l.transfer), f("entry_balance account %s journal %s entry 3", tom, l.back),
		}},
		{"an overdraft in the past", f("UPDATE entries SET balance_after = -5 WHERE account_id = '%s' AND sequence = 2", tom), []string{
			f("entry_balance account %s journal %s entry 2", tom, l.transfer), f("overdraft account %s journal %s entry 2: the wallet stood at -5", tom, l.transfer),
			f("entry_balance account %s journal %s entry 3", tom, l.back),
		}},
		{"an entry renumbered", f("UPDATE entries SET sequence = 9 WHERE account_id = '%s' AND sequence = 3", tom), []string{
			f("entry_sequence account %s journal %s entry 9: comes after number 2", tom, l.back), f("account_version account %s", tom),
		}},
		{"the last entry deleted", f("DELETE FROM entries WHERE account_id = '%s' AND sequence = 3", tom), []string{
			f("account_balance account %s: balance 800 where its entries come to 750", tom), f("account_version account %s", tom),
			f("journal_unbalanced journal %s", l.back), f("journal_entries journal %s: 1 entries", l.back),
		}},
		{"an entry in another currency", f("UPDATE entries SET currency = 'USD' WHERE account_id = '%s' AND sequence = 1", amy), []string{
			f("entry_currency account %s journal %s entry 1", amy, l.transfer),
			f("journal_unbalanced journal %s currency CNY", l.transfer), f("journal_unbalanced journal %s currency USD", l.transfer),
			f("journal_entries account %s journal %s entry 1", amy, l.transfer),
		}},
		{"an entry's memo changed", f("UPDATE entries SET memo = 'rent' WHERE account_id = '%s' AND sequence = 1", amy), []string{
			f("journal_entries account %s journal %s entry 1", amy, l.transfer),
		}},
		{"an entry backdated", f("UPDATE entries SET created_at = created_at - 1 WHERE account_id = '%s' AND sequence = 1", amy), []string{
			f("journal_entries account %s journal %s entry 1: the entry is of another time", amy, l.transfer),
		}},
		{"an entry of another's", f("UPDATE entries SET counterparty = '' WHERE account_id = '%s' AND sequence = 1", amy), []string{
			f("journal_entries account %s journal %s entry 1", amy, l.transfer),
		}},
		{"an entry in another journal", f("UPDATE entries SET journal_id = '%s' WHERE account_id = '%s' AND sequence = 1", l.back, amy), []string{
			f("journal_unbalanced journal %s", l.transfer), f("journal_entries journal %s: 1 entries", l.transfer),
			f("journal_unbalanced journal %s", l.back), f("journal_entries journal %s: 3 entries", l.back),
		}},
		{"a journal deleted", f("DELETE FROM journals WHERE journal_id = '%s'", l.transfer), []string{
			f("journal_missing account %s journal %s entry 1", amy, l.transfer), f("journal_missing account %s journal %s entry 2", tom, l.transfer),
			f("journal_missing journal %s key", l.transfer), f("journal_missing journal %s: it waits to be sealed", l.transfer),
		}},
		{"a journal's amount changed", f("UPDATE journals SET amount = 251 WHERE journal_id = '%s'", l.transfer), []string{
			f("journal_entries account %s journal %s entry 2", tom, l.transfer), f("journal_entries account %s journal %s entry 1", amy, l.transfer),
			f("answer_mismatch journal %s key", l.transfer),
		}},
		{"a journal's recipient changed", f("UPDATE journals SET to_user = '%s' WHERE journal_id = '%s'", l.amy, l.deposit), []string{
			f("journal_entries account %s journal %s entry 1", world, l.deposit), f("journal_entries journal %s: no entry on %s", l.deposit, amy),
		}},
		{"a journal of no kind", f("UPDATE journals SET kind = 'gift' WHERE journal_id = '%s'", l.transfer), []string{
			f("journal_entries journal %s: its kind is \"gift\"", l.transfer),
		}},
		{"an answer deleted", f("DELETE FROM answers WHERE journal_id = '%s'", l.transfer), []string{
			f("answer_missing journal %s: no recorded answer", l.transfer),
		}},
		{"an answer's amount changed", f("UPDATE answers SET body = REPLACE(body, '250', '205') WHERE journal_id = '%s'", l.transfer), []string{
			f("answer_mismatch journal %s key billing %s", l.transfer, l.tom),
		}},
		{"an answer of another journal", f("UPDATE answers SET journal_id = '%s' WHERE journal_id = '%s'", l.back, l.transfer), []string{
			f("answer_mismatch journal %s key", l.back), f("answer_missing journal %s", l.transfer), f("answer_mismatch journal %s key", l.back),
		}},
		{"an answer that cannot be read", f("UPDATE answers SET body = 'yes' WHERE journal_id = '%s'", l.transfer), []string{
			f("answer_mismatch journal %s key billing %s", l.transfer, l.tom),
		}},
		{"an answer of nothing", "UPDATE answers SET code = '' WHERE code <> ''", []string{
			f("answer_mismatch key billing %s", l.amy),
		}},
		{"a refusal of a journal", f("UPDATE answers SET code = 'no' WHERE journal_id = '%s'", l.transfer), []string{
			f("answer_mismatch journal %s key billing", l.transfer), f("answer_missing journal %s", l.transfer),
		}},
	}
}

func TestTamperingIsNamed(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		// One copy of the books for each kind of tampering on the embedded engine; on a server, where a
		// database costs more, those of one in four.
		l := newLedger(t, e)
		for i, kind := range l.tamperings() {
			if e.Name != "sqlite" && i%4 != 0 {
				continue
			}
			t.Run(kind.name, func(t *testing.T) {
				e := e
				if e.Name == "sqlite" {
					e = engine.SQLite(t)
				} else {
					e = engine.MySQL(t)
				}
				l := newLedger(t, e)
				kind := l.tamperings()[i]
				result, err := e.Raw(t).ExecContext(t.Context(), kind.do)
				must(t, err)
				if n, err := result.RowsAffected(); err != nil || n != 1 {
					t.Fatalf("%d rows changed, %v", n, err)
				}
				report, err := books.Verify(t.Context(), l.db, books.Options{})
				must(t, err)
				compare(t, kind.want, report)
			})
		}
	})
}

// compare matches the faults of a report with the beginnings of their lines, in any order.
func compare(t *testing.T, want []string, report books.Report) {
	t.Helper()
	if report.OK() || int64(len(report.Faults)) != report.FaultCount {
		t.Errorf("%d faults, %d named", report.FaultCount, len(report.Faults))
	}
	left := append([]books.Fault(nil), report.Faults...)
next:
	for _, w := range want {
		for i, f := range left {
			if strings.HasPrefix(f.String(), w) {
				left = append(left[:i], left[i+1:]...)
				continue next
			}
		}
		t.Errorf("not named: %s", w)
	}
	for _, f := range left {
		t.Errorf("named too: %s", f)
	}
}

// TestAnOverdraftThatTheEngineLetThroughIsNamed tampers with what the engine's CHECK constraint would refuse.
func TestAnOverdraftThatTheEngineLetThroughIsNamed(t *testing.T) {
	t.Parallel()
	e := engine.SQLite(t)
	l := newLedger(t, e)
	raw := e.Raw(t)
	raw.SetMaxOpenConns(1)
	for _, statement := range []string{
		"PRAGMA ignore_check_constraints = ON",
		fmt.Sprintf("UPDATE accounts SET held = 900 WHERE account_id = '%s'", storage.WalletAccount(l.tom, "CNY")),
	} {
		_, err := raw.ExecContext(t.Context(), statement)
		must(t, err)
	}
	report, err := books.Verify(t.Context(), l.db, books.Options{})
	must(t, err)
	tom := storage.WalletAccount(l.tom, "CNY")
	compare(t, []string{
		fmt.Sprintf("overdraft account %s: balance 800, held 900, available -100", tom),
		fmt.Sprintf("hold_mismatch account %s: held 900 where its holds come to 0", tom),
	}, report)
}

func TestFaultsAreBoundedAndCounted(t *testing.T) {
	t.Parallel()
	e := engine.SQLite(t)
	l := newLedger(t, e)
	for range 120 {
		l.move(t, l.tom, l.amy, 1)
	}
	_, err := e.Raw(t).ExecContext(t.Context(), "DELETE FROM answers WHERE code = ''")
	must(t, err)
	_, err = e.Raw(t).ExecContext(t.Context(), "UPDATE entries SET memo = 'x'")
	must(t, err)
	report, err := books.Verify(t.Context(), l.db, books.Options{})
	must(t, err)
	if len(report.Faults) != books.MaxFaults || report.FaultCount < 248 {
		t.Errorf("%d faults named of %d, want %d of at least 248", len(report.Faults), report.FaultCount, books.MaxFaults)
	}
}

func TestBooksAreReadAtOneInstantWhileMoneyMoves(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		l := newLedger(t, e)
		for range 3 {
			moved := false
			report, err := books.Verify(t.Context(), &meanwhile{l.db, func() {
				if !moved {
					moved = true
					l.move(t, l.tom, l.amy, 1)
				}
			}}, books.Options{})
			must(t, err)
			if !moved || !report.OK() {
				t.Errorf("moved: %t, faults: %v", moved, report.Faults)
			}
		}
	})
}

// meanwhile does something between the accounts and the entries of a snapshot.
type meanwhile struct {
	storage.Bookkeeper
	do func()
}

// ReadBooks implements storage.Bookkeeper.
func (m *meanwhile) ReadBooks(ctx context.Context, f func(storage.Books) error) error {
	return m.Bookkeeper.ReadBooks(ctx, func(b storage.Books) error { return f(meanwhileBooks{b, m.do}) })
}

type meanwhileBooks struct {
	storage.Books
	do func()
}

// AllEntries implements storage.Books.
func (m meanwhileBooks) AllEntries(ctx context.Context, each func(storage.Entry) error) error {
	m.do()
	return m.Books.AllEntries(ctx, each)
}

func TestBooksThatCannotBeReadAreNoReport(t *testing.T) {
	t.Parallel()
	l := newLedger(t, engine.SQLite(t))
	for _, step := range []string{"accounts", "entries", "journals", "answers", "count"} {
		broken := errors.New("disk gone while reading " + step)
		report, err := books.Verify(t.Context(), &faulty{l.db, step, broken}, books.Options{})
		if !errors.Is(err, broken) || report.Accounts != 0 {
			t.Errorf("%s: %+v, %v", step, report, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := books.Verify(ctx, l.db, books.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// faulty is a bookkeeper one of whose readings fails.
type faulty struct {
	storage.Bookkeeper
	step string
	err  error
}

// ReadBooks implements storage.Bookkeeper.
func (f *faulty) ReadBooks(ctx context.Context, use func(storage.Books) error) error {
	return f.Bookkeeper.ReadBooks(ctx, func(b storage.Books) error { return use(faultyBooks{b, f}) })
}

type faultyBooks struct {
	storage.Books
	f *faulty
}

func (b faultyBooks) AllAccounts(ctx context.Context, each func(storage.Account) error) error {
	if err := b.Books.AllAccounts(ctx, each); err != nil || b.f.step != "accounts" {
		return err
	}
	return b.f.err
}

func (b faultyBooks) AllEntries(ctx context.Context, each func(storage.Entry) error) error {
	if err := b.Books.AllEntries(ctx, each); err != nil || b.f.step != "entries" {
		return err
	}
	return b.f.err
}

func (b faultyBooks) JournalsFrom(ctx context.Context, from storage.JournalID, each func(storage.Journal, []storage.Entry) error) error {
	if err := b.Books.JournalsFrom(ctx, from, each); err != nil || b.f.step != "journals" {
		return err
	}
	return b.f.err
}

func (b faultyBooks) AllAnswers(ctx context.Context, each func(storage.IdempotencyKey, storage.Answer) error) error {
	if err := b.Books.AllAnswers(ctx, each); err != nil || b.f.step != "answers" {
		return err
	}
	return b.f.err
}

func (b faultyBooks) CountEntries(ctx context.Context) (int64, error) {
	if b.f.step == "count" {
		return 0, b.f.err
	}
	return b.Books.CountEntries(ctx)
}
