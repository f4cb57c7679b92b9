package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Webhooks = (*DB)(nil)

const (
	webhookColumns = "webhook_id, url, description, events, secret, old_secret, old_until, disabled_at, disabled_why, version, created_at, updated_at"

	insertWebhook  = "INSERT INTO webhooks (" + webhookColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectWebhook  = "SELECT " + webhookColumns + " FROM webhooks WHERE webhook_id = ?"
	selectWebhooks = "SELECT " + webhookColumns + " FROM webhooks WHERE webhook_id > ? ORDER BY webhook_id LIMIT ?"
	countWebhooks  = "SELECT COUNT(*) FROM webhooks WHERE webhook_id > ?"
	updateWebhook  = "UPDATE webhooks SET url = ?, description = ?, events = ?, secret = ?, old_secret = ?, old_until = ?, disabled_at = ?, disabled_why = ?, " +
		"version = version + 1, updated_at = ? WHERE webhook_id = ? AND version = ?"
	deleteWebhook = "DELETE FROM webhooks WHERE webhook_id = ?"
)

// CreateWebhook implements [storage.Webhooks]. Of several who create at once, each may find room for one: the limit
// keeps lists short and is not a matter of right or wrong.
func (db *DB) CreateWebhook(ctx context.Context, w storage.Webhook, after int64, audit *storage.AuditRecord) error {
	return db.write(ctx, "create webhook", func(ctx context.Context, tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, countWebhooks, "").Scan(&n); err != nil {
			return err
		}
		if n >= storage.MaxWebhooks {
			return storage.ErrLimit
		}
		_, err := tx.ExecContext(ctx, insertWebhook, string(w.ID), w.URL, w.Description, strings.Join(w.Events, " "), w.Secret, notNil(w.OldSecret),
			microsOrNil(w.OldUntil), microsOrNil(w.DisabledAt), w.DisabledWhy, w.Version, micros(w.CreatedAt), micros(w.UpdatedAt))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, db.d.InsertIgnore+outboxTail, string(w.ID), after, micros(w.CreatedAt)); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

// Webhook implements [storage.Webhooks].
func (db *DB) Webhook(ctx context.Context, id storage.Destination) (w storage.Webhook, err error) {
	err = db.read(ctx, "webhook", func(ctx context.Context, q querier) (err error) {
		w, err = scanWebhook(q.QueryRowContext(ctx, selectWebhook, string(id)))
		return err
	})
	return w, err
}

// ListWebhooks implements [storage.Webhooks].
func (db *DB) ListWebhooks(ctx context.Context) (list []storage.Webhook, err error) {
	err = db.read(ctx, "list webhooks", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanWebhook, selectWebhooks, "", pageMax)
		return err
	})
	return list, err
}

// UpdateWebhook implements [storage.Webhooks].
func (db *DB) UpdateWebhook(ctx context.Context, w storage.Webhook, audit *storage.AuditRecord) error {
	return db.write(ctx, "update webhook", func(ctx context.Context, tx *sql.Tx) error {
		if _, err := scanWebhook(tx.QueryRowContext(ctx, selectWebhook, string(w.ID))); err != nil {
			return err
		}
		n, err := affect(ctx, tx, updateWebhook, w.URL, w.Description, strings.Join(w.Events, " "), w.Secret, notNil(w.OldSecret), microsOrNil(w.OldUntil),
			microsOrNil(w.DisabledAt), w.DisabledWhy, micros(w.UpdatedAt), string(w.ID), w.Version)
		if err != nil {
			return err
		}
		if n == 0 {
			return storage.ErrStale
		}
		if _, err := tx.ExecContext(ctx, renewOutbox, string(w.ID)); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

// DeleteWebhook implements [storage.Webhooks]. The row of the outbox goes first: whoever delivers writes nothing
// without it.
func (db *DB) DeleteWebhook(ctx context.Context, id storage.Destination, audit *storage.AuditRecord) error {
	return db.write(ctx, "delete webhook", func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, deleteOutbox, string(id)); err != nil {
			return err
		}
		if err := exactlyOne(ctx, tx, deleteWebhook, string(id)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, deleteAllSent, string(id)); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

func scanWebhook(row scanner) (w storage.Webhook, err error) {
	var events string
	var oldUntil, disabled sql.NullInt64
	var created, updated int64
	err = row.Scan(&w.ID, &w.URL, &w.Description, &events, &w.Secret, &w.OldSecret, &oldUntil, &disabled, &w.DisabledWhy,
		&w.Version, &created, &updated)
	if err != nil {
		return storage.Webhook{}, err
	}
	w.Events = strings.Fields(events)
	w.OldUntil, w.DisabledAt = instantOrNil(oldUntil), instantOrNil(disabled)
	w.CreatedAt, w.UpdatedAt = instant(created), instant(updated)
	return w, nil
}

// notNil is b as a value that is not NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
