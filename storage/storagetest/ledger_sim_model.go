package storagetest

import (
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

// simPurse is a wallet of the model.
type simPurse struct {
	Balance, Held, Fence int64
	Spent, Day           int64
	Frozen               bool
	Single, Daily        int64 // below zero: none
}

func (p *simPurse) spentOn(day int64) int64 {
	if day > p.Day {
		return 0
	}
	return p.Spent
}

// within says whether an amount is within the limits.
func (p *simPurse) within(amount, day int64) bool {
	return (p.Single < 0 || amount <= p.Single) && (p.Daily < 0 || p.spentOn(day)+amount <= p.Daily)
}

// simHold is a hold of the model.
type simHold struct {
	made   storage.Posting
	closed bool
}

// simMove is a journal that can be reversed, and how much of it is left for that.
type simMove struct {
	made storage.Posting
	left int64
}

// simBook is a ledger as simple as can be: no accounts but one for each user, no rows, no locks, no keys.
// What it says is written down from the contract of [storage.Ledger] alone.
type simBook struct {
	purses map[storage.UserID]simPurse
	world  int64
	holds  []simHold
	moves  []simMove
}

func (b *simBook) clone() *simBook {
	return &simBook{purses: maps.Clone(b.purses), world: b.world, holds: slices.Clone(b.holds), moves: slices.Clone(b.moves)}
}

// forget keeps the lists short: what is closed and old is not asked about any more.
func (b *simBook) forget() {
	const most = 60
	if len(b.moves) > most {
		b.moves = slices.Clone(b.moves[len(b.moves)-most/2:])
	}
	if len(b.holds) > most {
		n := 0
		b.holds = slices.DeleteFunc(slices.Clone(b.holds), func(h simHold) bool {
			n++
			return h.closed && n < most/2
		})
	}
}

func (b *simBook) hold(id storage.JournalID) *simHold {
	for n := range b.holds {
		if b.holds[n].made.Journal.ID == id {
			return &b.holds[n]
		}
	}
	return nil
}

func (b *simBook) move(id storage.JournalID) *simMove {
	for n := range b.moves {
		if b.moves[n].made.Journal.ID == id {
			return &b.moves[n]
		}
	}
	return nil
}

// codeStale stands for ErrStale.
const codeStale = "(stale)"

// refusals are all reasons for which a posting has to be refused; the contract does not say which of
// several is told.
func (b *simBook) refusals(p *storage.Posting) (codes []string) {
	j := &p.Journal
	refuse := func(code string, applies bool) {
		if applies {
			codes = append(codes, code)
		}
	}
	from := b.purses[j.From]
	refuse(codeStale, p.Fence != nil && *p.Fence != from.Fence)
	if _, known := b.purses[p.MustExist]; p.MustExist != "" {
		refuse(codeUnknown, !known)
	}
	day := storage.Day(p.Now)
	switch j.Kind {
	case storage.KindTransfer, storage.KindHold:
		refuse(codeLimit, !from.within(j.Amount.Minor, day))
		fallthrough
	case storage.KindWithdrawal:
		refuse(codeFrozen, from.Frozen)
		refuse(codeInsufficient, from.Balance-from.Held < j.Amount.Minor)
	case storage.KindCapture, storage.KindVoid:
		h := b.hold(j.Original)
		if h == nil {
			return append(codes, codeUnknown)
		}
		refuse(codeClosed, h.closed || !p.Now.Before(h.made.HoldUntil))
		refuse(codeExceeds, j.Amount.Minor > h.made.Journal.Amount.Minor)
		refuse(codeFrozen, j.Kind == storage.KindCapture && from.Frozen)
	case storage.KindReversal:
		m := b.move(j.Original)
		if m == nil {
			return append(codes, codeUnknown)
		}
		refuse(codeExceeds, j.Amount.Minor > m.left)
		refuse(codeInsufficient, j.From != "" && from.Balance-from.Held < j.Amount.Minor)
	}
	return codes
}

// post makes a posting that is not refused, as the journal that it became.
func (b *simBook) post(p storage.Posting) {
	j := &p.Journal
	switch j.Kind {
	case storage.KindHold:
		b.change(j.From, func(w *simPurse) { w.Held += j.Amount.Minor; w.Fence++; w.spend(p) })
		b.holds = append(b.holds, simHold{made: p})
		return
	case storage.KindCapture:
		h := b.hold(j.Original)
		b.close(h, j.Amount.Minor, p.Now)
	case storage.KindVoid:
		b.close(b.hold(j.Original), 0, p.Now)
		return
	case storage.KindReversal:
		b.move(j.Original).left -= j.Amount.Minor
	case storage.KindTransfer:
		b.change(j.From, func(w *simPurse) { w.spend(p) })
	}
	b.change(j.From, func(w *simPurse) { w.Balance -= j.Amount.Minor; w.Fence++ })
	b.change(j.To, func(w *simPurse) { w.Balance += j.Amount.Minor })
	if j.From == "" {
		b.world -= j.Amount.Minor
	}
	if j.To == "" {
		b.world += j.Amount.Minor
	}
	if j.Kind != storage.KindReversal {
		b.moves = append(b.moves, simMove{made: p, left: j.Amount.Minor})
	}
}

func (b *simBook) change(user storage.UserID, f func(*simPurse)) {
	if user == "" {
		return
	}
	w := b.purses[user]
	f(&w)
	b.purses[user] = w
}

func (p *simPurse) spend(by storage.Posting) {
	day := storage.Day(by.Now)
	p.Spent, p.Day = p.spentOn(day)+by.Journal.Amount.Minor, max(p.Day, day)
}

// close lets go of a hold but for what is taken. What was held and let go of on one day was not spent.
func (b *simBook) close(h *simHold, taken int64, now time.Time) {
	h.closed = true
	amount, day := h.made.Journal.Amount.Minor, storage.Day(h.made.Now)
	b.change(h.made.Journal.From, func(w *simPurse) {
		w.Held -= amount
		if storage.Day(now) == day && w.Day == day {
			w.Spent -= amount - taken
		}
	})
}

// expire closes what is past its time, and says how much that was.
func (b *simBook) expire(now time.Time) (n int) {
	for k := range b.holds {
		if h := &b.holds[k]; !h.closed && !now.Before(h.made.HoldUntil) {
			b.close(h, 0, now)
			n++
		}
	}
	return n
}

// simState is what can be seen of a ledger at an instant.
type simState struct {
	Purses map[storage.UserID]simPurse
	World  int64
}

// state is what the model says can be seen.
func (b *simBook) state(now time.Time) simState {
	s := simState{Purses: map[storage.UserID]simPurse{}, World: b.world}
	for user, p := range b.purses {
		s.Purses[user] = p.seen(now)
	}
	return s
}

// seen is a purse without what is over.
func (p *simPurse) seen(now time.Time) simPurse {
	seen := *p
	seen.Spent, seen.Day = p.spentOn(storage.Day(now)), 0
	return seen
}

// explains looks for an order of postings that were made at the same time in which each comes to what
// it came to, and after which there is what there is. It leaves the book as that order does.
func (b *simBook) explains(done []simOutcome, now time.Time, seen simState) bool {
	if len(done) == 0 {
		return cmp.Equal(seen, b.state(now))
	}
	for n, o := range done {
		codes := b.refusals(&o.posting)
		if (o.code == "") != (len(codes) == 0) || o.code != "" && !slices.Contains(codes, o.code) {
			continue
		}
		next := b.clone()
		if o.code == "" {
			next.post(o.posting)
		}
		if next.explains(slices.Delete(slices.Clone(done), n, n+1), now, seen) {
			*b = *next
			return true
		}
	}
	return false
}
