package storagetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// modeModel is the run modes as simple as can be: everything in lists, searched from end to end.
type modeModel struct {
	users    []*storage.User
	sessions []*storage.Session
	families []*modeFamily
	versions map[string]int64 // by slot
	events   []storage.Event
}

// modeFamily is the refresh tokens that descend from one sign-in, oldest first.
type modeFamily struct {
	tokens []*storage.Refresh
	left   *time.Time // when it signed out
}

func newModeModel() *modeModel { return &modeModel{versions: map[string]int64{}} }

func (m *modeModel) takeEvents() []storage.Event {
	events := m.events
	m.events = nil
	return events
}

func (m *modeModel) find(id storage.SessionID) *storage.Session {
	i := slices.IndexFunc(m.sessions, func(s *storage.Session) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return m.sessions[i]
}

// of returns all sessions of a user, and the live ones, by ID.
func (m *modeModel) of(user storage.UserID, now time.Time) (all, live []storage.Session) {
	for _, s := range m.sessions {
		if s.User != user {
			continue
		}
		all = append(all, *s)
		if s.EndedAt(now) == nil {
			live = append(live, *s)
		}
	}
	byID := func(a, b storage.Session) int { return strings.Compare(string(a.ID), string(b.ID)) }
	slices.SortFunc(all, byID)
	slices.SortFunc(live, byID)
	return all, live
}

// finish ends a session that nobody has ended, with its event if an access token may still be good, or
// it was live.
func (m *modeModel) finish(s *storage.Session, end storage.End, now time.Time) {
	expired := s.EndedAt(now)
	if expired != nil && end.Reason != storage.Superseded {
		end = *expired
	}
	s.End = &end
	if expired == nil || s.AccessUntil.After(now) {
		m.events = append(m.events, storage.Event{
			Subject: storage.SubjectSession, Key: string(s.ID), User: s.User, Product: s.Product, Terminal: s.Terminal,
			End: end, Until: s.AccessUntil,
		})
	}
}

func (m *modeModel) open(o storage.Opening) (storage.Opened, error) {
	u := m.users[slices.IndexFunc(m.users, func(u *storage.User) bool { return u.ID == o.Session.User })]
	if u.Barred(o.Now) {
		return storage.Opened{}, storage.ErrDisabled
	}
	if o.Credential != nil && *o.Credential != u.Credential {
		return storage.Opened{}, storage.ErrStale
	}
	s := m.join(o)
	joined := s != nil
	if !joined {
		s = m.insert(o)
	}
	token := *o.Refresh
	token.Session, token.Access, token.ExpiresAt = s.ID, s.Access, earliest(token.ExpiresAt, s.ExpiresAt, s.IdleAt)
	m.families = append(m.families, &modeFamily{tokens: []*storage.Refresh{&token}})
	return storage.Opened{Session: *s, Refresh: new(token), Joined: joined}, nil
}

// join applies the mode to the sessions of the slot, and returns the one that is joined.
func (m *modeModel) join(o storage.Opening) *storage.Session {
	w, now := &o.Session, o.Now
	by := &storage.Superseder{Terminal: w.Terminal, DeviceName: w.Device.Name, At: storage.Instant(now)}
	end := func(s *storage.Session, reason storage.Reason) {
		m.finish(s, storage.End{Reason: reason, At: storage.Instant(now), Actor: "user:" + string(w.User), By: by}, now)
	}
	var live []*storage.Session
	for _, s := range m.sessions {
		switch {
		case s.User != w.User || s.Product != w.Product || s.Terminal != w.Terminal || s.End != nil:
		case w.Mode == storage.Kickout:
			end(s, storage.Superseded)
		case s.EndedAt(now) != nil:
			m.finish(s, *s.EndedAt(now), now)
		default:
			live = append(live, s)
		}
	}
	if w.Mode == storage.Concurrent {
		slices.SortFunc(live, func(a, b *storage.Session) int {
			return cmp.Or(a.LastSeenAt.Compare(b.LastSeenAt), cmp.Compare(a.Version, b.Version))
		})
		for len(live) >= o.MaxSessions {
			end(live[0], storage.Evicted)
			live = live[1:]
		}
		return nil
	}
	if len(live) == 0 {
		return nil
	}
	s := slices.MaxFunc(live, func(a, b *storage.Session) int { return cmp.Compare(a.Version, b.Version) })
	s.Mode, s.LastSeenAt = storage.Shared, latest(s.LastSeenAt, storage.Instant(now))
	if !s.Access.ExpiresAt.After(now) {
		m.stamp(s, w.Access)
	}
	return s
}

// stamp gives a session an access token, which ends with it.
func (m *modeModel) stamp(s *storage.Session, access storage.Stamp) {
	access.ExpiresAt = earliest(access.ExpiresAt, s.ExpiresAt, s.IdleAt)
	s.Access, s.AccessUntil = access, latest(s.AccessUntil, access.ExpiresAt)
}

func (m *modeModel) insert(o storage.Opening) *storage.Session {
	s := o.Session
	slot := fmt.Sprint(s.User, "/", s.Product, "/", s.Terminal)
	m.versions[slot]++
	s.Version, s.AccessUntil = m.versions[slot], time.Time{}
	m.stamp(&s, s.Access)
	m.sessions = append(m.sessions, &s)
	return &s
}

// token finds a refresh token, with its family and the next one.
func (m *modeModel) token(hash storage.RefreshHash) (f *modeFamily, token, next *storage.Refresh) {
	for _, f := range m.families {
		for i, token := range f.tokens {
			if token.Hash != hash {
				continue
			}
			if i+1 < len(f.tokens) {
				next = f.tokens[i+1]
			}
			return f, token, next
		}
	}
	return nil, nil, nil
}

func (m *modeModel) rotate(r storage.Rotation) (storage.Rotated, error) {
	f, token, next := m.token(r.Presented)
	if token == nil || r.Client != ClientID {
		return storage.Rotated{}, storage.ErrNotFound
	}
	s := m.find(token.Session)
	if end := s.EndedAt(r.Now); end != nil {
		return storage.Rotated{}, &storage.EndedError{End: *end}
	}
	if f.left != nil {
		return storage.Rotated{}, &storage.EndedError{End: storage.End{Reason: storage.SignedOut, At: *f.left, Actor: "client:" + string(ClientID)}}
	}
	if token.UsedAt == nil {
		if !token.ExpiresAt.After(r.Now) {
			return storage.Rotated{}, storage.ErrExpired
		}
		return m.succeed(r, s, f, token), nil
	}
	if !r.Now.After(token.UsedAt.Add(r.Window)) && next != nil && next.UsedAt == nil {
		return storage.Rotated{Session: *s, Refresh: *next, Replayed: true}, nil
	}
	end := storage.End{Reason: storage.ReuseDetected, At: storage.Instant(r.Now), Actor: "client:" + string(ClientID)}
	m.finish(s, end, r.Now)
	return storage.Rotated{}, &storage.EndedError{End: end}
}

func (m *modeModel) succeed(r storage.Rotation, s *storage.Session, f *modeFamily, token *storage.Refresh) storage.Rotated {
	s.LastSeenAt = latest(s.LastSeenAt, storage.Instant(r.Now))
	if r.IdleTTL > 0 {
		s.IdleAt = earliest(r.Now.Add(r.IdleTTL).Truncate(time.Second), s.ExpiresAt)
	}
	left := s.Access.ExpiresAt.Sub(r.Now)
	longer := earliest(r.Next.Access.ExpiresAt, s.ExpiresAt, s.IdleAt).After(s.Access.ExpiresAt)
	if s.Mode != storage.Shared || left <= 0 || left <= r.KeepLeft && longer {
		m.stamp(s, r.Next.Access)
	}
	next := r.Next
	next.Session, next.Family, next.Client, next.Scope = token.Session, token.Family, token.Client, token.Scope
	next.Access, next.ExpiresAt = s.Access, earliest(next.ExpiresAt, s.ExpiresAt, s.IdleAt)
	token.UsedAt, token.Next = new(storage.Instant(r.Now)), next.Hash
	f.tokens = append(f.tokens, &next)
	return storage.Rotated{Session: *s, Refresh: next}
}

func (m *modeModel) revoke(hash storage.RefreshHash, actor string, now time.Time) error {
	f, token, _ := m.token(hash)
	if token == nil {
		return storage.ErrNotFound
	}
	s, newest := m.find(token.Session), f.tokens[len(f.tokens)-1]
	if s.EndedAt(now) != nil || newest.UsedAt != nil || !newest.ExpiresAt.After(now) {
		return nil
	}
	f.left = new(storage.Instant(now))
	newest.UsedAt = f.left
	if m.members(s.ID, now) == 0 {
		m.finish(s, storage.End{Reason: storage.SignedOut, At: *f.left, Actor: actor}, now)
	}
	return nil
}

func (m *modeModel) members(id storage.SessionID, now time.Time) (n int) {
	if s := m.find(id); s == nil || s.EndedAt(now) != nil {
		return 0
	}
	for _, f := range m.families {
		if newest := f.tokens[len(f.tokens)-1]; newest.Session == id && newest.UsedAt == nil && newest.ExpiresAt.After(now) {
			n++
		}
	}
	return n
}

func (m *modeModel) endOrder(o storage.EndOrder) error {
	u := m.users[slices.IndexFunc(m.users, func(u *storage.User) bool { return u.ID == o.User })]
	if a := o.Account; a != nil {
		if a.Credential != nil && *a.Credential != u.Credential {
			return storage.ErrStale
		}
		if a.Password != nil {
			u.Credential++
		}
		if a.Ban != nil {
			u.Ban = a.Ban
		}
	}
	for _, s := range m.sessions {
		if s.User == o.User && s.End == nil && s.ID != o.Except && (o.Session == "" || s.ID == o.Session) &&
			(o.Product == "" || s.Product == o.Product) && (o.Terminal == "" || s.Terminal == o.Terminal) {
			m.finish(s, storage.End{Reason: o.Reason, At: storage.Instant(o.Now), Actor: o.Actor}, o.Now)
		}
	}
	return nil
}

// trim forgets what has expired before a time.
func (m *modeModel) trim(before time.Time) {
	m.sessions = slices.DeleteFunc(m.sessions, func(s *storage.Session) bool { return s.ExpiresAt.Before(before) })
	for _, f := range m.families {
		f.tokens = slices.DeleteFunc(f.tokens, func(r *storage.Refresh) bool { return r.ExpiresAt.Before(before) })
	}
	m.families = slices.DeleteFunc(m.families, func(f *modeFamily) bool { return len(f.tokens) == 0 })
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a time.Time, more ...time.Time) time.Time {
	for _, b := range more {
		if b.Before(a) {
			a = b
		}
	}
	return a
}
