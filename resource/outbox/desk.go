package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Limits of a webhook.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
	maxDescription = 256
	idOf           = "wh_"
)

// DeskStore is what a [Desk] needs of the store.
type DeskStore interface {
	storage.Webhooks
	storage.Outbox
	Head(ctx context.Context) (storage.Block, error)
}

// DeskConfig is what a [Desk] needs; Store, Box and Sender are required.
type DeskConfig struct {
	Store  DeskStore
	Box    Box
	Sender *Sender
	Now    func() time.Time // nil for time.Now
}

// Desk is where operators manage webhooks. Everything that it changes leaves an audit record.
type Desk struct{ cfg DeskConfig }

// NewDesk builds a desk.
func NewDesk(c DeskConfig) (*Desk, error) {
	if c.Store == nil || c.Box == nil || c.Sender == nil {
		return nil, errors.New("outbox: a desk needs a store, a box and a sender")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Desk{c}, nil
}

// Origin is who changes something: Actor as in audit records, such as "operator:root".
type Origin struct {
	Actor   string
	Client  storage.ClientID
	Address string
}

func record(now time.Time, action string, from Origin, id storage.Destination, detail map[string]string) *storage.AuditRecord {
	all := map[string]string{"webhook_id": string(id)}
	maps.Copy(all, detail)
	return &storage.AuditRecord{
		ID: storage.NewID(now), At: storage.Instant(now), Action: action, Result: "ok", Actor: from.Actor, Client: from.Client, Address: from.Address, Detail: all,
	}
}

// InvalidError says what is wrong with a webhook as it was given.
type InvalidError struct{ Field, Fault string }

// Error implements error.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Fault }

// Draft is a webhook to be made. After is the number in the sealed chain after which it begins; nil for the end of the
// chain as it is.
type Draft struct {
	URL, Description string
	Events           []string
	After            *int64
}

// Change is a change of a webhook; what is nil stays.
type Change struct {
	URL, Description *string
	Events           *[]string
	Disabled         *bool
}

// Standing is a webhook and where it stands.
type Standing struct {
	storage.Webhook
	State storage.OutboxState
}

// Create makes a webhook, and its secret, which is told here and never again.
func (d *Desk) Create(ctx context.Context, from Origin, draft Draft) (storage.Webhook, secret.Text, error) {
	now := storage.Instant(d.cfg.Now())
	w := storage.Webhook{
		ID: storage.Destination(idOf + storage.NewID(now)), URL: draft.URL, Description: draft.Description, Events: draft.Events, CreatedAt: now, UpdatedAt: now,
	}
	if err := d.check(&w); err != nil {
		return storage.Webhook{}, secret.Text{}, err
	}
	after, err := endOf(ctx, d.cfg.Store)
	if err != nil {
		return storage.Webhook{}, secret.Text{}, err
	}
	if draft.After != nil {
		if *draft.After < 0 || *draft.After > after {
			return storage.Webhook{}, secret.Text{}, &InvalidError{"after", fmt.Sprintf("%d is not between 0 and %d, where the chain ends", *draft.After, after)}
		}
		after = *draft.After
	}
	key := newSecret()
	w.Secret = d.cfg.Box.Seal(key, sealLabel(w.ID)...)
	if err := d.cfg.Store.CreateWebhook(ctx, w, after, record(now, "webhook.created", from, w.ID, nil)); err != nil {
		return storage.Webhook{}, secret.Text{}, err
	}
	return w, written(key), nil
}

func (d *Desk) check(w *storage.Webhook) error {
	if err := d.cfg.Sender.reach.checkURL(w.URL); err != nil {
		return &InvalidError{"url", err.Error()}
	}
	if len(w.Description) > maxDescription || !utf8.ValidString(w.Description) || strings.ContainsFunc(w.Description, unicode.IsControl) {
		return &InvalidError{"description", fmt.Sprintf("must be at most %d bytes of text", maxDescription)}
	}
	for _, kind := range w.Events {
		if !slices.Contains(Types(), kind) {
			return &InvalidError{"events", fmt.Sprintf("%.40q is no type of event; there are %s", kind, strings.Join(Types(), ", "))}
		}
	}
	slices.Sort(w.Events)
	w.Events = slices.Compact(w.Events)
	return nil
}

// List returns all webhooks, by ID.
func (d *Desk) List(ctx context.Context) ([]Standing, error) {
	hooks, err := d.cfg.Store.ListWebhooks(ctx)
	if err != nil {
		return nil, err
	}
	states, err := d.cfg.Store.OutboxStates(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Standing, len(hooks))
	for i, w := range hooks {
		list[i].Webhook = w
		for _, s := range states {
			if s.Destination == w.ID {
				list[i].State = s
			}
		}
	}
	return list, nil
}

// Show returns a webhook; storage.ErrNotFound.
func (d *Desk) Show(ctx context.Context, id storage.Destination) (Standing, error) {
	list, err := d.List(ctx)
	if err != nil {
		return Standing{}, err
	}
	for _, s := range list {
		if s.ID == id {
			return s, nil
		}
	}
	return Standing{}, fmt.Errorf("webhook: %w", storage.ErrNotFound)
}

// Update changes a webhook. Enabled again, it goes on from where it was.
func (d *Desk) Update(ctx context.Context, from Origin, id storage.Destination, c Change) error {
	return d.change(ctx, from, id, "webhook.updated", func(w *storage.Webhook, now time.Time) error {
		if c.URL != nil {
			w.URL = *c.URL
		}
		if c.Description != nil {
			w.Description = *c.Description
		}
		if c.Events != nil {
			w.Events = *c.Events
		}
		switch {
		case c.Disabled == nil:
		case !*c.Disabled:
			w.DisabledAt, w.DisabledWhy = nil, ""
		case w.DisabledAt == nil:
			w.DisabledAt, w.DisabledWhy = &now, storage.DisabledByHand
		}
		return d.check(w)
	})
}

// Rotate gives a webhook a new secret. The one before it signs too until overlap has passed, at most [MaxOverlap].
func (d *Desk) Rotate(ctx context.Context, from Origin, id storage.Destination, overlap time.Duration) (secret.Text, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return secret.Text{}, &InvalidError{"overlap", fmt.Sprintf("%s is not between 0 and %s", overlap, MaxOverlap)}
	}
	key := newSecret()
	err := d.change(ctx, from, id, "webhook.secret_rotated", func(w *storage.Webhook, now time.Time) error {
		w.OldSecret, w.OldUntil = nil, nil
		if overlap > 0 {
			until := now.Add(overlap)
			w.OldSecret, w.OldUntil = w.Secret, &until
		}
		w.Secret = d.cfg.Box.Seal(key, sealLabel(w.ID)...)
		return nil
	})
	if err != nil {
		return secret.Text{}, err
	}
	return written(key), nil
}

// change reads, changes and writes; storage.ErrStale if somebody else did meanwhile.
func (d *Desk) change(
	ctx context.Context, from Origin, id storage.Destination, action string, f func(*storage.Webhook, time.Time) error,
) error {
	w, err := d.cfg.Store.Webhook(ctx, id)
	if err != nil {
		return err
	}
	now := storage.Instant(d.cfg.Now())
	if err := f(&w, now); err != nil {
		return err
	}
	w.UpdatedAt = now
	return d.cfg.Store.UpdateWebhook(ctx, w, record(now, action, from, id, nil))
}

// Delete removes a webhook with all that waits for it.
func (d *Desk) Delete(ctx context.Context, from Origin, id storage.Destination) error {
	return d.cfg.Store.DeleteWebhook(ctx, id, record(d.cfg.Now(), "webhook.deleted", from, id, nil))
}

// Trial is what came of a test.
type Trial struct {
	Taken  bool
	Status int    // 0 if there was no answer
	Fault  string // empty if it was taken
}

// Test sends a webhook an event of type [TypeTest] now, once, also if it is disabled.
func (d *Desk) Test(ctx context.Context, id storage.Destination) (Trial, error) {
	w, err := d.cfg.Store.Webhook(ctx, id)
	if err != nil {
		return Trial{}, err
	}
	now := storage.Instant(d.cfg.Now())
	e := Event{
		ID: idPrefix + "test_" + storage.NewID(now), Type: TypeTest, Timestamp: now, Data: Data{CreatedAt: now, Entries: []Entry{}},
	}
	body, err := e.body()
	if err != nil {
		return Trial{}, err
	}
	out := d.cfg.Sender.send(ctx, &w, e.ID, body, now)
	return Trial{out.taken, out.status, out.fault}, nil
}

// Dead returns events that were given up with numbers after after, at most limit; storage.ErrNotFound if there is no such
// webhook.
func (d *Desk) Dead(ctx context.Context, id storage.Destination, after int64, limit int) ([]storage.Delivery, error) {
	if _, err := d.cfg.Store.Webhook(ctx, id); err != nil {
		return nil, err
	}
	return d.cfg.Store.Dead(ctx, id, after, limit)
}

// Replay has the event of a number delivered after all, or with 0 all that are dead, at most [storage.MaxDeadPage] at once; it
// returns how many. storage.ErrLimit if too many wait already.
func (d *Desk) Replay(ctx context.Context, from Origin, id storage.Destination, number int64) (int, error) {
	now := d.cfg.Now()
	return d.cfg.Store.Replay(ctx, id, number, storage.MaxDeadPage, now,
		record(now, "webhook.replayed", from, id, map[string]string{"number": strconv.FormatInt(number, 10)}))
}
