package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

const maxAnswerBody = 8 << 10

// batch is some postings in one transaction: one for a posting of its own, many for a group.
//
// It runs in this order, which is the order of locks: bearers, accounts; then everything is decided
// in memory, one posting after the other against the balances that those before it leave; then it is
// written. A posting fails alone: its error stands on its item.
type batch struct {
	d     Dialect
	items []*item
	// users are those who must exist, and do.
	users map[storage.UserID]bool
	sheet sheet
	// missing are the accounts that have to be made first.
	missing map[storage.AccountID]storage.Account
	// holds are those that postings close, and origins the journals that they reverse, as the postings
	// decided so far leave them.
	holds   map[storage.JournalID]*storage.Hold
	origins map[storage.JournalID]*origin
	// opened, closed and reversals are what was decided about holds and reversals.
	opened, closed []*storage.Hold
	reversals      []reversal
}

// item is a posting and what becomes of it.
type item struct {
	storage.Posting
	// system says that the ledger asks by itself: nobody's token came with it.
	system bool
	// err is why nothing is recorded; nil if there is an answer to record.
	err error
	// answer is what is recorded; posted says that it is no refusal, and entries are its entries.
	answer  storage.Answer
	posted  bool
	entries []storage.Entry
	// after is where the account of the payer stands after it.
	after storage.Standing
}

func newBatch(d Dialect, postings []storage.Posting) *batch {
	b := &batch{
		d: d, items: make([]*item, len(postings)), users: map[storage.UserID]bool{}, sheet: sheet{},
		holds: map[storage.JournalID]*storage.Hold{}, origins: map[storage.JournalID]*origin{},
	}
	for i, p := range postings {
		p.Now = storage.Instant(p.Now)
		if p.Journal.CreatedAt.IsZero() {
			p.Journal.CreatedAt = p.Now
		}
		p.Journal.CreatedAt = storage.Instant(p.Journal.CreatedAt)
		b.items[i] = &item{Posting: p, err: sound(&p)}
	}
	return b
}

// sound refuses what no caller may ask for, before it can do harm.
func sound(p *storage.Posting) error {
	err := p.Journal.Amount.Movable()
	if p.Rest && p.Journal.Amount.Minor == 0 && p.Journal.Kind == storage.KindReversal {
		err = nil
	} else if p.Rest {
		err = fmt.Errorf("%s of %d asks for the rest", p.Journal.Kind, p.Journal.Amount.Minor)
	}
	if err != nil {
		return err
	}
	if p.From == p.To {
		return fmt.Errorf("account %s moves money to itself", p.From)
	}
	if p.Journal.ID == "" || p.Key.Key == "" || p.From == "" || p.To == "" {
		return errors.New("a posting needs a journal, a key and two accounts")
	}
	j := &p.Journal
	if !named(p.From, j.From, j.Amount.Currency) || !named(p.To, j.To, j.Amount.Currency) {
		return fmt.Errorf("accounts %s and %s are not those of users %q and %q in %q", p.From, p.To, j.From, j.To, j.Amount.Currency)
	}
	return shaped(p)
}

// shaped refuses a posting that is not what its kind says.
func shaped(p *storage.Posting) error {
	j := &p.Journal
	var parties, original bool
	switch j.Kind {
	case storage.KindTransfer:
		parties = j.From != "" && j.To != ""
	case storage.KindDeposit:
		parties = j.From == "" && j.To != ""
	case storage.KindWithdrawal:
		parties = j.From != "" && j.To == ""
	case storage.KindReversal:
		parties, original = true, true
	case storage.KindHold:
		parties = j.From != ""
	case storage.KindCapture, storage.KindVoid:
		parties, original = j.From != "", true
	default: // an expiry among them: nobody asks for one
		return fmt.Errorf("nobody posts a journal of kind %q", j.Kind)
	}
	if hold := j.Kind == storage.KindHold; hold != p.HoldUntil.After(p.Now) || !hold && !p.HoldUntil.IsZero() {
		return fmt.Errorf("%s until %v", j.Kind, p.HoldUntil)
	}
	if !parties || original != (j.Original != "") {
		return fmt.Errorf("%s from %q to %q of %q", j.Kind, j.From, j.To, j.Original)
	}
	return nil
}

// named says whether an account is called as those of its owner and currency are. One made under
// another's name would be theirs for good.
func named(id storage.AccountID, owner storage.UserID, currency money.Currency) bool {
	_, user := strings.CutPrefix(string(id), "user/")
	if owner != "" {
		user = strings.HasPrefix(string(id), "user/"+string(owner)+"/")
	}
	return user == (owner != "") && strings.HasSuffix(string(id), "/"+string(currency))
}

// run does everything but the commit. Its error concerns all items.
func (b *batch) run(ctx context.Context, tx *sql.Tx) error {
	if err := b.checkBearers(ctx, tx); err != nil {
		return err
	}
	if err := b.lockAccounts(ctx, tx); err != nil {
		return err
	}
	if err := b.lockOrigins(ctx, tx); err != nil {
		return err
	}
	for _, it := range b.pending() {
		b.decide(it)
	}
	return b.record(ctx, tx)
}

// pending are the items that nothing stands against so far.
func (b *batch) pending() []*item {
	var list []*item
	for _, it := range b.items {
		if it.err == nil {
			list = append(list, it)
		}
	}
	return list
}

// missing says that the posting needs a user who is not there.
func (it *item) missing(users map[storage.UserID]bool) bool {
	return it.MustExist != "" && !users[it.MustExist]
}

// decide settles one posting against the accounts as those before it leave them. An answer that cannot
// be recorded is a fault of the caller, found before anything has moved.
func (b *batch) decide(it *item) {
	err := storage.ErrNotFound
	if !it.missing(b.users) {
		err = b.allows(&it.Posting)
	}
	switch {
	case err == nil:
		it.ask(func() storage.Answer { return it.Success(it.Journal) })
		it.answer.Journal, it.answer.Code = it.Journal.ID, ""
	case ofBusiness(err) && !it.system:
		it.ask(func() storage.Answer { return it.Refuse(err) })
		it.answer.Journal = ""
		if it.err == nil && it.answer.Code == "" {
			it.err = fmt.Errorf("refusal without a code: %w", err)
		}
	default:
		it.err = err
	}
	if it.err == nil && len(it.answer.Body) > maxAnswerBody {
		it.err = fmt.Errorf("answer of %d bytes is longer than %d", len(it.answer.Body), maxAnswerBody)
	}
	if it.err == nil && err == nil {
		it.posted = true
		it.entries = b.move(&it.Posting)
		it.after = storage.Standing{Sequence: b.sheet[it.From].Version, Fence: b.sheet[it.From].Fence}
	}
}

// ofBusiness says that an error is a refusal, which is recorded.
func ofBusiness(err error) bool {
	for _, refusal := range []error{storage.ErrNotFound, storage.ErrInsufficient, storage.ErrClosed, storage.ErrExceeds, storage.ErrFrozen, storage.ErrOverLimit, money.ErrRange} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// allows says whether a posting can be made: nil, a refusal of business, ErrStale, or a fault.
func (b *batch) allows(p *storage.Posting) error {
	from, err := b.sheet.account(p.From, p.Journal.From, p.Journal.Amount.Currency)
	if err != nil {
		return err
	}
	if p.Fence != nil && *p.Fence != from.Fence {
		return fmt.Errorf("fence of %s is %d, not %d: %w", p.From, from.Fence, *p.Fence, storage.ErrStale)
	}
	if err := from.lets(&p.Journal); err != nil {
		return err
	}
	switch p.Journal.Kind {
	case storage.KindHold:
		return from.spendable(p)
	case storage.KindVoid, storage.KindExpiry:
		return b.closes(p)
	case storage.KindCapture: // what it takes is held for it
		return cmp.Or(b.closes(p), b.sheet.fits(p))
	case storage.KindReversal:
		if err := b.reverses(p); err != nil {
			return err
		}
	case storage.KindTransfer:
		return cmp.Or(from.spendable(p), b.sheet.fits(p))
	case storage.KindDeposit, storage.KindWithdrawal:
	}
	return cmp.Or(from.affords(p.Journal.Amount.Minor), b.sheet.fits(p))
}

// move makes a posting that is allowed, and returns its entries.
func (b *batch) move(p *storage.Posting) []storage.Entry {
	switch p.Journal.Kind {
	case storage.KindHold:
		b.openHold(p)
		return nil
	case storage.KindVoid, storage.KindExpiry:
		b.closeHold(p)
		return nil
	case storage.KindCapture:
		b.closeHold(p)
	case storage.KindReversal:
		b.reverse(p)
	case storage.KindTransfer:
		b.sheet[p.From].spend(p)
	case storage.KindDeposit, storage.KindWithdrawal:
	}
	return b.sheet.move(p)
}

// ask has the caller's function render the answer. One that panics fails its own posting: it runs in a
// transaction that others share.
func (it *item) ask(render func() storage.Answer) {
	defer func() {
		if cause := recover(); cause != nil {
			it.err = fmt.Errorf("answer of journal %s panicked: %v", it.Journal.ID, cause)
		}
	}()
	it.answer = render()
}

// sheet is the accounts of a batch, locked, as the postings decided so far leave them.
type sheet map[storage.AccountID]*line

// line is an account under a batch, and how far that has moved it.
type line struct {
	storage.Account
	// locked is the version as locked; moved, heldBy and debits are what the batch adds to balance, held
	// and fence.
	locked, moved, heldBy, debits int64
}

// lets says whether a journal may take money out of the account: not while it is frozen.
func (l *line) lets(j *storage.Journal) error {
	free := j.Kind == storage.KindVoid || j.Kind == storage.KindExpiry || j.Kind == storage.KindReversal && j.Actor == ""
	if l.FrozenAt != nil && !free {
		return storage.ErrFrozen
	}
	return nil
}

// spendable says whether an amount is there to be spent, and within the limits.
func (l *line) spendable(p *storage.Posting) error {
	amount := p.Journal.Amount.Minor
	return cmp.Or(l.affords(amount), l.Within(p.Limits, amount, p.Now))
}

// spend counts what a posting spends.
func (l *line) spend(p *storage.Posting) {
	l.Spent = min(l.SpentOn(p.Now), math.MaxInt64-money.Max) + p.Journal.Amount.Minor
	l.SpentDay = max(l.SpentDay, storage.Day(p.Now))
}

// unspend gives back what a hold made at a time did not take in the end, if that day's spending is still counted.
func (l *line) unspend(amount int64, made time.Time) {
	if amount > 0 && storage.Day(made) == l.SpentDay {
		l.Spent = max(l.Spent-amount, 0) // a hold may be older than the counting
	}
}

// affords says whether an amount can be taken.
func (l *line) affords(amount int64) error {
	if l.User != "" && l.Available() < amount {
		return storage.ErrInsufficient
	}
	return nil
}

// debit raises the fence.
func (l *line) debit() {
	l.Fence++
	l.debits++
}

// hold changes what is held.
func (l *line) hold(amount int64) {
	l.Held += amount
	l.heldBy += amount
}

// fits says whether an amount that can be taken fits in: money.ErrRange if not.
func (s sheet) fits(p *storage.Posting) error {
	to, err := s.account(p.To, p.Journal.To, p.Journal.Amount.Currency)
	if err != nil {
		return err
	}
	_, under := money.Add(s[p.From].Balance, -p.Journal.Amount.Minor)
	_, over := money.Add(to.Balance, p.Journal.Amount.Minor)
	return cmp.Or(under, over)
}

// move moves a posting's amount, which the sheet allows, and returns the entries that say so.
func (s sheet) move(p *storage.Posting) []storage.Entry {
	from, to := s[p.From], s[p.To]
	if from.User != "" {
		from.debit()
	}
	amount := p.Journal.Amount.Minor
	return []storage.Entry{from.enter(p, -amount, p.Journal.To), to.enter(p, amount, p.Journal.From)}
}

// account finds a line, and refuses one that is not what the journal says of it: an amount of one
// currency must never arrive on an account of another.
func (s sheet) account(id storage.AccountID, owner storage.UserID, currency money.Currency) (*line, error) {
	l, ok := s[id]
	if !ok {
		return nil, fmt.Errorf("account %s could not be made", id)
	}
	if l.User != owner || l.Currency != currency {
		return nil, fmt.Errorf("account %s is of user %q in %q, the journal of %q in %q", id, l.User, l.Currency, owner, currency)
	}
	return l, nil
}

// enter moves the line and returns the entry that says so.
func (l *line) enter(p *storage.Posting, amount int64, counterparty storage.UserID) storage.Entry {
	l.Balance, l.Version = l.Balance+amount, l.Version+1
	l.moved += amount
	return storage.Entry{
		Account: l.ID, Sequence: l.Version, Journal: p.Journal.ID, Kind: p.Journal.Kind, Amount: amount,
		Currency: l.Currency, BalanceAfter: l.Balance, Counterparty: counterparty, Memo: p.Journal.Memo,
		CreatedAt: p.Journal.CreatedAt,
	}
}
