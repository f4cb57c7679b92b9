package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// touchChunk is how many sessions are written in one transaction: a sign-in that wants one of them
// waits for a single statement.
const touchChunk = 50

// touchSessions never moves a time back. A part in braces is repeated; see [spread].
const touchSessions = "UPDATE sessions SET last_seen_at = CASE session_id {WHEN ? THEN ?| } END " +
	"WHERE session_id IN ({?|, }) AND ended_at IS NULL AND last_seen_at < CASE session_id {WHEN ? THEN ?| } END"

// Touch implements [storage.Sessions].
func (db *DB) Touch(ctx context.Context, seen map[storage.SessionID]time.Time) error {
	if len(seen) > storage.MaxTouch {
		return fmt.Errorf("touch sessions: %d at once, at most %d", len(seen), storage.MaxTouch)
	}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(seen)), touchChunk) {
		var cases, keys []any
		for _, id := range ids {
			cases = append(cases, string(id), micros(storage.Instant(seen[id])))
			keys = append(keys, string(id))
		}
		args := slices.Concat(cases, keys, cases)
		err := db.write(ctx, "touch sessions", func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, spread(touchSessions, len(ids), len(ids), len(ids)), args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
