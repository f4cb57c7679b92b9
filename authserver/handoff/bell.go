package handoff

import (
	"errors"
	"sync"

	"github.com/tallystick/tallystick/storage"
)

// Bounds of streams.
const (
	// MaxStreams is how many streams a process keeps, MaxStreamsPerRequest how many for one request.
	MaxStreams           = 4096
	MaxStreamsPerRequest = 4
)

var errStreams = errors.New("too many streams")

// bell wakes those of this process who wait for a hand-off. It tells nothing: who is woken looks at the store.
type bell struct {
	mu      sync.Mutex
	waiting map[storage.HandoffID][]chan struct{}
	count   int
}

func newBell() *bell { return &bell{waiting: map[storage.HandoffID][]chan struct{}{}} }

// listen registers one who waits; they call leave when they do not any more.
func (b *bell) listen(id storage.HandoffID) (woken <-chan struct{}, leave func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count >= MaxStreams || len(b.waiting[id]) >= MaxStreamsPerRequest {
		return nil, nil, errStreams
	}
	c := make(chan struct{}, 1)
	b.waiting[id] = append(b.waiting[id], c)
	b.count++
	return c, func() { b.leave(id, c) }, nil
}

func (b *bell) leave(id storage.HandoffID, c chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.waiting[id]
	for i := range all {
		if all[i] == c {
			b.waiting[id] = append(all[:i:i], all[i+1:]...)
			b.count--
			break
		}
	}
	if len(b.waiting[id]) == 0 {
		delete(b.waiting, id)
	}
}

// ring wakes who waits for a hand-off. It waits for nobody.
func (b *bell) ring(id storage.HandoffID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.waiting[id] {
		select {
		case c <- struct{}{}:
		default: // awake already
		}
	}
}

func (b *bell) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}
