package storagetest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/storage"
)

// ledgerModel is a ledger as simple as can be: what a chain of operations must agree with.
type ledgerModel struct {
	balances []int64
	fences   []int64
	answers  []modelAnswer
}

// modelAnswer is a posting made before, and what was answered.
type modelAnswer struct {
	posting storage.Posting
	answer  storage.Answer
}

// randomOperations runs chains of operations on fresh wallets, and after each compares what the
// ledger says with what the model says.
func randomOperations(t *testing.T, d *desk) {
	const users, longest = 3, 14
	var pool []wallet
	for range users {
		pool = append(pool, d.wallet(t, 0))
	}
	m := &ledgerModel{balances: make([]int64, users), fences: make([]int64, users)}
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, longest).Draw(rt, "steps") {
			m.step(rt, t, d, pool)
		}
		for i, w := range pool {
			a := d.state(t, w)
			if a.Balance != m.balances[i] || a.Fence != m.fences[i] {
				rt.Fatalf("wallet %d: %+v, the model says %d, fence %d", i, a, m.balances[i], m.fences[i])
			}
		}
	})
}

// step draws one operation and runs it on both.
func (m *ledgerModel) step(rt *rapid.T, t *testing.T, d *desk, pool []wallet) {
	i := rapid.IntRange(0, len(pool)-1).Draw(rt, "from")
	k := (i + rapid.IntRange(1, len(pool)-1).Draw(rt, "to")) % len(pool)
	amount := rapid.Int64Range(1, 50).Draw(rt, "amount")
	switch rapid.IntRange(0, 5).Draw(rt, "operation") {
	case 0:
		m.run(rt, t, d, d.deposit(pool[k].user, amount), -1, k, true)
	case 1, 2:
		m.run(rt, t, d, d.transfer(pool[i], pool[k], amount), i, k, m.balances[i] >= amount)
	case 3:
		p := d.transfer(pool[i], pool[k], amount)
		p.Fence = new(m.fences[i])
		m.run(rt, t, d, p, i, k, m.balances[i] >= amount)
	case 4:
		p := d.transfer(pool[i], pool[k], amount)
		p.Fence = new(m.fences[i] + rapid.Int64Range(1, 3).Draw(rt, "ahead"))
		if _, err := d.Post(t.Context(), p); !errors.Is(err, storage.ErrStale) {
			rt.Fatalf("a fence that is not there: %v", err)
		}
	case 5:
		m.repeat(rt, t, d)
	}
}

// run posts something new.
func (m *ledgerModel) run(rt *rapid.T, t *testing.T, d *desk, p storage.Posting, from, to int, payable bool) {
	posted, err := d.Post(t.Context(), p)
	if err != nil || posted.Replayed || (posted.Answer.Code == "") != payable {
		rt.Fatalf("post %d from %s: %+v, %v; payable: %v", p.Journal.Amount.Minor, p.From, posted, err, payable)
	}
	m.answers = append(m.answers, modelAnswer{p, posted.Answer})
	if !payable {
		return
	}
	m.balances[to] += p.Journal.Amount.Minor
	if from >= 0 {
		m.balances[from] -= p.Journal.Amount.Minor
		m.fences[from]++
	}
}

// repeat posts something again, as it was or changed.
func (m *ledgerModel) repeat(rt *rapid.T, t *testing.T, d *desk) {
	if len(m.answers) == 0 {
		return
	}
	old := rapid.SampledFrom(m.answers).Draw(rt, "old")
	p := d.again(old.posting)
	if rapid.Bool().Draw(rt, "changed") {
		p.RequestHash[31]++
		if _, err := d.Post(t.Context(), p); !errors.Is(err, storage.ErrKeyReused) {
			rt.Fatalf("another request under a key: %v", err)
		}
		return
	}
	posted, err := d.Post(t.Context(), p)
	if diff := cmp.Diff(storage.Posted{Answer: old.answer, Replayed: true}, posted); err != nil || diff != "" {
		rt.Fatalf("repeated: %v\n%s", err, diff)
	}
}
