package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Keys = (*DB)(nil)

const (
	keyColumns = "key_id, key_use, algorithm, sealed, created_at, active_at, retired_at"

	selectKeys  = "SELECT " + keyColumns + " FROM signing_keys ORDER BY active_at, created_at, key_id LIMIT ?"
	insertKey   = "INSERT INTO signing_keys (" + keyColumns + ", after_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
	selectKeyAt = "SELECT created_at FROM signing_keys WHERE key_id = ? AND key_use = ?"
	retireKey   = "UPDATE signing_keys SET retired_at = ? WHERE key_id = ?"
)

// ListKeys implements [storage.Keys].
func (db *DB) ListKeys(ctx context.Context) (list []storage.Key, err error) {
	err = db.read(ctx, "list keys", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanKey, selectKeys, pageMax)
		return err
	})
	return list, err
}

// AddKey implements [storage.Keys]. The keys of a use are a chain: each names the one before it, the
// first names none, and no two may name the same. So who races to add a key races for one unique
// entry, and needs no lock. A key that claims to be no younger than the one before it, as the clock of
// another host may have it, is stored as a microsecond younger: the end of the chain is the newest.
func (db *DB) AddKey(ctx context.Context, k storage.Key, after string) error {
	return db.write(ctx, "add key", func(ctx context.Context, tx *sql.Tx) error {
		created := micros(k.CreatedAt)
		if after != "" {
			var before int64
			err := tx.QueryRowContext(ctx, selectKeyAt, after, k.Use).Scan(&before)
			if errors.Is(err, sql.ErrNoRows) {
				return storage.ErrStale
			}
			if err != nil {
				return err
			}
			created = max(created, before+1)
		}
		_, err := tx.ExecContext(ctx, insertKey, k.ID, k.Use, k.Algorithm, k.Sealed, created, micros(k.ActiveAt),
			microsOrNil(k.RetiredAt), after)
		if err != nil && db.d.Classify(err) == FaultDuplicate {
			return errors.Join(storage.ErrStale, err)
		}
		return err
	})
}

// RetireKey implements [storage.Keys].
func (db *DB) RetireKey(ctx context.Context, id string, at time.Time) error {
	return db.write(ctx, "retire key", func(ctx context.Context, tx *sql.Tx) error {
		return exactlyOne(ctx, tx, retireKey, micros(at), id)
	})
}

func scanKey(row scanner) (storage.Key, error) {
	var k storage.Key
	var created, active int64
	var retired sql.NullInt64
	if err := row.Scan(&k.ID, &k.Use, &k.Algorithm, &k.Sealed, &created, &active, &retired); err != nil {
		return storage.Key{}, err
	}
	k.CreatedAt, k.ActiveAt, k.RetiredAt = instant(created), instant(active), instantOrNil(retired)
	return k, nil
}
