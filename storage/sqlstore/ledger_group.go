package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// groupSingles is how many of a group that failed as a whole are posted by themselves at once.
const groupSingles = 8

// errFull says that more postings wait than the queue holds.
var errFull = errors.New("the ledger's queue is full")

// Group is a [storage.Ledger] whose postings share transactions: a committer takes whatever waits,
// up to a fixed number and without a timer, and commits it together. A lone posting does not wait for
// others and is committed by its own caller; the busier the ledger, the larger the groups. Each posting is
// decided by itself, as by [DB.Post], against what those before it in the group leave.
//
// As many postings wait as the queue holds; whoever comes on top of that gets [storage.ErrUnavailable]
// at once, with nothing done.
//
// It promises what the ledger promises, with any number of groups and processes on one database, since
// all of them lock the same rows. A posting whose context ends while it waits is not made; one that
// has been taken into a transaction is waited for, so that its outcome is known.
//
//	stopped ──Start──► running ──Stop──► stopped for good
//	   (stopped: postings go one by one)
//
// While one group is being committed, the next begins if enough postings wait that want none of its accounts: see
// [queue]. Their transactions wait neither for each other's locks nor for each other's flush.
type Group struct {
	storage.Ledger // reads

	db      *DB
	cfg     GroupConfig
	metrics *groupMetrics
	// background is the committers and the expiry, once started; cancel ends the latter.
	background sync.WaitGroup
	cancel     context.CancelFunc

	mu      sync.Mutex
	queue   queue
	running bool
	stopped bool
}

// member is a posting on its way through a group.
type member struct {
	storage.Posting
	// ctx is the caller's. Its values and deadline do not reach into the shared transaction.
	ctx context.Context //nolint:containedctx // it travels with its request through the queue.
	// state says who has the member: its caller, who may still leave, or a committer.
	state atomic.Int32
	out   chan outcome
}

const (
	waiting int32 = iota
	taken
	gone
)

type outcome struct {
	posted storage.Posted
	err    error
}

// NewGroup builds a group on a store, which outlives it. Until Start it posts one by one.
func NewGroup(db *DB, c GroupConfig) (*Group, error) {
	g := &Group{Ledger: db, db: db, cfg: c.withDefaults(), queue: newQueue(db.d)}
	var err error
	g.metrics, err = newGroupMetrics(c.Metrics, func() float64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return float64(len(g.queue.waiting))
	})
	return g, err
}

// Start begins to post in groups, and to let go of holds whose time is past.
func (g *Group) Start() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running || g.stopped {
		return
	}
	g.running = true
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.background.Go(func() { g.expire(ctx) })
}

// Stop finishes what is waiting and returns when nothing runs any more. Postings that come later go
// one by one. Stopping twice is no error.
func (g *Group) Stop() {
	g.mu.Lock()
	if !g.stopped {
		g.stopped = true
		if g.cancel != nil {
			g.cancel()
		}
	}
	g.mu.Unlock()
	g.background.Wait() // a committer ends when nobody waits any more
}

// Post implements [storage.Ledger].
func (g *Group) Post(ctx context.Context, p storage.Posting) (storage.Posted, error) {
	if err := ctx.Err(); err != nil {
		return storage.Posted{}, g.db.fault("post", err)
	}
	m := &member{Posting: p, ctx: ctx, out: make(chan outcome, 1)}
	role, err := g.enter(m) //nolint:contextcheck // the shared transaction outlives any one caller.
	switch {
	case err != nil:
		return storage.Posted{}, err
	case role == single:
		return g.db.Post(ctx, p)
	case role == leader:
		g.lead() //nolint:contextcheck // as above.
	}
	select {
	case o := <-m.out:
		return o.posted, o.err
	case <-ctx.Done():
	}
	if m.state.CompareAndSwap(waiting, gone) {
		return storage.Posted{}, g.db.fault("post: wait for the group", ctx.Err())
	}
	o := <-m.out // bounded by the time that a transaction may take
	return o.posted, o.err
}

// role is what a caller does about its posting.
type role int

const (
	single   role = iota // posts it by itself: the group does not run
	follower             // waits
	leader               // commits the next group, in which it is
)

// enter puts a member into the queue. Whoever finds no group under way leads one.
func (g *Group) enter(m *member) (role, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.running || g.stopped:
		return single, nil
	case !g.queue.add(m):
		g.metrics.full.Inc()
		return single, fmt.Errorf("post: %w", errors.Join(storage.ErrUnavailable, errFull))
	case g.queue.groups == 0:
		g.queue.groups++
		g.background.Add(1)
		return leader, nil
	case g.queue.worthwhile():
		g.queue.groups++
		g.background.Go(func() { g.commit(g.next(nil)) })
	}
	return follower, nil
}

// lead commits a group in its caller's own goroutine. If more wait by then, another goes on. It may find that
// a committer has taken its caller along already.
func (g *Group) lead() {
	defer g.background.Done()
	t := g.next(nil)
	if t == nil {
		return
	}
	g.round(t)
	if t = g.next(t); t != nil {
		g.background.Go(func() { g.commit(t) })
	}
}

// commit is a committer: it takes one group after the other, and ends when there is none for it.
func (g *Group) commit(t *taking) {
	for ; t != nil; t = g.next(t) {
		g.round(t)
	}
}

// next ends a taking and begins another; nil if there is none, and its committer is to end.
//
// It yields before it looks who waits: those whom the last group has just answered come at once with
// their next posting, and would find the group gone with the first of them. With nobody to yield to,
// that costs nothing.
func (g *Group) next(last *taking) *taking {
	runtime.Gosched()
	g.mu.Lock()
	defer g.mu.Unlock()
	if last != nil {
		g.queue.release(last)
	}
	t := g.queue.take()
	if t == nil {
		g.queue.groups--
	}
	return t
}

func (g *Group) round(t *taking) {
	g.post(t.members)
	g.singly(t.twice)
}

// post posts members in one transaction. What cannot be done so is brought to its end otherwise: a
// deadlock or a row that the engine refuses concerns one of them, and there is no telling which. Keys
// that were answered are sifted out, the first time.
func (g *Group) post(members []*member) {
	if len(members) == 0 {
		return
	}
	b := newBatch(g.db.d, postings(members))
	decided, err := g.transact(b)
	if errors.Is(err, errNoAccount) {
		if err = g.db.makeAccounts(context.Background(), b.missing); err == nil {
			b = newBatch(g.db.d, postings(members))
			decided, err = g.transact(b)
		}
	}
	switch {
	case err == nil:
		g.tell(members, b)
	case errors.Is(err, errAnswered) && len(members) > 1:
		g.sift(members, b)
	case decided && g.db.d.Classify(err) != FaultRetry:
		g.metrics.falls.WithLabelValues(fallResolve).Inc()
		g.each(members, func(m *member) (storage.Posted, error) {
			return g.db.resolve(m.ctx, m.Posting, g.db.fault("post", err))
		})
	case g.db.d.Classify(err) == FaultUnavailable:
		g.metrics.falls.WithLabelValues(fallGone).Inc()
		g.each(members, func(*member) (storage.Posted, error) { return storage.Posted{}, g.db.fault("post", err) })
	default:
		g.metrics.falls.WithLabelValues(fallSingly).Inc()
		g.singly(members)
	}
}

// transact runs a batch in a transaction; decided says that it came as far as its commit.
func (g *Group) transact(b *batch) (decided bool, err error) {
	timer := prometheus.NewTimer(g.metrics.took)
	defer timer.ObserveDuration()
	g.metrics.size.Observe(float64(len(b.items)))
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	err = g.db.once(ctx, "post", func(ctx context.Context, tx *sql.Tx) error {
		err := b.run(ctx, tx)
		decided = err == nil
		return err
	})
	return decided, err
}

// sift goes on with a group in which keys had been answered before: whoever has one of those is given
// the answer, and the others make a group again.
func (g *Group) sift(members []*member, b *batch) {
	g.metrics.falls.WithLabelValues(fallSift).Inc()
	found, err := g.db.answeredOf(b.pending())
	if err != nil {
		g.singly(members)
		return
	}
	var rest []*member
	for i, m := range members {
		a, ok := found[m.Key]
		switch {
		case b.items[i].err != nil || !ok:
			rest = append(rest, m) // an ended bearer is told so the second time as well
		case a.hash != m.RequestHash:
			m.out <- outcome{err: fmt.Errorf("post: %w", storage.ErrKeyReused)}
		default:
			m.out <- outcome{posted: storage.Posted{Answer: a.Answer, Replayed: true}}
		}
	}
	g.singly(rest)
}

func postings(members []*member) []storage.Posting {
	all := make([]storage.Posting, len(members))
	for i, m := range members {
		all[i] = m.Posting
	}
	return all
}

// tell gives each member of a group that was committed its own outcome.
func (g *Group) tell(members []*member, b *batch) {
	var stale []*member
	for i, m := range members {
		it := b.items[i]
		switch {
		case it.err == nil:
			m.out <- outcome{posted: storage.Posted{Answer: it.answer}}
		case errors.Is(it.err, storage.ErrStale):
			stale = append(stale, m)
		default:
			m.out <- outcome{err: fmt.Errorf("post: %w", it.err)}
		}
	}
	g.singly(stale) // which looks whether its key was answered
}

// singly posts members by themselves.
func (g *Group) singly(members []*member) {
	g.each(members, func(m *member) (storage.Posted, error) { return g.db.Post(m.ctx, m.Posting) })
}

// each answers members by a function, a few at once, and returns when all are answered.
func (g *Group) each(members []*member, answer func(*member) (storage.Posted, error)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, groupSingles)
	for _, m := range members {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			posted, err := answer(m)
			m.out <- outcome{posted, err}
		})
	}
	wg.Wait()
}
