package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

var _ storage.Wallets = (*DB)(nil)

const (
	readFreeze  = `SELECT wallet_frozen_at, wallet_frozen_reason FROM users WHERE user_id = ?`
	writeFreeze = `UPDATE users SET wallet_frozen_at = ?, wallet_frozen_reason = ? WHERE user_id = ?`
	// freezeAccounts leaves an account alone that is being made: who makes it holds the user's row, and so came
	// first.
	freezeAccounts = `UPDATE accounts SET frozen_at = ? WHERE user_id = ?`
	limitAccount   = `UPDATE accounts SET limit_single = ?, limit_daily = ? WHERE account_id = ?`
)

// WalletState implements [storage.Wallets].
func (db *DB) WalletState(ctx context.Context, user storage.UserID) (storage.WalletState, error) {
	s := storage.WalletState{User: user}
	err := db.read(ctx, "read wallet", func(ctx context.Context, q querier) (err error) {
		if s.FrozenAt, s.Reason, err = scanFreeze(q.QueryRowContext(ctx, readFreeze, string(user))); err != nil {
			return err
		}
		s.Accounts, err = collect(ctx, q, scanAccount, readWallets, string(user), maxWallets)
		return err
	})
	return s, err
}

// ChangeWallet implements [storage.Wallets]. The user's row is locked first: an account is made under a
// lock of the same row.
func (db *DB) ChangeWallet(ctx context.Context, user storage.UserID, c storage.WalletChange, audit *storage.AuditRecord, now time.Time) error {
	if len(c.Limits) > maxWallets {
		return fmt.Errorf("limits in %d currencies", len(c.Limits))
	}
	now = storage.Instant(now)
	return db.write(ctx, "change wallet", func(ctx context.Context, tx *sql.Tx) error {
		frozen, _, err := scanFreeze(tx.QueryRowContext(ctx, readFreeze+db.d.ForUpdate, string(user)))
		if err != nil {
			return err
		}
		if c.Frozen != nil {
			switch {
			case !*c.Frozen:
				frozen, c.Reason = nil, ""
			case frozen == nil:
				frozen = &now
			}
			if err := exactlyOne(ctx, tx, writeFreeze, microsOrNil(frozen), c.Reason, string(user)); err != nil {
				return fmt.Errorf("freeze: %w", err)
			}
			if _, err := tx.ExecContext(ctx, freezeAccounts, microsOrNil(frozen), string(user)); err != nil {
				return fmt.Errorf("freeze accounts: %w", err)
			}
		}
		for _, currency := range slices.Sorted(maps.Keys(c.Limits)) {
			if err := db.setLimits(ctx, tx, user, currency, c.Limits[currency], frozen, now); err != nil {
				return fmt.Errorf("set limits: %w", err)
			}
		}
		return appendAudit(ctx, tx, audit)
	})
}

func (db *DB) setLimits(
	ctx context.Context, tx *sql.Tx, user storage.UserID, currency money.Currency, l storage.Limits, frozen *time.Time, now time.Time,
) error {
	a := storage.Account{ID: storage.WalletAccount(user, currency), User: user, Currency: currency, CreatedAt: now}
	if err := db.makeAccount(ctx, tx, &a, frozen); err != nil {
		return err
	}
	return exactlyOne(ctx, tx, limitAccount, l.Single, l.Daily, string(a.ID))
}

func scanFreeze(row scanner) (at *time.Time, reason string, err error) {
	var frozen sql.NullInt64
	err = row.Scan(&frozen, &reason)
	return instantOrNil(frozen), reason, err
}
