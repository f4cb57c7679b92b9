package storage

import (
	"context"
	"time"
)

// Subject is what an [Event] is about.
type Subject string

// The subjects of events.
const (
	// SubjectSession: a session ended.
	SubjectSession Subject = "session"
	// SubjectClient: a client was disabled; its tokens issued up to then are dead.
	SubjectClient Subject = "client"
	// SubjectToken: one access token was revoked by its jti.
	SubjectToken Subject = "token"
)

// Event is one end. It is written in the transaction that ends, so that no end is without one.
type Event struct {
	ID EventID
	// Number is the place in the feed; 0 until the event has been numbered.
	Number  int64
	Subject Subject
	// Key is the session, client or jti concerned.
	Key string
	// User, Product and Terminal are those of the session; empty for other subjects.
	User     UserID
	Product  string
	Terminal Terminal
	End      End
	// Until is when the last access token concerned expires: a guard may forget the event then.
	Until time.Time
}

// Feed tells guards what has ended.
//
// Events become visible when their transaction commits, which is not the order in which anything
// could number them beforehand. So they are committed with Number 0, and numbered later, in a
// transaction of its own that holds the one lock of the feed: numbers become visible in order,
// without gaps. A reader that takes, at each step, all events above its last number and all events
// without one, misses none, whatever clocks and slow transactions do.
type Feed interface {
	// Position returns the highest number given so far.
	Position(ctx context.Context) (int64, error)

	// Snapshot calls each for every event whose Until is after now, in pages, so that a million events
	// do not have to be held at once. To follow the feed from there, take the Position before.
	Snapshot(ctx context.Context, now time.Time, each func(Event) error) error

	// Tail returns the events numbered above after, in order, at most limit, and after them all that
	// are not numbered yet, at most limit. An event may be returned both before and after it is
	// numbered; readers must not mind.
	Tail(ctx context.Context, after int64, limit int) ([]Event, error)

	// Number numbers up to limit events that have none, oldest first, and returns how many. Any number
	// of processes may call it at once.
	Number(ctx context.Context, limit int) (int, error)
}

// Announcer hurries events to other processes. It may lose any of them.
type Announcer interface {
	// Announce sends events; it does not wait for longer than a moment, and its failure is not the
	// caller's.
	Announce(ctx context.Context, events []Event)
}
