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
	// Cursor is the Next of the page before; empty for the newest.
	Cursor string
	// Limit is the size of the page, 1 to [MaxLimit]; 0 means [DefaultLimit].
	Limit int
}

// Page is a part of a statement, newest first.
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
// to it. To everybody else it does not exist: storage.ErrNotFound.
func (w *Wallet) Transferred(ctx context.Context, user storage.UserID, id storage.JournalID) (Transfer, error) {
	if user == "" {
		return Transfer{}, fmt.Errorf("transfer by id: %w", storage.ErrNotFound)
	}
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

// Entries returns a page of a user's statement, newest first. Errors: [*Refusal] for a currency or a
// limit that is none, [ErrCursor].
func (w *Wallet) Entries(ctx context.Context, user storage.UserID, q Query) (Page, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return Page{}, refuse(CodeInvalidRequest, "limit: %d is not between 1 and %d", q.Limit, MaxLimit)
	}
	places, err := w.places(ctx, user, q)
	if err != nil {
		return Page{}, fmt.Errorf("entries: %w", err)
	}
	heads := make([][]storage.Entry, len(places))
	for i, p := range places {
		// One more than the page shows whether there is a page after it.
		heads[i], err = w.cfg.Ledger.Entries(ctx, storage.WalletAccount(user, p.currency), p.before, q.Limit+1)
		if err != nil {
			return Page{}, fmt.Errorf("entries: %w", err)
		}
	}
	page := Page{Entries: merge(heads, q.Limit)}
	var rest []place
	for i, h := range heads {
		if len(h) > 0 {
			rest = append(rest, place{places[i].currency, h[0].Sequence + 1})
		}
	}
	if len(rest) > 0 {
		page.Next = writeCursor(user, q.Currency, rest)
	}
	return page, nil
}

// merge takes the newest limit entries off several accounts' entries, each newest first, and keeps
// the order of each account. What is left stays in heads.
func merge(heads [][]storage.Entry, limit int) []storage.Entry {
	out := make([]storage.Entry, 0, limit)
	for len(out) < limit {
		best := -1
		for i, h := range heads {
			if len(h) > 0 && (best < 0 || newer(h[0], heads[best][0])) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		out = append(out, heads[best][0])
		heads[best] = heads[best][1:]
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

// places is where to read on: by the cursor, or the newest of each account.
func (w *Wallet) places(ctx context.Context, user storage.UserID, q Query) ([]place, error) {
	if q.Currency != "" {
		if _, err := money.ParseCurrency(string(q.Currency)); err != nil {
			return nil, refuse(CodeCurrencyUnknown, "currency %.16q is not the code of a currency", string(q.Currency))
		}
	}
	if q.Cursor != "" {
		return readCursor(user, q.Currency, q.Cursor)
	}
	if q.Currency != "" && slices.Contains(w.cfg.Currencies, q.Currency) {
		return []place{{q.Currency, 0}}, nil
	}
	accounts, err := w.cfg.Ledger.Accounts(ctx, user)
	if err != nil {
		return nil, err
	}
	var out []place
	for _, a := range accounts {
		if a.Version > 0 && (q.Currency == "" || q.Currency == a.Currency) {
			out = append(out, place{a.Currency, a.Version + 1})
		}
	}
	if q.Currency != "" && len(out) == 0 {
		return nil, refuse(CodeCurrencyUnknown, "currency %q is not one of %v", string(q.Currency), w.cfg.Currencies)
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
	maxCursor = 1600 // more than MaxCurrencies places need
)

func writeCursor(user storage.UserID, filter money.Currency, places []place) string {
	var b strings.Builder
	b.WriteString("1;" + string(filter) + ";")
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

func readCursor(user storage.UserID, filter money.Currency, s string) ([]place, error) {
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
	list, ours := strings.CutPrefix(text, "1;"+string(filter)+";")
	if !ours {
		return nil, fmt.Errorf("%w: made for another currency", ErrCursor)
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
