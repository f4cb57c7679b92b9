package sqlstore

import (
	"context"

	"github.com/tallystick/tallystick/storage"
)

const (
	bookBlocks  = `SELECT ` + blockColumns + ` FROM blocks WHERE block > ? ORDER BY block LIMIT ?`
	bookSeals   = `SELECT ` + sealColumns + ` FROM seals WHERE journal_id >= ? ORDER BY journal_id LIMIT ?`
	bookWaiting = `SELECT journal_id, after_sequence, after_fence FROM unsealed WHERE journal_id >= ? ORDER BY journal_id LIMIT ?`
	lastUpTo    = `SELECT ` + blockColumns + ` FROM blocks WHERE block <= ? AND block > 0 ORDER BY block DESC LIMIT 1`

	bookReversals = `SELECT original_id, total, reversal_id FROM reversals WHERE original_id = ? AND total > ? ORDER BY total LIMIT ?`
	nextReversals = `SELECT original_id, total, reversal_id FROM reversals WHERE original_id >= ? ORDER BY original_id, total LIMIT ?`

	// bookHeld has each standing from the seal or, before there is one, from the note.
	bookHeld = `SELECT h.hold_id, h.account_id, h.from_user, h.to_user, h.amount, h.currency, h.state, h.captured, h.closed_by, h.created_at, h.expires_at, h.closed_at,` +
		` COALESCE(so.after_sequence, uo.after_sequence, -1), COALESCE(so.after_fence, uo.after_fence, -1),` +
		` COALESCE(sc.after_sequence, uc.after_sequence, -1), COALESCE(sc.after_fence, uc.after_fence, -1)` +
		` FROM holds h LEFT JOIN seals so ON so.journal_id = h.hold_id LEFT JOIN unsealed uo ON uo.journal_id = h.hold_id` +
		` LEFT JOIN seals sc ON sc.journal_id = h.closed_by LEFT JOIN unsealed uc ON uc.journal_id = h.closed_by` +
		` WHERE h.hold_id > ? ORDER BY h.hold_id LIMIT ?`
)

// just is the first step after a row whose key is one column.
func just[T any](statement string, from any, key func(*T) any) func(*T) []bookStep {
	return func(last *T) []bookStep {
		if last != nil {
			from = key(last)
		}
		return []bookStep{{statement, []any{from}}}
	}
}

// after is the smallest text after one.
func after[S ~string](s S) any { return string(s) + "\x00" }

// BlocksAfter implements [storage.ChainBooks].
func (b books) BlocksAfter(ctx context.Context, number int64, each func(storage.Block) error) error {
	return bookTable[storage.Block]{"read blocks", scanBlock, just(bookBlocks, number, func(b *storage.Block) any { return b.Number })}.walk(ctx, b, each)
}

// SealsAfter implements [storage.ChainBooks].
func (b books) SealsAfter(ctx context.Context, number int64, each func(storage.Seal) error) error {
	return bookTable[storage.Seal]{"read seals", scanSeal, just(readSeals, number, func(s *storage.Seal) any { return s.Number })}.walk(ctx, b, each)
}

// SealsFrom implements [storage.ChainBooks].
func (b books) SealsFrom(ctx context.Context, from storage.JournalID, each func(storage.Seal) error) error {
	return bookTable[storage.Seal]{"read seals of journals", scanSeal, just(bookSeals, string(from), func(s *storage.Seal) any { return after(s.Journal) })}.walk(ctx, b, each)
}

// WaitingFrom implements [storage.ChainBooks].
func (b books) WaitingFrom(ctx context.Context, from storage.JournalID, each func(storage.JournalID) error) error {
	return bookTable[*unsealed]{
		"read what waits to be sealed", scanUnsealed, just(bookWaiting, string(from), func(u **unsealed) any { return after((*u).id) }),
	}.walk(ctx, b, func(u *unsealed) error { return each(u.id) })
}

// ReversalsFrom implements [storage.OriginBooks].
func (b books) ReversalsFrom(ctx context.Context, from storage.JournalID, each func(storage.Reversal) error) error {
	return bookTable[storage.Reversal]{"read reversals", scanReversal, func(last *storage.Reversal) []bookStep {
		if last == nil {
			return []bookStep{{nextReversals, []any{string(from)}}}
		}
		return []bookStep{{bookReversals, []any{string(last.Original), last.Total}}, {nextReversals, []any{after(last.Original)}}}
	}}.walk(ctx, b, each)
}

// AllHeld implements [storage.OriginBooks].
func (b books) AllHeld(ctx context.Context, each func(storage.HeldSpan) error) error {
	return bookTable[storage.HeldSpan]{"read what was held", scanHeld, just(bookHeld, "", func(h *storage.HeldSpan) any { return string(h.Hold.ID) })}.walk(ctx, b, each)
}

// Unproven implements [storage.ChainBooks]. What is not enrolled is above the ID that Enrolled returns, and may be
// all that is.
func (b books) Unproven(ctx context.Context, number int64) (storage.JournalID, error) {
	first, err := b.Enrolled(ctx)
	if err != nil {
		return "", err
	}
	last, err := collect(ctx, b.q, scanBlock, lastUpTo, number)
	if err != nil {
		return "", b.db.fault("read block", err)
	}
	if len(last) == 0 {
		return "", nil
	}
	waiting, err := collect(ctx, b.q, scanUnsealed, bookWaiting, "", 1)
	if err != nil {
		return "", b.db.fault("read what waits to be sealed", err)
	}
	if len(waiting) > 0 {
		first = min(first, waiting[0].id)
	}
	err = b.SealsAfter(ctx, last[0].Last(), func(s storage.Seal) error {
		first = min(first, s.Journal)
		return ctx.Err()
	})
	return first, err
}

// Enrolled implements [storage.ChainBooks].
func (b books) Enrolled(ctx context.Context) (storage.JournalID, error) {
	id, err := scanText[storage.JournalID](b.q.QueryRowContext(ctx, readEnrolled))
	return id, b.db.fault("read how far journals are enrolled", err)
}

func scanReversal(row scanner) (r storage.Reversal, err error) {
	err = row.Scan(&r.Original, &r.Total, &r.ID)
	return r, err
}

// withMore scans a row whose last columns are more.
type withMore struct {
	row  scanner
	more []any
}

// Scan implements scanner.
func (w withMore) Scan(dest ...any) error { return w.row.Scan(append(dest, w.more...)...) }

func scanHeld(row scanner) (h storage.HeldSpan, err error) {
	h.Hold, err = scanHold(withMore{row, []any{&h.Opened.Sequence, &h.Opened.Fence, &h.Closed.Sequence, &h.Closed.Fence}})
	return h, err
}

// AllHeld implements [storage.OriginBooks].
func (db *DB) AllHeld(ctx context.Context, each func(storage.HeldSpan) error) error {
	return books{db, db.r}.AllHeld(ctx, each)
}

// ReversalsFrom implements [storage.OriginBooks].
func (db *DB) ReversalsFrom(ctx context.Context, from storage.JournalID, each func(storage.Reversal) error) error {
	return books{db, db.r}.ReversalsFrom(ctx, from, each)
}

// BlocksAfter implements [storage.ChainBooks].
func (db *DB) BlocksAfter(ctx context.Context, number int64, each func(storage.Block) error) error {
	return books{db, db.r}.BlocksAfter(ctx, number, each)
}

// SealsAfter implements [storage.ChainBooks].
func (db *DB) SealsAfter(ctx context.Context, number int64, each func(storage.Seal) error) error {
	return books{db, db.r}.SealsAfter(ctx, number, each)
}

// SealsFrom implements [storage.ChainBooks].
func (db *DB) SealsFrom(ctx context.Context, from storage.JournalID, each func(storage.Seal) error) error {
	return books{db, db.r}.SealsFrom(ctx, from, each)
}

// WaitingFrom implements [storage.ChainBooks].
func (db *DB) WaitingFrom(ctx context.Context, from storage.JournalID, each func(storage.JournalID) error) error {
	return books{db, db.r}.WaitingFrom(ctx, from, each)
}

// Unproven implements [storage.ChainBooks].
func (db *DB) Unproven(ctx context.Context, number int64) (storage.JournalID, error) {
	return books{db, db.r}.Unproven(ctx, number)
}

// Enrolled implements [storage.ChainBooks].
func (db *DB) Enrolled(ctx context.Context) (storage.JournalID, error) {
	return books{db, db.r}.Enrolled(ctx)
}
