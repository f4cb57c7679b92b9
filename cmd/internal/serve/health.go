package serve

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	checkTimeout = 2 * time.Second // of one check
	checkKeep    = time.Second     // how long a result is given again
)

// Check asks whether something that the process needs is there.
type Check struct {
	// Required makes the process unready when the check fails; otherwise it is degraded.
	Required bool
	// Probe returns nil if all is well. It must heed its context.
	Probe func(context.Context) error
}

// Health answers /healthz and /readyz.
type Health struct {
	checks map[string]Check
	log    *slog.Logger
	now    func() time.Time

	leaving atomic.Bool
	mu      sync.Mutex // held while checks run, so that a thousand probes run them once
	last    readiness
	at      time.Time
}

// The states of readiness.
const (
	stateReady    = "ready"
	stateDegraded = "degraded"
	stateUnready  = "unready"
	stateLeaving  = "leaving"
)

// readiness is the answer of /readyz; Checks are the details.
type readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// NewHealth returns the health of a process that needs what the checks name. now may be nil.
func NewHealth(checks map[string]Check, log *slog.Logger, now func() time.Time) (*Health, error) {
	if log == nil {
		return nil, errors.New("serve: a logger is required")
	}
	if now == nil {
		now = time.Now
	}
	return &Health{checks: maps.Clone(checks), log: log, now: now}, nil
}

// Leave makes the process unready for good, so that balancers look away before it stops.
func (h *Health) Leave() { h.leaving.Store(true) }

// Alive answers GET /healthz: the process runs and serves. It asks nobody, so that a database that is
// away does not have every process restarted.
func (h *Health) Alive(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, readiness{Status: "alive"})
}

// Ready answers GET /readyz: 200 if requests should come here, 503 if not. With details it tells of
// each check.
func (h *Health) Ready(details bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		r := h.readiness(c.Request.Context())
		if !details {
			r.Checks = nil
		}
		status := http.StatusOK
		if r.Status == stateUnready || r.Status == stateLeaving {
			status = http.StatusServiceUnavailable
		}
		c.Header("Cache-Control", "no-store")
		c.JSON(status, r)
	}
}

func (h *Health) readiness(ctx context.Context) readiness {
	if h.leaving.Load() {
		return readiness{Status: stateLeaving}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); h.at.IsZero() || now.Sub(h.at) >= checkKeep {
		// The result is for all who ask within the second: one who hangs up must not spoil it.
		r := h.run(context.WithoutCancel(ctx))
		if r.Status != h.last.Status && (h.last.Status != "" || r.Status != stateReady) {
			h.log.WarnContext(ctx, "readiness changed", "from", h.last.Status, "to", r.Status, "checks", r.Checks)
		}
		h.last, h.at = r, h.now()
	}
	return h.last
}

// run runs all checks at once.
func (h *Health) run(ctx context.Context) readiness {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	names := slices.Sorted(maps.Keys(h.checks))
	results := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { results[i] = probe(ctx, h.checks[name]) })
	}
	all.Wait()
	r := readiness{Status: stateReady, Checks: map[string]string{}}
	for i, name := range names {
		switch {
		case results[i] == nil:
			r.Checks[name] = "ok"
			continue
		case h.checks[name].Required:
			r.Status = stateUnready
		case r.Status == stateReady:
			r.Status = stateDegraded
		}
		r.Checks[name] = "failed"
		h.log.DebugContext(ctx, "health check", "check", name, "err", results[i])
	}
	return r
}

// probe runs one check, and does not wait for one that ignores its context.
func probe(ctx context.Context, c Check) error {
	done := make(chan error, 1)
	go func() { done <- c.Probe(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
