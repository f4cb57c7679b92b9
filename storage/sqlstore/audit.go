package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Audit = (*DB)(nil)

const (
	auditColumns = "audit_id, at, action, result, actor, user_id, client_id, session_id, address, detail"

	insertAudit = "INSERT INTO audit (" + auditColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectAudit = "SELECT " + auditColumns + " FROM audit WHERE audit_id > ? AND at >= ? ORDER BY audit_id LIMIT ?"

	// Identifiers begin with their time, so a listing since a time need not walk the primary key from
	// its beginning. auditSlack allows for an identifier made a little before its record's time.
	auditSlack      = time.Minute
	auditTimePrefix = 9 // characters of an identifier that hold nothing but time
)

// Append implements [storage.Audit].
func (db *DB) Append(ctx context.Context, r storage.AuditRecord) error {
	return db.write(ctx, "append audit", func(ctx context.Context, tx *sql.Tx) error {
		return appendAudit(ctx, tx, &r)
	})
}

// ListAudit implements [storage.Audit].
func (db *DB) ListAudit(ctx context.Context, since time.Time, after string, limit int) (list []storage.AuditRecord, err error) {
	if from := since.Add(-auditSlack); from.Unix() > 0 {
		after = max(after, storage.NewID(from)[:auditTimePrefix])
	}
	err = db.read(ctx, "list audit", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanAudit, selectAudit, after, micros(since), page(limit))
		return err
	})
	return list, err
}

// appendAudit appends a record in the caller's transaction; none if it is nil.
func appendAudit(ctx context.Context, q querier, r *storage.AuditRecord) error {
	if r == nil {
		return nil
	}
	detail := []byte("{}")
	if len(r.Detail) > 0 {
		var err error
		if detail, err = json.Marshal(r.Detail); err != nil {
			return fmt.Errorf("append audit: %w", err)
		}
	}
	_, err := q.ExecContext(ctx, insertAudit, r.ID, micros(r.At), r.Action, r.Result, r.Actor,
		string(r.User), string(r.Client), string(r.Session), r.Address, string(detail))
	if err != nil {
		return fmt.Errorf("append audit: %w", err)
	}
	return nil
}

func scanAudit(row scanner) (storage.AuditRecord, error) {
	var r storage.AuditRecord
	var at int64
	var detail string
	err := row.Scan(&r.ID, &at, &r.Action, &r.Result, &r.Actor, &r.User, &r.Client, &r.Session, &r.Address, &detail)
	if err != nil {
		return storage.AuditRecord{}, err
	}
	r.At = instant(at)
	if detail != "{}" {
		if err := json.Unmarshal([]byte(detail), &r.Detail); err != nil {
			return storage.AuditRecord{}, fmt.Errorf("audit record %s: detail: %w", r.ID, err)
		}
	}
	return r, nil
}
