package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Sessions = (*DB)(nil)

const (
	sessionColumns = "session_id, user_id, product, terminal, mode, version, client_id, scope, " +
		"device_id, device_name, address, user_agent, session_data, created_at, last_seen_at, expires_at, idle_at, " +
		"access_jti, access_kid, access_iat, access_exp, access_until, ended_at, end_reason, end_actor, end_terminal, end_device"

	insertSession  = "INSERT INTO sessions (" + sessionColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectSession  = "SELECT " + sessionColumns + " FROM sessions WHERE session_id = ?"
	selectLive     = "SELECT " + sessionColumns + " FROM sessions WHERE user_id = ? AND ended_at IS NULL AND expires_at > ? AND idle_at > ? ORDER BY created_at DESC, session_id DESC LIMIT ?"
	selectNotEnded = "SELECT " + sessionColumns + " FROM sessions WHERE user_id = ? AND ended_at IS NULL AND session_id < ? ORDER BY session_id DESC LIMIT ?"
	selectKept     = "SELECT " + sessionColumns + " FROM sessions WHERE user_id = ? AND session_id < ? ORDER BY session_id DESC LIMIT ?"
	// selectSlotIDs and selectUserIDs find the sessions that nobody has ended, without locking: a
	// locking read would lock what it passes in the index. Each is then locked by its primary key.
	selectSlotIDs = "SELECT session_id FROM sessions WHERE user_id = ? AND product = ? AND terminal = ? AND ended_at IS NULL ORDER BY session_id"
	selectUserIDs = "SELECT session_id FROM sessions WHERE user_id = ? AND ended_at IS NULL AND (? = '' OR session_id = ?) " +
		"AND (? = '' OR product = ?) AND (? = '' OR terminal = ?) AND session_id <> ? ORDER BY session_id"
	updateEnd     = "UPDATE sessions SET ended_at = ?, end_reason = ?, end_actor = ?, end_terminal = ?, end_device = ? WHERE session_id = ? AND ended_at IS NULL"
	updateJoined  = "UPDATE sessions SET mode = ?, last_seen_at = ?, access_jti = ?, access_kid = ?, access_iat = ?, access_exp = ?, access_until = ? WHERE session_id = ?"
	updateRotated = "UPDATE sessions SET last_seen_at = ?, idle_at = ?, access_jti = ?, access_kid = ?, access_iat = ?, access_exp = ?, access_until = ? WHERE session_id = ?"
)

// Session implements [storage.Sessions].
func (db *DB) Session(ctx context.Context, id storage.SessionID) (s storage.Session, err error) {
	err = db.read(ctx, "session", func(ctx context.Context, q querier) (err error) {
		s, err = scanSession(q.QueryRowContext(ctx, selectSession, string(id)))
		return err
	})
	return s, err
}

// LiveSessions implements [storage.Sessions].
func (db *DB) LiveSessions(ctx context.Context, user storage.UserID, now time.Time) (list []storage.Session, err error) {
	at := micros(storage.Instant(now))
	err = db.read(ctx, "live sessions", func(ctx context.Context, q querier) (err error) {
		list, err = collect(ctx, q, scanSession, selectLive, string(user), at, at, pageMax)
		return err
	})
	return list, err
}

// Sessions implements [storage.Sessions].
func (db *DB) Sessions(
	ctx context.Context, user storage.UserID, includeEnded bool, before storage.SessionID, limit int,
) (list []storage.Session, err error) {
	if before == "" {
		before = lastID
	}
	err = db.read(ctx, "sessions of user", func(ctx context.Context, q querier) (err error) {
		if includeEnded {
			list, err = collect(ctx, q, scanSession, selectKept, string(user), string(before), page(limit))
			return err
		}
		list, err = collect(ctx, q, scanSession, selectNotEnded, string(user), string(before), page(limit))
		return err
	})
	return list, err
}

// Check implements [storage.Sessions]. A token of a session is dead as well when its client was
// disabled after it was issued, as the feed tells guards. Those who ask at once share a statement, which is sent
// after the last of them has asked.
func (db *DB) Check(ctx context.Context, b storage.Bearer, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	facts, err := db.bearers.put(ctx, b)
	if err != nil {
		return db.fault("check bearer", err)
	}
	if end := facts.endOf(b, storage.Instant(now)); end != nil {
		return db.fault("check bearer", &storage.EndedError{End: *end})
	}
	return nil
}

// endOf gives nil if a bearer's session and client stand at now, and how it has ended if not.
func (f *bearerFacts) endOf(b storage.Bearer, now time.Time) *storage.End {
	if b.Session != "" {
		s, known := f.sessions[b.Session]
		if !known {
			return new(expiredAt(now))
		}
		if end := s.EndedAt(now); end != nil {
			return end
		}
	}
	if b.Client == "" {
		return nil
	}
	c, known := f.clients[b.Client]
	switch {
	case !known && b.Session != "":
		return nil // the session stands, and says more than a client that nobody disabled
	case !known:
		return new(expiredAt(now))
	}
	if end := c.end(b); end != nil {
		return end
	}
	if end, revoked := f.revoked[b.JTI]; revoked && b.Session == "" {
		return &end
	}
	return nil
}

// standing gives nil if a bearer's session and client stand at now, and an [*storage.EndedError] if
// not, in a transaction; lock makes the session's row stay as it is until the end.
func standing(ctx context.Context, q querier, b storage.Bearer, now time.Time, lock string) error {
	now = storage.Instant(now)
	if b.Session != "" {
		s, err := scanSession(q.QueryRowContext(ctx, selectSession+lock, string(b.Session)))
		if errors.Is(err, sql.ErrNoRows) {
			return &storage.EndedError{End: expiredAt(now)}
		}
		if err != nil {
			return err
		}
		if end := s.EndedAt(now); end != nil {
			return &storage.EndedError{End: *end}
		}
	}
	if b.Client == "" {
		return nil
	}
	return clientStanding(ctx, q, b, now)
}

// clientStanding reads what speaks against a client's tokens, and for a token without a session also
// whether it was revoked: one statement, a primary key each.
func clientStanding(ctx context.Context, q querier, b storage.Bearer, now time.Time) error {
	var c clientState
	var revoked sql.NullInt64
	var actor sql.NullString
	err := q.QueryRowContext(ctx, selectClientTokens, b.JTI, b.JTI, string(b.Client)).Scan(&c.disabledAt, &c.tokensFrom, &revoked, &actor)
	if errors.Is(err, sql.ErrNoRows) {
		if b.Session != "" {
			return nil // the session stands, and says more than a client that nobody disabled
		}
		return &storage.EndedError{End: expiredAt(now)}
	}
	if err != nil {
		return err
	}
	if end := c.end(b); end != nil {
		return &storage.EndedError{End: *end}
	}
	if b.Session == "" && revoked.Valid {
		return &storage.EndedError{End: revokedAt(revoked.Int64, actor.String)}
	}
	return nil
}

func expiredAt(at time.Time) storage.End {
	return storage.End{Reason: storage.Expired, At: at, Actor: "system"}
}

func revokedAt(us int64, actor string) storage.End {
	return storage.End{Reason: storage.SignedOut, At: instant(us), Actor: actor}
}

// lockSession locks a session by its primary key and reads it.
func (db *DB) lockSession(ctx context.Context, tx *sql.Tx, id storage.SessionID) (storage.Session, error) {
	return scanSession(tx.QueryRowContext(ctx, selectSession+db.d.ForUpdate, string(id)))
}

// lockSessions locks sessions one after the other, in the order given, which must be sorted, and
// returns those that nobody has ended.
func (db *DB) lockSessions(ctx context.Context, tx *sql.Tx, ids []storage.SessionID) ([]storage.Session, error) {
	open := make([]storage.Session, 0, len(ids))
	for _, id := range ids {
		s, err := db.lockSession(ctx, tx, id)
		if errors.Is(err, sql.ErrNoRows) {
			continue // trimmed in between
		}
		if err != nil {
			return nil, fmt.Errorf("lock session: %w", err)
		}
		if s.End == nil {
			open = append(open, s)
		}
	}
	return open, nil
}

// until is the time from which a session has expired: the absolute end, or the idle limit before it.
func until(s storage.Session) time.Time {
	if s.IdleAt.Before(s.ExpiresAt) {
		return s.IdleAt
	}
	return s.ExpiresAt
}

// cut makes a stamp end with its session.
func cut(stamp storage.Stamp, at time.Time) storage.Stamp {
	if stamp.ExpiresAt.After(at) {
		stamp.ExpiresAt = at
	}
	return stamp
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func putSession(ctx context.Context, q querier, s storage.Session) error {
	var data any
	if s.Data != nil {
		data = string(s.Data)
	}
	_, err := q.ExecContext(ctx, insertSession,
		string(s.ID), string(s.User), s.Product, string(s.Terminal), string(s.Mode), s.Version, string(s.Client), s.Scope,
		s.Device.ID, s.Device.Name, s.Device.Address, s.Device.UserAgent, data,
		micros(s.CreatedAt), micros(s.LastSeenAt), micros(s.ExpiresAt), micros(s.IdleAt),
		s.Access.JTI, s.Access.KeyID, micros(s.Access.IssuedAt), micros(s.Access.ExpiresAt), micros(s.AccessUntil),
		nil, nil, nil, nil, nil)
	return err
}

func scanSession(row scanner) (storage.Session, error) {
	var s storage.Session
	var data, reason, actor, terminal, device sql.NullString
	var created, seen, expires, idle, iat, exp, accessUntil int64
	var ended sql.NullInt64
	err := row.Scan(&s.ID, &s.User, &s.Product, &s.Terminal, &s.Mode, &s.Version, &s.Client, &s.Scope,
		&s.Device.ID, &s.Device.Name, &s.Device.Address, &s.Device.UserAgent, &data,
		&created, &seen, &expires, &idle, &s.Access.JTI, &s.Access.KeyID, &iat, &exp, &accessUntil,
		&ended, &reason, &actor, &terminal, &device)
	if err != nil {
		return storage.Session{}, err
	}
	if data.Valid {
		s.Data = json.RawMessage(data.String)
	}
	s.CreatedAt, s.LastSeenAt = instant(created), instant(seen)
	s.ExpiresAt, s.IdleAt = instant(expires), instant(idle)
	s.Access.IssuedAt, s.Access.ExpiresAt, s.AccessUntil = instant(iat), instant(exp), instant(accessUntil)
	if ended.Valid {
		at := instant(ended.Int64)
		s.End = &storage.End{
			Reason: storage.Reason(reason.String), At: at, Actor: actor.String, By: superseder(terminal, device, at),
		}
	}
	return s, nil
}
