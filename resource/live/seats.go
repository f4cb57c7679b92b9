package live

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// seat is an identity of a connection, from when it is being taken. A connection has one at a time, and
// two for the moment in which it changes.
type seat struct {
	conn *conn
	who  guard.Principal
	end  *storage.End // how it ended; the connection's lock holds it
}

// index finds seats by what an end can name. An entry is there as long as a seat is.
type index[K comparable] map[K]map[*seat]struct{}

func (x index[K]) add(k K, s *seat) {
	if x[k] == nil {
		x[k] = make(map[*seat]struct{}, 1)
	}
	x[k][s] = struct{}{}
}

func (x index[K]) remove(k K, s *seat) {
	delete(x[k], s)
	if len(x[k]) == 0 {
		delete(x, k)
	}
}

// seats are those of all connections. Finding those that an end concerns costs nothing for the others.
type seats struct {
	count atomic.Int64

	mu       sync.Mutex
	sessions index[storage.SessionID]
	clients  index[storage.ClientID]
	tokens   index[string]
	users    map[storage.UserID][]*seat // oldest first
}

func newSeats() *seats {
	return &seats{
		sessions: index[storage.SessionID]{}, clients: index[storage.ClientID]{}, tokens: index[string]{},
		users: map[storage.UserID][]*seat{},
	}
}

func (x *seats) size() int64 { return x.count.Load() }

func (x *seats) add(s *seat) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sessions.add(s.who.Session, s)
	x.clients.add(s.who.Client, s)
	x.tokens.add(s.who.JTI, s)
	x.users[s.who.User] = append(x.users[s.who.User], s)
	x.count.Add(1)
}

// remove takes a seat out that was added; nil is none.
func (x *seats) remove(s *seat) {
	if s == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sessions.remove(s.who.Session, s)
	x.clients.remove(s.who.Client, s)
	x.tokens.remove(s.who.JTI, s)
	rest := slices.DeleteFunc(x.users[s.who.User], func(other *seat) bool { return other == s })
	if x.users[s.who.User] = rest; len(rest) == 0 {
		delete(x.users, s.who.User)
	}
	x.count.Add(-1)
}

// surplus returns the oldest seat of a user who has more than so many, or nil. It counts no more.
func (x *seats) surplus(user storage.UserID, most int) *seat {
	x.mu.Lock()
	defer x.mu.Unlock()
	if all := x.users[user]; len(all) > most {
		oldest := all[0]
		x.users[user] = slices.Delete(all, 0, 1)
		return oldest
	}
	return nil
}

// concerned returns the seats that an end is about.
func (x *seats) concerned(e *storage.Event) []*seat {
	x.mu.Lock()
	defer x.mu.Unlock()
	var set map[*seat]struct{}
	switch e.Subject {
	case storage.SubjectSession:
		set = x.sessions[storage.SessionID(e.Key)]
	case storage.SubjectClient:
		set = x.clients[storage.ClientID(e.Key)]
	case storage.SubjectToken:
		set = x.tokens[e.Key]
	}
	var list []*seat
	for s := range set {
		if e.Subject != storage.SubjectClient || !s.who.IssuedAt.After(e.End.At) {
			list = append(list, s)
		}
	}
	return list
}
