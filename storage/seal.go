package storage

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// MaxSeal is how many journals [Sealer.Seal] folds into one block at most, and how many
// [Sealer.Enrol] looks at.
const MaxSeal = 1000

// MaxSealed is how many journals [Sealed.SealedAfter] returns at most.
const MaxSealed = 1000

// Hash is a SHA-256 sum of the sealed chain. Package storage/seal says of what.
type Hash [32]byte

// ErrHash says that a text is not a hash in hexadecimal.
var ErrHash = errors.New("not a SHA-256 hash in hexadecimal")

// ParseHash reads 64 hexadecimal digits.
func ParseHash(s string) (h Hash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%w: %.80q", ErrHash, s)
	}
	copy(h[:], b)
	return h, nil
}

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(b []byte) (err error) {
	*h, err = ParseHash(string(b))
	return err
}

// Block is one link of the sealed chain.
type Block struct {
	// Number counts blocks from 1 without gaps; 0 is the block before the first, which is not there.
	Number int64
	// First is the number of its first journal, and Journals how many it has: at least one.
	First, Journals int64
	// Previous is the hash of the block before; zero for the first.
	Previous Hash
	Hash     Hash
	SealedAt time.Time
}

// Last is the number of the block's last journal.
func (b *Block) Last() int64 { return b.First + b.Journals - 1 }

// Standing is where the account that a journal takes from stood just after it: its version and its fence.
// Together they order all that happened on an account, also journals without entries. Both are -1 where that
// was not recorded.
type Standing struct{ Sequence, Fence int64 }

// UnknownStanding is that of journals posted before journals were sealed.
func UnknownStanding() Standing { return Standing{-1, -1} }

// Seal is the place of a journal in the sealed chain.
type Seal struct {
	// Number counts all sealed journals from 1 without gaps; journal Number is the one at Number-First of
	// its Block.
	Number  int64
	Block   int64
	Journal JournalID
	// Leaf is the hash of the journal with its entries.
	Leaf  Hash
	After Standing
}

// SealedJournal is a journal with its entries, by account, and its seal. The journal has no Kind if somebody
// has deleted it from the books, which ledger verify names.
type SealedJournal struct {
	Seal    Seal
	Journal Journal
	Entries []Entry
}

// Backlog is what waits to be sealed.
type Backlog struct {
	// Journals is how many wait, counted up to [MaxBacklog].
	Journals int64
	// Oldest is when the oldest of them was made, by its identifier; nil if none waits.
	Oldest *time.Time
}

// MaxBacklog is up to where a [Backlog] is counted.
const MaxBacklog = 100_000

// Sealer folds journals into the sealed chain. Every posting leaves a note that its journal is to be
// sealed, in its own transaction; nobody who posts waits for a sealer.
type Sealer interface {
	// Seal folds up to limit journals that wait (at most [MaxSeal]; up to twice as many where others have to come
	// before them) into a block at the end of the chain, and returns how many; 0 says that none waits, or that
	// another sealer was faster. A journal that was committed more than a minute after its identifier was made
	// may be found half a minute late. It is one transaction: either the block is there with all of its journals
	// numbered, or nothing has happened. Any number of sealers at once do no harm, but are a waste; see
	// [Upkeep.Lead].
	//
	// Every journal is sealed once. The entries of each account are sealed in their sequence, and what
	// closes a hold or reverses a journal comes after it. Seal judges nothing: what somebody has tampered
	// with is sealed as it is, and [Books] tell.
	Seal(ctx context.Context, limit int, now time.Time) (int, error)

	// Enrol goes once through all journals made before before, in the order of IDs and from where it was
	// last, at most limit (at most [MaxSeal]) at a time, and has those that neither wait nor are sealed
	// wait: they were posted by a program that knew of no seals. It returns how many it looked at; fewer than limit
	// says that it has come to before. Any number of processes may call it at once.
	Enrol(ctx context.Context, before time.Time, limit int) (int, error)

	// Backlog says what waits. A journal that Enrol has not come to is not counted.
	Backlog(ctx context.Context) (Backlog, error)
}

// Sealed reads the sealed chain.
type Sealed interface {
	// SealedAfter returns up to limit journals (at most [MaxSealed]) that come after number in the sealed
	// order, in that order. Numbers have no gaps and what is sealed stays as it is: a reader that goes on
	// after the last number it has seen misses nothing and sees nothing twice.
	SealedAfter(ctx context.Context, number int64, limit int) ([]SealedJournal, error)

	// SealOf returns the seal of a journal; ErrNotFound if it is not sealed.
	SealOf(ctx context.Context, id JournalID) (Seal, error)

	// Head returns the last block; ErrNotFound if nothing is sealed.
	Head(ctx context.Context) (Block, error)

	// Block returns a block; ErrNotFound.
	Block(ctx context.Context, number int64) (Block, error)
}
