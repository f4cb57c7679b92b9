package books

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/seal"
)

// Anchor is a block and its hash, as somebody wrote them down: "12:" and 64 hexadecimal digits.
type Anchor struct {
	Block int64        `json:"block"`
	Hash  storage.Hash `json:"hash"`
}

// ErrAnchor says that a text is not a block and a hash.
var ErrAnchor = errors.New("not a block and its hash, as in 12:9f86d0…")

// ParseAnchor reads what String writes.
func ParseAnchor(s string) (Anchor, error) {
	number, hash, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 {
		return Anchor{}, fmt.Errorf("%w: %.100q", ErrAnchor, s)
	}
	h, err := storage.ParseHash(hash)
	if err != nil {
		return Anchor{}, fmt.Errorf("%w: %w", ErrAnchor, err)
	}
	return Anchor{n, h}, nil
}

// String is the block, a colon and the hash.
func (a Anchor) String() string { return strconv.FormatInt(a.Block, 10) + ":" + a.Hash.String() }

// sealedChain checks the blocks against each other and against the seals in them, in the order of the chain.
func (v *verifier) sealedChain(ctx context.Context) error {
	last, err := v.resume(ctx)
	if err != nil {
		return err
	}
	var readErr error
	next, stop := pull(func(each func(storage.Seal) error) error { return v.books.SealsAfter(ctx, last.Last(), each) }, &readErr)
	defer stop()
	expected := v.opts.ExpectHead
	s, more := next()
	err = v.books.BlocksAfter(ctx, last.Number, func(b storage.Block) error {
		v.report.Blocks++
		v.checkLink(&last, &b)
		sum, got := seal.NewBlock(&b), int64(0)
		for ; more && s.Number <= b.Last(); s, more = next() {
			v.checkSeal(&b, &s, b.First+got)
			sum.Add(&s)
			got = s.Number - b.First + 1
			v.report.Sealed++
		}
		if hash := sum.Sum(); hash != b.Hash {
			v.report.fault(Fault{Check: BlockHash, Block: b.Number}, "its hash is %s, what is in it gives %s", b.Hash, hash)
		}
		if expected != nil && expected.Block == b.Number {
			v.expect(expected, b.Hash)
			expected = nil
		}
		last = b
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for ; more; s, more = next() {
		v.report.fault(Fault{Check: SealSequence, Journal: s.Journal, Block: s.Block}, "sealed as number %d, after the last block", s.Number)
	}
	if expected != nil {
		v.report.fault(Fault{Check: HeadMismatch, Block: expected.Block}, "expected with hash %s, but the chain ends at block %d", expected.Hash, last.Number)
	}
	if last.Number > 0 {
		v.report.Head = &Anchor{last.Number, last.Hash}
	}
	return readErr
}

// resume finds the block after which to begin; an empty one for the start.
func (v *verifier) resume(ctx context.Context) (last storage.Block, err error) {
	from := v.opts.After
	if from == nil {
		return last, nil
	}
	err = v.books.BlocksAfter(ctx, from.Block-1, func(b storage.Block) error {
		last = b
		return errStopped
	})
	if err != nil && !errors.Is(err, errStopped) {
		return last, err
	}
	if last.Number != from.Block {
		v.report.fault(Fault{Check: HeadMismatch, Block: from.Block}, "to go on after it with hash %s, but it is not there", from.Hash)
		return storage.Block{}, nil // everything is checked then
	}
	v.expect(from, last.Hash)
	v.start, err = v.books.Unproven(ctx, from.Block)
	return last, err
}

func (v *verifier) expect(a *Anchor, hash storage.Hash) {
	if a.Hash != hash {
		v.report.fault(Fault{Check: HeadMismatch, Block: a.Block}, "expected with hash %s, but its hash is %s", a.Hash, hash)
	}
}

// checkLink checks a block against the one before it. The first that is looked at has nothing before it but what
// was given.
func (v *verifier) checkLink(last, b *storage.Block) {
	at := Fault{Check: BlockChain, Block: b.Number}
	first := int64(1)
	if last.Number > 0 {
		first = last.Last() + 1
	}
	switch {
	case b.Number != last.Number+1:
		v.report.fault(at, "comes after block %d", last.Number)
	case b.Previous != last.Hash:
		v.report.fault(at, "was made after a block %d with hash %s, but the hash of that is %s", last.Number, b.Previous, last.Hash)
	case b.First != first || b.Journals < 1:
		v.report.fault(at, "has journals %d to %d after number %d", b.First, b.Last(), first-1)
	}
}

func (v *verifier) checkSeal(b *storage.Block, s *storage.Seal, want int64) {
	if s.Number != want || s.Block != b.Number {
		v.report.fault(Fault{Check: SealSequence, Journal: s.Journal, Block: b.Number}, "sealed as number %d of block %d where number %d comes", s.Number, s.Block, want)
	}
}

// places tells of journals, which come in the order of their identifiers, whether and how they are sealed.
type places struct {
	v        *verifier
	hasher   seal.Hasher
	enrolled storage.JournalID

	nextSeal func() (storage.Seal, bool)
	seal     storage.Seal
	sealed   bool
	sealErr  error

	nextNote func() (storage.JournalID, bool)
	note     storage.JournalID
	noted    bool
	noteErr  error
}

// openPlaces begins to read; stop ends it.
func (v *verifier) openPlaces(ctx context.Context) (p *places, stop func(), err error) {
	p = &places{v: v}
	if p.enrolled, err = v.books.Enrolled(ctx); err != nil {
		return nil, nil, err
	}
	var stopSeals, stopNotes func()
	p.nextSeal, stopSeals = pull(func(each func(storage.Seal) error) error { return v.books.SealsFrom(ctx, v.start, each) }, &p.sealErr)
	p.nextNote, stopNotes = pull(func(each func(storage.JournalID) error) error { return v.books.WaitingFrom(ctx, v.start, each) }, &p.noteErr)
	p.seal, p.sealed = p.nextSeal()
	p.note, p.noted = p.nextNote()
	return p, func() { stopSeals(); stopNotes() }, nil
}

// check checks a journal with its entries against its seal.
func (p *places) check(j *storage.Journal, entries []storage.Entry) {
	p.skip(j.ID)
	waits := p.noted && p.note == j.ID
	if waits {
		p.note, p.noted = p.nextNote()
		p.v.report.Waiting++
	}
	at := Fault{Journal: j.ID}
	switch {
	case p.sealed && p.seal.Journal == j.ID:
		if leaf := p.hasher.Leaf(j, entries); leaf != p.seal.Leaf {
			at.Check, at.Block = SealMismatch, p.seal.Block
			p.v.report.fault(at, "it was sealed as number %d with hash %s and has %s now", p.seal.Number, p.seal.Leaf, leaf)
		}
		p.seal, p.sealed = p.nextSeal()
		if waits {
			p.v.report.Waiting-- // a note that was left behind
		}
	case waits:
	case j.ID > p.enrolled:
		p.v.report.Unenrolled++
	default:
		at.Check = SealMissing
		p.v.report.fault(at, "it is neither sealed nor does it wait to be")
	}
}

// skip passes by what is before a journal, and belongs to none.
func (p *places) skip(to storage.JournalID) {
	for ; p.sealed && (to == "" || p.seal.Journal < to); p.seal, p.sealed = p.nextSeal() {
		p.v.report.fault(Fault{Check: JournalMissing, Journal: p.seal.Journal, Block: p.seal.Block}, "sealed as number %d, but it is not there", p.seal.Number)
	}
	for ; p.noted && (to == "" || p.note < to); p.note, p.noted = p.nextNote() {
		p.v.report.fault(Fault{Check: JournalMissing, Journal: p.note}, "it waits to be sealed, but it is not there")
	}
}

// end passes by the rest.
func (p *places) end() error {
	p.skip("")
	return errors.Join(p.sealErr, p.noteErr)
}
