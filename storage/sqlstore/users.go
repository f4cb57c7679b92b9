package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Users = (*DB)(nil)

const (
	userColumns = "user_id, username, password_hash, credential, created_at, updated_at, disabled_at, banned_at, banned_until, ban_reason"

	insertUser       = "INSERT INTO users (" + userColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectUser       = "SELECT " + userColumns + " FROM users WHERE user_id = ?"
	selectUserByName = "SELECT " + userColumns + " FROM users WHERE username = ?"
	selectUsers      = "SELECT " + userColumns + " FROM users WHERE username > ? ORDER BY username LIMIT ?"
	selectUserID     = "SELECT user_id FROM users WHERE user_id = ?"
	updateUserHash   = "UPDATE users SET password_hash = ?, updated_at = ? WHERE user_id = ? AND password_hash = ?"
	updateUserBars   = "UPDATE users SET password_hash = ?, credential = ?, updated_at = ?, disabled_at = ?, banned_at = ?, banned_until = ?, ban_reason = ? WHERE user_id = ?"
	reinstateUser    = "UPDATE users SET disabled_at = NULL, banned_at = NULL, banned_until = NULL, ban_reason = '', updated_at = ? WHERE user_id = ?"
)

// CreateUser implements [storage.Users].
func (db *DB) CreateUser(ctx context.Context, u storage.User) error {
	return db.write(ctx, "create user", func(ctx context.Context, tx *sql.Tx) error {
		at, until, reason := banColumns(u.Ban)
		_, err := tx.ExecContext(ctx, insertUser, string(u.ID), u.Username, string(u.Password), u.Credential,
			micros(u.CreatedAt), micros(u.UpdatedAt), microsOrNil(u.DisabledAt), at, until, reason)
		return err
	})
}

// User implements [storage.Users].
func (db *DB) User(ctx context.Context, id storage.UserID) (u storage.User, err error) {
	err = db.read(ctx, "user", func(ctx context.Context, q querier) (err error) {
		u, err = scanUser(q.QueryRowContext(ctx, selectUser, string(id)))
		return err
	})
	return u, err
}

// UserByName implements [storage.Users].
func (db *DB) UserByName(ctx context.Context, username string) (u storage.User, err error) {
	err = db.read(ctx, "user by name", func(ctx context.Context, q querier) (err error) {
		u, err = scanUser(q.QueryRowContext(ctx, selectUserByName, username))
		return err
	})
	return u, err
}

// ListUsers implements [storage.Users].
func (db *DB) ListUsers(ctx context.Context, after string, limit int) (list []storage.User, err error) {
	err = db.read(ctx, "list users", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanUser, selectUsers, after, page(limit))
		return err
	})
	return list, err
}

// UpgradeHash implements [storage.Users].
func (db *DB) UpgradeHash(ctx context.Context, id storage.UserID, old, upgraded storage.PasswordHash, now time.Time) error {
	return db.write(ctx, "upgrade hash", func(ctx context.Context, tx *sql.Tx) error {
		n, err := affect(ctx, tx, updateUserHash, string(upgraded), micros(now), string(id), string(old))
		if err != nil || n > 0 {
			return err
		}
		if err := userExists(ctx, tx, id); err != nil {
			return err
		}
		return storage.ErrStale
	})
}

// Reinstate implements [storage.Users].
func (db *DB) Reinstate(ctx context.Context, id storage.UserID, audit *storage.AuditRecord, now time.Time) error {
	return db.write(ctx, "reinstate user", func(ctx context.Context, tx *sql.Tx) error {
		if err := exactlyOne(ctx, tx, reinstateUser, micros(now), string(id)); err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

// changeAccount applies a change to a user whose row is locked.
func changeAccount(ctx context.Context, tx *sql.Tx, u storage.User, c storage.AccountChange, now time.Time) error {
	if c.Credential != nil && *c.Credential != u.Credential {
		return fmt.Errorf("change account: %w", storage.ErrStale)
	}
	if c.Password != nil {
		u.Password = *c.Password
		u.Credential++
	}
	if c.Disabled != nil {
		switch {
		case !*c.Disabled:
			u.DisabledAt = nil
		case u.DisabledAt == nil:
			u.DisabledAt = &now
		}
	}
	if c.Ban != nil {
		u.Ban = nil
		if *c.Ban != (storage.Ban{}) {
			ban := *c.Ban
			if ban.At.IsZero() {
				ban.At = now
			}
			u.Ban = &ban
		}
	}
	at, until, reason := banColumns(u.Ban)
	return exactlyOne(ctx, tx, updateUserBars, string(u.Password), u.Credential, micros(now),
		microsOrNil(u.DisabledAt), at, until, reason, string(u.ID))
}

func userExists(ctx context.Context, q querier, id storage.UserID) error {
	_, err := scanText[storage.UserID](q.QueryRowContext(ctx, selectUserID, string(id)))
	return err
}

func banColumns(b *storage.Ban) (at, until any, reason string) {
	if b == nil {
		return nil, nil, ""
	}
	return micros(b.At), microsOrNil(b.Until), b.Reason
}

func scanUser(row scanner) (storage.User, error) {
	var u storage.User
	var reason string
	var created, updated int64
	var disabled, banned, until sql.NullInt64
	err := row.Scan(&u.ID, &u.Username, (*string)(&u.Password), &u.Credential, &created, &updated, &disabled, &banned, &until, &reason)
	if err != nil {
		return storage.User{}, err
	}
	u.CreatedAt, u.UpdatedAt = instant(created), instant(updated)
	u.DisabledAt = instantOrNil(disabled)
	if banned.Valid {
		u.Ban = &storage.Ban{At: instant(banned.Int64), Until: instantOrNil(until), Reason: reason}
	}
	return u, nil
}
