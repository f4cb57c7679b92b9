package brake

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Floor is [storage.Brakes] in the memory of one process: what is left of the brakes while Redis is
// away. It counts exactly as the script of redisstore does, and forgets those who were not heard of
// for longest when it is full. The zero value is not ready: see [NewFloor].
type Floor struct {
	mu       sync.Mutex
	most     int
	counters map[string]*list.Element // of *counter, by kind and digest
	recent   list.List                // the most recently used in front
}

// counter is what is kept under one key. Times are milliseconds since 1970.
type counter struct {
	key      string
	failures int
	until    int64 // when something is let through again
	forget   int64 // when failures is forgotten
	known    int64 // until when the address is known
	reported int64 // the until that was reported

	// Of addresses only:
	empty      int64 // when the bucket is empty
	overflowed int64 // until when its overflow counts as reported
}

// NewFloor makes a floor that keeps no more than most counters.
func NewFloor(most int) *Floor {
	return &Floor{most: most, counters: make(map[string]*list.Element)}
}

// The kinds of counters.
const (
	kindPair    = "p:"
	kindAccount = "a:"
	kindAddress = "d:"
)

// TakeTry implements [storage.Brakes]. It never fails.
func (f *Floor) TakeTry(_ context.Context, t storage.Try, l storage.BrakeLimits, now time.Time) (storage.TryTaken, error) {
	return f.take(t, l, now), nil
}

// SettleTry implements [storage.Brakes]. It never fails.
func (f *Floor) SettleTry(_ context.Context, t storage.Try, outcome storage.TryOutcome, l storage.BrakeLimits, now time.Time) ([]storage.BrakeEngaged, error) {
	return f.settle(t, outcome, l, now), nil
}

func (f *Floor) take(t storage.Try, l storage.BrakeLimits, now time.Time) storage.TryTaken {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bundle(t, l, now)
	var taken storage.TryTaken
	hold := func(wait int64, by storage.BrakeScope) {
		if d := time.Duration(wait) * time.Millisecond; d > taken.Wait {
			taken.Wait, taken.By = d, by
		}
	}
	if b.byPair() {
		hold(b.pair.until-b.now, storage.BrakePair)
	}
	if b.account != nil && !b.known {
		hold(b.account.until-b.now, storage.BrakeAccount)
	}
	if b.address != nil && !b.known {
		hold(b.overflow(), storage.BrakeAddress)
	}
	if taken.Wait == 0 {
		b.count()
	}
	f.tidy(b)
	return taken
}

func (f *Floor) settle(t storage.Try, outcome storage.TryOutcome, l storage.BrakeLimits, now time.Time) []storage.BrakeEngaged {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bundle(t, l, now)
	defer f.tidy(b)
	if outcome == storage.TryWrong {
		return b.engaged()
	}
	b.forgive(outcome)
	return nil
}

// Has says whether failures at a pair are remembered.
func (f *Floor) Has(pair string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, found := f.counters[kindPair+pair]
	if !found {
		return false
	}
	c := at.Value.(*counter) //nolint:forcetypeassert // the list holds nothing else.
	return c.failures > 0 && c.forget > now.UnixMilli()
}

// Len is how many counters are kept.
func (f *Floor) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.counters)
}

// bundle finds the counters of a try, new ones for those that are not kept.
func (f *Floor) bundle(t storage.Try, l storage.BrakeLimits, now time.Time) *bundle {
	b := &bundle{limits: l, now: now.UnixMilli(), pair: f.find(kindPair+t.Pair, now)}
	b.known = b.pair.known > b.now
	if t.Account != "" {
		b.account = f.find(kindAccount+t.Account, now)
	}
	if t.Address != "" {
		b.address = f.find(kindAddress+t.Address, now)
	}
	return b
}

func (f *Floor) find(key string, now time.Time) *counter {
	at, found := f.counters[key]
	if !found {
		at = f.recent.PushFront(&counter{key: key})
		f.counters[key] = at
	}
	f.recent.MoveToFront(at)
	c := at.Value.(*counter) //nolint:forcetypeassert // the list holds nothing else.
	if c.forget <= now.UnixMilli() {
		c.failures, c.until, c.forget, c.reported = 0, 0, 0, 0
	}
	return c
}

// tidy lets go of what says nothing any more, and then of what was not used for longest.
func (f *Floor) tidy(b *bundle) {
	for _, c := range []*counter{b.pair, b.account, b.address} {
		if c != nil && c.failures == 0 && max(c.known, c.empty, c.overflowed) <= b.now {
			f.drop(f.counters[c.key])
		}
	}
	for len(f.counters) > f.most {
		f.drop(f.recent.Back())
	}
}

func (f *Floor) drop(at *list.Element) {
	c := f.recent.Remove(at).(*counter) //nolint:forcetypeassert // the list holds nothing else.
	delete(f.counters, c.key)
}

// bundle is what one try counts on, at one time.
type bundle struct {
	limits                 storage.BrakeLimits
	now                    int64
	known                  bool
	pair, account, address *counter
}

// byPair says whether the try is judged by its pair.
func (b *bundle) byPair() bool { return b.known || b.account == nil }

// cost is by how much a failure fills the bucket of an address.
func (b *bundle) cost() int64 {
	return b.limits.AddressWindow.Milliseconds() / int64(max(1, b.limits.AddressFailures))
}

// overflow is how long a further failure would have to wait for the bucket.
func (b *bundle) overflow() int64 {
	return max(b.address.empty, b.now) + b.cost() - b.now - b.limits.AddressWindow.Milliseconds()
}

// count adds the try as a failure everywhere.
func (b *bundle) count() {
	b.add(b.pair)
	if b.byPair() {
		b.hold(b.pair, b.limits.PairFailures)
	}
	if b.account != nil {
		b.add(b.account)
		// From a known address the account pauses only when the try was wrong: it was not judged by it.
		if !b.known {
			b.hold(b.account, b.limits.AccountFailures)
		}
	}
	if b.address != nil && !b.known {
		b.address.empty = max(b.address.empty, b.now) + b.cost()
	}
}

func (b *bundle) add(c *counter) {
	c.failures++
	c.forget = b.now + b.limits.Window.Milliseconds()
}

// hold sets the pause that follows the failures of a counter.
func (b *bundle) hold(c *counter, free int) {
	l := &b.limits
	switch {
	case c.failures >= l.MostFailures:
		c.until = b.now + l.Lock.Milliseconds()
		c.forget = c.until
	case c.failures >= free:
		c.until = max(c.until, b.now+pause(l, c.failures-free).Milliseconds())
		c.forget = max(c.forget, c.until)
	}
}

// pause is the pause after so many failures beyond the free ones.
func pause(l *storage.BrakeLimits, beyond int) time.Duration {
	d := l.Delay
	for ; beyond > 0 && d < l.MaxDelay; beyond-- {
		d *= 2
	}
	return min(d, l.MaxDelay)
}

// engaged returns the brakes that hold and were not reported.
func (b *bundle) engaged() []storage.BrakeEngaged {
	var engaged []storage.BrakeEngaged
	if b.account != nil && b.known && b.account.failures > 0 {
		b.hold(b.account, b.limits.AccountFailures)
	}
	report := func(c *counter, by storage.BrakeScope) {
		if c.until > b.now && c.reported != c.until {
			c.reported = c.until
			engaged = append(engaged, storage.BrakeEngaged{By: by, Failures: c.failures, Wait: time.Duration(c.until-b.now) * time.Millisecond})
		}
	}
	if b.byPair() {
		report(b.pair, storage.BrakePair)
	}
	if b.account != nil {
		report(b.account, storage.BrakeAccount)
	}
	if b.address != nil && !b.known && b.overflow() > 0 && b.address.overflowed <= b.now {
		b.address.overflowed = b.now + b.limits.AddressWindow.Milliseconds()
		engaged = append(engaged, storage.BrakeEngaged{By: storage.BrakeAddress, Wait: time.Duration(b.overflow()) * time.Millisecond})
	}
	return engaged
}

// forgive takes back the try, and for a right one all failures of its pair.
func (b *bundle) forgive(outcome storage.TryOutcome) {
	back := 1
	if outcome == storage.TryRight {
		back = b.pair.failures
		b.pair.failures, b.pair.until, b.pair.reported = 0, 0, 0
		b.pair.known = b.now + b.limits.Known.Milliseconds()
	} else {
		b.pair.failures = max(0, b.pair.failures-1)
		if b.byPair() {
			b.pair.until = 0
		}
	}
	if b.account != nil {
		b.account.failures = max(0, b.account.failures-back)
		// An account that was held back when the try began stays so: a try from a known address is no key.
		if b.account.failures < b.limits.AccountFailures || !b.known {
			b.account.until = 0
		}
	}
	if b.address != nil && !b.known {
		b.address.empty = max(b.now, b.address.empty-b.cost())
	}
}
