package wallet

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// Balance is what a user has in one currency: Total = Available + Held.
type Balance struct {
	Currency  money.Currency
	Available int64
	Held      int64
	Total     int64
}

// Query selects entries of a statement.
type Query struct {
	// Currency narrows the statement to one currency; empty for all.
	Currency money.Currency
	// Kinds narrows it to some of [Kinds]; empty for all.
	Kinds []storage.JournalKind
	// Since and Until narrow it to entries of that time: from Since on, and before Until. Zero for no bound.
	Since, Until time.Time
	// Cursor is the Next of the page before, of the same user and filters; empty for the newest.
	Cursor string
	// Limit is the size of the page, 1 to [MaxLimit]; 0 means [DefaultLimit].
	Limit int
}

// Page is a part of a statement, newest first. It may have fewer entries than its limit, even none, and a Next: see
// [MaxLooked].
type Page struct {
	Entries []storage.Entry
	// Next is the cursor of the page after; empty if there is none.
	Next string
}

// Balances returns what a user has: every configured currency, in the order of the configuration,
// and after them those no longer configured in which there still is money.
func (w *Wallet) Balances(ctx context.Context, user storage.UserID) ([]Balance, error) {
	accounts, err := w.cfg.Ledger.Accounts(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("balances: %w", err)
	}
	byCurrency := make(map[money.Currency]storage.Account, len(accounts))
	for _, a := range accounts {
		byCurrency[a.Currency] = a
	}
	out := make([]Balance, 0, len(w.cfg.Currencies))
	for _, c := range w.cfg.Currencies {
		a := byCurrency[c]
		out = append(out, Balance{Currency: c, Available: a.Available(), Held: a.Held, Total: a.Balance})
	}
	for _, a := range accounts {
		if a.Balance != 0 && !slices.Contains(w.cfg.Currencies, a.Currency) {
			out = append(out, Balance{Currency: a.Currency, Available: a.Available(), Held: a.Held, Total: a.Balance})
		}
	}
	return out, nil
}

// Transferred returns the transfer, or other journal that moved money, with that identifier to somebody who is a party
// to it, or to an internal app, whose user is empty. To everybody else it does not exist: storage.ErrNotFound.
func (w *Wallet) Transferred(ctx context.Context, user storage.UserID, id storage.JournalID) (Transfer, error) {
	j, err := w.moved(ctx, user, id)
	if err != nil {
		return Transfer{}, fmt.Errorf("transfer by id: %w", err)
	}
	return transferOf(j), nil
}

// moved finds a journal that moved money, for a party to it or, with an empty actor, an internal app. A
// hold is not such a journal, and neither is what let go of one.
func (w *Wallet) moved(ctx context.Context, actor storage.UserID, id storage.JournalID) (storage.Journal, error) {
	if len(id) != storage.IDLength {
		return storage.Journal{}, storage.ErrNotFound
	}
	j, err := w.cfg.Ledger.Journal(ctx, id)
	if err != nil {
		return j, err
	}
	if !j.Kind.Moves() {
		return j, fmt.Errorf("a %s: %w", j.Kind, storage.ErrNotFound)
	}
	if actor != "" && j.From != actor && j.To != actor {
		return j, fmt.Errorf("not a party: %w", storage.ErrNotFound)
	}
	return j, nil
}

// Entries returns a page of a user's statement, newest first. What it costs grows with the page and with
// [MaxLooked], not with the statement. Errors: [*Refusal] for a filter or a limit that is none, [ErrCursor].
func (w *Wallet) Entries(ctx context.Context, user storage.UserID, q Query) (Page, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if err := q.check(); err != nil {
		return Page{}, err
	}
	places, err := w.places(ctx, user, &q)
	if err != nil {
		return Page{}, fmt.Errorf("entries: %w", err)
	}
	strands := make([]strand, len(places))
	for i, p := range places {
		if strands[i], err = w.strand(ctx, user, &q, p); err != nil {
			return Page{}, fmt.Errorf("entries: %w", err)
		}
	}
	page := Page{Entries: merge(strands, q.Limit)}
	var rest []place
	for i := range strands {
		if p, left := strands[i].rest(); left {
			rest = append(rest, p)
		}
	}
	if len(rest) > 0 {
		page.Next = writeCursor(user, q.filter(), rest)
	}
	return page, nil
}

// merge takes the newest limit entries off several accounts' entries, each newest first, and keeps
// the order of each account. What is left stays in the strands. It ends early where an account may have newer
// entries than the others but has not been read that far.
func merge(strands []strand, limit int) []storage.Entry {
	out := make([]storage.Entry, 0, limit)
	for len(out) < limit {
		best := -1
		for i := range strands {
			switch s := &strands[i]; {
			case len(s.entries) == 0 && s.more:
				return out
			case len(s.entries) > 0 && (best < 0 || newer(s.entries[0], strands[best].entries[0])):
				best = i
			}
		}
		if best < 0 {
			break
		}
		out = append(out, strands[best].entries[0])
		strands[best].entries = strands[best].entries[1:]
	}
	return out
}

func newer(a, b storage.Entry) bool {
	if !a.CreatedAt.Equal(b.CreatedAt) {
		return a.CreatedAt.After(b.CreatedAt)
	}
	return a.Journal > b.Journal
}

// place is where a statement stands in one account: what is below before is still to come.
type place struct {
	currency money.Currency
	before   int64
}

// places is where to read on: by the cursor, or the newest of each account that may be wanted.
func (w *Wallet) places(ctx context.Context, user storage.UserID, q *Query) ([]place, error) {
	if q.Cursor != "" {
		return readCursor(user, q.filter(), q.Cursor)
	}
	out, err := w.newest(ctx, user, q.Currency)
	if err != nil || q.Until.IsZero() {
		return out, err
	}
	for i, p := range out {
		if out[i].before, err = w.passed(ctx, storage.WalletAccount(user, p.currency), p.before, q.Until); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (w *Wallet) newest(ctx context.Context, user storage.UserID, currency money.Currency) ([]place, error) {
	if currency != "" && slices.Contains(w.cfg.Currencies, currency) {
		return []place{{currency, 0}}, nil
	}
	accounts, err := w.cfg.Ledger.Accounts(ctx, user)
	if err != nil {
		return nil, err
	}
	var out []place
	for _, a := range accounts {
		if a.Version > 0 && (currency == "" || currency == a.Currency) {
			out = append(out, place{a.Currency, a.Version + 1})
		}
	}
	if currency != "" && len(out) == 0 {
		return nil, refuse(CodeCurrencyUnknown, "currency %q is not one of %v", string(currency), w.cfg.Currencies)
	}
	return out, nil
}

// EntryID is the identifier of an entry for those who read statements: the same each time, and
// different for each entry of each account.
func EntryID(e storage.Entry) string {
	sum := sha256.Sum256([]byte(string(e.Account) + "#" + strconv.FormatInt(e.Sequence, 10)))
	return opaque.EncodeToString(sum[:16])
}

var opaque = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// A cursor is the base32 of "1;FILTER;CUR.BEFORE,CUR.BEFORE…" and of four bytes that tie it to its
// user. It is checked for damage and mix-ups, not for forgery: whoever makes one up reads a page of
// their own statement.
const (
	cursorSum = 4
	maxCursor = 1600 // more than MaxCurrencies places and all filters need
)

func writeCursor(user storage.UserID, filter string, places []place) string {
	var b strings.Builder
	b.WriteString("1;" + filter + ";")
	for i, p := range places {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(p.currency) + "." + strconv.FormatInt(p.before, 10))
	}
	text := b.String()
	return opaque.EncodeToString(append(sumCursor(user, text), text...))
}

func sumCursor(user storage.UserID, text string) []byte {
	sum := hashFields("cursor", string(user), text)
	return sum[:cursorSum]
}

func readCursor(user storage.UserID, filter, s string) ([]place, error) {
	if len(s) > maxCursor {
		return nil, fmt.Errorf("%w: too long", ErrCursor)
	}
	raw, err := opaque.DecodeString(s)
	if err != nil || len(raw) <= cursorSum || opaque.EncodeToString(raw) != s {
		return nil, fmt.Errorf("%w: damaged", ErrCursor)
	}
	text := string(raw[cursorSum:])
	if string(raw[:cursorSum]) != string(sumCursor(user, text)) {
		return nil, fmt.Errorf("%w: damaged, or of another user", ErrCursor)
	}
	list, ours := strings.CutPrefix(text, "1;"+filter+";")
	if !ours {
		return nil, fmt.Errorf("%w: made for other filters", ErrCursor)
	}
	return readPlaces(list)
}

func readPlaces(list string) ([]place, error) {
	parts := strings.Split(list, ",")
	if len(parts) > MaxCurrencies {
		return nil, fmt.Errorf("%w: too many places", ErrCursor)
	}
	out := make([]place, 0, len(parts))
	for _, part := range parts {
		code, seq, found := strings.Cut(part, ".")
		currency, err := money.ParseCurrency(code)
		before, numErr := money.ParseMinor(seq)
		if !found || errors.Join(err, numErr) != nil || before < 1 {
			return nil, fmt.Errorf("%w: unreadable place", ErrCursor)
		}
		if slices.ContainsFunc(out, func(p place) bool { return p.currency == currency }) {
			return nil, fmt.Errorf("%w: a currency twice", ErrCursor)
		}
		out = append(out, place{currency, before})
	}
	return out, nil
}
