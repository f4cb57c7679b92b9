package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Clients = (*DB)(nil)

const (
	clientColumns = "client_id, name, kind, secret, old_secret, old_secret_until, settings, version, created_at, updated_at, disabled_at, tokens_from"

	insertClient       = "INSERT INTO clients (" + clientColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectClient       = "SELECT " + clientColumns + " FROM clients WHERE client_id = ?"
	selectClients      = "SELECT " + clientColumns + " FROM clients WHERE client_id > ? ORDER BY client_id LIMIT ?"
	selectClientID     = "SELECT client_id FROM clients WHERE client_id = ?"
	selectClientTokens = "SELECT disabled_at, tokens_from, (SELECT revoked_at FROM revoked_tokens WHERE token_id = ?), " +
		"(SELECT actor FROM revoked_tokens WHERE token_id = ?) FROM clients WHERE client_id = ?"
	updateClient  = "UPDATE clients SET name = ?, secret = ?, old_secret = ?, old_secret_until = ?, settings = ?, version = version + 1, updated_at = ? WHERE client_id = ? AND version = ?"
	disableClient = "UPDATE clients SET disabled_at = COALESCE(disabled_at, ?), tokens_from = ?, version = version + 1, updated_at = ? WHERE client_id = ?"
	enableClient  = "UPDATE clients SET disabled_at = NULL, version = version + 1, updated_at = ? WHERE client_id = ?"
)

// settings is what of a client stands in one column: lists that no statement looks into.
type settings struct {
	Products     []string           `json:"products,omitempty"`
	Terminals    []storage.Terminal `json:"terminals,omitempty"`
	Grants       []string           `json:"grants,omitempty"`
	Scopes       []string           `json:"scopes,omitempty"`
	RedirectURIs []string           `json:"redirect_uris,omitempty"`
}

// CreateClient implements [storage.Clients].
func (db *DB) CreateClient(ctx context.Context, c storage.Client, audit *storage.AuditRecord) error {
	lists, err := packSettings(c)
	if err != nil {
		return err
	}
	return db.write(ctx, "create client", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, insertClient, string(c.ID), c.Name, string(c.Kind), string(c.Secret), string(c.OldSecret),
			microsOrNil(c.OldSecretUntil), lists, c.Version, micros(c.CreatedAt), micros(c.UpdatedAt),
			microsOrNil(c.DisabledAt), microsOrNil(c.TokensFrom))
		if err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

// Client implements [storage.Clients].
func (db *DB) Client(ctx context.Context, id storage.ClientID) (c storage.Client, err error) {
	err = db.read(ctx, "client", func(ctx context.Context, q querier) (err error) {
		c, err = scanClient(q.QueryRowContext(ctx, selectClient, string(id)))
		return err
	})
	return c, err
}

// ListClients implements [storage.Clients].
func (db *DB) ListClients(ctx context.Context, after storage.ClientID, limit int) (list []storage.Client, err error) {
	err = db.read(ctx, "list clients", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanClient, selectClients, string(after), page(limit))
		return err
	})
	return list, err
}

// UpdateClient implements [storage.Clients].
func (db *DB) UpdateClient(ctx context.Context, c storage.Client, audit *storage.AuditRecord) error {
	lists, err := packSettings(c)
	if err != nil {
		return err
	}
	return db.write(ctx, "update client", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, updateClient, c.Name, string(c.Secret), string(c.OldSecret), microsOrNil(c.OldSecretUntil),
			lists, micros(c.UpdatedAt), string(c.ID), c.Version)
		if err != nil {
			return err
		}
		if n == 0 {
			if _, err := scanText[storage.ClientID](tx.QueryRowContext(ctx, selectClientID, string(c.ID))); err != nil {
				return err
			}
			return storage.ErrStale
		}
		return appendAudit(ctx, tx, audit)
	})
}

// DisableClient implements [storage.Clients]. A client that is disabled already stays so from the
// first time on; its tokens are ended again.
func (db *DB) DisableClient(
	ctx context.Context, id storage.ClientID, actor string, until time.Time, audit *storage.AuditRecord, now time.Time,
) (storage.Event, error) {
	now = storage.Instant(now)
	event := storage.Event{
		ID: storage.EventID(storage.NewID(now)), Subject: storage.SubjectClient, Key: string(id),
		End: storage.End{Reason: storage.Kicked, At: now, Actor: actor}, Until: storage.Instant(until),
	}
	err := db.write(ctx, "disable client", func(ctx context.Context, tx *sql.Tx) error {
		if err := exactlyOne(ctx, tx, disableClient, micros(now), micros(now), micros(now), string(id)); err != nil {
			return err
		}
		if err := insertEvents(ctx, tx, []storage.Event{event}); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
	if err != nil {
		return storage.Event{}, err
	}
	return event, nil
}

// EnableClient implements [storage.Clients].
func (db *DB) EnableClient(ctx context.Context, id storage.ClientID, audit *storage.AuditRecord, now time.Time) error {
	return db.write(ctx, "enable client", func(ctx context.Context, tx *sql.Tx) error {
		if err := exactlyOne(ctx, tx, enableClient, micros(now), string(id)); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

func packSettings(c storage.Client) (string, error) {
	b, err := json.Marshal(settings{c.Products, c.Terminals, c.Grants, c.Scopes, c.RedirectURIs})
	if err != nil {
		return "", fmt.Errorf("client %s: settings: %w", c.ID, err)
	}
	return string(b), nil
}

func scanClient(row scanner) (storage.Client, error) {
	var c storage.Client
	var lists string
	var created, updated int64
	var oldUntil, disabled, from sql.NullInt64
	err := row.Scan(&c.ID, &c.Name, &c.Kind, (*string)(&c.Secret), (*string)(&c.OldSecret), &oldUntil, &lists,
		&c.Version, &created, &updated, &disabled, &from)
	if err != nil {
		return storage.Client{}, err
	}
	var s settings
	if err := json.Unmarshal([]byte(lists), &s); err != nil {
		return storage.Client{}, fmt.Errorf("client %s: settings: %w", c.ID, err)
	}
	c.Products, c.Terminals, c.Grants, c.Scopes, c.RedirectURIs = s.Products, s.Terminals, s.Grants, s.Scopes, s.RedirectURIs
	c.CreatedAt, c.UpdatedAt = instant(created), instant(updated)
	c.OldSecretUntil, c.DisabledAt, c.TokensFrom = instantOrNil(oldUntil), instantOrNil(disabled), instantOrNil(from)
	return c, nil
}
