package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	takeLease = "UPDATE leases SET holder = ?, until_at = ? WHERE duty = ? AND (holder = ? OR until_at <= ?)"
	leaseTail = " leases (duty, holder, until_at) VALUES (?, ?, ?)"
)

// Lead implements [storage.Upkeep]. The affected-row count of a conditional statement names the one who
// leads; only the first time ever is there no row to update.
func (db *DB) Lead(ctx context.Context, duty, holder string, ttl time.Duration, now time.Time) (leads bool, err error) {
	now = storage.Instant(now)
	until := micros(now.Add(ttl))
	err = db.write(ctx, "lead", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, takeLease, holder, until, duty, holder, micros(now))
		if err == nil && n == 0 {
			n, err = affect(ctx, tx, db.d.InsertIgnore+leaseTail, duty, holder, until)
		}
		leads = n == 1
		return err
	})
	if err != nil {
		return false, err
	}
	return leads, nil
}
