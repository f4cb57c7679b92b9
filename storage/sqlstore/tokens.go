package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// revokeTail follows the dialect's way to insert what may be there.
const revokeTail = " revoked_tokens (token_id, client_id, revoked_at, actor, until_at) VALUES (?, ?, ?, ?, ?)"

// RevokeToken implements [storage.Sessions]. Of several who revoke one token at once, the one whose row
// it is writes the event.
func (db *DB) RevokeToken(
	ctx context.Context, jti string, client storage.ClientID, actor string, until time.Time, audit *storage.AuditRecord, now time.Time,
) ([]storage.Event, error) {
	now, until = storage.Instant(now), storage.Instant(until)
	if !until.After(now) {
		return nil, nil
	}
	event := storage.Event{
		ID: storage.EventID(storage.NewID(now)), Subject: storage.SubjectToken, Key: jti,
		End: storage.End{Reason: storage.SignedOut, At: now, Actor: actor}, Until: until,
	}
	var events []storage.Event
	err := db.write(ctx, "revoke token", func(ctx context.Context, tx *sql.Tx) error {
		events = nil
		n, err := affect(ctx, tx, db.d.InsertIgnore+revokeTail, jti, string(client), micros(now), actor, micros(until))
		if err != nil || n == 0 {
			return err
		}
		events = []storage.Event{event}
		if err := insertEvents(ctx, tx, events); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}
