package outbox

import (
	"context"
	"time"
)

// Limits of a [Page].
const (
	DefaultPage = 100
	MaxPage     = 1000
	// MaxWait is the longest wait for an event; maxReaders is how many wait in one process, others are answered at once.
	MaxWait    = 30 * time.Second
	maxReaders = 256
)

// Page is a part of the chain as events.
type Page struct {
	Events []Event `json:"events"`
	// Next is what to ask for the events after these.
	Next int64 `json:"next_after"`
}

// Read returns up to limit events (at most [MaxPage]) after a number, in the order of the chain. If there are none
// it waits for up to wait (at most [MaxWait]), as long as ctx goes on; a page without events is no error. A journal
// that somebody has deleted from the books has a number and no event.
func (r *Runner) Read(ctx context.Context, after int64, limit int, wait time.Duration) (Page, error) {
	limit = min(max(limit, 1), MaxPage)
	page, err := r.page(ctx, after, limit)
	if err != nil || len(page.Events) > 0 || page.Next != after || wait <= 0 {
		return page, err
	}
	select {
	case r.readers <- struct{}{}:
		defer func() { <-r.readers }()
	default:
		return page, nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.cfg.Stopping, cancel)() //nolint:contextcheck // the end of the process ends the wait, too.
	r.head.wait(waiting, after, min(wait, MaxWait))
	if waiting.Err() != nil {
		return page, nil
	}
	return r.page(ctx, after, limit)
}

func (r *Runner) page(ctx context.Context, after int64, limit int) (Page, error) {
	list, err := r.sealed(ctx, after, limit)
	if err != nil {
		return Page{}, err
	}
	page := Page{Events: make([]Event, 0, len(list)), Next: after}
	for i := range list {
		if e, there := EventOf(&list[i]); there {
			page.Events = append(page.Events, e)
		}
		page.Next = list[i].Seal.Number
	}
	return page, nil
}
