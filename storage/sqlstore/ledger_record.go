package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/storage"
)

// moveColumns is how many values say what an account is moved by.
const moveColumns = 9

// record writes what was decided: answers first, since a key that is taken ends it.
func (b *batch) record(ctx context.Context, tx *sql.Tx) error {
	var (
		answered = b.pending()
		posted   []*item
		entries  []storage.Entry
	)
	if len(answered) == 0 {
		return nil
	}
	if err := b.insertAnswers(ctx, tx, answered); err != nil {
		return err
	}
	for _, it := range answered {
		if it.posted {
			posted = append(posted, it)
			entries = append(entries, it.entries...)
		}
	}
	if len(posted) == 0 {
		return nil
	}
	if err := insertPosted(ctx, tx, posted, entries); err != nil {
		return err
	}
	if err := b.recordOrigins(ctx, tx); err != nil {
		return err
	}
	return b.moveBalances(ctx, tx)
}

func (b *batch) insertAnswers(ctx context.Context, tx *sql.Tx, answered []*item) error {
	args := make([]any, 0, 8*len(answered))
	for _, it := range answered {
		args = append(args, string(it.Key.Client), string(it.Key.User), it.Key.Key, it.RequestHash[:], string(it.answer.Journal),
			it.answer.Code, string(it.answer.Body), micros(it.Now))
	}
	_, err := tx.ExecContext(ctx, spread(insertAnswers, len(answered)), args...)
	switch {
	case err == nil:
		return nil
	case b.d.Classify(err) == FaultDuplicate:
		return errAnswered
	}
	return fmt.Errorf("insert answer: %w", err)
}

func insertPosted(ctx context.Context, tx *sql.Tx, posted []*item, entries []storage.Entry) error {
	args := make([]any, 0, 14*len(posted))
	for _, it := range posted {
		j := &it.Journal
		args = append(args, string(j.ID), string(j.Kind), string(j.From), string(j.To), j.Amount.Minor, string(j.Amount.Currency),
			j.Memo, j.Reference, string(j.Client), string(j.Actor), string(j.Session), micros(j.CreatedAt), string(j.Original),
			j.Metadata)
	}
	if _, err := tx.ExecContext(ctx, spread(insertJournals, len(posted)), args...); err != nil {
		return fmt.Errorf("insert journal: %w", err)
	}
	args = make([]any, 0, 3*len(posted))
	for _, it := range posted {
		args = append(args, it.Journal.ID, it.after.Sequence, it.after.Fence)
	}
	if _, err := tx.ExecContext(ctx, spread(insertUnsealed, len(posted)), args...); err != nil {
		return fmt.Errorf("note to be sealed: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	args = make([]any, 0, 10*len(entries))
	for _, e := range entries {
		args = append(args, string(e.Account), e.Sequence, string(e.Journal), string(e.Kind), e.Amount, string(e.Currency),
			e.BalanceAfter, string(e.Counterparty), e.Memo, micros(e.CreatedAt))
	}
	if _, err := tx.ExecContext(ctx, spread(insertEntries, len(entries)), args...); err != nil {
		return fmt.Errorf("insert entries: %w", err)
	}
	return nil
}

// moveBalances brings the account rows up to the sheet, and finds all of them as they were locked.
func (b *batch) moveBalances(ctx context.Context, tx *sql.Tx) error {
	args := make([]any, 0, moveColumns*len(b.sheet))
	for _, id := range slices.Sorted(maps.Keys(b.sheet)) {
		l := b.sheet[id]
		if l.Version == l.locked && l.debits == 0 && l.heldBy == 0 {
			continue
		}
		args = append(args, string(l.ID), l.moved, l.Version-l.locked, l.debits, l.heldBy, l.locked, l.Held-l.heldBy,
			l.Spent, l.SpentDay)
	}
	if len(args) == 0 {
		return nil
	}
	n, rows := len(args)/moveColumns, movedRow
	if n > 1 {
		rows = spread(movedRows, n-1)
	}
	changed, err := affect(ctx, tx, b.d.UpdateFrom("accounts", moveSet, "("+rows+") AS moves", moveWhere), args...)
	if err != nil {
		return fmt.Errorf("move balances: %w", err)
	}
	if changed != int64(n) {
		return fmt.Errorf("%d of %d account rows are not as they were locked: %w", int64(n)-changed, n, storage.ErrUnavailable)
	}
	return nil
}
