package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Limits of a [Manager].
const (
	// MaxOverlap is the longest that a secret stays good after it was replaced.
	MaxOverlap = 30 * 24 * time.Hour
	// MaxPage is the most clients that a page lists.
	MaxPage = 500
	// staleTries is how often a change is tried again that met another one.
	staleTries = 4
)

// ErrPublic says that a public client has no secret to rotate.
var ErrPublic = errors.New("a public client has no secret")

// ManagerConfig is what a [Manager] needs.
type ManagerConfig struct {
	Store storage.Clients
	// SecretKey is that of the [Registry].
	SecretKey []byte
	// Passwords hashes chosen secrets; nil refuses them.
	Passwords Passwords
	// Products are those of the configuration; nil accepts every name that could be one.
	Products []string
	// LongestAccess is the longest lifetime of an access token: a disabled client is told about in the
	// feed for that long.
	LongestAccess time.Duration
	// Ended is told of the events of what ended, after the commit: it announces them to other
	// processes and to guards of this one. Nil for none.
	Ended func(context.Context, []storage.Event)
	// Changed is told of every client that changed; it is for [Registry.Forget]. Nil for none.
	Changed func(storage.ClientID)
	Now     func() time.Time // nil: time.Now
}

// Manager makes and changes clients. Each change and its audit record are one transaction.
type Manager struct {
	c       ManagerConfig
	secrets *hasher
}

// NewManager builds a manager.
func NewManager(c ManagerConfig) (*Manager, error) {
	if c.Store == nil {
		return nil, errors.New("client manager: no store")
	}
	if c.LongestAccess <= 0 {
		return nil, errors.New("client manager: the longest lifetime of an access token must be above zero")
	}
	if err := checkKey(c.SecretKey); err != nil {
		return nil, err
	}
	if c.Ended == nil {
		c.Ended = func(context.Context, []storage.Event) {}
	}
	if c.Changed == nil {
		c.Changed = func(storage.ClientID) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Manager{c: c, secrets: newHasher(c.SecretKey)}, nil
}

// Create makes a client and returns it with its secret, which cannot be read again; the secret is
// empty for a public client. It gives an [*InvalidError] with every fault of the draft, and
// [storage.ErrExists] if the name is taken.
func (m *Manager) Create(ctx context.Context, from audit.Origin, d Draft) (storage.Client, secret.Text, error) {
	if err := d.validate(m.c.Products); err != nil {
		return storage.Client{}, secret.Text{}, err
	}
	now := storage.Instant(m.c.Now())
	c := storage.Client{
		ID: d.ID, Name: d.Name, Kind: d.Kind, Version: 1, CreatedAt: now, UpdatedAt: now,
		Grants: slices.Clone(d.Grants), Products: slices.Clone(d.Products), Terminals: slices.Clone(d.Terminals),
		Scopes: slices.Sorted(slices.Values(d.Scopes)), RedirectURIs: slices.Clone(d.RedirectURIs),
	}
	if c.Name == "" {
		c.Name = string(d.ID)
	}
	var text secret.Text
	if d.Kind == storage.Confidential {
		var err error
		if text, c.Secret, err = m.newSecret(ctx, d.ID, d.Secret); err != nil {
			return storage.Client{}, secret.Text{}, err
		}
	}
	record := m.record(from, audit.ClientCreated, d.ID, now, "type", d.Kind)
	if err := m.c.Store.CreateClient(ctx, c, record); err != nil {
		return storage.Client{}, secret.Text{}, fmt.Errorf("create client %s: %w", d.ID, err)
	}
	m.c.Changed(d.ID)
	return bare(c), text, nil
}

// newSecret returns the chosen secret with a slow hash, or a generated one with a fast one.
func (m *Manager) newSecret(ctx context.Context, id storage.ClientID, chosen *secret.Text) (secret.Text, storage.PasswordHash, error) {
	if chosen == nil {
		text := generate()
		return text, m.secrets.sum(id, text.Reveal()).encode(), nil
	}
	if m.c.Passwords == nil {
		return secret.Text{}, "", &InvalidError{Faults: []string{"secret: chosen secrets are not configured; leave it out to have one generated"}}
	}
	h, err := m.c.Passwords.Hash(ctx, *chosen)
	if err != nil {
		return secret.Text{}, "", fmt.Errorf("hash the secret of client %s: %w", id, err)
	}
	return *chosen, h, nil
}

// RotateSecret gives a client a new generated secret and returns it. The secret before it stays good
// for overlap, at most [MaxOverlap]; with 0 it is dead at once. [ErrPublic] for a public client.
func (m *Manager) RotateSecret(ctx context.Context, from audit.Origin, id storage.ClientID, overlap time.Duration) (storage.Client, secret.Text, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return storage.Client{}, secret.Text{}, &InvalidError{Faults: []string{fmt.Sprintf("overlap: not between 0 and %s", MaxOverlap)}}
	}
	text, hash, err := m.newSecret(ctx, id, nil)
	if err != nil {
		return storage.Client{}, secret.Text{}, err
	}
	now := storage.Instant(m.c.Now())
	c, err := m.update(ctx, id, m.record(from, audit.ClientRotated, id, now, "overlap", overlap), func(c *storage.Client) error {
		if c.Kind == storage.Public {
			return ErrPublic
		}
		c.OldSecret, c.OldSecretUntil = "", nil
		if overlap > 0 {
			until := now.Add(overlap)
			c.OldSecret, c.OldSecretUntil = c.Secret, &until
		}
		c.Secret, c.UpdatedAt = hash, now
		return nil
	})
	if err != nil {
		return storage.Client{}, secret.Text{}, fmt.Errorf("rotate the secret of client %s: %w", id, err)
	}
	return bare(c), text, nil
}

// update changes a client as it is now, and tries again when it changed in between.
func (m *Manager) update(ctx context.Context, id storage.ClientID, record *storage.AuditRecord, change func(*storage.Client) error) (storage.Client, error) {
	for try := 1; ; try++ {
		c, err := m.c.Store.Client(ctx, id)
		if err != nil {
			return storage.Client{}, err
		}
		if err := change(&c); err != nil {
			return storage.Client{}, err
		}
		err = m.c.Store.UpdateClient(ctx, c, record)
		if err == nil {
			m.c.Changed(id)
			c.Version++
			return c, nil
		}
		if !errors.Is(err, storage.ErrStale) || try == staleTries {
			return storage.Client{}, err
		}
	}
}

// Disable refuses a client from now on and ends all its tokens. [storage.ErrNotFound] if there is
// no such client.
func (m *Manager) Disable(ctx context.Context, from audit.Origin, id storage.ClientID) error {
	now := storage.Instant(m.c.Now())
	record := m.record(from, audit.ClientDisabled, id, now)
	event, err := m.c.Store.DisableClient(ctx, id, from.Actor, now.Add(m.c.LongestAccess), record, now)
	if err != nil {
		return fmt.Errorf("disable client %s: %w", id, err)
	}
	m.c.Changed(id)
	m.c.Ended(ctx, []storage.Event{event})
	return nil
}

// Enable lets a disabled client in again. Its ended tokens stay ended.
func (m *Manager) Enable(ctx context.Context, from audit.Origin, id storage.ClientID) error {
	now := storage.Instant(m.c.Now())
	if err := m.c.Store.EnableClient(ctx, id, m.record(from, audit.ClientEnabled, id, now), now); err != nil {
		return fmt.Errorf("enable client %s: %w", id, err)
	}
	m.c.Changed(id)
	return nil
}

// Show returns a client without its hashes; [storage.ErrNotFound].
func (m *Manager) Show(ctx context.Context, id storage.ClientID) (storage.Client, error) {
	c, err := m.c.Store.Client(ctx, id)
	if err != nil {
		return storage.Client{}, fmt.Errorf("show client %s: %w", id, err)
	}
	return bare(c), nil
}

// List returns up to limit clients with names after the given one, in their order and without their
// hashes. A limit that is not between 1 and [MaxPage] means that.
func (m *Manager) List(ctx context.Context, after storage.ClientID, limit int) ([]storage.Client, error) {
	if limit < 1 || limit > MaxPage {
		limit = MaxPage
	}
	clients, err := m.c.Store.ListClients(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list clients: %w", err)
	}
	for i := range clients {
		clients[i] = bare(clients[i])
	}
	return clients, nil
}

// record prepares the audit record of a change. The client concerned stands in the record's Client;
// who asked for it is the actor.
func (m *Manager) record(from audit.Origin, action string, id storage.ClientID, now time.Time, detail ...any) *storage.AuditRecord {
	r := from.Record(action, now)
	if from.Client != "" && from.Client != id {
		detail = append(detail, "by_client", from.Client)
	}
	r.Client, r.Detail = id, audit.Detail(detail...)
	return &r
}

// bare removes the hashes.
func bare(c storage.Client) storage.Client {
	c.Secret, c.OldSecret = "", ""
	return c
}
