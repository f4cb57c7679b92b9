package events

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// Defaults of [HubConfig].
const (
	DefaultMaxWatchers  = 1024
	DefaultMaxPerClient = 256
)

const (
	// maxWaiting is how many ends may wait for a reader: minutes of them at any rate that a database
	// makes them. Frames are shared by all readers, so that what waits is a slice of them.
	maxWaiting = 16384
	// recentEnds is how many ends are remembered so as not to send the same one again when it comes
	// by another road: at least so many, at most twice.
	recentEnds = 8192
)

// HubConfig is what a [Hub] needs.
type HubConfig struct {
	// MaxWatchers bounds the streams of this process, MaxPerClient those of one client; 0 for the
	// defaults.
	MaxWatchers, MaxPerClient int
	// Now tells the time; nil for time.Now.
	Now func() time.Time
	// Log is told of readers that are cut off; nil for none.
	Log *slog.Logger
	// Metrics takes the metrics; nil for none.
	Metrics prometheus.Registerer
}

// The refusals of [Hub.join].
var (
	errFull = errors.New("as many streams as this process takes")
	errMany = errors.New("as many streams as one client may have")
	_       = guard.Relay((*Hub)(nil))
)

// Hub passes on what the guard of the process takes in to everybody who watches. It has no goroutine of
// its own, and never waits for a watcher.
type Hub struct {
	max, maxPerClient int
	now               func() time.Time
	log               *slog.Logger
	metrics           *metrics
	epoch             time.Time

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	clients  map[storage.ClientID]int
	// recent and before are the ends sent lately, in two generations.
	recent, before map[storage.EventID]struct{}
	last           mark
}

// mark is a moment up to which everything has been passed on.
type mark struct {
	at    time.Time // zero for none
	place guard.Place
}

// NewHub makes a hub.
func NewHub(c HubConfig) (*Hub, error) {
	if c.MaxWatchers < 0 || c.MaxPerClient < 0 {
		return nil, errors.New("events: bounds must not be negative")
	}
	h := &Hub{
		max: c.MaxWatchers, maxPerClient: c.MaxPerClient, now: c.Now, log: c.Log, metrics: newMetrics(),
		watchers: map[*watcher]struct{}{}, clients: map[storage.ClientID]int{},
		recent: map[storage.EventID]struct{}{}, before: map[storage.EventID]struct{}{},
	}
	if h.max == 0 {
		h.max = DefaultMaxWatchers
	}
	if h.maxPerClient == 0 {
		h.maxPerClient = DefaultMaxPerClient
	}
	if h.now == nil {
		h.now = time.Now
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.epoch = h.now()
	if err := h.metrics.register(c.Metrics); err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	return h, nil
}

// Take implements [guard.Relay].
func (h *Hub) Take(_ string, events []storage.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 {
		return // whoever comes next finds them in SQL
	}
	for i := range events {
		e := &events[i]
		if !h.news(e.ID) {
			continue
		}
		f := endedFrame(e)
		h.metrics.ends.Inc()
		for w := range h.watchers {
			w.push(f)
			w.judge(e)
		}
	}
}

// Heard implements [guard.Relay].
func (h *Hub) Heard(at time.Time, place guard.Place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = mark{at, place}
	for w := range h.watchers {
		w.hear(h.last)
	}
}

// news says whether an end has not been sent lately, and remembers it. One without a name is always
// news.
func (h *Hub) news(id storage.EventID) bool {
	if id == "" {
		return true
	}
	_, lately := h.recent[id]
	if _, earlier := h.before[id]; lately || earlier {
		return false
	}
	if len(h.recent) >= recentEnds {
		h.before, h.recent = h.recent, make(map[storage.EventID]struct{}, recentEnds)
	}
	h.recent[id] = struct{}{}
	return true
}

// join registers a watcher from a moment on: it is queued whatever comes after, and hears of readings
// that began later than that.
func (h *Hub) join(p *guard.Principal, from time.Time) (*watcher, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(h.watchers) >= h.max:
		return nil, errFull
	case h.clients[p.Client] >= h.maxPerClient:
		return nil, errMany
	}
	w := &watcher{client: p.Client, jti: p.JTI, issued: p.IssuedAt, from: from, wake: make(chan struct{}, 1)}
	h.watchers[w] = struct{}{}
	h.clients[p.Client]++
	h.metrics.watchers.Inc()
	return w, nil
}

func (h *Hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	if h.clients[w.client]--; h.clients[w.client] == 0 {
		delete(h.clients, w.client)
	}
	h.metrics.watchers.Dec()
}

// moment is a time on the clock of the wire.
func (h *Hub) moment(t time.Time) int64 { return t.Sub(h.epoch).Milliseconds() }
