package sqlstore

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tallystick/tallystick/storage"
)

// pays is a member who pays one account from another.
func pays(key, from, to string) *member {
	p := storage.Posting{From: storage.AccountID(from), To: storage.AccountID(to)}
	p.Key.Key = key
	return &member{Posting: p}
}

func keysOf(members []*member) []string {
	keys := make([]string, len(members))
	for i, m := range members {
		keys[i] = m.Key.Key
	}
	return keys
}

func mustTake(t *testing.T, q *queue, want ...string) *taking {
	t.Helper()
	got := q.take()
	if got == nil {
		t.Fatalf("nobody is taken, want %v", want)
	}
	if keys := keysOf(got.members); !slices.Equal(keys, want) {
		t.Fatalf("%v are taken, want %v", keys, want)
	}
	return got
}

// Whoever wants what a group under way has stays, and so does whoever comes after and wants the same.
func TestQueueKeepsGroupsApart(t *testing.T) {
	t.Parallel()
	q := newQueue(Dialect{ForUpdate: " FOR UPDATE"})
	q.groups = 1
	q.add(pays("first", "a", "b"))
	first := mustTake(t, &q, "first")
	q.add(pays("held up", "a", "c"))
	q.add(pays("behind it", "d", "c"))
	q.add(pays("behind both", "d", "e"))
	var free []string
	for i := range groupWorth {
		if q.worthwhile() {
			t.Fatalf("a second group for %d", i)
		}
		free = append(free, fmt.Sprint("free ", i))
		q.add(pays(free[i], fmt.Sprint("x", i), fmt.Sprint("y", i)))
		q.look = 0 // each time, though it need not
	}
	if !q.worthwhile() {
		t.Fatalf("no second group for %d", groupWorth)
	}
	q.groups++
	second := mustTake(t, &q, free...)
	if q.worthwhile() || q.take() != nil {
		t.Error("a third group, or one of those who are held up")
	}
	q.release(first)
	if q.take() != nil {
		t.Error("a group that is not worth it, beside another")
	}
	q.groups--
	mustTake(t, &q, "held up", "behind it", "behind both")
	q.release(second)
	if q.take() != nil || len(q.waiting) != 0 {
		t.Errorf("%v wait", keysOf(q.waiting))
	}
}

// A look that finds too few is not repeated for each who comes after.
func TestQueueLooksSeldom(t *testing.T) {
	t.Parallel()
	q := newQueue(Dialect{ForUpdate: " FOR UPDATE"})
	q.groups, q.busy = 1, map[storage.AccountID]bool{"hot": true}
	for i := range 3 * groupWorth {
		q.add(pays(fmt.Sprint(i), "hot", fmt.Sprint("x", i)))
		if q.worthwhile() {
			t.Fatal("a group of those who are held up")
		}
	}
	if want := 4 * groupWorth; q.look != want {
		t.Errorf("the next look is at %d who wait, want %d", q.look, want)
	}
	q.release(&taking{members: []*member{pays("", "hot", "")}})
	if !q.worthwhile() {
		t.Error("what a group gives back is not looked at")
	}
}

// A group holds so many, one for each key, and none who has left.
func TestQueueTakesAGroupful(t *testing.T) {
	t.Parallel()
	q := newQueue(Dialect{})
	q.groups = 1
	if q.atOnce != 1 {
		t.Errorf("%d groups at once on an engine with one writer", q.atOnce)
	}
	left := pays("left", "a", "b")
	left.state.Store(gone)
	for _, m := range []*member{left, pays("twice", "a", "b"), pays("twice", "a", "b")} {
		q.add(m)
	}
	for i := range groupMax {
		q.add(pays(fmt.Sprint(i), "a", "b"))
	}
	got := q.take()
	if len(got.members) != groupMax-2 || len(got.twice) != 1 || len(q.waiting) != 3 {
		t.Errorf("%d are taken, %d of them twice, and %d wait", len(got.members), len(got.twice), len(q.waiting))
	}
	q.limit = 3
	if q.add(pays("over", "a", "b")) {
		t.Error("more wait than there is room for")
	}
}
