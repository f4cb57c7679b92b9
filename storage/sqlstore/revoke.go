package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	selectFamily  = "SELECT session_id, family_id, client_id FROM refresh_tokens WHERE token_hash = ?"
	selectUnused  = "SELECT token_hash FROM refresh_tokens WHERE session_id = ? AND used_at IS NULL AND family_id = ? AND expires_at > ? LIMIT 1"
	selectOther   = "SELECT family_id FROM refresh_tokens WHERE session_id = ? AND used_at IS NULL AND family_id <> ? AND expires_at > ? LIMIT 1"
	revokeRefresh = "UPDATE refresh_tokens SET used_at = ? WHERE token_hash = ? AND used_at IS NULL"
	// selectMember and selectLeft read an index alone, however many tokens a family has used.
	selectMember = "SELECT family_id FROM refresh_tokens WHERE session_id = ? AND used_at IS NULL AND family_id = ? LIMIT 1"
	selectLeft   = "SELECT used_at FROM refresh_tokens WHERE session_id = ? AND family_id = ? AND used_at IS NOT NULL ORDER BY used_at DESC LIMIT 1"
	countMembers = "SELECT COUNT(*) FROM refresh_tokens WHERE session_id = ? AND used_at IS NULL AND expires_at > ? " +
		"AND EXISTS (SELECT session_id FROM sessions WHERE session_id = ? AND ended_at IS NULL AND expires_at > ? AND idle_at > ?)"
)

// Members implements [storage.Refreshes].
func (db *DB) Members(ctx context.Context, session storage.SessionID, now time.Time) (n int, err error) {
	at := micros(storage.Instant(now))
	err = db.read(ctx, "members of session", func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, countMembers, string(session), at, string(session), at, at).Scan(&n)
	})
	return n, err
}

// Revoke implements [storage.Refreshes]. The session is locked before anybody asks who its members are,
// so that nobody joins or refreshes meanwhile, and of those who leave at once one is the last.
func (db *DB) Revoke(
	ctx context.Context, hash storage.RefreshHash, client storage.ClientID, actor string, audit *storage.AuditRecord, now time.Time,
) ([]storage.Event, error) {
	var leaving departure
	err := db.write(ctx, "revoke refresh token", func(ctx context.Context, tx *sql.Tx) error {
		leaving = departure{db: db, tx: tx, client: client, actor: actor, audit: audit, now: storage.Instant(now)}
		return leaving.run(ctx, hash)
	})
	if err != nil {
		return nil, err
	}
	return leaving.events, nil
}

// departure is one run of [DB.Revoke] in a transaction.
type departure struct {
	db     *DB
	tx     *sql.Tx
	client storage.ClientID
	actor  string
	audit  *storage.AuditRecord
	now    time.Time
	events []storage.Event
}

func (d *departure) run(ctx context.Context, hash storage.RefreshHash) error {
	var id storage.SessionID
	var family storage.FamilyID
	var owner storage.ClientID
	if err := d.tx.QueryRowContext(ctx, selectFamily, hash[:]).Scan(&id, &family, &owner); err != nil {
		return err
	}
	if owner != d.client {
		return storage.ErrNotFound
	}
	session, err := d.db.lockSession(ctx, d.tx, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // trimmed in between
	}
	if err != nil {
		return fmt.Errorf("lock session: %w", err)
	}
	if session.EndedAt(d.now) != nil {
		return nil
	}
	return d.leave(ctx, session, family)
}

// leave takes a family out of a live session, whose row is locked.
func (d *departure) leave(ctx context.Context, session storage.Session, family storage.FamilyID) error {
	var token []byte
	err := d.tx.QueryRowContext(ctx, selectUnused, string(session.ID), string(family), micros(d.now)).Scan(&token)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it has left before, or let its time pass
	}
	if err != nil {
		return fmt.Errorf("find unused token: %w", err)
	}
	if err := exactlyOne(ctx, d.tx, revokeRefresh, micros(d.now), token); err != nil {
		return fmt.Errorf("use up refresh token: %w", err)
	}
	_, err = scanText[storage.FamilyID](d.tx.QueryRowContext(ctx, selectOther, string(session.ID), string(family), micros(d.now)))
	if errors.Is(err, sql.ErrNoRows) {
		err = d.end(ctx, &session)
	}
	if err != nil {
		return fmt.Errorf("find other members: %w", err)
	}
	return d.record(ctx, session)
}

// end ends the session that the last family leaves.
func (d *departure) end(ctx context.Context, session *storage.Session) error {
	event, err := endSession(ctx, d.tx, session, storage.End{Reason: storage.SignedOut, At: d.now, Actor: d.actor}, d.now)
	if err != nil {
		return err
	}
	d.events = []storage.Event{*event} // the session was live, so there is an event
	return insertEvents(ctx, d.tx, d.events)
}

func (d *departure) record(ctx context.Context, session storage.Session) error {
	if d.audit == nil {
		return nil
	}
	audit := *d.audit
	audit.User, audit.Session = session.User, session.ID
	return appendAudit(ctx, d.tx, &audit)
}

// departed gives the end of the family of a token if it has left the session, which lives, and nil if it
// is a member still: the tokens of a member descend to one that is unused.
func departed(ctx context.Context, tx *sql.Tx, token storage.Refresh) (*storage.End, error) {
	_, err := scanText[storage.FamilyID](tx.QueryRowContext(ctx, selectMember, string(token.Session), string(token.Family)))
	if err == nil {
		return nil, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("find unused token of family: %w", err)
	}
	var left int64
	if err := tx.QueryRowContext(ctx, selectLeft, string(token.Session), string(token.Family)).Scan(&left); err != nil {
		return nil, fmt.Errorf("find when the family left: %w", err)
	}
	return &storage.End{Reason: storage.SignedOut, At: instant(left), Actor: "client:" + string(token.Client)}, nil
}
