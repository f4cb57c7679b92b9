package books

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

const progressEvery = 1024 // entries between two calls of progress

// Options say how to verify; the zero value verifies everything.
type Options struct {
	// Progress, if not nil, is told how many of how many entries have been read, each entry counting twice: once in
	// its account and once in its journal; the total is an estimate.
	Progress func(done, total int64)
	// After is the head that an earlier run has proven: what it proved is not proven again.
	After *Anchor
	// ExpectHead is a block that was written down elsewhere.
	ExpectHead *Anchor
}

// Verify proves the books in one snapshot. An error says that the books could not be read; what is wrong
// with them is in the report.
func Verify(ctx context.Context, keeper storage.Bookkeeper, o Options) (Report, error) {
	var report Report
	err := keeper.ReadBooks(ctx, func(b storage.Books) error {
		// Made anew in here: a snapshot that was lost is read again from the start.
		v := &verifier{
			books: b, opts: o, sums: newTrial(), entries: newMatcher(), answers: newMatcher(), origins: newMatcher(), held: newHistory(),
		}
		v.report.Faults = []Fault{}
		if err := v.run(ctx); err != nil {
			return err
		}
		report = v.report
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify books: %w", err)
	}
	return report, nil
}

// TrialBalance adds up all accounts by currency and class, in one snapshot.
func TrialBalance(ctx context.Context, keeper storage.Bookkeeper) ([]Line, error) {
	var lines []Line
	err := keeper.ReadBooks(ctx, func(b storage.Books) error {
		var report Report
		sums := newTrial()
		err := b.AllAccounts(ctx, func(a storage.Account) error {
			sums.add(&report, a)
			return nil
		})
		if err == nil && !report.OK() {
			err = fmt.Errorf("%w: %s", money.ErrRange, report.Faults[0])
		}
		lines = sums.lines()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("trial balance: %w", err)
	}
	return lines, nil
}

// verifier is the state of one run.
type verifier struct {
	books   storage.Books
	report  Report
	opts    Options
	done    int64
	total   int64
	sums    *trial
	entries *matcher // entries by account against entries by journal
	answers *matcher // journals against answers
	origins *matcher // holds and reversals against their journals
	held    *history
	// start is from which journal on journals are proven; those before were proven by an earlier run.
	start storage.JournalID
	// answered is the time from which on journals have their answers; older ones may have been trimmed.
	answered time.Time
}

// forgotten says whether the answer of a journal is of no concern: it may have been trimmed, or an earlier run has
// proven it. It is judged by the identifier,
// which journals and answers have in common, so that both are passed over or neither.
func (v *verifier) forgotten(id storage.JournalID) bool {
	at, ok := storage.IDTime(string(id))
	return id < v.start || ok && at.Before(v.answered)
}

func (v *verifier) run(ctx context.Context) error {
	n, err := v.books.CountEntries(ctx)
	if err != nil {
		return fmt.Errorf("count entries: %w", err)
	}
	v.total = 2 * n
	if v.answered, err = v.books.AnswersFrom(ctx); err != nil {
		return fmt.Errorf("read how far answers are trimmed: %w", err)
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"read the sealed chain", v.sealedChain}, {"read holds", v.holds},
		{"read accounts", v.accounts}, {"read journals", v.journals}, {"read answers", v.recorded},
		{"read the rest of the holds", v.moreHolds},
		{"find orphans", v.orphans}, {"match answers", v.unanswered}, {"match holds and reversals", v.unrelated},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	v.sums.check(&v.report)
	v.report.TrialBalance = v.sums.lines()
	v.step(0)
	return nil
}

func (v *verifier) step(n int64) {
	v.done += n
	if v.opts.Progress != nil && (n == 0 || v.done%progressEvery == 0) {
		v.opts.Progress(v.done, max(v.total, v.done))
	}
}

// pull turns a reader of books into a stream that is read at the caller's pace. err is good once the
// stream has ended.
func pull[T any](read func(each func(T) error) error, err *error) (next func() (T, bool), stop func()) {
	return iter.Pull(func(yield func(T) bool) {
		*err = read(func(item T) error {
			if !yield(item) {
				return errStopped
			}
			return nil
		})
	})
}

// accounts checks every account against its entries and its holds.
func (v *verifier) accounts(ctx context.Context) error { return v.follow(ctx, &v.report, true) }

// moreHolds goes through the accounts again, for the holds that memory had no room for. What else is wrong with an
// account was told the first time.
func (v *verifier) moreHolds(ctx context.Context) error {
	for v.held.part++; v.held.part < v.held.parts; v.held.part++ {
		v.held.events = v.held.events[:0]
		err := v.books.AllHeld(ctx, func(span storage.HeldSpan) error {
			v.held.add(&span)
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		slices.SortFunc(v.held.events, inTime)
		if err := v.follow(ctx, &Report{}, false); err != nil {
			return err
		}
	}
	return nil
}

// follow goes through accounts and entries. What is wrong with accounts goes into report, what is wrong with holds into
// that of the verifier.
func (v *verifier) follow(ctx context.Context, report *Report, first bool) error {
	var readErr error
	next, stop := pull(func(each func(storage.Account) error) error { return v.books.AllAccounts(ctx, each) }, &readErr)
	defer stop()
	c := &chain{report: report, holds: &v.report}
	account, more := next()
	take := func() {
		if first {
			v.report.Accounts++
			v.sums.add(report, account)
		}
		c.begin(account)
		if v.held.has(account.ID) {
			c.hold(v.held.of(&v.report, account.ID))
		}
		account, more = next()
	}
	err := v.books.AllEntries(ctx, func(e storage.Entry) error {
		if first {
			v.report.Entries++
			if e.Journal >= v.start {
				v.entries.add(string(e.Journal))
			}
			v.step(1)
		}
		for more && account.ID <= e.Account {
			c.end()
			take()
		}
		c.entry(e)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for more {
		c.end()
		take()
	}
	c.end()
	v.held.of(&v.report, "")
	return readErr
}

// journals checks every journal and its entries.
func (v *verifier) journals(ctx context.Context) error {
	places, stop, err := v.openPlaces(ctx)
	if err != nil {
		return err
	}
	defer stop()
	back, stop := v.openReversals(ctx)
	defer stop()
	err = v.books.JournalsFrom(ctx, v.start, func(j storage.Journal, entries []storage.Entry) error {
		v.report.Journals++
		places.check(&j, entries)
		if err := back.check(ctx, &j); err != nil {
			return err
		}
		if f, ok := journalFact(&j); ok {
			v.origins.subtract(f.String())
		}
		checkJournal(&v.report, j, entries)
		for _, e := range entries {
			v.entries.subtract(string(e.Journal))
			v.step(1)
		}
		if !v.forgotten(j.ID) {
			v.answers.add(factsOf(j))
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return cmp.Or(places.end(), back.end(ctx))
}

// recorded checks every idempotency record by itself, and notes what it tells.
func (v *verifier) recorded(ctx context.Context) error {
	return v.books.AllAnswers(ctx, func(k storage.IdempotencyKey, a storage.Answer) error {
		v.report.Answers++
		if facts, ok := checkAnswer(&v.report, k, a); ok && !v.forgotten(a.Journal) {
			v.answers.subtract(facts)
		}
		return ctx.Err()
	})
}

// chain follows the entries of one account after the other.
type chain struct {
	report  *Report
	account storage.Account
	open    bool
	// missing is the account of entries that have none, so that it is told once.
	missing  storage.AccountID
	balance  int64
	sequence int64
	// events are what is to come of the account's holds, and held what is held; whole says that the part of the account
	// is being looked at, and known that it is recorded when all of that happened. Faults of it go into holds.
	holds        *Report
	events       []heldEvent
	held         int64
	whole, known bool
}

// hold takes the holds of the account just begun.
func (c *chain) hold(events []heldEvent) {
	c.events, c.held, c.whole = events, 0, true
	c.known = !slices.ContainsFunc(events, func(e heldEvent) bool { return !e.known })
	if !c.known {
		c.holds.UnknownHolds++
	}
}

// happen lets happen what comes before an entry of a sequence, or with it.
func (c *chain) happen(sequence int64, with bool) {
	for len(c.events) > 0 && c.known && (c.events[0].sequence < sequence || with && c.events[0].sequence == sequence && c.events[0].rank < 0) {
		e := c.events[0]
		c.events = c.events[1:]
		c.held += e.delta
		if e.delta > 0 && !with {
			c.covered(e.journal)
		}
	}
}

// covered checks that no more is held than there is.
func (c *chain) covered(by storage.JournalID) {
	if c.account.User != "" && c.held > c.balance && c.balance >= 0 {
		c.holds.fault(Fault{Check: Overdraft, Account: c.account.ID, Journal: by, Sequence: c.sequence}, "%d was held of %d", c.held, c.balance)
	}
}

func (c *chain) begin(a storage.Account) {
	c.account, c.open, c.balance, c.sequence = a, true, 0, 0
	c.events, c.whole, c.known = nil, false, false
	at := Fault{Check: AccountName, Account: a.ID}
	name := storage.WalletAccount(a.User, a.Currency)
	if a.User == "" {
		name = storage.WorldAccount(a.Currency)
	}
	if a.ID != name {
		c.report.fault(at, "its owner and currency call it %s", name)
	}
	if a.User != "" && (a.Held < 0 || a.Available() < 0 || a.Balance < 0) {
		at.Check = Overdraft
		c.report.fault(at, "balance %d, held %d, available %d", a.Balance, a.Held, a.Available())
	}
}

func (c *chain) entry(e storage.Entry) {
	at := Fault{Account: e.Account, Sequence: e.Sequence, Journal: e.Journal}
	if !c.open || c.account.ID != e.Account {
		if c.missing != e.Account {
			c.missing = e.Account
			at.Check = AccountMissing
			c.report.fault(at, "an entry on an account that is not there")
		}
		return
	}
	if e.Sequence != c.sequence+1 {
		at.Check = EntrySequence
		c.report.fault(at, "comes after number %d", c.sequence)
	}
	if e.Currency != c.account.Currency {
		at.Check = EntryCurrency
		c.report.fault(at, "in %s on an account in %s", e.Currency, c.account.Currency)
	}
	sum, err := money.Add(c.balance, e.Amount)
	if err != nil || sum != e.BalanceAfter {
		at.Check = EntryBalance
		c.report.fault(at, "balance %d after %d and %d", e.BalanceAfter, c.balance, e.Amount)
	}
	if c.account.User != "" && e.BalanceAfter < 0 {
		at.Check = Overdraft
		c.report.fault(at, "the wallet stood at %d", e.BalanceAfter)
	}
	c.happen(e.Sequence, false)
	c.happen(e.Sequence, true)
	// Going on from what the entry says, one wrong entry is one fault and not all that follow.
	c.balance, c.sequence = e.BalanceAfter, e.Sequence
	if c.known {
		c.covered(e.Journal)
	}
}

func (c *chain) end() {
	if !c.open {
		return
	}
	c.open = false
	c.happen(math.MaxInt64, false)
	for _, e := range c.events { // of which it is not known when they happened
		c.held += e.delta
	}
	if c.whole && c.held != c.account.Held {
		c.holds.fault(Fault{Check: HoldMismatch, Account: c.account.ID}, "held %d where its holds come to %d", c.account.Held, c.held)
	}
	at := Fault{Check: AccountBalance, Account: c.account.ID}
	if c.account.Balance != c.balance {
		c.report.fault(at, "balance %d where its entries come to %d", c.account.Balance, c.balance)
	}
	if c.account.Version != c.sequence {
		at.Check = AccountVersion
		c.report.fault(at, "version %d where its last entry is number %d", c.account.Version, c.sequence)
	}
}
