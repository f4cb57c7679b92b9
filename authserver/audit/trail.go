package audit

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Defaults of a [Config].
const (
	DefaultTimeout  = 2 * time.Second
	DefaultInFlight = 32
)

// Config is what a [Trail] needs.
type Config struct {
	Store storage.Audit
	Log   *slog.Logger // nil: discards
	// Timeout is the longest that appending may take; 0 means [DefaultTimeout].
	Timeout time.Duration
	// InFlight is how many may be appending at once; 0 means [DefaultInFlight].
	InFlight int
}

// Trail appends records that belong to no transaction.
type Trail struct {
	store   storage.Audit
	log     *slog.Logger
	timeout time.Duration
	places  chan struct{}
}

// New builds a trail.
func New(c Config) (*Trail, error) {
	if c.Store == nil {
		return nil, errors.New("audit: no store")
	}
	if c.Timeout < 0 || c.InFlight < 0 {
		return nil, errors.New("audit: timeout and in-flight limit must not be below zero")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.InFlight == 0 {
		c.InFlight = DefaultInFlight
	}
	return &Trail{store: c.Store, log: c.Log, timeout: c.Timeout, places: make(chan struct{}, c.InFlight)}, nil
}

// Append appends a record, also when ctx is cancelled, and gives up after the timeout. A record that
// cannot be appended goes to the log instead: the caller's answer does not depend on it.
func (t *Trail) Append(ctx context.Context, r storage.AuditRecord) {
	select {
	case t.places <- struct{}{}:
	default:
		t.lost(ctx, r, errors.New("too many records are being appended"))
		return
	}
	defer func() { <-t.places }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.timeout)
	defer cancel()
	r = tidy(r)
	r.Detail = fit(maps.Clone(r.Detail))
	if err := t.store.Append(ctx, r); err != nil {
		t.lost(ctx, r, err)
	}
}

// lost writes the record to the log, so that what happened is known somewhere.
func (t *Trail) lost(ctx context.Context, r storage.AuditRecord, err error) {
	t.log.ErrorContext(ctx, "audit record not stored",
		"err", err, "audit_id", r.ID, "at", r.At, "action", r.Action, "result", r.Result, "actor", r.Actor,
		"sub", string(r.User), "client_id", string(r.Client), "sid", string(r.Session), "address", r.Address, "detail", r.Detail)
}
