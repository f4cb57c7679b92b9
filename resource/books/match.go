package books

import (
	"context"
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/storage"
)

// errStopped ends the reading of a stream that nobody wants any more.
var errStopped = errors.New("reading stopped")

const (
	bucketBits = 16
	buckets    = 1 << bucketBits
	// maxDoubtful is how many buckets are looked into, and maxSuspects about how many journals may be in
	// them: where a ledger is wrong all over, a part of it is named.
	maxDoubtful = 64
	maxSuspects = 1 << 20
)

// matcher tells whether two collections are equal that do not fit into memory and are not in one
// order: each text added has to be subtracted once. The text before the first space is its identifier
// and chooses the bucket.
type matcher struct {
	seed, bucketSeed maphash.Seed
	sums             [buckets]uint64
}

func newMatcher() *matcher { return &matcher{seed: maphash.MakeSeed(), bucketSeed: maphash.MakeSeed()} }

func (m *matcher) add(text string)      { m.sums[m.bucket(text)] += m.hash(text) }
func (m *matcher) subtract(text string) { m.sums[m.bucket(text)] -= m.hash(text) }

func (m *matcher) hash(text string) uint64 { return maphash.String(m.seed, text) }

func (m *matcher) bucket(text string) uint64 {
	id, _, _ := strings.Cut(text, " ")
	return maphash.String(m.bucketSeed, id) >> (64 - bucketBits)
}

// doubtful returns buckets that do not come to zero: as many as may be held in memory of a ledger with
// so many journals, and one at least if there is any.
func (m *matcher) doubtful(journals int64) map[uint64]bool {
	limit := int(min(max(maxSuspects*buckets/max(journals, 1), 1), maxDoubtful))
	out := make(map[uint64]bool)
	for b, sum := range m.sums {
		if sum != 0 && len(out) < limit {
			out[uint64(b)] = true
		}
	}
	return out
}

// orphans names the entries whose journal is not there.
func (v *verifier) orphans(ctx context.Context) error {
	doubtful := v.entries.doubtful(v.report.Journals)
	if len(doubtful) == 0 {
		return nil
	}
	journals := make(map[storage.JournalID]bool)
	err := v.books.JournalsFrom(ctx, v.start, func(j storage.Journal, _ []storage.Entry) error {
		if doubtful[v.entries.bucket(string(j.ID))] {
			journals[j.ID] = true
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return v.books.AllEntries(ctx, func(e storage.Entry) error {
		if e.Journal >= v.start && doubtful[v.entries.bucket(string(e.Journal))] && !journals[e.Journal] {
			v.report.fault(Fault{Check: JournalMissing, Account: e.Account, Sequence: e.Sequence, Journal: e.Journal},
				"the entry belongs to a journal that is not there")
		}
		return ctx.Err()
	})
}

// told is what is known of one journal whose answer is in doubt.
type told struct {
	facts   string   // of the journal; empty if it is not there
	answers []string // what answers tell
	keys    []string // under which they are recorded
}

// unanswered names the journals without their answer, and the answers without their journal.
func (v *verifier) unanswered(ctx context.Context) error {
	doubtful := v.answers.doubtful(v.report.Journals)
	if len(doubtful) == 0 {
		return nil
	}
	suspects := make(map[storage.JournalID]*told)
	suspect := func(id storage.JournalID) *told {
		if v.forgotten(id) || !doubtful[v.answers.bucket(string(id))] {
			return nil
		}
		if suspects[id] == nil {
			suspects[id] = &told{}
		}
		return suspects[id]
	}
	err := v.books.JournalsFrom(ctx, v.start, func(j storage.Journal, _ []storage.Entry) error {
		if s := suspect(j.ID); s != nil {
			s.facts = factsOf(j)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	err = v.books.AllAnswers(ctx, func(k storage.IdempotencyKey, a storage.Answer) error {
		facts, ok := checkAnswer(&Report{}, k, a) // its own faults were told the first time
		if !ok {
			return ctx.Err()
		}
		if s := suspect(a.Journal); s != nil && len(s.keys) < MaxFaults {
			s.answers, s.keys = append(s.answers, facts), append(s.keys, keyName(k))
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(suspects)) {
		v.report.judge(id, suspects[id])
	}
	return nil
}

// judge tells what is wrong between a journal and its answers, if anything.
func (r *Report) judge(id storage.JournalID, s *told) {
	at := Fault{Check: AnswerMismatch, Journal: id}
	if len(s.keys) > 0 {
		at.Key = s.keys[0]
	}
	switch {
	case len(s.answers) == 0:
		at.Check = AnswerMissing
		r.fault(at, "no recorded answer tells of it")
	case s.facts == "":
		at.Check = JournalMissing
		r.fault(at, "the answer tells of a journal that is not there")
	case len(s.answers) > 1:
		r.fault(at, "%d answers tell of it: also %s", len(s.answers), s.keys[1])
	case strings.HasSuffix(s.answers[0], " ?"):
		// What is wrong with the answer itself was told when it was read.
	case s.answers[0] != s.facts:
		r.fault(at, "the answer tells of %s", strings.TrimPrefix(s.answers[0], string(id)+" "))
	}
}
