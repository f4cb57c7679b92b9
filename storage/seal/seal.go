package seal

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	journalTitle = "tallystick journal v1"
	blockTitle   = "tallystick block v1"
)

// Hasher computes hashes, and keeps its buffer from one to the next. It is for one goroutine; its zero value is
// ready.
type Hasher struct {
	buf   []byte
	inner []byte
}

// Leaf is the hash of a journal with its entries, which may come in any order.
func (h *Hasher) Leaf(j *storage.Journal, entries []storage.Entry) storage.Hash {
	b := text(h.buf[:0], journalTitle)
	b = field(b, "id", string(j.ID))
	b = field(b, "kind", string(j.Kind))
	b = field(b, "from", string(j.From))
	b = field(b, "to", string(j.To))
	b = number(b, "amount", j.Amount.Minor)
	b = field(b, "currency", string(j.Amount.Currency))
	b = field(b, "memo", j.Memo)
	b = field(b, "reference", j.Reference)
	b = field(b, "original", string(j.Original))
	if j.Metadata != "" { // journals without it are hashed as they were before there was any
		b = field(b, "metadata", j.Metadata)
	}
	b = field(b, "client", string(j.Client))
	b = field(b, "actor", string(j.Actor))
	b = field(b, "session", string(j.Session))
	b = instant(b, j.CreatedAt)
	if !slices.IsSortedFunc(entries, inOrder) {
		entries = slices.SortedFunc(slices.Values(entries), inOrder)
	}
	for i := range entries {
		h.inner = entry(h.inner[:0], &entries[i])
		b = field(b, "entry", h.inner)
	}
	h.buf = b
	return sha256.Sum256(b)
}

func inOrder(a, b storage.Entry) int {
	return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Sequence, b.Sequence))
}

func entry(b []byte, e *storage.Entry) []byte {
	b = field(b, "account", string(e.Account))
	b = number(b, "sequence", e.Sequence)
	b = field(b, "kind", string(e.Kind))
	b = number(b, "amount", e.Amount)
	b = field(b, "currency", string(e.Currency))
	b = number(b, "balance_after", e.BalanceAfter)
	b = field(b, "counterparty", string(e.Counterparty))
	b = field(b, "memo", e.Memo)
	return instant(b, e.CreatedAt)
}

// Block computes the hash of a block from its seals, one after the other.
type Block struct {
	sum        hash.Hash
	buf, inner []byte
}

// NewBlock begins the hash of a block. The Hash of b is not looked at.
func NewBlock(b *storage.Block) *Block {
	out := &Block{sum: sha256.New()}
	buf := text(nil, blockTitle)
	buf = number(buf, "number", b.Number)
	buf = field(buf, "previous", b.Previous[:])
	buf = number(buf, "first", b.First)
	buf = number(buf, "journals", b.Journals)
	buf = number(buf, "sealed_at", b.SealedAt.UnixMicro())
	out.write(buf)
	return out
}

// Add adds the block's next seal.
func (b *Block) Add(s *storage.Seal) {
	in := field(b.inner[:0], "id", string(s.Journal))
	in = field(in, "leaf", s.Leaf[:])
	if s.After != storage.UnknownStanding() {
		in = number(in, "after_sequence", s.After.Sequence)
		in = number(in, "after_fence", s.After.Fence)
	}
	b.inner = in
	b.write(field(b.buf[:0], "journal", in))
}

func (b *Block) write(p []byte) {
	b.buf = p
	b.sum.Write(p) // never fails, as package hash says
}

// Sum is the hash of the block with what was added.
func (b *Block) Sum() (h storage.Hash) {
	b.sum.Sum(h[:0])
	return h
}

func text[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s))) // nothing in a ledger is longer
	return append(b, s...)
}

func field[T string | []byte](b []byte, name string, value T) []byte {
	if len(value) == 0 {
		return b
	}
	return text(text(b, name), value)
}

func number(b []byte, name string, n int64) []byte {
	var digits [20]byte
	return field(b, name, strconv.AppendInt(digits[:0], n, 10))
}

func instant(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return number(b, "created_at", t.UnixMicro())
}
