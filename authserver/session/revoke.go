package session

import (
	"context"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/storage"
)

// Leave signs out the member of a session to whom a refresh token belongs; the last one out ends the
// session. It returns the events of what that ended. Its errors are those of
// [storage.Refreshes.Revoke].
func (b *Book) Leave(ctx context.Context, hash storage.RefreshHash, client storage.ClientID, from audit.Origin) ([]storage.Event, error) {
	now := storage.Instant(b.now())
	record := from.Record(audit.TokenRevoked, now)
	record.Detail = audit.Detail("kind", "refresh")
	events, err := b.refreshes.Revoke(ctx, hash, client, from.Actor, &record, now)
	if err != nil {
		return nil, fmt.Errorf("leave session: %w", err)
	}
	b.tell(ctx, events)
	return events, nil
}

// Sole says whether whoever holds an access token that client got for a session can only be the one
// member that the session has ever had. Several who share a session share the token, so by itself it
// does not say which of them presents it; not even once all but one have left, since one who has left
// may hold it still.
func (b *Book) Sole(ctx context.Context, id storage.SessionID, client storage.ClientID) (bool, error) {
	families, err := b.refreshes.Families(ctx, id, 2)
	if err != nil {
		return false, fmt.Errorf("families of session: %w", err)
	}
	return len(families) == 0 || (len(families) == 1 && families[0] == client), nil
}

// Revoke ends one access token that has no session, until it expires.
func (b *Book) Revoke(ctx context.Context, jti string, client storage.ClientID, until time.Time, from audit.Origin) ([]storage.Event, error) {
	now := storage.Instant(b.now())
	record := from.Record(audit.TokenRevoked, now)
	record.Detail = audit.Detail("kind", "access", "jti", jti)
	events, err := b.sessions.RevokeToken(ctx, jti, client, from.Actor, until, &record, now)
	if err != nil {
		return nil, fmt.Errorf("revoke token: %w", err)
	}
	b.tell(ctx, events)
	return events, nil
}

// Started tells from which session each session of a user was started by a hand-off; those that were not are
// missing. Of several who share a session, the one who joined last counts.
func (b *Book) Started(ctx context.Context, user storage.UserID) (map[storage.SessionID]storage.SessionID, error) {
	if b.starts == nil {
		return nil, nil
	}
	list, err := b.starts.Starts(ctx, user)
	if err != nil {
		return nil, fmt.Errorf("starts of sessions: %w", err)
	}
	started := make(map[storage.SessionID]storage.SessionID, len(list))
	for _, s := range list {
		started[s.Session] = max(started[s.Session], s.Origin)
	}
	return started, nil
}

// Live returns the sessions of a user that live now, newest first.
func (b *Book) Live(ctx context.Context, user storage.UserID) ([]storage.Session, error) {
	list, err := b.sessions.LiveSessions(ctx, user, storage.Instant(b.now()))
	if err != nil {
		return nil, fmt.Errorf("live sessions: %w", err)
	}
	return list, nil
}
