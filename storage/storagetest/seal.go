package storagetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/seal"
)

// SealStore is a store whose ledger is sealed.
type SealStore interface {
	LedgerStore
	storage.Sealer
	storage.Sealed
}

// sealDesk is a desk that seals.
type sealDesk struct {
	*desk
	SealStore
	moving bool // the clock, so that each block has its own time
}

// Seals checks a driver against every promise written on [storage.Sealer] and [storage.Sealed]. open must return
// an empty store. Each case recomputes the chain when it is done.
func Seals(t *testing.T, open func(t *testing.T) SealStore) {
	for name, check := range map[string]func(*testing.T, *sealDesk){
		"nothing is sealed where nothing was posted":              sealNothing,
		"every journal of every kind is sealed once":              sealAll,
		"refusals leave nothing to seal":                          sealRefusals,
		"an account is sealed in sequence, whatever identifiers":  sealInSequence,
		"a hold comes before what closes it":                      sealHoldFirst,
		"holds and entries of a wallet come as they happened":     sealAsItHappened,
		"sealers at once seal each journal once":                  sealAtOnce,
		"what waits is counted, and how long":                     sealBacklog,
		"journals are enrolled once, and those that wait are not": sealEnrol,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := open(t)
			d := &sealDesk{desk: newDesk(t, store), SealStore: store}
			check(t, d)
			d.prove(t)
			d.recompute(t)
		})
	}
}

// post makes postings that must be made.
func (d *sealDesk) post(t *testing.T, postings ...storage.Posting) {
	t.Helper()
	for _, p := range postings {
		d.must(t, p)
	}
}

// sealUp seals until nothing waits, so many at a time.
func (d *sealDesk) sealUp(t *testing.T, limit int) (blocks int) {
	t.Helper()
	for {
		n, err := d.Seal(t.Context(), limit, d.now)
		if err != nil {
			t.Fatalf("seal: %v", err)
		}
		if n == 0 {
			return blocks
		}
		if n > 2*limit {
			t.Errorf("sealed %d journals at once, with a limit of %d", n, limit)
		}
		blocks++
	}
}

// sealed reads the chain, a few journals at a time.
func (d *sealDesk) sealed(t *testing.T) (all []storage.SealedJournal) {
	t.Helper()
	for after := int64(0); ; {
		list, err := d.SealedAfter(t.Context(), after, 7)
		if err != nil {
			t.Fatalf("read the chain: %v", err)
		}
		if len(list) == 0 {
			return all
		}
		all, after = append(all, list...), list[len(list)-1].Seal.Number
	}
}

// recompute checks that the chain is what its journals give, and in an order that holds.
func (d *sealDesk) recompute(t *testing.T) {
	t.Helper()
	var (
		hasher   seal.Hasher
		block    storage.Block
		sum      *seal.Block
		sequence = map[storage.AccountID]int64{}
		seen     = map[storage.JournalID]bool{}
	)
	for i, s := range d.sealed(t) {
		if s.Seal.Number != int64(i)+1 || s.Journal.ID != s.Seal.Journal || seen[s.Journal.ID] {
			t.Fatalf("journal %d of the chain is %+v", i+1, s)
		}
		seen[s.Journal.ID] = true
		if o := s.Journal.Original; o != "" && !seen[o] {
			t.Errorf("%s %s comes before its original %s", s.Journal.Kind, s.Journal.ID, o)
		}
		for _, e := range s.Entries {
			if e.Sequence != sequence[e.Account]+1 {
				t.Errorf("entry %d of %s comes after %d", e.Sequence, e.Account, sequence[e.Account])
			}
			sequence[e.Account] = e.Sequence
		}
		if s.Seal.Leaf != hasher.Leaf(&s.Journal, s.Entries) {
			t.Errorf("the leaf of %s is not that of its journal", s.Journal.ID)
		}
		if s.Seal.Block != block.Number {
			block = d.next(t, block, s.Seal)
			sum = seal.NewBlock(&block)
		}
		sum.Add(&s.Seal)
		if s.Seal.Number == block.Last() && sum.Sum() != block.Hash {
			t.Errorf("the hash of block %d is %s, its journals give %s", block.Number, block.Hash, sum.Sum())
		}
	}
	if head, err := d.Head(t.Context()); block.Number > 0 && (err != nil || head != block) {
		t.Errorf("head %+v, %v; the last block is %+v", head, err, block)
	}
}

// next reads the block of a seal, which must be the one after the last.
func (d *sealDesk) next(t *testing.T, last storage.Block, s storage.Seal) storage.Block {
	t.Helper()
	b, err := d.Block(t.Context(), s.Block)
	first := int64(1)
	if last.Number > 0 {
		first = last.Last() + 1
	}
	if err != nil || b.Number != last.Number+1 || b.First != first || b.First != s.Number || b.Previous != last.Hash || !d.moving && !b.SealedAt.Equal(d.now) {
		t.Fatalf("block %+v (%v) after %+v", b, err, last)
	}
	return b
}

func sealNothing(t *testing.T, d *sealDesk) {
	if n := d.sealUp(t, storage.MaxSeal); n != 0 {
		t.Errorf("%d blocks of nothing", n)
	}
	if list, err := d.SealedAfter(t.Context(), 0, 1); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	_, head := d.Head(t.Context())
	_, block := d.Block(t.Context(), 1)
	_, of := d.SealOf(t.Context(), "nothing")
	for _, err := range []error{head, block, of} {
		if !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v, want ErrNotFound", err)
		}
	}
}

// sealAll has journals of each kind, sealed some at a time.
func sealAll(t *testing.T, d *sealDesk) {
	tom, amy := d.wallet(t, 100), d.wallet(t, 0)
	pay := d.transfer(tom, amy, 30)
	taken, voided, late := d.hold(tom, amy, 10), d.hold(tom, amy, 11), d.hold(tom, amy, 12)
	d.post(t, pay, taken, voided, late)
	taking, voiding := d.capture(taken, 7), d.void(voided)
	d.post(t, taking, voiding, d.reverse(pay, 5))
	later := late.HoldUntil.Add(time.Second)
	if n, err := d.ExpireHolds(t.Context(), later, 5); n != 1 || err != nil {
		t.Fatalf("expired %d, %v", n, err)
	}
	if blocks := d.sealUp(t, 4); blocks < 2 {
		t.Errorf("nine journals by four in %d block", blocks)
	}
	all := d.sealed(t)
	kinds := map[storage.JournalKind]int{}
	for _, s := range all {
		kinds[s.Journal.Kind]++
		if got, err := d.SealOf(t.Context(), s.Journal.ID); err != nil || got != s.Seal {
			t.Errorf("seal of %s: %+v, %v; want %+v", s.Journal.ID, got, err, s.Seal)
		}
		j, err := d.desk.Journal(t.Context(), s.Journal.ID)
		if diff := cmp.Diff(j, s.Journal); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	want := map[storage.JournalKind]int{
		storage.KindDeposit: 1, storage.KindTransfer: 1, storage.KindHold: 3, storage.KindCapture: 1, storage.KindVoid: 1,
		storage.KindReversal: 1, storage.KindExpiry: 1,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func sealRefusals(t *testing.T, d *sealDesk) {
	tom, amy := d.wallet(t, 1), d.wallet(t, 0)
	d.sealUp(t, storage.MaxSeal)
	d.refused(t, d.transfer(tom, amy, 2), codeInsufficient)
	p := d.transfer(tom, amy, 1)
	d.post(t, p)
	d.sealUp(t, storage.MaxSeal)
	if posted, err := d.desk.Post(t.Context(), p); err != nil || !posted.Replayed {
		t.Fatalf("again: %+v, %v", posted, err)
	}
	if n := d.sealUp(t, storage.MaxSeal); n != 0 {
		t.Errorf("%d blocks for refusals and replays", n)
	}
}

// sealInSequence posts journals whose identifiers run against the order of their commits.
func sealInSequence(t *testing.T, d *sealDesk) {
	const journals = 12
	tom, amy := d.wallet(t, journals), d.wallet(t, 0)
	d.sealUp(t, storage.MaxSeal)
	var want []storage.JournalID
	for i := range journals {
		p := d.transfer(tom, amy, 1)
		p.Journal.ID = storage.JournalID(storage.NewID(d.now.Add(time.Duration(journals-i) * time.Millisecond)))
		d.post(t, p)
		want = append(want, p.Journal.ID)
	}
	d.sealUp(t, 1)
	var got []storage.JournalID
	for _, s := range d.sealed(t)[1:] {
		got = append(got, s.Journal.ID)
	}
	if !slices.Equal(want, got) {
		t.Errorf("posted %v, sealed %v", want, got)
	}
}

func sealHoldFirst(t *testing.T, d *sealDesk) {
	tom, amy := d.wallet(t, 10), d.wallet(t, 0)
	d.sealUp(t, storage.MaxSeal)
	held := d.hold(tom, amy, 5)
	held.Journal.ID = storage.JournalID(storage.NewID(d.now.Add(time.Hour)))
	void := d.void(held)
	d.post(t, held, void)
	d.sealUp(t, 1)
	if all := d.sealed(t); len(all) != 3 || all[1].Journal.ID != held.Journal.ID || all[2].Journal.ID != void.Journal.ID {
		t.Errorf("%+v", all)
	}
}

// sealAsItHappened has holds and entries in turns, in one block, under identifiers that say otherwise.
func sealAsItHappened(t *testing.T, d *sealDesk) {
	tom, amy := d.wallet(t, 10), d.wallet(t, 0)
	d.sealUp(t, storage.MaxSeal)
	first, second := d.hold(tom, amy, 10), d.hold(tom, amy, 4)
	steps := []storage.Posting{first, d.void(first), d.transfer(tom, amy, 6), second, d.capture(second, 4), d.deposit(tom.user, 3), d.hold(tom, amy, 3)}
	var want []storage.JournalID
	for i, p := range steps {
		id := storage.JournalID(storage.NewID(d.now.Add(time.Duration(len(steps)-i) * time.Millisecond)))
		for k := range steps {
			if steps[k].Journal.Original == p.Journal.ID {
				steps[k].Journal.Original = id
			}
		}
		p = steps[i]
		p.Journal.ID = id
		d.post(t, p)
		want = append(want, id)
	}
	d.sealUp(t, storage.MaxSeal)
	var got []storage.JournalID
	for _, s := range d.sealed(t)[1:] {
		got = append(got, s.Journal.ID)
	}
	if !slices.Equal(want, got) {
		t.Errorf("posted %v, sealed %v", want, got)
	}
}

// sealAtOnce has many sealers while money moves.
func sealAtOnce(t *testing.T, d *sealDesk) {
	const sealers, writers, transfers = 4, 3, 15
	wallets := make([]wallet, writers)
	for i := range wallets {
		wallets[i] = d.wallet(t, transfers)
	}
	var writing, all sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for range transfers {
				if _, err := d.desk.Post(t.Context(), d.transfer(wallets[i], wallets[(i+1)%writers], 1)); err != nil {
					t.Errorf("transfer: %v", err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	for range sealers {
		all.Go(func() {
			for last := false; ; {
				n, err := d.Seal(t.Context(), 5, d.now)
				if err != nil && !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("seal: %v", err)
					return
				}
				if n == 0 && last {
					return
				}
				select {
				case <-done:
					last = true
				default:
				}
			}
		})
	}
	all.Wait()
	d.sealUp(t, storage.MaxSeal)
	if got, want := len(d.sealed(t)), writers+writers*transfers; got != want {
		t.Errorf("%d journals are sealed, want %d", got, want)
	}
}

func sealBacklog(t *testing.T, d *sealDesk) {
	if b, err := d.Backlog(t.Context()); err != nil || b != (storage.Backlog{}) {
		t.Errorf("%+v, %v", b, err)
	}
	d.wallet(t, 5)
	d.wallet(t, 6)
	b, err := d.Backlog(t.Context())
	if err != nil || b.Journals != 2 || b.Oldest == nil || !b.Oldest.Equal(d.now.Truncate(time.Millisecond)) {
		t.Errorf("%+v, %v", b, err)
	}
	d.sealUp(t, storage.MaxSeal)
	if b, err := d.Backlog(t.Context()); err != nil || b != (storage.Backlog{}) {
		t.Errorf("%+v, %v", b, err)
	}
}

// sealEnrol enrols journals of which each waits, or is sealed.
func sealEnrol(t *testing.T, d *sealDesk) {
	for range 3 {
		d.wallet(t, 1)
	}
	began := d.now
	if n, err := d.Seal(t.Context(), 1, began); n < 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	for i, want := range []int{2, 1, 0} {
		if n, err := d.Enrol(t.Context(), d.now.Add(time.Second), 2); n != want || err != nil {
			t.Errorf("step %d: looked at %d, %v; want %d", i, n, err, want)
		}
	}
	d.now = began.Add(time.Minute)
	young := d.deposit(d.user(t), 1)
	d.post(t, young)
	if n, err := d.Enrol(t.Context(), d.now, 2); n != 0 || err != nil {
		t.Errorf("looked at %d, %v", n, err)
	}
	d.now = began
	d.sealUp(t, storage.MaxSeal)
	if got := len(d.sealed(t)); got != 4 {
		t.Errorf("%d journals are sealed, want 4", got)
	}
}
