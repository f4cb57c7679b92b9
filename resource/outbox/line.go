package outbox

import (
	"time"

	"github.com/tallystick/tallystick/storage"
)

// item is an event on its way to a webhook.
type item struct {
	storage.Delivery
	stored bool // there is a row
	dirty  bool // the row is to be written
	flying bool
	taken  bool
	made   time.Time
	event  *Event // nil: to be read
}

// settled says that the item holds nothing back any more.
func (i *item) settled() bool { return i.taken || i.DeadAt != nil }

// line is what has to go to one webhook and has not, by number: rows, and behind them what was taken in
// since the cursor. It decides what may go.
type line struct {
	items []*item
	// cursor is what is written, seen is up to where the chain was taken in.
	cursor, seen int64
}

// users is a set of those whose wallets something is about.
type users map[storage.UserID]bool

func (u users) add(i *item) {
	for _, id := range []storage.UserID{i.From, i.To} {
		if id != "" {
			u[id] = true
		}
	}
}

func (u users) touch(i *item) bool { return i.From != "" && u[i.From] || i.To != "" && u[i.To] }

// next is the first item that may go at now: none before it is of its users and unsettled. If there is none, at is when
// one that waits for its time may go; zero if none does.
func (l *line) next(now time.Time) (ready *item, at time.Time) {
	blocked := users{}
	for _, i := range l.items {
		switch {
		case i.settled():
			continue
		case i.flying, blocked.touch(i):
		case i.NextAt.After(now):
			if at.IsZero() || i.NextAt.Before(at) {
				at = i.NextAt
			}
		default:
			return i, at
		}
		blocked.add(i)
	}
	return nil, at
}

// written is what has to be written for what was done: the new cursor, and the rows. It goes on beyond items that have failed,
// and those that wait for them, as rows; it stops before the first that is under way or may go. most bounds
// the rows.
func (l *line) written(most int) (cursor int64, put []*item, gone []*item) {
	cursor = l.seen
	held := users{}
	for _, i := range l.items {
		fresh := i.Number > l.cursor
		switch {
		case i.settled():
		case i.Attempts > 0 || i.stored || held.touch(i):
			held.add(i)
		default:
			return i.Number - 1, put, gone
		}
		if len(put)+len(gone) >= most {
			if fresh {
				return i.Number - 1, put, gone
			}
			return l.cursor, put, gone
		}
		switch {
		case i.taken && i.stored:
			gone = append(gone, i)
		case i.taken:
		case i.dirty || !i.stored:
			put = append(put, i)
		}
	}
	return cursor, put, gone
}

// done takes note of what was written.
func (l *line) done(cursor int64, put, gone []*item) {
	l.cursor = cursor
	for _, i := range put {
		i.stored, i.dirty = true, false
	}
	for _, i := range gone {
		i.stored = false
	}
	kept := l.items[:0]
	for _, i := range l.items {
		over := i.taken && !i.stored || i.DeadAt != nil && i.stored && !i.dirty
		if !over || i.Number > cursor {
			kept = append(kept, i)
		}
	}
	clear(l.items[len(kept):])
	l.items = kept
}

// fresh counts what was taken in and is not behind the cursor yet.
func (l *line) fresh() (n int) {
	for _, i := range l.items {
		if i.Number > l.cursor {
			n++
		}
	}
	return n
}

// oldest is when the oldest event that is not settled was made; zero if there is none. waiting counts rows.
func (l *line) oldest() (at time.Time, waiting int) {
	for _, i := range l.items {
		if i.settled() {
			continue
		}
		if at.IsZero() || i.made.Before(at) {
			at = i.made
		}
		if i.stored {
			waiting++
		}
	}
	return at, waiting
}
