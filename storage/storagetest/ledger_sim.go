package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// Blow is what happens to a connection.
type Blow int

// The blows.
const (
	// Cut: the connection is lost before the step.
	Cut Blow = iota
	// CutAfter: a commit happens, and its connection is lost before anybody is told. Before other steps as Cut.
	CutAfter
	// Deadlock: the engine gives the transaction up, and it may be run again.
	Deadlock
	// Call: nothing happens to the connection, but somebody is told that the step has come.
	Call
)

// Smith strikes the connections of a store.
type Smith interface {
	// Strike has a blow fall on the nth step from now: a statement, a begin or a commit of any connection. call is
	// for Call.
	Strike(b Blow, n int, call func())
	// Mend takes back a blow that has not fallen.
	Mend()
}

// SimPlay says which simulation to play.
type SimPlay struct {
	Seed  uint64
	Steps int
}

const (
	// simUsers is how many wallets there are: so few that everything meets.
	simUsers = 4
	// simProof is how many steps are between two proofs of the whole books.
	simProof = 200
)

// simulation is a play of random operations on a ledger and on a model of it.
type simulation struct {
	*sealDesk

	smith  Smith
	chance *rand.Rand
	book   *simBook
	pool   []wallet
	signed time.Time // when all were signed in last
	// old is what was answered: all of it, since all of it must be there at the end.
	old   []simOutcome
	count map[string]int
	doing string // for messages
}

// simOutcome is a posting and what it came to: a journal, or a code.
type simOutcome struct {
	posting storage.Posting
	answer  storage.Answer
	code    string
}

func (o simOutcome) String() string {
	j := o.posting.Journal
	return fmt.Sprintf("%s of %d from %q to %q: %q", j.Kind, j.Amount.Minor, j.From, j.To, o.code)
}

// Simulate plays random operations of every kind, one after the other and several at once, with refusals,
// repeated keys, stale fences, callers who leave, connections that are lost, deadlocks, freezes, limits,
// holds that run out and sealing in between. After each step all that can be seen must be what a simple
// model says, and sum to zero; now and then the whole books are proved, and at the end each answer that was given must
// be there under its key. The same seed plays the same, but for who is first of those who come at once.
//
// Connections are lost at a step of the driver, not in a proxy: so every step has its turn, and so has the instant between a
// commit and the word of it, which a proxy hits by luck.
func Simulate(t *testing.T, store SealStore, smith Smith, play SimPlay) {
	t.Helper()
	s := &simulation{
		sealDesk: &sealDesk{desk: newDesk(t, store), SealStore: store, moving: true}, smith: smith, chance: rand.New(rand.NewPCG(play.Seed, 0)),
		book: &simBook{purses: map[storage.UserID]simPurse{}}, count: map[string]int{},
	}
	for range simUsers {
		w := s.wallet(t, 0)
		s.pool = append(s.pool, w)
		s.book.purses[w.user] = simPurse{Single: -1, Daily: -1}
	}
	for n := range play.Steps {
		s.now = s.now.Add(time.Duration(s.chance.Int64N(int64(5 * time.Second))))
		s.doing = fmt.Sprintf("step %d", n+1)
		s.step(t)
		if t.Failed() {
			t.Fatalf("stopped at step %d of seed %d", n+1, play.Seed)
		}
		if n%simProof == simProof-1 {
			s.prove(t)
		}
		s.book.forget()
	}
	for _, o := range s.old {
		if a, err := s.Answered(t.Context(), o.posting.Key, o.posting.RequestHash); err != nil || !cmp.Equal(a, o.answer) {
			t.Errorf("%s was acknowledged, and now there is %+v (%v)", o, a, err)
		}
	}
	s.sealUp(t, storage.MaxSeal)
	s.prove(t)
	s.recompute(t)
	t.Logf("%d answers; %v", len(s.old), s.count)
}

// step does one thing.
func (s *simulation) step(t *testing.T) {
	if s.now.Sub(s.signed) > 50*time.Minute { // a sign-in lasts for an hour
		for n := range s.pool {
			s.pool[n].bearer = s.signIn(t, s.pool[n].user)
		}
		s.signed = s.now
	}
	switch n := s.chance.IntN(100); {
	case n < 5:
		s.operate(t)
	case n < 8:
		s.now = s.now.Add(time.Duration(s.chance.Int64N(int64(8 * time.Hour))))
		s.count["jump"]++
	case n < 13:
		want := s.book.expire(s.now)
		s.count["expired"] += want
		s.expire(t, s.now, want)
		s.compare(t)
	case n < 19:
		if _, err := s.Seal(t.Context(), 1+s.chance.IntN(40), s.now); err != nil {
			t.Errorf("%s: seal: %v", s.doing, err)
		}
		s.count["seal"]++
	case n < 30:
		s.repeat(t)
	case n < 34:
		s.signInAgain(t)
	case n < 50:
		postings := make([]storage.Posting, 2+s.chance.IntN(3))
		for k := range postings {
			postings[k] = s.draw()
		}
		s.count["burst"]++
		s.play(t, postings...)
	default:
		s.play(t, s.draw())
	}
}

// draw makes up a posting.
func (s *simulation) draw() storage.Posting {
	i := s.chance.IntN(len(s.pool))
	from, to := s.pool[i], s.pool[(i+1+s.chance.IntN(len(s.pool)-1))%len(s.pool)]
	amount := 1 + s.chance.Int64N(60)
	if s.chance.IntN(40) == 0 {
		to = wallet{user: storage.UserID("nobody")}
	}
	switch s.chance.IntN(10) {
	case 0, 1:
		return s.deposit(to.user, amount)
	case 2:
		return s.withdraw(from, amount)
	case 3, 4:
		p := s.hold(from, to, amount)
		if s.chance.IntN(4) == 0 {
			p.To, p.Journal.To, p.MustExist = storage.WorldAccount(cny), "", ""
			p.RequestHash = hashOf(p.Journal)
		}
		p.HoldUntil = s.now.Add(time.Duration(1 + s.chance.Int64N(int64(6*time.Hour))))
		return s.fenced(p)
	case 5, 6:
		if len(s.book.holds) == 0 {
			return s.capture(s.hold(from, to, amount), 1) // of one that is not there
		}
		h := s.anyHold()
		p := s.void(h)
		if s.chance.IntN(3) > 0 {
			p = s.capture(h, 1+s.chance.Int64N(h.Journal.Amount.Minor+3))
		}
		p.MustExist = ""
		return s.fenced(p)
	case 7:
		if len(s.book.moves) == 0 {
			return s.reverse(s.transfer(from, to, amount), 1)
		}
		m := s.book.moves[s.chance.IntN(len(s.book.moves))].made
		return s.reverse(m, 1+s.chance.Int64N(m.Journal.Amount.Minor+3))
	}
	return s.fenced(s.transfer(from, to, amount))
}

// anyHold is one of the holds, more often one that is open.
func (s *simulation) anyHold() storage.Posting {
	var h simHold
	for range 4 {
		if h = s.book.holds[s.chance.IntN(len(s.book.holds))]; !h.closed {
			break
		}
	}
	return h.made
}

// fenced gives some postings a fence, as of a holder of the lock or of one who has lost it.
func (s *simulation) fenced(p storage.Posting) storage.Posting {
	if n := s.chance.IntN(8); n < 3 {
		fence := s.book.purses[p.Journal.From].Fence
		if n == 0 {
			fence += 1 - 2*s.chance.Int64N(2)
		}
		p.Fence = &fence
	}
	return p
}

// play makes postings at once, with or without a blow in the middle, until each has an answer.
func (s *simulation) play(t *testing.T, postings ...storage.Posting) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	struck := s.chance.IntN(4) == 0
	if struck {
		blow := Blow(s.chance.IntN(4))
		s.count["blow"]++
		s.doing += fmt.Sprintf(", blow %d", blow)
		s.smith.Strike(blow, 1+s.chance.IntN(11), cancel)
	}
	if s.chance.IntN(30) == 0 {
		cancel() // gone before anything was done
	}
	posted, errs := make([]storage.Posted, len(postings)), make([]error, len(postings))
	var wg sync.WaitGroup
	for n, p := range postings {
		wg.Go(func() { posted[n], errs[n] = s.Post(ctx, p) })
	}
	wg.Wait()
	s.smith.Mend()
	outcomes := make([]simOutcome, len(postings))
	for n, p := range postings {
		outcomes[n] = s.outcome(t, p, posted[n], errs[n], struck)
	}
	s.explain(t, outcomes)
}

// outcome is what a posting came to, if need be by posting it again. After a blow a refusal may be told as replayed: it
// was found by its key, and has no journal by which a caller would know it as its own.
func (s *simulation) outcome(t *testing.T, p storage.Posting, posted storage.Posted, err error, struck bool) simOutcome {
	t.Helper()
	again := err != nil && !errors.Is(err, storage.ErrStale)
	if again {
		if !errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", s.doing, err)
		}
		s.count["again"]++
		first := p.Journal.ID
		p = s.again(p)
		posted, err = s.Post(t.Context(), p)
		if posted.Replayed && posted.Answer.Journal != "" {
			s.count["had happened"]++
			p.Journal.ID = first
		}
	}
	o := simOutcome{posting: p, answer: posted.Answer, code: posted.Answer.Code}
	switch {
	case errors.Is(err, storage.ErrStale):
		o.code = codeStale
	case err != nil || posted.Replayed && !again && (o.code == "" || !struck):
		t.Errorf("%s: %s: %+v, %v", s.doing, o, posted, err)
	case o.code == "" && posted.Answer.Journal != p.Journal.ID:
		t.Errorf("%s: %s: the answer names journal %s, not %s", s.doing, o, posted.Answer.Journal, p.Journal.ID)
	default:
		s.old = append(s.old, o)
	}
	s.count[string(p.Journal.Kind)+" "+o.code]++
	return o
}

// explain asks the model for an order in which all of that can have happened.
func (s *simulation) explain(t *testing.T, outcomes []simOutcome) {
	t.Helper()
	before := s.book.state(s.now)
	if seen := s.seen(t); !s.book.explains(outcomes, s.now, seen) {
		t.Errorf("%s: no order explains %v\nbefore: %+v\nafter:  %+v", s.doing, outcomes, before, seen)
	}
}

// compare says where what can be seen is not what the model says.
func (s *simulation) compare(t *testing.T) {
	t.Helper()
	if diff := cmp.Diff(s.book.state(s.now), s.seen(t)); diff != "" {
		t.Errorf("%s (-model +ledger):\n%s", s.doing, diff)
	}
}

// seen is all accounts as they are.
func (s *simulation) seen(t *testing.T) simState {
	t.Helper()
	state, sum := simState{Purses: map[storage.UserID]simPurse{}}, int64(0)
	for _, w := range s.pool {
		state.Purses[w.user] = simPurse{Single: -1, Daily: -1, Frozen: s.book.purses[w.user].Frozen}
	}
	err := s.AllAccounts(t.Context(), func(a storage.Account) error {
		sum += a.Balance
		if a.User == "" {
			state.World = a.Balance
			return nil
		}
		if a.Available() < 0 || a.Held < 0 {
			t.Errorf("%s: %+v", s.doing, a)
		}
		p := simPurse{Balance: a.Balance, Held: a.Held, Fence: a.Fence, Spent: a.SpentOn(s.now), Frozen: a.FrozenAt != nil, Single: -1, Daily: -1}
		if a.Limits.Single != nil {
			p.Single = *a.Limits.Single
		}
		if a.Limits.Daily != nil {
			p.Daily = *a.Limits.Daily
		}
		state.Purses[a.User] = p
		return nil
	})
	if err != nil || sum != 0 {
		t.Errorf("%s: all balances together are %d (%v)", s.doing, sum, err)
	}
	return state
}

// repeat posts something again that was answered, as it was or changed; now and then several times at once.
func (s *simulation) repeat(t *testing.T) {
	t.Helper()
	if len(s.old) == 0 {
		return
	}
	o := s.old[s.chance.IntN(len(s.old))]
	p := s.again(o.posting)
	if s.signedOut(p.Bearer) {
		return // and would be told so
	}
	p.Fence = nil
	if s.chance.IntN(3) == 0 {
		p.RequestHash[s.chance.IntN(32)]++
		if _, err := s.Post(t.Context(), p); !errors.Is(err, storage.ErrKeyReused) {
			t.Errorf("%s: another request under the key of %s: %v", s.doing, o, err)
		}
		s.count["key reused"]++
	} else {
		for _, posted := range contest(t, 1+s.chance.IntN(4), func(int) (storage.Posted, error) { return s.Post(t.Context(), s.again(p)) }) {
			if diff := cmp.Diff(storage.Posted{Answer: o.answer, Replayed: true}, posted); diff != "" {
				t.Errorf("%s: %s repeated:\n%s", s.doing, o, diff)
			}
		}
		s.count["replayed"]++
	}
	s.compare(t)
}

// signedOut says whether a bearer is of a sign-in that another has ended.
func (s *simulation) signedOut(b storage.Bearer) bool {
	if b.Session == "" {
		return false
	}
	for _, w := range s.pool {
		if w.bearer.Session == b.Session {
			return false
		}
	}
	return true
}

// signInAgain ends a sign-in by another. Its bearer moves nothing any more.
func (s *simulation) signInAgain(t *testing.T) {
	t.Helper()
	n := s.chance.IntN(len(s.pool))
	old := s.pool[n]
	s.pool[n].bearer = s.signIn(t, old.user)
	p := s.transfer(old, s.pool[(n+1)%len(s.pool)], 1)
	if err := s.failed(t, p); !errors.Is(err, storage.ErrEnded) {
		t.Errorf("%s: a bearer that has ended: %v", s.doing, err)
	}
	s.count["signed in again"]++
	s.compare(t)
}

// operate freezes or thaws a wallet, or sets its limits.
func (s *simulation) operate(t *testing.T) {
	t.Helper()
	user := s.pool[s.chance.IntN(len(s.pool))].user
	p := s.book.purses[user]
	var c storage.WalletChange
	if s.chance.IntN(2) == 0 {
		p.Frozen = !p.Frozen && s.chance.IntN(2) == 0
		c.Frozen, c.Reason = &p.Frozen, "as it happens"
	} else {
		p.Single, p.Daily = -1, -1
		if s.chance.IntN(2) == 0 {
			p.Single = s.chance.Int64N(80)
		}
		if s.chance.IntN(2) == 0 {
			p.Daily = s.chance.Int64N(400)
		}
		c.Limits = map[money.Currency]storage.Limits{cny: bound(p.Single, p.Daily)}
	}
	s.change(t, user, c)
	s.book.purses[user] = p
	s.count["operator"]++
	s.compare(t)
}
