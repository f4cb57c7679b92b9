package outbox

import (
	"context"
	"sync"
	"time"
)

// head knows how far the sealed chain goes, for all who wait for it to go further: one look at the store serves
// everybody in the process.
type head struct {
	mu     sync.Mutex
	number int64
	bell   chan struct{} // closed when number grows
}

func newHead() *head { return &head{bell: make(chan struct{})} }

// see takes note of a number.
func (h *head) see(number int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number > h.number {
		h.number = number
		close(h.bell)
		h.bell = make(chan struct{})
	}
}

// now returns the number, and what is closed when it has grown.
func (h *head) now() (int64, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.number, h.bell
}

// wait returns when the chain goes beyond a number, or after d, or when ctx ends.
func (h *head) wait(ctx context.Context, beyond int64, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		number, bell := h.now()
		if number > beyond {
			return
		}
		select {
		case <-bell:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// pause waits, and says whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
