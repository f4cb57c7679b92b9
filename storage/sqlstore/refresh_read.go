package sqlstore

import (
	"context"

	"github.com/tallystick/tallystick/storage"
)

// Refresh implements [storage.Refreshes].
func (db *DB) Refresh(ctx context.Context, hash storage.RefreshHash) (r storage.Refresh, err error) {
	err = db.read(ctx, "refresh token", func(ctx context.Context, q querier) (err error) {
		r, err = scanRefresh(q.QueryRowContext(ctx, selectRefresh, hash[:]))
		return err
	})
	return r, err
}
