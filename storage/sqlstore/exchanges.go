package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var (
	_ storage.Exchanges = (*DB)(nil)
	_ storage.Nonces    = (*DB)(nil)
)

const (
	exchangeTail   = " exchanges (code_hash, holder, outcome, claimed_at, until_at) VALUES (?, ?, x'', ?, ?)"
	takeExchange   = "UPDATE exchanges SET holder = ?, outcome = x'', claimed_at = ?, until_at = ? WHERE code_hash = ? AND (until_at <= ? OR outcome = x'' AND claimed_at <= ?)"
	selectExchange = "SELECT outcome FROM exchanges WHERE code_hash = ?"
	finishExchange = "UPDATE exchanges SET outcome = ?, until_at = ? WHERE code_hash = ? AND holder = ? AND outcome = x''"
	giveUpExchange = "DELETE FROM exchanges WHERE code_hash = ? AND holder = ? AND outcome = x''"

	nonceTail = " used_nonces (nonce_hash, until_at) VALUES (?, ?)"
)

// BeginExchange implements [storage.Exchanges]. The affected-row count of a conditional statement names the
// one who has the code.
func (db *DB) BeginExchange(ctx context.Context, code storage.CodeHash, holder string, stale, until, now time.Time) (storage.Exchange, error) {
	var out storage.Exchange
	err := db.write(ctx, "begin exchange", func(ctx context.Context, tx *sql.Tx) error {
		out = storage.Exchange{}
		n, err := affect(ctx, tx, db.d.InsertIgnore+exchangeTail, code[:], holder, micros(now), micros(until))
		if err == nil && n == 0 {
			n, err = affect(ctx, tx, takeExchange, holder, micros(now), micros(until), code[:], micros(now), micros(stale))
		}
		if err != nil || n == 1 {
			out.Mine = n == 1
			return err
		}
		return tx.QueryRowContext(ctx, selectExchange, code[:]).Scan(&out.Outcome)
	})
	if err != nil {
		return storage.Exchange{}, err
	}
	if len(out.Outcome) == 0 {
		out.Outcome = nil
	}
	return out, nil
}

// FinishExchange implements [storage.Exchanges].
func (db *DB) FinishExchange(ctx context.Context, code storage.CodeHash, holder string, outcome []byte, until time.Time) error {
	return db.write(ctx, "finish exchange", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, finishExchange, outcome, micros(until), code[:], holder)
		if err == nil && n == 0 {
			err = storage.ErrStale
		}
		return err
	})
}

// DropExchange implements [storage.Exchanges].
func (db *DB) DropExchange(ctx context.Context, code storage.CodeHash, holder string) error {
	return db.write(ctx, "drop exchange", func(ctx context.Context, tx *sql.Tx) error {
		_, err := affect(ctx, tx, giveUpExchange, code[:], holder)
		return err
	})
}

// UseNonce implements [storage.Nonces].
func (db *DB) UseNonce(ctx context.Context, nonce storage.NonceHash, until time.Time) error {
	return db.write(ctx, "use nonce", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, db.d.InsertIgnore+nonceTail, nonce[:], micros(until))
		if err == nil && n == 0 {
			err = storage.ErrConsumed
		}
		return err
	})
}
