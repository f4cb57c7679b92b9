package books

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Explanation is a journal with all that belongs to it.
type Explanation struct {
	ExportedJournal
	SealedAt *time.Time `json:"sealed_at"`
	// Hold is the hold that the journal opened or closed.
	Hold *ExplainedHold `json:"hold,omitempty"`
	// Undoes is the journal that a reversal moves back, and Reversals are those that move this one back.
	Undoes    *ExportedJournal    `json:"undoes,omitempty"`
	Reversals []ExplainedReversal `json:"reversals,omitempty"`
}

// ExplainedHold is a hold as it stands.
type ExplainedHold struct {
	ID        storage.JournalID `json:"id"`
	State     storage.HoldState `json:"state"`
	Amount    int64             `json:"amount"`
	Captured  int64             `json:"captured"`
	ClosedBy  storage.JournalID `json:"closed_by,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	ExpiresAt time.Time         `json:"expires_at"`
	ClosedAt  *time.Time        `json:"closed_at"`
}

// ExplainedReversal is a reversal of a journal; Total is what all up to it move back.
type ExplainedReversal struct {
	ID     storage.JournalID `json:"id"`
	Amount int64             `json:"amount"`
	Total  int64             `json:"total"`
}

// maxReversals is how many reversals of a journal are told.
const maxReversals = 100

// Ledger is what [Explain] reads.
type Ledger interface {
	storage.Bookkeeper
	Hold(ctx context.Context, id storage.JournalID) (storage.Hold, error)
	SealOf(ctx context.Context, id storage.JournalID) (storage.Seal, error)
	Block(ctx context.Context, number int64) (storage.Block, error)
}

// Explain reads a journal with all that belongs to it. [storage.ErrNotFound] if there is none.
func Explain(ctx context.Context, ledger Ledger, id storage.JournalID) (out Explanation, err error) {
	j, entries, err := find(ctx, ledger, id)
	if err != nil {
		return out, fmt.Errorf("explain: %w", err)
	}
	for _, step := range []func() error{
		func() error { return out.place(ctx, ledger, &j, entries) },
		func() error { return out.holds(ctx, ledger, &j) },
		func() error { return out.reversals(ctx, ledger, &j) },
	} {
		if err := step(); err != nil {
			return out, fmt.Errorf("explain: %w", err)
		}
	}
	return out, nil
}

// find reads a journal with its entries.
func find(ctx context.Context, keeper storage.Bookkeeper, id storage.JournalID) (j storage.Journal, entries []storage.Entry, err error) {
	err = keeper.ReadBooks(ctx, func(b storage.Books) error {
		err := b.JournalsFrom(ctx, id, func(found storage.Journal, e []storage.Entry) error {
			if found.ID == id {
				j, entries = found, slices.Clone(e)
			}
			return errStopped
		})
		if errors.Is(err, errStopped) {
			return nil
		}
		return err
	})
	if err == nil && j.ID == "" {
		err = fmt.Errorf("journal %.64q: %w", string(id), storage.ErrNotFound)
	}
	return j, entries, err
}

func (x *Explanation) place(ctx context.Context, ledger Ledger, j *storage.Journal, entries []storage.Entry) error {
	s, err := ledger.SealOf(ctx, j.ID)
	if errors.Is(err, storage.ErrNotFound) {
		x.ExportedJournal = exported(j, entries, nil)
		return nil
	}
	if err != nil {
		return err
	}
	x.ExportedJournal = exported(j, entries, &s)
	b, err := ledger.Block(ctx, s.Block)
	if err == nil {
		x.SealedAt = &b.SealedAt
	}
	if errors.Is(err, storage.ErrNotFound) {
		return nil // which ledger verify names
	}
	return err
}

func (x *Explanation) holds(ctx context.Context, ledger Ledger, j *storage.Journal) error {
	id := j.Original
	switch j.Kind {
	case storage.KindHold:
		id = j.ID
	case storage.KindCapture, storage.KindVoid, storage.KindExpiry:
	case storage.KindTransfer, storage.KindDeposit, storage.KindWithdrawal, storage.KindReversal:
		return nil
	}
	h, err := ledger.Hold(ctx, id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // which ledger verify names
	}
	if err != nil {
		return err
	}
	x.Hold = &ExplainedHold{h.ID, h.State, h.Amount.Minor, h.Captured, h.ClosedBy, h.CreatedAt, h.ExpiresAt, h.ClosedAt}
	return nil
}

func (x *Explanation) reversals(ctx context.Context, ledger Ledger, j *storage.Journal) error {
	if j.Kind == storage.KindReversal {
		original, entries, err := find(ctx, ledger, j.Original)
		if errors.Is(err, storage.ErrNotFound) {
			return nil // which ledger verify names
		}
		if err != nil {
			return err
		}
		x.Undoes = new(exported(&original, entries, nil))
		return nil
	}
	err := ledger.ReadBooks(ctx, func(b storage.Books) error {
		total := int64(0)
		return b.ReversalsFrom(ctx, j.ID, func(r storage.Reversal) error {
			if r.Original != j.ID || len(x.Reversals) == maxReversals {
				return errStopped
			}
			x.Reversals = append(x.Reversals, ExplainedReversal{r.ID, r.Total - total, r.Total})
			total = r.Total
			return nil
		})
	})
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}
