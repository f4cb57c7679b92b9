package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// origin is a journal that is to be reversed, locked by the locks on its accounts.
type origin struct {
	storage.Journal
	reversed int64 // by all reversals, those decided so far included
}

// reversal is a row of the reversals of a journal.
type reversal struct {
	original, id storage.JournalID
	total        int64
}

// lockOrigins locks the holds that the pending postings close, in the order of their IDs, and reads the
// journals that they reverse.
func (b *batch) lockOrigins(ctx context.Context, tx *sql.Tx) error {
	holds, journals := map[storage.JournalID]bool{}, map[storage.JournalID]bool{}
	for _, it := range b.pending() {
		switch it.Journal.Kind {
		case storage.KindCapture, storage.KindVoid, storage.KindExpiry:
			holds[it.Journal.Original] = true
		case storage.KindReversal:
			journals[it.Journal.Original] = true
		case storage.KindTransfer, storage.KindDeposit, storage.KindWithdrawal, storage.KindHold:
		}
	}
	if len(holds) > 0 {
		found, err := collect(ctx, tx, scanHold, spread(lockHolds, len(holds))+b.d.ForUpdate, sortedArgs(holds)...)
		if err != nil {
			return fmt.Errorf("lock holds: %w", err)
		}
		for _, h := range found {
			b.holds[h.ID] = &h
		}
	}
	if len(journals) > 0 {
		found, err := collect(ctx, tx, scanOrigin, spread(readOriginals, len(journals)), sortedArgs(journals)...)
		if err != nil {
			return fmt.Errorf("read originals: %w", err)
		}
		for _, o := range found {
			b.origins[o.ID] = &o
		}
	}
	return nil
}

// closes says whether a posting may close its hold.
func (b *batch) closes(p *storage.Posting) error {
	j := &p.Journal
	h, ok := b.holds[j.Original]
	if !ok {
		return fmt.Errorf("hold %s: %w", j.Original, storage.ErrNotFound)
	}
	if h.Account != p.From || h.To != j.To || h.Amount.Currency != j.Amount.Currency {
		return fmt.Errorf("%s of hold %s is not between its parties", j.Kind, h.ID)
	}
	late, expiry := !p.Now.Before(h.ExpiresAt), j.Kind == storage.KindExpiry
	switch {
	case h.State != storage.HoldOpen, late != expiry:
		return storage.ErrClosed
	case j.Kind == storage.KindCapture && j.Amount.Minor > h.Amount.Minor:
		return storage.ErrExceeds
	case j.Kind != storage.KindCapture && j.Amount != h.Amount:
		return fmt.Errorf("%s of %d where hold %s has %d", j.Kind, j.Amount.Minor, h.ID, h.Amount.Minor)
	}
	return nil
}

// closeHold closes the hold of a posting, and lets go of what it held.
func (b *batch) closeHold(p *storage.Posting) {
	h := b.holds[p.Journal.Original]
	h.ClosedBy, h.ClosedAt = p.Journal.ID, &p.Journal.CreatedAt
	switch p.Journal.Kind {
	case storage.KindCapture:
		h.State, h.Captured = storage.HoldCaptured, p.Journal.Amount.Minor
	case storage.KindVoid:
		h.State = storage.HoldVoided
	default:
		h.State = storage.HoldExpired
	}
	b.closed = append(b.closed, h)
	from := b.sheet[p.From]
	from.hold(-h.Amount.Minor)
	from.unspend(h.Amount.Minor-h.Captured, h.CreatedAt)
}

// openHold makes the hold that a posting asks for.
func (b *batch) openHold(p *storage.Posting) {
	j := &p.Journal
	from := b.sheet[p.From]
	from.hold(j.Amount.Minor)
	from.debit()
	from.spend(p)
	b.opened = append(b.opened, &storage.Hold{
		ID: j.ID, Account: p.From, From: j.From, To: j.To, Amount: j.Amount, State: storage.HoldOpen,
		CreatedAt: j.CreatedAt, ExpiresAt: storage.Instant(p.HoldUntil),
	})
}

// reverses says whether a posting may reverse its original, and how much that is if it asks for the rest.
func (b *batch) reverses(p *storage.Posting) error {
	j := &p.Journal
	o, ok := b.origins[j.Original]
	if !ok {
		return fmt.Errorf("original %s: %w", j.Original, storage.ErrNotFound)
	}
	if !o.Kind.Moves() || o.Kind == storage.KindReversal {
		return fmt.Errorf("%s %s cannot be reversed", o.Kind, o.ID)
	}
	if o.From != j.To || o.To != j.From || o.Amount.Currency != j.Amount.Currency {
		return fmt.Errorf("reversal of %s is not between its parties", o.ID)
	}
	left := o.Amount.Minor - o.reversed
	if p.Rest {
		j.Amount.Minor = max(left, 1)
	}
	if j.Amount.Minor > left {
		return storage.ErrExceeds
	}
	return nil
}

// reverse adds a posting to the reversals of its original.
func (b *batch) reverse(p *storage.Posting) {
	o := b.origins[p.Journal.Original]
	o.reversed += p.Journal.Amount.Minor
	b.reversals = append(b.reversals, reversal{o.ID, p.Journal.ID, o.reversed})
}

// recordOrigins writes what became of holds and originals.
func (b *batch) recordOrigins(ctx context.Context, tx *sql.Tx) error {
	args := make([]any, 0, 8*len(b.opened))
	for _, h := range b.opened {
		args = append(args, h.ID, h.Account, h.From, h.To, h.Amount.Minor, h.Amount.Currency, micros(h.CreatedAt), micros(h.ExpiresAt))
	}
	if len(args) > 0 {
		if _, err := tx.ExecContext(ctx, spread(insertHolds, len(b.opened)), args...); err != nil {
			return fmt.Errorf("insert holds: %w", err)
		}
	}
	args = nil
	for _, r := range b.reversals {
		args = append(args, r.original, r.total, r.id)
	}
	if len(args) > 0 {
		if _, err := tx.ExecContext(ctx, spread(insertReversals, len(b.reversals)), args...); err != nil {
			return fmt.Errorf("insert reversals: %w", err)
		}
	}
	if len(b.closed) == 0 {
		return nil
	}
	return closeSome(ctx, tx, b.closed)
}

func closeSome(ctx context.Context, tx *sql.Tx, holds []*storage.Hold) error {
	n := len(holds)
	by := func(value func(*storage.Hold) any) (pairs []any) {
		for _, h := range holds {
			pairs = append(pairs, h.ID, value(h))
		}
		return pairs
	}
	args := slices.Concat(
		by(func(h *storage.Hold) any { return h.State }),
		by(func(h *storage.Hold) any { return h.Captured }),
		by(func(h *storage.Hold) any { return h.ClosedBy }),
		by(func(h *storage.Hold) any { return micros(*h.ClosedAt) }),
	)
	for _, h := range holds {
		args = append(args, h.ID)
	}
	changed, err := affect(ctx, tx, spread(closeHolds, n, n, n, n, n), args...)
	if err != nil {
		return fmt.Errorf("close holds: %w", err)
	}
	if changed != int64(n) {
		return fmt.Errorf("%d of %d holds are not as they were locked: %w", int64(n)-changed, n, storage.ErrUnavailable)
	}
	return nil
}

// Hold implements [storage.Ledger].
func (db *DB) Hold(ctx context.Context, id storage.JournalID) (storage.Hold, error) {
	var found storage.Hold
	err := db.read(ctx, "read hold", func(ctx context.Context, q querier) (err error) {
		found, err = scanHold(q.QueryRowContext(ctx, readHold, string(id)))
		return err
	})
	return found, err
}

// ExpireHolds implements [storage.Ledger]. Expiries take the road of all postings, as one batch: of those
// that somebody else has closed in the meantime nothing comes.
func (db *DB) ExpireHolds(ctx context.Context, now time.Time, limit int) (int, error) {
	now = storage.Instant(now)
	var due []storage.Hold
	err := db.read(ctx, "find holds to expire", func(ctx context.Context, q querier) (err error) {
		due, err = collect(ctx, q, scanHold, dueHolds, micros(now), min(max(limit, 0), storage.MaxExpire))
		return err
	})
	if err != nil || len(due) == 0 {
		return 0, err
	}
	postings := make([]storage.Posting, len(due))
	for i, h := range due {
		postings[i] = expiry(h, now)
	}
	expired := 0
	err = db.write(ctx, "expire holds", func(ctx context.Context, tx *sql.Tx) error {
		b := newBatch(db.d, postings)
		for _, it := range b.items {
			it.system, it.err = true, nil
		}
		if err := b.run(ctx, tx); err != nil {
			return err
		}
		expired = len(b.closed)
		for _, it := range b.items {
			if it.err != nil && !errors.Is(it.err, storage.ErrClosed) {
				return it.err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return expired, nil
}

// expiry is the posting that lets go of a hold whose time is past. It is answered under a key as every
// other, so that the books have no exception.
func expiry(h storage.Hold, now time.Time) storage.Posting {
	to := storage.WorldAccount(h.Amount.Currency)
	if h.To != "" {
		to = storage.WalletAccount(h.To, h.Amount.Currency)
	}
	return storage.Posting{
		Key: storage.IdempotencyKey{Client: storage.SystemClient, Key: "expiry/" + string(h.ID)},
		Journal: storage.Journal{
			ID: storage.JournalID(storage.NewID(now)), Kind: storage.KindExpiry, Original: h.ID, From: h.From, To: h.To,
			Amount: h.Amount, Client: storage.SystemClient, CreatedAt: now,
		},
		From: h.Account, To: to, Now: now, Success: answerExpiry,
	}
}

func answerExpiry(j storage.Journal) storage.Answer {
	body, err := json.Marshal(struct {
		ID       storage.JournalID `json:"id"`
		Hold     storage.JournalID `json:"hold"`
		Amount   money.Minor       `json:"amount"`
		Currency money.Currency    `json:"currency"`
	}{j.ID, j.Original, money.Minor(j.Amount.Minor), j.Amount.Currency})
	if err != nil {
		panic(err) // strings and a number; and [item.ask] fails the expiry alone
	}
	return storage.Answer{Body: body}
}

func scanHold(row scanner) (h storage.Hold, err error) {
	var created, expires int64
	var closed sql.NullInt64
	err = row.Scan(&h.ID, &h.Account, &h.From, &h.To, &h.Amount.Minor, &h.Amount.Currency, &h.State, &h.Captured,
		&h.ClosedBy, &created, &expires, &closed)
	h.CreatedAt, h.ExpiresAt, h.ClosedAt = instant(created), instant(expires), instantOrNil(closed)
	return h, err
}

func scanOrigin(row scanner) (o origin, err error) {
	var created int64
	err = row.Scan(append(journalDest(&o.Journal, &created), &o.reversed)...)
	o.CreatedAt = instant(created)
	return o, err
}
