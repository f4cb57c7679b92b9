package events

import (
	"sync"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// watcher is what waits for one reader.
type watcher struct {
	client storage.ClientID
	jti    string
	issued time.Time
	from   time.Time
	wake   chan struct{}

	mu      sync.Mutex
	waiting [][]byte
	heard   mark
	over    bool         // more came than may wait
	end     *storage.End // of the reader's own token
}

// push queues a frame.
func (w *watcher) push(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) >= maxWaiting {
		w.over, w.waiting = true, nil
	}
	if !w.over {
		w.waiting = append(w.waiting, frame)
	}
	w.rouse()
}

// hear queues the news of a complete reading. Only the newest counts, and none that began before the
// stream.
func (w *watcher) hear(m mark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.at.After(w.from) && m.at.After(w.heard.at) {
		w.heard = m
		w.rouse()
	}
}

// judge notices the end of the reader's own token.
func (w *watcher) judge(e *storage.Event) {
	own := e.Subject == storage.SubjectToken && e.Key == w.jti ||
		e.Subject == storage.SubjectClient && e.Key == string(w.client) && !w.issued.After(e.End.At)
	if !own {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	end := e.End
	w.end = &end
	w.rouse()
}

func (w *watcher) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // awake already
	}
}

// batch is what a reader is to be sent: the frames, and after them that everything was sent up to heard.
type batch struct {
	frames [][]byte
	heard  mark
	over   bool
	end    *storage.End
}

// take hands over what waits.
func (w *watcher) take() batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := batch{w.waiting, w.heard, w.over, w.end}
	w.waiting = nil
	return b
}
