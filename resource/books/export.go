package books

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// Format is how journals are exported.
type Format string

// The formats.
const (
	// CSV has a line for each entry, and one for each journal that has none.
	CSV Format = "csv"
	// JSONLines has an object for each journal, with its entries and all that its leaf is made of.
	JSONLines Format = "jsonl"
)

// Range is which journals are exported, by the time of their identifiers; a zero time sets no bound.
type Range struct{ Since, Until time.Time }

// ExportedJournal is a journal as JSON lines have it.
type ExportedJournal struct {
	ID        storage.JournalID   `json:"id"`
	Kind      storage.JournalKind `json:"kind"`
	From      storage.UserID      `json:"from,omitempty"`
	To        storage.UserID      `json:"to,omitempty"`
	Amount    int64               `json:"amount"`
	Currency  money.Currency      `json:"currency"`
	Memo      string              `json:"memo,omitempty"`
	Reference string              `json:"reference,omitempty"`
	Original  storage.JournalID   `json:"original,omitempty"`
	Client    storage.ClientID    `json:"client"`
	Actor     storage.UserID      `json:"actor,omitempty"`
	Session   storage.SessionID   `json:"session,omitempty"`
	CreatedAt time.Time           `json:"created_at"`
	Entries   []ExportedEntry     `json:"entries"`
	// Seal is nil for a journal that is not sealed yet.
	Seal *ExportedSeal `json:"seal"`
}

// ExportedEntry is an entry as JSON lines have it. What it shares with its journal is left out.
type ExportedEntry struct {
	Account      storage.AccountID `json:"account"`
	Sequence     int64             `json:"sequence"`
	Amount       int64             `json:"amount"`
	BalanceAfter int64             `json:"balance_after"`
	Counterparty storage.UserID    `json:"counterparty,omitempty"`
}

// ExportedSeal is the place of a journal in the sealed chain.
type ExportedSeal struct {
	Number int64        `json:"number"`
	Block  int64        `json:"block"`
	Leaf   storage.Hash `json:"leaf"`
	// AfterSequence and AfterFence are -1 where they were not recorded.
	AfterSequence int64 `json:"after_sequence"`
	AfterFence    int64 `json:"after_fence"`
}

func csvHeader() []string {
	return []string{
		"journal", "kind", "created_at", "from", "to", "journal_amount", "currency", "memo", "reference", "original", "client", "actor",
		"account", "sequence", "amount", "balance_after", "number", "block",
	}
}

// errPast ends the reading of journals after the range.
var errPast = errors.New("past the range")

// Export writes the journals of a range in the order of their identifiers, as they are at one instant, and returns how
// many. progress, if not nil, is told how many were written. It holds one page of journals in memory.
func Export(ctx context.Context, keeper storage.Bookkeeper, w io.Writer, format Format, r Range, progress func(done int64)) (n int64, err error) {
	out, flush, err := exporter(w, format)
	if err != nil {
		return 0, err
	}
	from, until := storage.JournalID(""), storage.JournalID("")
	if !r.Since.IsZero() {
		from = storage.JournalID(storage.FirstID(r.Since))
	}
	if !r.Until.IsZero() {
		until = storage.JournalID(storage.FirstID(r.Until))
	}
	err = keeper.ReadBooks(ctx, func(b storage.Books) error {
		var readErr error
		next, stop := pull(func(each func(storage.Seal) error) error { return b.SealsFrom(ctx, from, each) }, &readErr)
		defer stop()
		s, more := next()
		err := b.JournalsFrom(ctx, from, func(j storage.Journal, entries []storage.Entry) error {
			if until != "" && j.ID >= until {
				return errPast
			}
			for more && s.Journal < j.ID {
				s, more = next()
			}
			var sealed *storage.Seal
			if more && s.Journal == j.ID {
				sealed = &s
			}
			if err := out(&j, entries, sealed); err != nil {
				return fmt.Errorf("write: %w", err)
			}
			if n++; progress != nil && n%progressEvery == 0 {
				progress(n)
			}
			return ctx.Err()
		})
		if errors.Is(err, errPast) {
			err = nil
		}
		return errors.Join(err, readErr)
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return n, fmt.Errorf("export: %w", err)
	}
	return n, nil
}

// exporter is how one journal is written in a format, and how the last of it is.
func exporter(w io.Writer, format Format) (out func(*storage.Journal, []storage.Entry, *storage.Seal) error, flush func() error, err error) {
	switch format {
	case JSONLines:
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return func(j *storage.Journal, entries []storage.Entry, s *storage.Seal) error {
			return e.Encode(exported(j, entries, s))
		}, func() error { return nil }, nil
	case CSV:
		c := csv.NewWriter(w)
		if err := c.Write(csvHeader()); err != nil {
			return nil, nil, fmt.Errorf("export: %w", err)
		}
		return func(j *storage.Journal, entries []storage.Entry, s *storage.Seal) error {
				return writeCSV(c, j, entries, s)
			},
			func() error { c.Flush(); return c.Error() }, nil
	}
	return nil, nil, fmt.Errorf("export: no such format: %.20q", string(format))
}

func exported(j *storage.Journal, entries []storage.Entry, s *storage.Seal) ExportedJournal {
	out := ExportedJournal{
		ID: j.ID, Kind: j.Kind, From: j.From, To: j.To, Amount: j.Amount.Minor, Currency: j.Amount.Currency, Memo: j.Memo, Reference: j.Reference,
		Original: j.Original, Client: j.Client, Actor: j.Actor, Session: j.Session, CreatedAt: j.CreatedAt, Entries: make([]ExportedEntry, len(entries)),
	}
	for i, e := range entries {
		out.Entries[i] = ExportedEntry{e.Account, e.Sequence, e.Amount, e.BalanceAfter, e.Counterparty}
	}
	if s != nil {
		out.Seal = &ExportedSeal{s.Number, s.Block, s.Leaf, s.After.Sequence, s.After.Fence}
	}
	return out
}

func writeCSV(c *csv.Writer, j *storage.Journal, entries []storage.Entry, s *storage.Seal) error {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	line := []string{
		string(j.ID), string(j.Kind), j.CreatedAt.Format(time.RFC3339Nano), string(j.From), string(j.To), number(j.Amount.Minor),
		string(j.Amount.Currency), text(j.Memo), text(j.Reference), string(j.Original), text(string(j.Client)), string(j.Actor), "", "", "", "", "", "",
	}
	if s != nil {
		line[16], line[17] = number(s.Number), number(s.Block)
	}
	if len(entries) == 0 {
		return c.Write(line)
	}
	for _, e := range entries {
		line[12], line[13], line[14], line[15] = string(e.Account), number(e.Sequence), number(e.Amount), number(e.BalanceAfter)
		if err := c.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// text is a text of somebody else's as a cell: one that a spreadsheet would run as a formula begins with an apostrophe.
func text(s string) string {
	if s != "" && (s[0] == '=' || s[0] == '+' || s[0] == '-' || s[0] == '@' || s[0] == '\t' || s[0] == '\r') {
		return "'" + s
	}
	return s
}
