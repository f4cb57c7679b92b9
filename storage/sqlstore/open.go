package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	slotTail   = " slots (user_id, product, terminal, version) VALUES (?, ?, ?, 0)"
	selectSlot = "SELECT version FROM slots WHERE user_id = ? AND product = ? AND terminal = ?"
	updateSlot = "UPDATE slots SET version = ? WHERE user_id = ? AND product = ? AND terminal = ?"
)

// Open implements [storage.Sessions]. It holds a shared lock on the user, so that a ban or a change
// of password comes before it or after it, and an exclusive one on the slot, so that sign-ins there
// come one after the other.
func (db *DB) Open(ctx context.Context, o storage.Opening) (storage.Opened, error) {
	var out storage.Opened
	err := db.write(ctx, "open session", func(ctx context.Context, tx *sql.Tx) error {
		sign := signIn{db: db, tx: tx, o: o, now: storage.Instant(o.Now)}
		var err error
		out, err = sign.run(ctx)
		return err
	})
	if err != nil {
		return storage.Opened{}, err
	}
	return out, nil
}

// signIn is one run of [DB.Open] in a transaction.
type signIn struct {
	db    *DB
	tx    *sql.Tx
	o     storage.Opening
	now   time.Time
	ended []storage.Event
}

func (s *signIn) run(ctx context.Context) (storage.Opened, error) {
	if err := s.admit(ctx); err != nil {
		return storage.Opened{}, err
	}
	version, err := s.lockSlot(ctx)
	if err != nil {
		return storage.Opened{}, fmt.Errorf("lock slot: %w", err)
	}
	w := s.o.Session
	ids, err := collect(ctx, s.tx, scanText[storage.SessionID], selectSlotIDs, string(w.User), w.Product, string(w.Terminal))
	if err != nil {
		return storage.Opened{}, fmt.Errorf("find sessions of slot: %w", err)
	}
	open, err := s.db.lockSessions(ctx, s.tx, ids)
	if err != nil {
		return storage.Opened{}, err
	}
	if err := s.origin(ctx); err != nil {
		return storage.Opened{}, err
	}
	joined, err := s.applyMode(ctx, open)
	if err != nil {
		return storage.Opened{}, err
	}
	out := storage.Opened{Joined: joined != nil}
	if joined != nil {
		out.Session, err = s.join(ctx, *joined)
	} else {
		out.Session, err = s.insert(ctx, version+1)
	}
	if err != nil {
		return storage.Opened{}, err
	}
	if err := s.redeem(ctx, &out.Session); err != nil {
		return storage.Opened{}, err
	}
	if out.Refresh, err = s.refresh(ctx, out.Session); err != nil {
		return storage.Opened{}, err
	}
	out.Ended = s.ended
	return out, s.record(ctx, out.Session.ID)
}

// admit locks the user and refuses who may not sign in.
func (s *signIn) admit(ctx context.Context) error {
	u, err := scanUser(s.tx.QueryRowContext(ctx, selectUser+s.db.d.ForShare, string(s.o.Session.User)))
	switch {
	case err != nil:
		return fmt.Errorf("lock user: %w", err)
	case u.Barred(s.now):
		return storage.ErrDisabled
	case s.o.Credential != nil && *s.o.Credential != u.Credential:
		return fmt.Errorf("credential: %w", storage.ErrStale)
	}
	return nil
}

// lockSlot locks the row of the slot and returns its version; it makes the row on the first sign-in.
// The row is looked for before it is made: who inserts a row that is there holds a shared lock on
// it, and two who then want it for themselves would be a deadlock.
func (s *signIn) lockSlot(ctx context.Context) (int64, error) {
	w := s.o.Session
	var version int64
	err := s.tx.QueryRowContext(ctx, selectSlot+s.db.d.ForUpdate, string(w.User), w.Product, string(w.Terminal)).Scan(&version)
	if !errors.Is(err, sql.ErrNoRows) {
		return version, err
	}
	if _, err := s.tx.ExecContext(ctx, s.db.d.InsertIgnore+slotTail, string(w.User), w.Product, string(w.Terminal)); err != nil {
		return 0, err
	}
	err = s.tx.QueryRowContext(ctx, selectSlot+s.db.d.ForUpdate, string(w.User), w.Product, string(w.Terminal)).Scan(&version)
	return version, err
}

// applyMode ends what the new sign-in ends, and returns the session that it joins instead, if any.
func (s *signIn) applyMode(ctx context.Context, open []storage.Session) (joined *storage.Session, err error) {
	if s.o.Session.Mode == storage.Kickout {
		for i := range open {
			if err := s.end(ctx, &open[i], storage.Superseded); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	var live []storage.Session
	for i := range open {
		if open[i].EndedAt(s.now) == nil {
			live = append(live, open[i])
			continue
		}
		if err := s.closeExpired(ctx, &open[i]); err != nil {
			return nil, err
		}
	}
	switch s.o.Session.Mode {
	case storage.Shared:
		if len(live) == 0 {
			return nil, nil
		}
		newest := slices.MaxFunc(live, func(a, b storage.Session) int { return cmp.Compare(a.Version, b.Version) })
		return &newest, nil
	case storage.Concurrent:
		return nil, s.evict(ctx, live)
	default:
		return nil, fmt.Errorf("no such mode: %q", s.o.Session.Mode)
	}
}

// evict ends the least recently seen sessions until there is room for one more.
func (s *signIn) evict(ctx context.Context, live []storage.Session) error {
	surplus := len(live) + 1 - max(s.o.MaxSessions, 1)
	if surplus <= 0 {
		return nil
	}
	slices.SortFunc(live, func(a, b storage.Session) int {
		return cmp.Or(a.LastSeenAt.Compare(b.LastSeenAt), cmp.Compare(a.Version, b.Version))
	})
	for i := range surplus {
		if err := s.end(ctx, &live[i], storage.Evicted); err != nil {
			return err
		}
	}
	return nil
}

// end ends a session because of this sign-in.
func (s *signIn) end(ctx context.Context, old *storage.Session, reason storage.Reason) error {
	w := s.o.Session
	return s.finish(ctx, old, storage.End{
		Reason: reason, At: s.now, Actor: "user:" + string(w.User),
		By: &storage.Superseder{Terminal: w.Terminal, DeviceName: w.Device.Name, At: s.now},
	})
}

func (s *signIn) closeExpired(ctx context.Context, old *storage.Session) error {
	return s.finish(ctx, old, *old.EndedAt(s.now))
}

func (s *signIn) finish(ctx context.Context, old *storage.Session, end storage.End) error {
	event, err := endSession(ctx, s.tx, old, end, s.now)
	if event != nil {
		s.ended = append(s.ended, *event)
	}
	return err
}

// join makes the sign-in a member of a live session.
func (s *signIn) join(ctx context.Context, there storage.Session) (storage.Session, error) {
	there.Mode = storage.Shared // what the product says now, whatever it said when the session was opened
	there.LastSeenAt = later(there.LastSeenAt, s.now)
	if !there.Access.ExpiresAt.After(s.now) {
		there.Access = cut(s.o.Session.Access, until(there))
		there.AccessUntil = later(there.AccessUntil, there.Access.ExpiresAt)
	}
	a := there.Access
	err := exactlyOne(ctx, s.tx, updateJoined, string(there.Mode), micros(there.LastSeenAt),
		a.JTI, a.KeyID, micros(a.IssuedAt), micros(a.ExpiresAt), micros(there.AccessUntil), string(there.ID))
	if err != nil {
		return storage.Session{}, fmt.Errorf("join session: %w", err)
	}
	return there, nil
}

// insert makes the new session of the slot.
func (s *signIn) insert(ctx context.Context, version int64) (storage.Session, error) {
	w := s.o.Session
	w.Version, w.End = version, nil
	w.CreatedAt, w.LastSeenAt = storage.Instant(w.CreatedAt), storage.Instant(w.LastSeenAt)
	w.ExpiresAt, w.IdleAt = storage.Instant(w.ExpiresAt), storage.Instant(w.IdleAt)
	w.Access = cut(instants(w.Access), until(w))
	w.AccessUntil = w.Access.ExpiresAt
	if err := exactlyOne(ctx, s.tx, updateSlot, version, string(w.User), w.Product, string(w.Terminal)); err != nil {
		return storage.Session{}, fmt.Errorf("raise version: %w", err)
	}
	if err := putSession(ctx, s.tx, w); err != nil {
		return storage.Session{}, fmt.Errorf("insert session: %w", err)
	}
	return w, nil
}

// refresh inserts the refresh token of the sign-in, if it asks for one.
func (s *signIn) refresh(ctx context.Context, session storage.Session) (*storage.Refresh, error) {
	if s.o.Refresh == nil {
		return nil, nil
	}
	r := *s.o.Refresh
	r.Session, r.UsedAt, r.Next = session.ID, nil, storage.RefreshHash{}
	r.Access = session.Access
	r.IssuedAt, r.ExpiresAt = storage.Instant(r.IssuedAt), storage.Instant(r.ExpiresAt)
	if limit := until(session); r.ExpiresAt.After(limit) {
		r.ExpiresAt = limit
	}
	if err := putRefresh(ctx, s.tx, r); err != nil {
		return nil, fmt.Errorf("insert refresh token: %w", err)
	}
	return &r, nil
}

// record writes what comes last in the order of locks: the events and the audit record.
func (s *signIn) record(ctx context.Context, id storage.SessionID) error {
	if err := insertEvents(ctx, s.tx, s.ended); err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	if s.o.Audit == nil {
		return nil
	}
	audit := *s.o.Audit
	audit.Session = id
	return appendAudit(ctx, s.tx, &audit)
}

func instants(stamp storage.Stamp) storage.Stamp {
	stamp.IssuedAt, stamp.ExpiresAt = storage.Instant(stamp.IssuedAt), storage.Instant(stamp.ExpiresAt)
	return stamp
}
