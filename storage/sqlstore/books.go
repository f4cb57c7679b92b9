package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tallystick/tallystick/storage"
)

// A page of the books. A journal has two entries at most; one that somebody has tampered with may have more,
// and is reported rather than held.
const (
	bookPage       = 500
	maxBookEntries = 64 * bookPage // entries of the journals of one page
)

const (
	bookAccounts = `SELECT ` + accountColumns + ` FROM accounts WHERE account_id > ? ORDER BY account_id LIMIT ?`
	bookJournals = `SELECT ` + journalColumns + ` FROM journals WHERE journal_id >= ? ORDER BY journal_id LIMIT ?`

	bookHolds = `SELECT ` + holdColumns + ` FROM holds WHERE hold_id > ? ORDER BY hold_id LIMIT ?`

	bookJournalEntries = `SELECT ` + entryColumns + ` FROM entries WHERE journal_id >= ? AND journal_id <= ?` +
		` ORDER BY journal_id, account_id, sequence LIMIT ?`

	// A key of several columns is walked as "the rest of this one, then the next": each step is one
	// range of the primary key on every engine. A comparison of rows, (a, b) > (?, ?), is a range on
	// SQLite and a scan of the table on MySQL; the same spelt with OR is the other way round.
	bookEntriesHere = `SELECT ` + entryColumns + ` FROM entries WHERE account_id = ? AND sequence > ? ORDER BY sequence LIMIT ?`
	bookEntriesNext = `SELECT ` + entryColumns + ` FROM entries WHERE account_id > ? ORDER BY account_id, sequence LIMIT ?`

	bookAnswersHere = `SELECT ` + answerColumns + ` FROM answers` +
		` WHERE user_id = ? AND client_id = ? AND idem_key > ? ORDER BY idem_key LIMIT ?`
	bookAnswersUser = `SELECT ` + answerColumns + ` FROM answers` +
		` WHERE user_id = ? AND client_id > ? ORDER BY client_id, idem_key LIMIT ?`
	bookAnswersNext = `SELECT ` + answerColumns + ` FROM answers WHERE user_id > ? ORDER BY user_id, client_id, idem_key LIMIT ?`

	// An account's version is the number of its entries, so that nobody has to count ten millions.
	countEntries = `SELECT COALESCE(SUM(version), 0) FROM accounts`
)

// books implements [storage.Books] on whatever can be asked. Pages are read whole before the first
// function is called with them, so that a slow reader holds no cursor open.
type books struct {
	db *DB
	q  querier
}

// ReadBooks implements [storage.Bookkeeper]: one transaction that only reads, whose snapshot is taken
// by its first statement (REPEATABLE READ on MySQL, a read transaction on SQLite). It has no limit of
// time but that of ctx; while it runs, the engine keeps the versions of rows that it may ask for.
func (db *DB) ReadBooks(ctx context.Context, f func(storage.Books) error) error {
	tx, err := db.r.BeginTx(ctx, &sql.TxOptions{Isolation: db.snapshot(), ReadOnly: true})
	if err != nil {
		return db.fault("open books", err)
	}
	defer tx.Rollback() //nolint:errcheck // it has only read.
	return f(books{db, tx})
}

// snapshot is the isolation level whose reads all show one instant; SQLite has no other.
func (db *DB) snapshot() sql.IsolationLevel {
	if db.d.ForUpdate == "" {
		return sql.LevelDefault
	}
	return sql.LevelRepeatableRead
}

// AllAccounts implements [storage.Books].
func (db *DB) AllAccounts(ctx context.Context, each func(storage.Account) error) error {
	return books{db, db.r}.AllAccounts(ctx, each)
}

// AllEntries implements [storage.Books].
func (db *DB) AllEntries(ctx context.Context, each func(storage.Entry) error) error {
	return books{db, db.r}.AllEntries(ctx, each)
}

// AllJournals implements [storage.Books].
func (db *DB) AllJournals(ctx context.Context, each func(storage.Journal, []storage.Entry) error) error {
	return books{db, db.r}.AllJournals(ctx, each)
}

// AllAnswers implements [storage.Books].
func (db *DB) AllAnswers(ctx context.Context, each func(storage.IdempotencyKey, storage.Answer) error) error {
	return books{db, db.r}.AllAnswers(ctx, each)
}

// AllHolds implements [storage.Books].
func (db *DB) AllHolds(ctx context.Context, each func(storage.Hold) error) error {
	return books{db, db.r}.AllHolds(ctx, each)
}

// CountEntries implements [storage.Books].
func (db *DB) CountEntries(ctx context.Context) (int64, error) {
	return books{db, db.r}.CountEntries(ctx)
}

// AllAccounts implements [storage.Books].
func (b books) AllAccounts(ctx context.Context, each func(storage.Account) error) error {
	return bookTable[storage.Account]{"read accounts", scanAccount, func(last *storage.Account) []bookStep {
		after := storage.AccountID("")
		if last != nil {
			after = last.ID
		}
		return []bookStep{{bookAccounts, []any{after}}}
	}}.walk(ctx, b, each)
}

// AllHolds implements [storage.Books].
func (b books) AllHolds(ctx context.Context, each func(storage.Hold) error) error {
	return bookTable[storage.Hold]{"read holds", scanHold, func(last *storage.Hold) []bookStep {
		after := storage.JournalID("")
		if last != nil {
			after = last.ID
		}
		return []bookStep{{bookHolds, []any{after}}}
	}}.walk(ctx, b, each)
}

// AllEntries implements [storage.Books].
func (b books) AllEntries(ctx context.Context, each func(storage.Entry) error) error {
	return bookTable[storage.Entry]{"read entries", scanEntry, func(last *storage.Entry) []bookStep {
		if last == nil {
			return []bookStep{{bookEntriesNext, []any{""}}}
		}
		return []bookStep{
			{bookEntriesHere, []any{last.Account, last.Sequence}},
			{bookEntriesNext, []any{last.Account}},
		}
	}}.walk(ctx, b, each)
}

// AllJournals implements [storage.Books].
func (b books) AllJournals(ctx context.Context, each func(storage.Journal, []storage.Entry) error) error {
	return b.JournalsFrom(ctx, "", each)
}

// JournalsFrom implements [storage.Books].
func (db *DB) JournalsFrom(ctx context.Context, from storage.JournalID, each func(storage.Journal, []storage.Entry) error) error {
	return books{db, db.r}.JournalsFrom(ctx, from, each)
}

// JournalsFrom implements [storage.Books].
func (b books) JournalsFrom(ctx context.Context, from storage.JournalID, each func(storage.Journal, []storage.Entry) error) error {
	for {
		page, err := collect(ctx, b.q, scanJournal, bookJournals, string(from), bookPage)
		if err != nil {
			return b.db.fault("read journals", err)
		}
		if len(page) == 0 {
			return nil
		}
		first, last := page[0].ID, page[len(page)-1].ID
		entries, err := collect(ctx, b.q, scanEntry, bookJournalEntries, string(first), string(last), maxBookEntries)
		if err != nil {
			return b.db.fault("read entries of journals", err)
		}
		if len(entries) == maxBookEntries {
			return fmt.Errorf("journals %s to %s have %d entries or more, which no %d journals have", first, last, len(entries), len(page))
		}
		if err := pair(page, entries, each); err != nil {
			return err
		}
		from = last + "\x00" // what comes next
	}
}

// pair hands each journal its entries; both are in the order of journals.
func pair(journals []storage.Journal, entries []storage.Entry, each func(storage.Journal, []storage.Entry) error) error {
	for _, j := range journals {
		for len(entries) > 0 && entries[0].Journal < j.ID {
			entries = entries[1:] // of no journal
		}
		n := 0
		for n < len(entries) && entries[n].Journal == j.ID {
			n++
		}
		if err := each(j, entries[:n:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// answerRecord is an idempotency record.
type answerRecord struct {
	key    storage.IdempotencyKey
	answer storage.Answer
}

// AllAnswers implements [storage.Books].
func (b books) AllAnswers(ctx context.Context, each func(storage.IdempotencyKey, storage.Answer) error) error {
	one := func(r answerRecord) error { return each(r.key, r.answer) }
	return bookTable[answerRecord]{"read answers", scanRecord, func(last *answerRecord) []bookStep {
		if last == nil { // the system's own come first: their user is empty
			return []bookStep{{bookAnswersUser, []any{"", ""}}, {bookAnswersNext, []any{""}}}
		}
		return []bookStep{
			{bookAnswersHere, []any{last.key.User, last.key.Client, last.key.Key}},
			{bookAnswersUser, []any{last.key.User, last.key.Client}},
			{bookAnswersNext, []any{last.key.User}},
		}
	}}.walk(ctx, b, one)
}

func scanRecord(row scanner) (r answerRecord, err error) {
	var body []byte
	err = row.Scan(&r.key.Client, &r.key.User, &r.key.Key, &r.answer.Journal, &r.answer.Code, &body)
	r.answer.Body = body
	return r, err
}

// CountEntries implements [storage.Books].
func (b books) CountEntries(ctx context.Context) (int64, error) {
	var n int64
	err := b.q.QueryRowContext(ctx, countEntries).Scan(&n)
	return n, b.db.fault("count entries", err)
}

// bookStep is a statement for a part of a page; its limit is added to the arguments.
type bookStep struct {
	statement string
	args      []any
}

// bookTable is how one kind of row is read from end to end.
type bookTable[T any] struct {
	what string
	scan func(scanner) (T, error)
	// next says how to read on after a row (nil: from the start): its steps are taken in order until the
	// page is full.
	next func(*T) []bookStep
}

// walk calls each for all rows, page by page.
func (bt bookTable[T]) walk(ctx context.Context, b books, each func(T) error) error {
	for last := (*T)(nil); ; {
		var page []T
		for _, s := range bt.next(last) {
			if len(page) == bookPage {
				break
			}
			more, err := collect(ctx, b.q, bt.scan, s.statement, append(s.args, bookPage-len(page))...)
			if err != nil {
				return b.db.fault(bt.what, err)
			}
			page = append(page, more...)
		}
		for i := range page {
			if err := each(page[i]); err != nil {
				return err
			}
		}
		if len(page) < bookPage {
			return nil
		}
		last = &page[len(page)-1]
	}
}
