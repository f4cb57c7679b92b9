package sqlstore

import "github.com/tallystick/tallystick/storage"

const (
	// groupMax is how many postings share a transaction at most.
	groupMax = 128
	// groupQueue is how many wait for the next one; whoever finds it full is told so at once.
	groupQueue = 1024
	// groupsAtOnce is how many groups are under way at most, where the engine has more than one writer.
	groupsAtOnce = 2
	// groupWorth is how many postings make a group worth its round trips while another is under way.
	groupWorth = 16
)

// queue is who waits, in the order of arrival, and what the groups under way have to themselves. It is
// guarded by the lock of its [Group].
//
// Groups that are under way at once have no account in common. A posting that wants an account of another group
// stays where it is, and so does whatever comes after it and wants one of its own accounts: nobody is
// overtaken by those who want the same.
//
// A second group begins only when enough wait for it. Smaller groups were tried and rejected: two committers who
// each take whatever they find share out the same postings to more transactions, of which each has its price.
type queue struct {
	waiting []*member
	limit   int // of waiting
	atOnce  int // groups
	groups  int // under way
	busy    map[storage.AccountID]bool
	// look is how many must wait for another look at them: those who wait now want what is busy.
	look int
}

// taking is who was taken out of the queue for a group.
type taking struct {
	members []*member
	// twice are those whose key is in the group already: they come after, and are given the answer.
	twice []*member
}

func newQueue(d Dialect) queue {
	q := queue{limit: groupQueue, atOnce: groupsAtOnce, busy: map[storage.AccountID]bool{}, look: groupWorth}
	if d.ForUpdate == "" { // a transaction that writes has the database
		q.atOnce = 1
	}
	return q
}

// add lets a member wait; false if there is no room.
func (q *queue) add(m *member) bool {
	if len(q.waiting) >= q.limit {
		return false
	}
	q.waiting = append(q.waiting, m)
	return true
}

// worthwhile says whether one more group may begin beside those under way.
func (q *queue) worthwhile() bool {
	if q.groups >= q.atOnce || len(q.waiting) < q.look {
		return false
	}
	free, _ := q.sort(groupMax)
	if len(free) < groupWorth {
		q.look = len(q.waiting) + groupWorth
	}
	return len(free) >= groupWorth
}

// take takes a group out of the queue; nil if there is none for its caller. The last committer takes whatever
// there is.
func (q *queue) take() *taking {
	free, rest := q.sort(groupMax)
	if len(free) == 0 || q.groups > 1 && len(free) < groupWorth {
		return nil
	}
	q.waiting = rest
	t := &taking{}
	keys := make(map[storage.IdempotencyKey]bool, len(free))
	for _, m := range free {
		switch {
		case !m.state.CompareAndSwap(waiting, taken):
			continue
		case keys[m.Key]:
			t.twice = append(t.twice, m)
		default:
			keys[m.Key] = true
			t.members = append(t.members, m)
		}
		q.busy[m.From], q.busy[m.To] = true, true
	}
	return t
}

// sort divides those who wait into those who can go, so many at most, and the others.
func (q *queue) sort(most int) (free, rest []*member) {
	if len(q.busy) == 0 {
		n := min(len(q.waiting), most)
		return q.waiting[:n:n], q.waiting[n:]
	}
	wanted := map[storage.AccountID]bool{} // by those who stay
	for _, m := range q.waiting {
		if len(free) < most && !q.busy[m.From] && !q.busy[m.To] && !wanted[m.From] && !wanted[m.To] {
			free = append(free, m)
			continue
		}
		wanted[m.From], wanted[m.To] = true, true
		rest = append(rest, m)
	}
	return free, rest
}

// release gives back the accounts of a group that is over.
func (q *queue) release(t *taking) {
	for _, list := range [][]*member{t.members, t.twice} {
		for _, m := range list {
			delete(q.busy, m.From)
			delete(q.busy, m.To)
		}
	}
	q.look = groupWorth
}
