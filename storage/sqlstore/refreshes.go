package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

var _ storage.Refreshes = (*DB)(nil)

const (
	refreshColumns = "token_hash, session_id, family_id, client_id, scope, kid, issued_at, expires_at, access_jti, access_kid, access_iat, access_exp, used_at, next_hash"

	insertRefresh      = "INSERT INTO refresh_tokens (" + refreshColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	selectRefresh      = "SELECT " + refreshColumns + " FROM refresh_tokens WHERE token_hash = ?"
	selectRefreshOwner = "SELECT session_id, client_id FROM refresh_tokens WHERE token_hash = ?"
	useRefresh         = "UPDATE refresh_tokens SET used_at = ?, next_hash = ? WHERE token_hash = ? AND used_at IS NULL"
)

// Rotate implements [storage.Refreshes]. What the presented token belongs to is read without a lock,
// because sessions are locked before their tokens; it never changes.
//
// A token that was used is judged by its use and not by its expiry: an old copy of it is a sign of
// theft for as long as the session lives.
func (db *DB) Rotate(ctx context.Context, r storage.Rotation) (storage.Rotated, []storage.Event, error) {
	var x exchange
	err := db.write(ctx, "rotate refresh token", func(ctx context.Context, tx *sql.Tx) error {
		x = exchange{db: db, tx: tx, r: r, now: storage.Instant(r.Now)}
		return x.run(ctx)
	})
	if err == nil && x.theft != nil {
		err = fmt.Errorf("rotate refresh token: %w", &storage.EndedError{End: *x.theft})
	}
	if err != nil {
		return storage.Rotated{}, x.committed(err), err
	}
	return x.out, nil, nil
}

// exchange is one run of [DB.Rotate] in a transaction. What it finds out about theft has to be
// committed, so theft is not an error in here.
type exchange struct {
	db     *DB
	tx     *sql.Tx
	r      storage.Rotation
	now    time.Time
	out    storage.Rotated
	theft  *storage.End
	events []storage.Event
}

// committed are the events of a theft that was committed; none if the transaction failed.
func (x *exchange) committed(err error) []storage.Event {
	if _, ended := errors.AsType[*storage.EndedError](err); ended && x.theft != nil {
		return x.events
	}
	return nil
}

func (x *exchange) run(ctx context.Context) error {
	session, token, err := x.lock(ctx)
	if err != nil {
		return err
	}
	if end := session.EndedAt(x.now); end != nil {
		return &storage.EndedError{End: *end}
	}
	x.out.Session = session
	if token.UsedAt != nil {
		return x.again(ctx, token)
	}
	if !token.ExpiresAt.After(x.now) {
		return storage.ErrExpired
	}
	return x.succeed(ctx, token)
}

// lock locks the session and then the token.
func (x *exchange) lock(ctx context.Context) (storage.Session, storage.Refresh, error) {
	var owner storage.SessionID
	var client storage.ClientID
	err := x.tx.QueryRowContext(ctx, selectRefreshOwner, x.r.Presented[:]).Scan(&owner, &client)
	if err != nil {
		return storage.Session{}, storage.Refresh{}, err
	}
	if client != x.r.Client {
		return storage.Session{}, storage.Refresh{}, storage.ErrNotFound
	}
	session, err := x.db.lockSession(ctx, x.tx, owner)
	if errors.Is(err, sql.ErrNoRows) {
		return storage.Session{}, storage.Refresh{}, &storage.EndedError{End: expiredAt(x.now)}
	}
	if err != nil {
		return storage.Session{}, storage.Refresh{}, fmt.Errorf("lock session: %w", err)
	}
	token, err := x.lockToken(ctx, x.r.Presented)
	if err != nil {
		return storage.Session{}, storage.Refresh{}, fmt.Errorf("lock refresh token: %w", err)
	}
	return session, token, nil
}

func (x *exchange) lockToken(ctx context.Context, hash storage.RefreshHash) (storage.Refresh, error) {
	return scanRefresh(x.tx.QueryRowContext(ctx, selectRefresh+x.db.d.ForUpdate, hash[:]))
}

// again answers a token that was exchanged before: with the same answer to who may not have had it,
// and with the end of the session to everybody else.
func (x *exchange) again(ctx context.Context, token storage.Refresh) error {
	left, err := departed(ctx, x.tx, token)
	if err != nil {
		return err
	}
	if left != nil {
		return &storage.EndedError{End: *left}
	}
	if !x.now.After(token.UsedAt.Add(x.r.Window)) {
		next, err := x.lockToken(ctx, token.Next)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("lock successor: %w", err)
		}
		if err == nil && next.UsedAt == nil {
			x.out.Refresh, x.out.Replayed = next, true
			return nil
		}
	}
	end := storage.End{Reason: storage.ReuseDetected, At: x.now, Actor: "client:" + string(x.r.Client)}
	event, err := endSession(ctx, x.tx, &x.out.Session, end, x.now)
	if err != nil {
		return err
	}
	x.theft, x.events = &end, []storage.Event{*event} // the session was live, so there is an event
	return insertEvents(ctx, x.tx, x.events)
}

// succeed exchanges an unused token of a live session.
func (x *exchange) succeed(ctx context.Context, token storage.Refresh) error {
	s := &x.out.Session
	s.LastSeenAt = later(s.LastSeenAt, x.now)
	if x.r.IdleTTL > 0 {
		s.IdleAt = x.now.Add(x.r.IdleTTL).Truncate(time.Second)
		if s.IdleAt.After(s.ExpiresAt) {
			s.IdleAt = s.ExpiresAt
		}
	}
	s.Access = x.access(*s)
	s.AccessUntil = later(s.AccessUntil, s.Access.ExpiresAt)
	next := x.successor(token, *s)
	x.out.Refresh = next
	if err := exactlyOne(ctx, x.tx, useRefresh, micros(x.now), next.Hash[:], token.Hash[:]); err != nil {
		return fmt.Errorf("use refresh token: %w", err)
	}
	if err := putRefresh(ctx, x.tx, next); err != nil {
		return fmt.Errorf("insert successor: %w", err)
	}
	a := s.Access
	err := exactlyOne(ctx, x.tx, updateRotated, micros(s.LastSeenAt), micros(s.IdleAt),
		a.JTI, a.KeyID, micros(a.IssuedAt), micros(a.ExpiresAt), micros(s.AccessUntil), string(s.ID))
	if err != nil {
		return fmt.Errorf("update session: %w", err)
	}
	return nil
}

// access is the access token to hand out: a new one, or for a shared session the one that its other
// members hold while that is good for long enough, or as long as a new one would be.
func (x *exchange) access(s storage.Session) storage.Stamp {
	fresh := cut(instants(x.r.Next.Access), until(s))
	if s.Mode != storage.Shared {
		return fresh
	}
	if s.Access.ExpiresAt.Sub(x.now) > x.r.KeepLeft {
		return s.Access
	}
	if s.Access.ExpiresAt.After(x.now) && !fresh.ExpiresAt.After(s.Access.ExpiresAt) {
		return s.Access
	}
	return fresh
}

func (x *exchange) successor(token storage.Refresh, s storage.Session) storage.Refresh {
	next := x.r.Next
	next.Session, next.Family, next.Client = token.Session, token.Family, token.Client
	if next.Scope == "" {
		next.Scope = token.Scope
	}
	next.Access, next.UsedAt, next.Next = s.Access, nil, storage.RefreshHash{}
	next.IssuedAt, next.ExpiresAt = storage.Instant(next.IssuedAt), storage.Instant(next.ExpiresAt)
	if limit := until(s); next.ExpiresAt.After(limit) {
		next.ExpiresAt = limit
	}
	return next
}

func putRefresh(ctx context.Context, q querier, r storage.Refresh) error {
	_, err := q.ExecContext(ctx, insertRefresh, r.Hash[:], string(r.Session), string(r.Family), string(r.Client), r.Scope, r.KeyID,
		micros(r.IssuedAt), micros(r.ExpiresAt),
		r.Access.JTI, r.Access.KeyID, micros(r.Access.IssuedAt), micros(r.Access.ExpiresAt), nil, nil)
	return err
}

func scanRefresh(row scanner) (storage.Refresh, error) {
	var r storage.Refresh
	var hash, next []byte
	var issued, expires, iat, exp int64
	var used sql.NullInt64
	err := row.Scan(&hash, &r.Session, &r.Family, &r.Client, &r.Scope, &r.KeyID, &issued, &expires,
		&r.Access.JTI, &r.Access.KeyID, &iat, &exp, &used, &next)
	if err != nil {
		return storage.Refresh{}, err
	}
	if len(hash) != len(r.Hash) || (len(next) != 0 && len(next) != len(r.Next)) {
		return storage.Refresh{}, errors.New("refresh token: hash of the wrong length")
	}
	copy(r.Hash[:], hash)
	copy(r.Next[:], next)
	r.IssuedAt, r.ExpiresAt = instant(issued), instant(expires)
	r.Access.IssuedAt, r.Access.ExpiresAt = instant(iat), instant(exp)
	r.UsedAt = instantOrNil(used)
	return r, nil
}
