package wallet

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

const (
	// MaxLooked bounds the entries of one account that are looked at for one page. A page for a rare kind may
	// be short of its limit, even empty, and have a page after it.
	MaxLooked = 1000

	// clockSlack is how far the entries of an account may be out of the order of their times. Each has the time
	// at which its process began to post it; the lock of the account comes later, and clocks differ.
	clockSlack = 5 * time.Minute

	chunk = MaxLooked / 4 // entries read at once where only some of them are wanted
)

// Kinds are those that stand in statements: of what moves money.
func Kinds() []storage.JournalKind {
	return []storage.JournalKind{
		storage.KindTransfer, storage.KindDeposit, storage.KindWithdrawal, storage.KindReversal, storage.KindCapture,
	}
}

// plain says whether every entry is wanted.
func (q *Query) plain() bool { return len(q.Kinds) == 0 && q.Since.IsZero() && q.Until.IsZero() }

// wants says whether an entry is.
func (q *Query) wants(e *storage.Entry) bool {
	return (len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) &&
		(q.Since.IsZero() || !e.CreatedAt.Before(q.Since)) && (q.Until.IsZero() || e.CreatedAt.Before(q.Until))
}

// check refuses what is no filter.
func (q *Query) check() error {
	if q.Limit < 1 || q.Limit > MaxLimit {
		return refuse(CodeInvalidRequest, "limit: %d is not between 1 and %d", q.Limit, MaxLimit)
	}
	if q.Currency != "" {
		if _, err := money.ParseCurrency(string(q.Currency)); err != nil {
			return refuse(CodeCurrencyUnknown, "currency %.16q is not the code of a currency", string(q.Currency))
		}
	}
	for _, k := range q.Kinds {
		if !slices.Contains(Kinds(), k) {
			return refuse(CodeInvalidRequest, "kind: %.16q is not one of %v", string(k), Kinds())
		}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return refuse(CodeInvalidRequest, "since: is not before until, so there is nothing between them")
	}
	return nil
}

// filter is what a cursor is tied to: the same for queries that want the same entries.
func (q *Query) filter() string {
	if q.plain() {
		return string(q.Currency)
	}
	kinds := slices.Sorted(slices.Values(q.Kinds))
	var b strings.Builder
	b.WriteString(string(q.Currency))
	for _, k := range slices.Compact(kinds) {
		b.WriteString("+" + string(k))
	}
	for _, t := range []time.Time{q.Since, q.Until} {
		b.WriteByte('/')
		if !t.IsZero() {
			b.WriteString(strconv.FormatInt(t.UnixNano(), 36))
		}
	}
	return b.String()
}

// strand is what one account gives to a page.
type strand struct {
	currency money.Currency
	entries  []storage.Entry // that are wanted, newest first
	before   int64           // where to read on when there are no more of them
	more     bool            // whether there is anything to read there
}

// strand reads enough wanted entries of an account for a page and one more, or as many as it may look for.
func (w *Wallet) strand(ctx context.Context, user storage.UserID, q *Query, p place) (strand, error) {
	s := strand{currency: p.currency, before: p.before, more: true}
	size := chunk
	if q.plain() {
		size = q.Limit + 1 // one more than the page shows whether there is a page after it
	}
	for looked := 0; s.more && len(s.entries) <= q.Limit && looked < MaxLooked; {
		read, err := w.cfg.Ledger.Entries(ctx, storage.WalletAccount(user, p.currency), s.before, size)
		if err != nil {
			return s, err
		}
		looked += len(read)
		s.more = len(read) == size
		for i := range read {
			e := &read[i]
			if !q.Since.IsZero() && e.CreatedAt.Before(q.Since.Add(-clockSlack)) {
				s.more = false // all before it are older than that as well
				break
			}
			s.before = e.Sequence
			if q.wants(e) {
				s.entries = append(s.entries, *e)
			}
		}
	}
	s.more = s.more && s.before > 1
	return s, nil
}

// rest is where the account stands after the page; false if nothing is left in it.
func (s *strand) rest() (place, bool) {
	switch {
	case len(s.entries) > 0:
		return place{s.currency, s.entries[0].Sequence + 1}, true
	case s.more:
		return place{s.currency, s.before}, true
	}
	return place{}, false
}

// passed returns a sequence from which on every entry of an account is of t or later: what comes before t is below it.
// It looks below before alone (0: at all entries), at one more entry for twice as many.
//
// It is a binary search although the entries need not be in the order of their times. As long as they are out of it by
// less than clockSlack it is right: it looks for t and that much, and what it finds is an entry so new that each
// one after it is of t or later.
func (w *Wallet) passed(ctx context.Context, account storage.AccountID, before int64, t time.Time) (int64, error) {
	at := func(below int64) (storage.Entry, bool, error) {
		found, err := w.cfg.Ledger.Entries(ctx, account, below, 1)
		if err != nil || len(found) == 0 {
			return storage.Entry{}, false, err
		}
		return found[0], true, nil
	}
	limit := t.Add(clockSlack)
	newest, there, err := at(before)
	if err != nil || !there {
		return before, err
	}
	if newest.CreatedAt.Before(limit) {
		return newest.Sequence + 1, nil
	}
	old, recent := int64(0), newest.Sequence // old is from before limit (or the beginning), recent is not
	for recent-old > 1 {
		middle := old + (recent-old)/2
		e, there, err := at(middle + 1)
		if err != nil {
			return 0, err
		}
		if !there || e.CreatedAt.Before(limit) {
			old = middle
		} else {
			recent = middle
		}
	}
	return recent, nil
}

// BalancesAt returns what a user had at a time that is not in the future: every configured currency, and after them
// those no longer configured in which there was money. Of each it is the balance after the last entry that was
// made by then; what was held at that time is not told. Errors: [*Refusal] for a time to come.
func (w *Wallet) BalancesAt(ctx context.Context, user storage.UserID, at time.Time) ([]Balance, error) {
	if at.After(w.cfg.Now()) {
		return nil, refuse(CodeInvalidRequest, "at: is in the future")
	}
	accounts, err := w.cfg.Ledger.Accounts(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("balances at a time: %w", err)
	}
	had := make(map[money.Currency]int64, len(accounts))
	for _, a := range accounts {
		if had[a.Currency], err = w.balanceAt(ctx, a, at); err != nil {
			return nil, fmt.Errorf("balances at a time: %w", err)
		}
	}
	out := make([]Balance, 0, len(w.cfg.Currencies))
	for _, c := range w.cfg.Currencies {
		out = append(out, Balance{Currency: c, Total: had[c]})
	}
	for _, a := range accounts {
		if had[a.Currency] != 0 && !slices.Contains(w.cfg.Currencies, a.Currency) {
			out = append(out, Balance{Currency: a.Currency, Total: had[a.Currency]})
		}
	}
	return out, nil
}

// balanceAt goes down to the last entry that was made by then. An account with very many entries within clockSlack
// of that time gives the balance between two of them, one from before the time and one from after it.
func (w *Wallet) balanceAt(ctx context.Context, a storage.Account, at time.Time) (int64, error) {
	if a.Version == 0 {
		return 0, nil
	}
	by := func(e storage.Entry) bool { return !e.CreatedAt.After(at) }
	before, err := w.passed(ctx, a.ID, a.Version+1, at)
	if err != nil {
		return 0, err
	}
	for looked := 0; looked < MaxLooked; looked += chunk {
		read, err := w.cfg.Ledger.Entries(ctx, a.ID, before, chunk)
		if err != nil {
			return 0, err
		}
		if i := slices.IndexFunc(read, by); i >= 0 {
			return read[i].BalanceAfter, nil
		}
		if len(read) < chunk {
			return 0, nil
		}
		before = read[len(read)-1].Sequence
	}
	old, recent := int64(0), before
	var balance int64
	for recent-old > 1 {
		middle := old + (recent-old)/2
		read, err := w.cfg.Ledger.Entries(ctx, a.ID, middle+1, 1)
		if err != nil {
			return 0, err
		}
		if len(read) == 1 && by(read[0]) {
			old, balance = middle, read[0].BalanceAfter
		} else {
			recent = middle
		}
	}
	return balance, nil
}
