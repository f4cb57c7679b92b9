package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Upkeep = (*DB)(nil)

const (
	trimKinds = 12  // kinds of what is trimmed
	trimChunk = 100 // rows that are removed in one transaction
)

// What is due is found without a lock, through the index on its time, oldest first, from where the last
// call left off, and then removed by primary key, a statement each. See the package comment.
const (
	dueRefreshes = "SELECT token_hash, expires_at FROM refresh_tokens WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?"
	dueSessions  = "SELECT session_id, expires_at FROM sessions WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?"
	dueEvents    = "SELECT event_id, until_at FROM session_events WHERE until_at >= ? AND until_at < ? AND number > 0 ORDER BY until_at LIMIT ?"
	dueRevoked   = "SELECT token_id, until_at FROM revoked_tokens WHERE until_at >= ? AND until_at < ? ORDER BY until_at LIMIT ?"
	dueAudit     = "SELECT audit_id, at FROM audit WHERE at >= ? AND at < ? ORDER BY at LIMIT ?"
	dueAnswers   = "SELECT user_id, client_id, idem_key, created_at FROM answers WHERE created_at >= ? AND created_at < ? ORDER BY created_at LIMIT ?"
	dueNonces    = "SELECT nonce_hash, until_at FROM used_nonces WHERE until_at >= ? AND until_at < ? ORDER BY until_at LIMIT ?"
	dueExchanges = "SELECT code_hash, until_at FROM exchanges WHERE until_at >= ? AND until_at < ? ORDER BY until_at LIMIT ?"
	dueDevices   = "SELECT request_id, expires_at FROM device_requests WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?"
	dueLogins    = "SELECT token_id, expires_at FROM login_tokens WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?"
	dueStarts    = "SELECT user_id, session_id, origin_id, expires_at FROM session_starts WHERE expires_at >= ? AND expires_at < ? ORDER BY expires_at LIMIT ?"
	dueDead      = "SELECT destination, number, dead_at FROM outbox_deliveries WHERE dead_at >= ? AND dead_at < ? ORDER BY dead_at LIMIT ?"
	tokensOf     = "SELECT token_hash, expires_at FROM refresh_tokens WHERE session_id = ? LIMIT ?"

	firstTrim  = " trims (kind, before_at) VALUES (?, ?)"
	raiseTrim  = "UPDATE trims SET before_at = ? WHERE kind = ? AND before_at < ?"
	selectTrim = "SELECT before_at FROM trims WHERE kind = ?"

	dropRefresh = "DELETE FROM refresh_tokens WHERE token_hash = ?"
	dropSession = "DELETE FROM sessions WHERE session_id = ?"
	dropEvent   = "DELETE FROM session_events WHERE event_id = ?"
	dropRevoked = "DELETE FROM revoked_tokens WHERE token_id = ?"
	dropAudit   = "DELETE FROM audit WHERE audit_id = ?"
	dropAnswer  = "DELETE FROM answers WHERE user_id = ? AND client_id = ? AND idem_key = ?"
	dropNonce   = "DELETE FROM used_nonces WHERE nonce_hash = ?"
	dropCode    = "DELETE FROM exchanges WHERE code_hash = ?"
	dropDevice  = "DELETE FROM device_requests WHERE request_id = ?"
	dropLogin   = "DELETE FROM login_tokens WHERE token_id = ?"
	dropStart   = "DELETE FROM session_starts WHERE user_id = ? AND session_id = ? AND origin_id = ?"
	dropDead    = "DELETE FROM outbox_deliveries WHERE destination = ? AND number = ? AND dead_at IS NOT NULL"
)

// trimRule is how one kind is trimmed. The columns found are the primary key and then the time.
type trimRule struct {
	kind      storage.TrimKind
	due, drop string
	key       int // columns of the primary key
}

func trimRules() [trimKinds]trimRule {
	return [trimKinds]trimRule{
		{storage.TrimRefreshes, dueRefreshes, dropRefresh, 1},
		{storage.TrimSessions, dueSessions, dropSession, 1},
		{storage.TrimEvents, dueEvents, dropEvent, 1},
		{storage.TrimRevoked, dueRevoked, dropRevoked, 1},
		{storage.TrimAnswers, dueAnswers, dropAnswer, 3},
		{storage.TrimNonces, dueNonces, dropNonce, 1},
		{storage.TrimExchanges, dueExchanges, dropCode, 1},
		{storage.TrimAudit, dueAudit, dropAudit, 1},
		{storage.TrimDevices, dueDevices, dropDevice, 1},
		{storage.TrimLogins, dueLogins, dropLogin, 1},
		{storage.TrimStarts, dueStarts, dropStart, 3},
		{storage.TrimDead, dueDead, dropDead, 2},
	}
}

// dueRow is a row to remove: its primary key, and its time.
type dueRow struct {
	key []any
	at  int64
}

// Trim implements [storage.Upkeep].
func (db *DB) Trim(ctx context.Context, kind storage.TrimKind, before time.Time, limit int) (int, error) {
	rules := trimRules()
	i := slices.IndexFunc(rules[:], func(r trimRule) bool { return r.kind == kind })
	if i < 0 {
		return 0, fmt.Errorf("no such kind to trim: %q", kind)
	}
	t := trimming{db: db, rule: rules[i], from: &db.trimmed[i], left: min(max(limit, 0), storage.MaxTrim)}
	due, err := t.due(ctx, micros(storage.Instant(before)))
	if err == nil && kind == storage.TrimAnswers && len(due) > 0 {
		err = db.markTrimmed(ctx, kind, micros(storage.Instant(before)))
	}
	if err != nil {
		return 0, err
	}
	for len(due) > 0 && t.left > 0 {
		done, err := t.remove(ctx, due)
		if err != nil {
			return t.removed, err
		}
		if done > 0 {
			t.from.Store(due[done-1].at)
		}
		due = due[done:]
	}
	return t.removed, nil
}

// markTrimmed records up to which time a kind is trimmed, before it is, for those who would otherwise take
// what is missing for lost.
func (db *DB) markTrimmed(ctx context.Context, kind storage.TrimKind, before int64) error {
	return db.write(ctx, "mark "+string(kind)+" as trimmed", func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, db.d.InsertIgnore+firstTrim, string(kind), before); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, raiseTrim, before, string(kind), before)
		return err
	})
}

// AnswersFrom implements [storage.Books].
func (db *DB) AnswersFrom(ctx context.Context) (time.Time, error) {
	return books{db, db.r}.AnswersFrom(ctx)
}

// AnswersFrom implements [storage.Books].
func (b books) AnswersFrom(ctx context.Context) (time.Time, error) {
	var before int64
	err := b.q.QueryRowContext(ctx, selectTrim, string(storage.TrimAnswers)).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, b.db.fault("from when on there are answers", err)
	}
	return instant(before), nil
}

// trimming is one run of [DB.Trim].
type trimming struct {
	db      *DB
	rule    trimRule
	from    *atomic.Int64 // where the search begins
	left    int           // how many rows may still be removed
	removed int
}

// due finds rows whose time is before before. The engine keeps what is deleted in its indexes for as long
// as a snapshot may ask for it; to begin where the last search ended spares it to pass by all that again.
// What has come in below that is found when there is nothing left above it.
func (t *trimming) due(ctx context.Context, before int64) (rows []dueRow, err error) {
	err = t.db.read(ctx, "find "+string(t.rule.kind), func(ctx context.Context, q querier) (err error) {
		from := t.from.Load()
		rows, err = collect(ctx, q, scanDue(t.rule.key), t.rule.due, from, before, t.left)
		if err == nil && len(rows) < t.left && from != 0 {
			t.from.Store(0)
			rows, err = collect(ctx, q, scanDue(t.rule.key), t.rule.due, int64(0), before, t.left)
		}
		return err
	})
	return rows, err
}

// remove removes the first of the rows in a transaction, and returns how many of them are done with.
func (t *trimming) remove(ctx context.Context, due []dueRow) (done int, err error) {
	most := min(trimChunk, t.left)
	var found, removed int
	err = t.db.write(ctx, "trim "+string(t.rule.kind), func(ctx context.Context, tx *sql.Tx) error {
		found, removed, done = 0, 0, 0
		drop := func(statement string, key []any) error {
			n, err := affect(ctx, tx, statement, key...)
			found, removed = found+1, removed+int(n)
			return err
		}
		for _, row := range due {
			if t.rule.kind == storage.TrimSessions {
				tokens, err := collect(ctx, tx, scanDue(1), tokensOf, row.key[0], most-found)
				if err != nil {
					return err
				}
				for _, token := range tokens {
					if err := drop(dropRefresh, token.key); err != nil {
						return err
					}
				}
			}
			if found >= most {
				return nil
			}
			if err := drop(t.rule.drop, row.key); err != nil {
				return err
			}
			done++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	t.left -= found
	t.removed += removed
	return done, nil
}

// scanDue reads a primary key of so many columns, and a time.
func scanDue(columns int) func(scanner) (dueRow, error) {
	return func(row scanner) (dueRow, error) {
		due := dueRow{key: make([]any, columns)}
		dest := make([]any, 0, columns+1)
		for i := range due.key {
			dest = append(dest, &due.key[i])
		}
		err := row.Scan(append(dest, &due.at)...)
		return due, err
	}
}
