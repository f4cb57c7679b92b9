package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/storage"
)

// moveChunk is how many balances one statement moves: the work of its CASEs grows with the square of
// that number, and shows from about here on.
const moveChunk = 64

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
		args = append(args, it.Key.Client, it.Key.User, it.Key.Key, it.RequestHash[:], it.answer.Journal,
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
	args := make([]any, 0, 13*len(posted))
	for _, it := range posted {
		j := &it.Journal
		args = append(args, j.ID, j.Kind, j.From, j.To, j.Amount.Minor, j.Amount.Currency, j.Memo, j.Reference,
			j.Client, j.Actor, j.Session, micros(j.CreatedAt), j.Original)
	}
	if _, err := tx.ExecContext(ctx, spread(insertJournals, len(posted)), args...); err != nil {
		return fmt.Errorf("insert journal: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	args = make([]any, 0, 10*len(entries))
	for _, e := range entries {
		args = append(args, e.Account, e.Sequence, e.Journal, e.Kind, e.Amount, e.Currency, e.BalanceAfter,
			e.Counterparty, e.Memo, micros(e.CreatedAt))
	}
	if _, err := tx.ExecContext(ctx, spread(insertEntries, len(entries)), args...); err != nil {
		return fmt.Errorf("insert entries: %w", err)
	}
	return nil
}

// moveBalances brings the account rows up to the sheet.
func (b *batch) moveBalances(ctx context.Context, tx *sql.Tx) error {
	var moved, held []*line
	for _, id := range slices.Sorted(maps.Keys(b.sheet)) {
		switch l := b.sheet[id]; {
		case l.heldBy != 0:
			held = append(held, l)
		case l.Version != l.locked || l.debits != 0:
			moved = append(moved, l)
		}
	}
	for chunk := range slices.Chunk(moved, moveChunk) {
		if err := moveSome(ctx, tx, chunk); err != nil {
			return fmt.Errorf("move balances: %w", err)
		}
	}
	for chunk := range slices.Chunk(held, moveChunk) {
		if err := holdSome(ctx, tx, chunk); err != nil {
			return fmt.Errorf("move what is held: %w", err)
		}
	}
	return nil
}

// byID is the pairs of a CASE: each line's name, and a number of it.
func byID(lines []*line, value func(*line) int64) []any {
	pairs := make([]any, 0, 2*len(lines))
	for _, l := range lines {
		pairs = append(pairs, l.ID, value(l))
	}
	return pairs
}

func idsOf(lines []*line) []any {
	ids := make([]any, len(lines))
	for i, l := range lines {
		ids[i] = l.ID
	}
	return ids
}

func moveSome(ctx context.Context, tx *sql.Tx, lines []*line) error {
	n := len(lines)
	balances := byID(lines, func(l *line) int64 { return l.moved })
	return moveAll(ctx, tx, n, spread(moveBalances, n, n, n, n, n, n), slices.Concat(
		balances,
		byID(lines, func(l *line) int64 { return l.Version - l.locked }),
		byID(lines, func(l *line) int64 { return l.debits }),
		idsOf(lines),
		byID(lines, func(l *line) int64 { return l.locked }),
		balances,
	))
}

func holdSome(ctx context.Context, tx *sql.Tx, lines []*line) error {
	n := len(lines)
	balances := byID(lines, func(l *line) int64 { return l.moved })
	held := byID(lines, func(l *line) int64 { return l.heldBy })
	return moveAll(ctx, tx, n, spread(moveHeld, n, n, n, n, n, n, n, n, n), slices.Concat(
		balances,
		byID(lines, func(l *line) int64 { return l.Version - l.locked }),
		byID(lines, func(l *line) int64 { return l.debits }),
		held,
		idsOf(lines),
		byID(lines, func(l *line) int64 { return l.locked }),
		byID(lines, func(l *line) int64 { return l.Held - l.heldBy }),
		balances,
		held,
	))
}

// moveAll runs a statement that must find all n rows as they were locked.
func moveAll(ctx context.Context, tx *sql.Tx, n int, statement string, args []any) error {
	changed, err := affect(ctx, tx, statement, args...)
	if err != nil {
		return err
	}
	if changed != int64(n) {
		return fmt.Errorf("%d of %d account rows are not as they were locked: %w", int64(n)-changed, n, storage.ErrUnavailable)
	}
	return nil
}
