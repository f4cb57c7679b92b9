package guard

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Source tells a guard what has ended. [Polling] makes one out of a [storage.Feed]; package remote has
// one that needs nothing but HTTP.
type Source interface {
	// Follow tells sink what has ended so far, and goes on with what ends, until ctx ends; then it
	// returns the error of ctx. It heals broken roads by itself. Before it has called Heard for the first
	// time it may return another error: then the guard does not start.
	Follow(ctx context.Context, sink Sink) error
}

// Relay is handed on what a guard takes in. Its methods are called by any number of goroutines, must
// not wait, and must not keep the events' slice.
type Relay interface {
	// Take tells of ends, by the way they came. Most come more than once.
	Take(way string, events []storage.Event)
	// Heard tells that every end which was committed before at has been told. place is how far the feed
	// had been numbered by then; zero where that is not known.
	Heard(at time.Time, place Place)
}

// Sink takes what a [Source] tells.
type Sink interface {
	Relay

	// Lost tells that the source hears nothing at the moment, and why. It may be called again and again.
	Lost(err error)
}

// Place is a place in a feed: the number of an event, and the event that has it, by which a feed that
// counts anew can be recognized. Event is empty where it is not known.
type Place struct {
	Number int64
	Event  storage.EventID
}
