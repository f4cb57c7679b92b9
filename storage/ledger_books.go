package storage

import "context"

// HeldSpan is a hold with where the payer's account stood when it was opened, and when it was closed; unknown where
// that was not recorded, or did not happen.
type HeldSpan struct {
	Hold           Hold
	Opened, Closed Standing
}

// Reversal is a journal that moves back a part of its original.
type Reversal struct {
	Original, ID JournalID
	// Total is what it and all reversals before it move back.
	Total int64
}

// OriginBooks reads what journals have to do with each other, as [Books] do.
type OriginBooks interface {
	// AllHeld calls each for every hold, in the order of IDs.
	AllHeld(ctx context.Context, each func(HeldSpan) error) error
	// ReversalsFrom calls each for every reversal of originals from an ID on, by original, then total.
	ReversalsFrom(ctx context.Context, from JournalID, each func(Reversal) error) error
}

// ChainBooks reads the sealed chain, as [Books] do.
type ChainBooks interface {
	// BlocksAfter calls each for every block after a number, in order.
	BlocksAfter(ctx context.Context, number int64, each func(Block) error) error
	// SealsAfter calls each for every seal after a number, in order.
	SealsAfter(ctx context.Context, number int64, each func(Seal) error) error
	// SealsFrom calls each for every seal of journals from an ID on, in the order of those IDs.
	SealsFrom(ctx context.Context, from JournalID, each func(Seal) error) error
	// WaitingFrom calls each for every journal from an ID on that waits to be sealed, in the order of IDs.
	WaitingFrom(ctx context.Context, from JournalID, each func(JournalID) error) error
	// Unproven returns the smallest ID of a journal that is not in a block up to number: sealed later, waiting,
	// or not enrolled; empty if there may be any.
	Unproven(ctx context.Context, number int64) (JournalID, error)
	// Enrolled returns up to which ID all journals are sealed or wait; see [Sealer.Enrol].
	Enrolled(ctx context.Context) (JournalID, error)
}
