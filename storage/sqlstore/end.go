package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// End implements [storage.Sessions].
func (db *DB) End(ctx context.Context, o storage.EndOrder) ([]storage.Event, error) {
	now := storage.Instant(o.Now)
	var events []storage.Event
	err := db.write(ctx, "end sessions", func(ctx context.Context, tx *sql.Tx) error {
		events = nil
		if err := db.lockAccount(ctx, tx, o, now); err != nil {
			return err
		}
		ids, err := narrow(ctx, tx, &o, func() ([]storage.SessionID, error) {
			return collect(ctx, tx, scanText[storage.SessionID], selectUserIDs, string(o.User), string(o.Session), string(o.Session),
				o.Product, o.Product, string(o.Terminal), string(o.Terminal), string(o.Except))
		})
		if err != nil {
			return fmt.Errorf("find sessions: %w", err)
		}
		open, err := db.lockSessions(ctx, tx, ids)
		if err != nil {
			return err
		}
		for i := range open {
			event, err := endSession(ctx, tx, &open[i], storage.End{Reason: o.Reason, At: now, Actor: o.Actor}, now)
			if err != nil {
				return err
			}
			if event != nil {
				events = append(events, *event)
			}
		}
		if err := insertEvents(ctx, tx, events); err != nil {
			return fmt.Errorf("insert events: %w", err)
		}
		return appendAudit(ctx, tx, o.Audit)
	})
	if err != nil {
		return nil, err
	}
	return events, nil
}

// lockAccount makes sure that the user exists, and applies the change of the order to its locked row.
// Locked for a change, it admits no sign-in until the sessions are ended as well.
func (db *DB) lockAccount(ctx context.Context, tx *sql.Tx, o storage.EndOrder, now time.Time) error {
	if o.Account == nil {
		if err := userExists(ctx, tx, o.User); err != nil {
			return fmt.Errorf("find user: %w", err)
		}
		return nil
	}
	u, err := scanUser(tx.QueryRowContext(ctx, selectUser+db.d.ForUpdate, string(o.User)))
	if err != nil {
		return fmt.Errorf("lock user: %w", err)
	}
	return changeAccount(ctx, tx, u, *o.Account, now)
}

// endSession ends a locked session that nobody has ended, and makes the event that guards need: none
// if the session was past its time and no access token of it can be unexpired. A session past its
// time ends as expired, at that time, unless a sign-in supersedes it.
func endSession(ctx context.Context, tx *sql.Tx, s *storage.Session, end storage.End, now time.Time) (*storage.Event, error) {
	expired := s.EndedAt(now)
	if expired != nil && end.Reason != storage.Superseded {
		end = *expired
	}
	terminal, device := byColumns(end.By)
	err := exactlyOne(ctx, tx, updateEnd, micros(end.At), string(end.Reason), end.Actor, terminal, device, string(s.ID))
	if err != nil {
		return nil, fmt.Errorf("end session: %w", err)
	}
	s.End = &end
	if expired != nil && !s.AccessUntil.After(now) {
		return nil, nil
	}
	return &storage.Event{
		ID: storage.EventID(storage.NewID(now)), Subject: storage.SubjectSession, Key: string(s.ID),
		User: s.User, Product: s.Product, Terminal: s.Terminal, End: end, Until: s.AccessUntil,
	}, nil
}
