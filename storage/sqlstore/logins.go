package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var (
	_ storage.Logins = (*DB)(nil)
	_ storage.Starts = (*DB)(nil)
)

const (
	loginColumns = "token_id, token_hash, state, user_id, issued_by, client_id, product, terminal, scope_limit, data, session_id, created_at, expires_at"

	insertLogin     = "INSERT INTO login_tokens (" + loginColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectLoginHash = "SELECT " + loginColumns + " FROM login_tokens WHERE token_hash = ?"
	selectLogin     = "SELECT " + loginColumns + " FROM login_tokens WHERE token_id = ?"
	loginsOfUser    = "SELECT " + loginColumns + " FROM login_tokens WHERE user_id = ? AND expires_at > ? AND issued_by <> '' AND state = 'approved' " +
		"ORDER BY expires_at DESC, token_id DESC LIMIT ?"
	loginsOfClient = "SELECT " + loginColumns + " FROM login_tokens WHERE client_id = ? AND expires_at > ? AND issued_by = '' AND state = 'approved' " +
		"ORDER BY expires_at DESC, token_id DESC LIMIT ?"
	countLoginsUser   = "SELECT COUNT(*) FROM login_tokens WHERE user_id = ? AND expires_at > ? AND issued_by <> '' AND state = 'approved'"
	countLoginsClient = "SELECT COUNT(*) FROM login_tokens WHERE client_id = ? AND expires_at > ? AND issued_by = '' AND state = 'approved'"
	revokeLogin       = "UPDATE login_tokens SET state = 'cancelled' WHERE token_id = ? AND state = 'approved' AND expires_at > ?"
	redeemLogin       = "UPDATE login_tokens SET state = 'redeemed', session_id = ? " +
		"WHERE token_id = ? AND token_hash = ? AND user_id = ? AND issued_by = ? AND state = 'approved' AND expires_at > ?"

	// What a session has approved or issued, and nobody has redeemed.
	cancelApproved = "UPDATE device_requests SET state = 'cancelled' WHERE user_id = ? AND approved_by = ? AND state = 'approved'"
	cancelIssued   = "UPDATE login_tokens SET state = 'cancelled' WHERE user_id = ? AND issued_by = ? AND state = 'approved'"

	startTail    = " session_starts (user_id, session_id, origin_id, expires_at) VALUES (?, ?, ?, ?)"
	selectStarts = "SELECT session_id, origin_id FROM session_starts WHERE user_id = ? ORDER BY session_id DESC LIMIT ?"
	startsOf     = "SELECT session_id FROM session_starts WHERE user_id = ? AND origin_id = ? AND session_id > ? ORDER BY session_id LIMIT ?"
)

// IssueLogin implements [storage.Logins].
func (db *DB) IssueLogin(ctx context.Context, t storage.LoginToken, issuer storage.Bearer, limit int, audit *storage.AuditRecord) error {
	now := storage.Instant(t.CreatedAt)
	return db.write(ctx, "issue login token", func(ctx context.Context, tx *sql.Tx) error {
		u, err := scanUser(tx.QueryRowContext(ctx, selectUser+db.d.ForShare, string(t.User)))
		if err != nil {
			return fmt.Errorf("lock user: %w", err)
		}
		if u.Barred(now) {
			return storage.ErrDisabled
		}
		if err := standing(ctx, tx, issuer, now, db.d.ForShare); err != nil {
			return err
		}
		if t.IssuedBy != "" {
			err = under(ctx, tx, limit, countLoginsUser, string(t.User), micros(now))
		} else {
			err = under(ctx, tx, limit, countLoginsClient, string(t.Client), micros(now))
		}
		if err != nil {
			return err
		}
		var data, scope any
		if t.Data != nil {
			data = string(t.Data)
		}
		if t.ScopeLimit != nil {
			scope = *t.ScopeLimit
		}
		_, err = tx.ExecContext(ctx, insertLogin, string(t.ID), t.Hash[:], string(storage.HandoffApproved), string(t.User), string(t.IssuedBy),
			string(t.Client), t.Product, string(t.Terminal), scope, data, "", micros(now), micros(storage.Instant(t.ExpiresAt)))
		if err != nil {
			return err
		}
		return appendAudit(ctx, tx, audit)
	})
}

// Login implements [storage.Logins].
func (db *DB) Login(ctx context.Context, hash storage.HandoffHash) (t storage.LoginToken, err error) {
	err = db.read(ctx, "login token", func(ctx context.Context, q querier) (err error) {
		t, err = scanLogin(q.QueryRowContext(ctx, selectLoginHash, hash[:]))
		return err
	})
	return t, err
}

// Logins implements [storage.Logins].
func (db *DB) Logins(ctx context.Context, holder storage.LoginHolder, now time.Time) (list []storage.LoginToken, err error) {
	at := micros(storage.Instant(now))
	err = db.read(ctx, "login tokens", func(ctx context.Context, q querier) (err error) {
		if holder.User != "" {
			list, err = collect(ctx, q, scanLogin, loginsOfUser, string(holder.User), at, storage.MaxLoginTokens)
		} else {
			list, err = collect(ctx, q, scanLogin, loginsOfClient, string(holder.Client), at, storage.MaxLoginTokens)
		}
		return err
	})
	return list, err
}

// RevokeLogin implements [storage.Logins].
func (db *DB) RevokeLogin(
	ctx context.Context, id storage.HandoffID, holder storage.LoginHolder, audit *storage.AuditRecord, now time.Time,
) error {
	return db.write(ctx, "revoke login token", func(ctx context.Context, tx *sql.Tx) error {
		t, err := scanLogin(tx.QueryRowContext(ctx, selectLogin+db.d.ForUpdate, string(id)))
		if err != nil {
			return err
		}
		if !holds(holder, &t) {
			return storage.ErrNotFound
		}
		n, err := affect(ctx, tx, revokeLogin, string(id), micros(storage.Instant(now)))
		if err != nil {
			return err
		}
		if n == 0 {
			return storage.ErrConsumed
		}
		return appendAudit(ctx, tx, audit)
	})
}

func holds(h storage.LoginHolder, t *storage.LoginToken) bool {
	if h.User != "" {
		return t.User == h.User && t.IssuedBy != ""
	}
	return t.Client == h.Client && t.IssuedBy == ""
}

func scanLogin(row scanner) (storage.LoginToken, error) {
	var t storage.LoginToken
	var hash []byte
	var scope, data sql.NullString
	var created, expires int64
	err := row.Scan(&t.ID, &hash, &t.State, &t.User, &t.IssuedBy, &t.Client, &t.Product, &t.Terminal, &scope, &data, &t.Session, &created, &expires)
	if err != nil {
		return storage.LoginToken{}, err
	}
	copy(t.Hash[:], hash)
	if scope.Valid {
		t.ScopeLimit = &scope.String
	}
	if data.Valid {
		t.Data = json.RawMessage(data.String)
	}
	t.CreatedAt, t.ExpiresAt = instant(created), instant(expires)
	return t, nil
}

// Starts implements [storage.Starts].
func (db *DB) Starts(ctx context.Context, user storage.UserID) (list []storage.Start, err error) {
	err = db.read(ctx, "starts of sessions", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanStart, selectStarts, string(user), pageMax)
		return err
	})
	return list, err
}

func scanStart(row scanner) (s storage.Start, err error) {
	err = row.Scan(&s.Session, &s.Origin)
	return s, err
}

// origin locks the session that approved what a sign-in redeems, or looks at the client that issued it,
// and refuses if it does not stand.
func (s *signIn) origin(ctx context.Context) error {
	c := s.o.Claim
	if c == nil {
		return nil
	}
	b := storage.Bearer{Session: c.By, Client: c.Client, IssuedAt: c.ApprovedAt}
	if c.By != "" {
		by, err := scanSession(s.tx.QueryRowContext(ctx, selectSession+s.db.d.ForShare, string(c.By)))
		if errors.Is(err, sql.ErrNoRows) {
			return &storage.EndedError{End: expiredAt(s.now)}
		}
		if err != nil {
			return fmt.Errorf("lock session that approved: %w", err)
		}
		b.Client = by.Client
	}
	return standing(ctx, s.tx, b, s.now, s.db.d.ForShare)
}

// redeem uses up what the sign-in redeems: of any number who race, one finds the row.
func (s *signIn) redeem(ctx context.Context, opened *storage.Session) error {
	c := s.o.Claim
	if c == nil {
		return nil
	}
	args := []any{string(opened.ID), string(c.ID), c.Hash[:], string(opened.User), string(c.By), micros(s.now)}
	var n int64
	var err error
	if c.Kind == storage.HandoffDevice {
		n, err = affect(ctx, s.tx, redeemDevice, args...)
	} else {
		n, err = affect(ctx, s.tx, redeemLogin, args...)
	}
	if err != nil {
		return fmt.Errorf("redeem hand-off: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("redeem hand-off: %w", storage.ErrConsumed)
	}
	if c.By == "" || c.By == opened.ID {
		return nil
	}
	_, err = s.tx.ExecContext(ctx, s.db.d.InsertIgnore+startTail, string(opened.User), string(opened.ID), string(c.By), micros(opened.ExpiresAt))
	if err != nil {
		return fmt.Errorf("record start: %w", err)
	}
	return nil
}

// descent is what was started from a session, and from that in turn.
type descent map[storage.SessionID]bool

// descend cancels what a session and all that were started from it have approved, and only then finds those:
// who redeems meanwhile has come before that, and is found, or comes too late.
func descend(ctx context.Context, tx *sql.Tx, user storage.UserID, from storage.SessionID) (descent, error) {
	seen, todo := descent{}, []storage.SessionID{from}
	for len(todo) > 0 {
		origin := todo[0]
		todo = todo[1:]
		if _, err := tx.ExecContext(ctx, cancelApproved, string(user), string(origin)); err != nil {
			return nil, fmt.Errorf("cancel approved requests: %w", err)
		}
		if _, err := tx.ExecContext(ctx, cancelIssued, string(user), string(origin)); err != nil {
			return nil, fmt.Errorf("cancel login tokens: %w", err)
		}
		started, err := startedBy(ctx, tx, user, origin)
		if err != nil {
			return nil, err
		}
		for _, id := range started {
			if id != from && !seen[id] {
				seen[id] = true
				todo = append(todo, id)
			}
		}
	}
	return seen, nil
}

// startedBy returns all that were started from a session, page by page: nobody hides a session behind a number of
// others.
func startedBy(ctx context.Context, tx *sql.Tx, user storage.UserID, origin storage.SessionID) ([]storage.SessionID, error) {
	var all []storage.SessionID
	after := ""
	for {
		page, err := collect(ctx, tx, scanText[storage.SessionID], startsOf, string(user), string(origin), after, pageMax)
		if err != nil {
			return nil, fmt.Errorf("find starts: %w", err)
		}
		all = append(all, page...)
		if len(page) < pageMax {
			return all, nil
		}
		after = string(page[len(page)-1])
	}
}

// narrow keeps those of the sessions that an order's StartedBy means.
func narrow(ctx context.Context, tx *sql.Tx, o *storage.EndOrder, find func() ([]storage.SessionID, error)) ([]storage.SessionID, error) {
	if o.StartedBy == "" {
		return find()
	}
	started, err := descend(ctx, tx, o.User, o.StartedBy)
	if err != nil {
		return nil, err
	}
	ids, err := find()
	return slices.DeleteFunc(ids, func(id storage.SessionID) bool { return !started[id] }), err
}
