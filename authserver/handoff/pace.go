package handoff

import (
	"context"
	"sync"
	"time"
)

// maxPaced is how many waiting devices a process paces by itself; when there are more it forgets all of them,
// which lets each ask once more.
const maxPaced = 16384

// paceTime bounds the question to the pacer.
const paceTime = 200 * time.Millisecond

// pace paces waiting devices: by what the pacer says, and in any case by what this process has seen.
type pace struct {
	shared Pacer // nil for none
	mu     sync.Mutex
	last   map[string]time.Time
}

func newPace(shared Pacer) *pace { return &pace{shared: shared, last: map[string]time.Time{}} }

// allow says whether key was not let through within [Pace]. Asking in vain does not make the wait longer.
func (p *pace) allow(ctx context.Context, key string, now time.Time) bool {
	p.mu.Lock()
	if last, ok := p.last[key]; ok && now.Before(last.Add(Pace)) {
		p.mu.Unlock()
		return false
	}
	if len(p.last) >= maxPaced {
		clear(p.last)
	}
	p.last[key] = now
	p.mu.Unlock()
	if p.shared == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, paceTime)
	defer cancel()
	ok, err := p.shared.Pace(ctx, key, Pace)
	return ok || err != nil
}
