package books

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/storage"
)

// maxHeldEvents is how many changes of what is held are in memory at once. Of a ledger with more, the accounts
// are gone through in parts.
const maxHeldEvents = 1 << 19

// heldEvent is a change of what is held on an account.
type heldEvent struct {
	account         storage.AccountID
	journal         storage.JournalID
	sequence, fence int64
	rank            int8 // among those of one sequence and fence: a capture comes with its entry, a release after the holds
	known           bool // when it happened
	delta           int64
}

func inTime(a, b heldEvent) int {
	return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.sequence, b.sequence), cmp.Compare(min(a.rank, 0), min(b.rank, 0)),
		cmp.Compare(a.fence, b.fence), cmp.Compare(a.rank, b.rank))
}

// history is what was held on the accounts of one part, in the order of accounts and of time.
type history struct {
	seed        maphash.Seed
	parts, part uint64
	events      []heldEvent
}

func newHistory() *history { return &history{seed: maphash.MakeSeed(), parts: 1} }

// has says whether an account is in the part.
func (h *history) has(account storage.AccountID) bool {
	return h.parts == 1 || maphash.String(h.seed, string(account))%h.parts == h.part
}

func (h *history) add(span *storage.HeldSpan) {
	hold := &span.Hold
	if !h.has(hold.Account) {
		return
	}
	h.events = append(h.events, heldEvent{
		account: hold.Account, journal: hold.ID, sequence: span.Opened.Sequence, fence: span.Opened.Fence,
		known: span.Opened != storage.UnknownStanding(), delta: hold.Amount.Minor,
	})
	if hold.State != storage.HoldOpen {
		e := heldEvent{
			account: hold.Account, journal: hold.ClosedBy, sequence: span.Closed.Sequence, fence: span.Closed.Fence,
			known: span.Closed != storage.UnknownStanding(), delta: -hold.Amount.Minor, rank: 1,
		}
		if hold.State == storage.HoldCaptured {
			e.rank = -1
		}
		h.events = append(h.events, e)
	}
	if len(h.events) > maxHeldEvents && h.part == 0 {
		h.parts *= 2
		h.events = slices.DeleteFunc(h.events, func(e heldEvent) bool { return !h.has(e.account) })
	}
}

// of takes the events of an account, which come in the order of accounts, and tells of those of accounts that are
// passed by.
func (h *history) of(r *Report, account storage.AccountID) []heldEvent {
	for len(h.events) > 0 && (account == "" || h.events[0].account < account) {
		r.fault(Fault{Check: AccountMissing, Account: h.events[0].account, Journal: h.events[0].journal}, "a hold on an account that is not there")
		h.events = h.events[1:]
	}
	n := 0
	for n < len(h.events) && h.events[n].account == account {
		n++
	}
	mine := h.events[:n]
	h.events = h.events[n:]
	return mine
}

// holds reads the holds: what they were at what time, for the accounts, and what they say of journals.
func (v *verifier) holds(ctx context.Context) error {
	err := v.books.AllHeld(ctx, func(span storage.HeldSpan) error {
		v.report.Holds++
		v.checkHold(&span.Hold)
		for _, fact := range holdFacts(&span.Hold) {
			if fact.journal >= v.start {
				v.origins.add(fact.String())
			}
		}
		v.held.add(&span)
		return ctx.Err()
	})
	slices.SortFunc(v.held.events, inTime)
	return err
}

// checkHold checks a hold by itself.
func (v *verifier) checkHold(h *storage.Hold) {
	open := h.State == storage.HoldOpen
	known := open || h.State == storage.HoldCaptured || h.State == storage.HoldVoided || h.State == storage.HoldExpired
	if !known || open != (h.ClosedAt == nil) || open != (h.ClosedBy == "") ||
		(h.State == storage.HoldCaptured) != (h.Captured > 0) || h.Captured > h.Amount.Minor {
		v.report.fault(Fault{Check: HoldMismatch, Journal: h.ID}, "%.16q, captured %d of %d, closed by %.32q", string(h.State), h.Captured, h.Amount.Minor, string(h.ClosedBy))
	}
	if want := accountOf(h.From, h.Amount.Currency); h.Account != want {
		v.report.fault(Fault{Check: HoldMismatch, Journal: h.ID, Account: h.Account}, "its payer and currency call for %s", want)
	}
}

// fact is what a journal and the row of its hold, or of a reversal, have to agree on.
type fact struct {
	journal, original storage.JournalID
	kind              storage.JournalKind
	parties           string
	minor             int64
	at                int64 // microseconds since 1970; 0 if it is of no concern
}

// String begins with the journal and a space.
func (f fact) String() string {
	return string(f.journal) + " " + string(f.kind) + " of " + strconv.FormatInt(f.minor, 10) + " " + f.parties + " original " + string(f.original) +
		" at " + strconv.FormatInt(f.at, 10)
}

// holdFacts are what a hold says of the journal that opened it, and of the one that closed it.
func holdFacts(h *storage.Hold) []fact {
	parties := string(h.From) + " to " + string(h.To) + " " + string(h.Amount.Currency)
	out := make([]fact, 0, 2)
	out = append(out, fact{journal: h.ID, kind: storage.KindHold, parties: parties, minor: h.Amount.Minor, at: h.CreatedAt.UnixMicro()})
	if h.State == storage.HoldOpen || h.ClosedAt == nil {
		return out
	}
	closed := fact{journal: h.ClosedBy, original: h.ID, parties: parties, minor: h.Amount.Minor, at: h.ClosedAt.UnixMicro()}
	switch h.State {
	case storage.HoldCaptured:
		closed.kind, closed.minor = storage.KindCapture, h.Captured
	case storage.HoldVoided:
		closed.kind = storage.KindVoid
	case storage.HoldExpired:
		closed.kind = storage.KindExpiry
	case storage.HoldOpen:
	}
	return append(out, closed)
}

// journalFact is what a journal says; ok is false for those that have no row of their own.
func journalFact(j *storage.Journal) (f fact, ok bool) {
	f = fact{
		journal: j.ID, original: j.Original, kind: j.Kind, minor: j.Amount.Minor,
		parties: string(j.From) + " to " + string(j.To) + " " + string(j.Amount.Currency), at: j.CreatedAt.UnixMicro(),
	}
	switch j.Kind {
	case storage.KindHold, storage.KindCapture, storage.KindVoid, storage.KindExpiry:
		return f, true
	case storage.KindReversal:
		f.parties, f.at = "", 0
		return f, true
	case storage.KindTransfer, storage.KindDeposit, storage.KindWithdrawal:
	}
	return f, false
}

// reversals tells of journals, which come in the order of their identifiers, how much of them was moved back.
type reversals struct {
	v    *verifier
	next func() (storage.Reversal, bool)
	row  storage.Reversal
	more bool
	err  error
}

func (v *verifier) openReversals(ctx context.Context) (r *reversals, stop func()) {
	r = &reversals{v: v}
	r.next, stop = pull(func(each func(storage.Reversal) error) error { return v.books.ReversalsFrom(ctx, "", each) }, &r.err)
	r.row, r.more = r.next()
	return r, stop
}

// check checks the reversals of a journal, and of those before it that are not read any more.
func (r *reversals) check(ctx context.Context, j *storage.Journal) error {
	for r.more && r.row.Original < j.ID {
		if err := r.earlier(ctx); err != nil {
			return err
		}
	}
	for total := int64(0); r.more && r.row.Original == j.ID; r.row, r.more = r.next() {
		total = r.take(j, total)
	}
	return nil
}

// take checks one reversal of a journal of which total was moved back before it.
func (r *reversals) take(j *storage.Journal, total int64) int64 {
	f := fact{journal: r.row.ID, original: r.row.Original, kind: storage.KindReversal, minor: r.row.Total - total}
	if f.journal >= r.v.start {
		r.v.origins.add(f.String())
	}
	if r.row.Total > j.Amount.Minor || r.row.Total <= total || !j.Kind.Moves() || j.Kind == storage.KindReversal {
		r.v.report.fault(Fault{Check: ReversalMismatch, Journal: r.row.ID}, "takes what is moved back of the %s %s to %d of %d", j.Kind, j.ID, r.row.Total, j.Amount.Minor)
	}
	return r.row.Total
}

// earlier checks the reversals of an original that the reading of journals does not come by: one that an earlier run
// has proven, or one that is not there.
func (r *reversals) earlier(ctx context.Context) error {
	id := r.row.Original
	var original storage.Journal
	err := r.v.books.JournalsFrom(ctx, id, func(j storage.Journal, _ []storage.Entry) error {
		if j.ID == id {
			original = j
		}
		return errStopped
	})
	if err != nil && !errors.Is(err, errStopped) {
		return err
	}
	for total := int64(0); r.more && r.row.Original == id; r.row, r.more = r.next() {
		if original.ID == "" {
			r.v.report.fault(Fault{Check: ReversalMismatch, Journal: r.row.ID}, "moves back a part of %s, which is not there", id)
		}
		total = r.take(&original, total)
	}
	return nil
}

func (r *reversals) end(ctx context.Context) error {
	for r.more {
		if err := r.earlier(ctx); err != nil {
			return err
		}
	}
	return r.err
}

// twoFacts is what a row and a journal say of one journal.
type twoFacts struct{ rows, journals []string }

// unrelated names the journals that rows of holds and reversals tell otherwise, or not of.
func (v *verifier) unrelated(ctx context.Context) error {
	doubtful := v.origins.doubtful(v.report.Journals)
	if len(doubtful) == 0 {
		return nil
	}
	suspects := make(map[storage.JournalID]*twoFacts)
	suspect := func(f fact) *twoFacts {
		if f.journal < v.start || !doubtful[v.origins.bucket(string(f.journal))] {
			return &twoFacts{}
		}
		if suspects[f.journal] == nil {
			suspects[f.journal] = &twoFacts{}
		}
		return suspects[f.journal]
	}
	total, last := int64(0), storage.JournalID("")
	err := errors.Join(
		v.books.AllHeld(ctx, func(span storage.HeldSpan) error {
			for _, f := range holdFacts(&span.Hold) {
				s := suspect(f)
				s.rows = append(s.rows, f.String())
			}
			return ctx.Err()
		}),
		v.books.ReversalsFrom(ctx, "", func(row storage.Reversal) error {
			if row.Original != last {
				total, last = 0, row.Original
			}
			f := fact{journal: row.ID, original: row.Original, kind: storage.KindReversal, minor: row.Total - total}
			total = row.Total
			s := suspect(f)
			s.rows = append(s.rows, f.String())
			return ctx.Err()
		}),
		v.books.JournalsFrom(ctx, v.start, func(j storage.Journal, _ []storage.Entry) error {
			if f, ok := journalFact(&j); ok {
				s := suspect(f)
				s.journals = append(s.journals, f.String())
			}
			return ctx.Err()
		}),
	)
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(suspects)) {
		v.report.compare(id, suspects[id])
	}
	return nil
}

// compare tells what is wrong between a journal and the rows that tell of it, if anything.
func (r *Report) compare(id storage.JournalID, s *twoFacts) {
	at := Fault{Check: OriginMismatch, Journal: id}
	switch {
	case len(s.rows) == 1 && len(s.journals) == 1 && s.rows[0] == s.journals[0]:
	case len(s.rows) == 0:
		r.fault(at, "no hold or reversal tells of it: %s", s.journals[0][len(id)+1:])
	case len(s.journals) == 0:
		r.fault(at, "a hold or reversal tells of it, but it is not there: %s", s.rows[0][len(id)+1:])
	case len(s.rows) > 1:
		r.fault(at, "%d holds or reversals tell of it: %s", len(s.rows), s.rows[1][len(id)+1:])
	default:
		r.fault(at, "it is a %s, its hold or reversal says %s", s.journals[0][len(id)+1:], s.rows[0][len(id)+1:])
	}
}
