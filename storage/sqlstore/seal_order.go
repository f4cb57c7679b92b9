package sqlstore

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/storage"
)

const (
	// sealRun is how many entries before one are read at once.
	sealRun = 64

	entriesAt     = `{SELECT account_id, sequence, journal_id FROM entries WHERE account_id = ? AND sequence = ?| UNION ALL }`
	entriesBefore = `SELECT account_id, sequence, journal_id FROM entries WHERE account_id = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?`
)

// spot is an entry and its journal.
type spot struct {
	account  storage.AccountID
	sequence int64
	journal  storage.JournalID
}

func scanSpot(row scanner) (s spot, err error) {
	err = row.Scan(&s.account, &s.sequence, &s.journal)
	return s, err
}

// complete adds what has to come before the journals gathered and is not sealed, until nothing is missing.
//
// As a rule nothing is: journals wait in the order of their identifiers, which is nearly that of their
// commits. Each round goes back in the order of commits, so it ends. If more is found than a block may have, which is
// twice its limit, the last of it found is where to begin, and the others wait for their turn.
func (s *sealing) complete(ctx context.Context, q querier, m *sealMemory, limit int) error {
	checked := make(map[place]bool)
	for {
		missing, err := s.missing(ctx, q, m, checked)
		if err != nil || len(missing) == 0 {
			return err
		}
		if len(s.journals)+len(missing) > 2*limit {
			clear(s.journals)
			clear(checked)
			missing = missing[len(missing)-1:]
		}
		notes, err := notesOf(ctx, q, missing)
		if err != nil {
			return err
		}
		if err := s.add(ctx, q, notes); err != nil {
			return err
		}
	}
}

// notesOf reads the notes of journals; those without one were posted before there were seals.
func notesOf(ctx context.Context, q querier, missing []storage.JournalID) ([]*unsealed, error) {
	known := make(map[storage.JournalID]*unsealed, len(missing))
	for chunk := range slices.Chunk(missing, sealChunk) {
		notes, err := collect(ctx, q, scanUnsealed, spread(readWaiting, len(chunk)), anyOf(chunk)...)
		if err != nil {
			return nil, fmt.Errorf("read notes: %w", err)
		}
		for _, u := range notes {
			known[u.id] = u
		}
	}
	out := make([]*unsealed, len(missing))
	for i, id := range missing {
		if out[i] = known[id]; out[i] == nil {
			out[i] = &unsealed{id: id, after: storage.UnknownStanding()}
		}
	}
	return out, nil
}

// missing are journals that come before those gathered, are not among them and not sealed, the latest first
// where they are on one account. checked are the places looked at before.
func (s *sealing) missing(ctx context.Context, q querier, m *sealMemory, checked map[place]bool) ([]storage.JournalID, error) {
	before, err := s.before(ctx, q, m, checked)
	if err != nil {
		return nil, err
	}
	var wanted []storage.JournalID
	for _, at := range before {
		wanted = append(wanted, at.journal)
	}
	for _, u := range s.journals {
		if o := u.journal.Original; o != "" {
			wanted = append(wanted, o)
		}
	}
	open, err := s.open(ctx, q, wanted)
	if err != nil {
		return nil, err
	}
	var out []storage.JournalID
	for _, id := range wanted {
		if open[id] {
			out = append(out, id)
			open[id] = false
		}
	}
	return s.further(ctx, q, before, out)
}

// place is one of the entries of an account.
type place struct {
	account  storage.AccountID
	sequence int64
}

// before are the entries just before those gathered, where those are neither gathered nor known to be sealed.
func (s *sealing) before(ctx context.Context, q querier, m *sealMemory, checked map[place]bool) ([]spot, error) {
	gathered := make(map[place]bool)
	for _, u := range s.journals {
		for _, e := range u.entries {
			gathered[place{e.Account, e.Sequence}] = true
		}
	}
	var args [][]any
	for at := range gathered {
		at.sequence--
		if at.sequence < 1 || gathered[at] || checked[at] || m.knows(at.account, at.sequence) {
			continue
		}
		checked[at] = true
		args = append(args, []any{string(at.account), at.sequence})
	}
	var out []spot
	for chunk := range slices.Chunk(args, sealChunk) {
		found, err := collect(ctx, q, scanSpot, spread(entriesAt, len(chunk)), slices.Concat(chunk...)...)
		if err != nil {
			return nil, fmt.Errorf("read entries before: %w", err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// open says which of the journals are neither gathered nor sealed.
func (s *sealing) open(ctx context.Context, q querier, ids []storage.JournalID) (map[storage.JournalID]bool, error) {
	out := make(map[storage.JournalID]bool)
	var list []*unsealed
	for _, id := range ids {
		if s.journals[id] == nil && !out[id] {
			out[id] = true
			list = append(list, &unsealed{id: id})
		}
	}
	sealed, err := sealedOf(ctx, q, list)
	maps.DeleteFunc(out, func(id storage.JournalID, _ bool) bool { return sealed[id] })
	return out, err
}

// further goes on from entries that are missing to those before them, a run of each account.
func (s *sealing) further(ctx context.Context, q querier, before []spot, missing []storage.JournalID) ([]storage.JournalID, error) {
	known := make(map[storage.JournalID]bool, len(missing))
	for _, id := range missing {
		known[id] = true
	}
	for _, at := range before {
		if !slices.Contains(missing, at.journal) {
			continue
		}
		run, err := collect(ctx, q, scanSpot, entriesBefore, string(at.account), at.sequence, sealRun)
		if err != nil {
			return nil, fmt.Errorf("read entries before: %w", err)
		}
		ids := make([]storage.JournalID, len(run))
		for i, r := range run {
			ids[i] = r.journal
		}
		open, err := s.open(ctx, q, ids)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if !open[id] {
				break
			}
			if !known[id] {
				known[id] = true
				missing = append(missing, id)
			}
		}
	}
	return missing, nil
}

// inOrder puts the journals gathered in an order in which what happened on an account comes as it happened, and what
// closes a hold or reverses a journal after it; otherwise by identifier. If somebody has tampered with them so
// that there is no such order, the rest comes by identifier.
func (s *sealing) inOrder() []*unsealed {
	after, waits := s.edges()
	ready := &byIdentifier{}
	for id, u := range s.journals {
		if waits[id] == 0 {
			*ready = append(*ready, u)
		}
	}
	heap.Init(ready)
	out := make([]*unsealed, 0, len(s.journals))
	done := make(map[storage.JournalID]bool, len(s.journals))
	for ready.Len() > 0 {
		u := heap.Pop(ready).(*unsealed) //nolint:forcetypeassert // it holds nothing else.
		out, done[u.id] = append(out, u), true
		for _, id := range after[u.id] {
			if waits[id]--; waits[id] == 0 {
				heap.Push(ready, s.journals[id])
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.journals)) {
		if !done[id] {
			out = append(out, s.journals[id])
		}
	}
	return out
}

// edges are, for each journal, those that come after it, and how many come before it.
func (s *sealing) edges() (after map[storage.JournalID][]storage.JournalID, waits map[storage.JournalID]int) {
	after, waits = make(map[storage.JournalID][]storage.JournalID), make(map[storage.JournalID]int)
	edge := func(from, to storage.JournalID) {
		if from != to {
			after[from] = append(after[from], to)
			waits[to]++
		}
	}
	for _, events := range s.events() {
		slices.SortFunc(events, func(a, b event) int {
			return cmp.Or(cmp.Compare(a.sequence, b.sequence), cmp.Compare(a.fence, b.fence), cmp.Compare(a.rank, b.rank), cmp.Compare(a.journal, b.journal))
		})
		for i := 1; i < len(events); i++ {
			edge(events[i-1].journal, events[i].journal)
		}
	}
	for id, u := range s.journals {
		if o := u.journal.Original; o != "" && s.journals[o] != nil {
			edge(o, id)
		}
	}
	return after, waits
}

// event is what a journal did to an account. Its order among others there: the entry that gave the account a
// sequence comes first; then holds, each of which raises the fence; and after the hold that comes before it, what
// lets go of one.
type event struct {
	sequence, fence int64
	rank            int
	journal         storage.JournalID
}

func (s *sealing) events() map[storage.AccountID][]event {
	out := make(map[storage.AccountID][]event)
	for id, u := range s.journals {
		for _, e := range u.entries {
			out[e.Account] = append(out[e.Account], event{sequence: e.Sequence, fence: -1, journal: id})
		}
		j := &u.journal
		if j.Kind.Moves() || u.after == storage.UnknownStanding() {
			continue
		}
		account := storage.WalletAccount(j.From, j.Amount.Currency)
		e := event{sequence: u.after.Sequence, fence: u.after.Fence, journal: id}
		if j.Kind != storage.KindHold {
			e.rank = 1
		}
		out[account] = append(out[account], e)
	}
	return out
}

// byIdentifier is a heap of journals.
type byIdentifier []*unsealed

// Len implements heap.Interface.
func (h *byIdentifier) Len() int { return len(*h) }

// Less implements heap.Interface.
func (h *byIdentifier) Less(i, k int) bool { return (*h)[i].id < (*h)[k].id }

// Swap implements heap.Interface.
func (h *byIdentifier) Swap(i, k int) { (*h)[i], (*h)[k] = (*h)[k], (*h)[i] }

// Push implements heap.Interface.
func (h *byIdentifier) Push(x any) { *h = append(*h, x.(*unsealed)) } //nolint:forcetypeassert // it holds nothing else.

// Pop implements heap.Interface.
func (h *byIdentifier) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
