package outbox

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// openStream begins the stream at the end of the chain, the first time ever.
func (r *Runner) openStream(ctx context.Context) error {
	end, err := r.end(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return r.cfg.Store.OpenStream(ctx, end, r.cfg.Now())
}

// stream hands events to the stream for as long as it has the duty.
func (r *Runner) stream(ctx context.Context, c storage.Claim) error {
	defer func() { r.release(ctx, c) }()
	failures := 0
	for ctx.Err() == nil {
		list, err := r.sealed(ctx, c.Number, streamBatch)
		if err != nil {
			return err
		}
		a := storage.Advance{Number: c.Number, FailingAt: c.FailingAt}
		if len(list) > 0 {
			if err := r.push(ctx, list); err == nil {
				a.Number, a.Taken, a.FailingAt = list[len(list)-1].Seal.Number, true, nil
				failures = 0
			} else if ctx.Err() == nil {
				failures++
				if now := r.cfg.Now(); a.FailingAt == nil {
					a.FailingAt = &now
				}
			}
		}
		if ctx.Err() != nil && !a.Taken {
			return nil
		}
		if a.Taken || failures > 0 || r.cfg.Now().After(c.Until.Add(-2*r.cfg.Lease/3)) {
			if err := r.advance(ctx, &c, a); err != nil {
				return err
			}
		}
		r.measure(storage.StreamDestination, c.Number, list, a.Taken)
		switch {
		case failures > 0:
			pause(ctx, min(troubled<<min(failures-1, 10), r.cfg.Lease/3))
		case !a.Taken:
			r.head.wait(ctx, c.Number, r.cfg.Lease/3)
		}
	}
	return nil
}

// push hands over the events of journals.
func (r *Runner) push(ctx context.Context, list []storage.SealedJournal) error {
	entries := make([]storage.LedgerEntry, 0, len(list))
	for i := range list {
		e, there := EventOf(&list[i])
		if !there {
			continue
		}
		body, err := e.body()
		if err != nil {
			return err
		}
		entries = append(entries, storage.LedgerEntry{ID: e.ID, Type: e.Type, Number: e.Number, Body: body})
	}
	d := string(storage.StreamDestination)
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	began := time.Now()
	err := r.cfg.Stream.AppendLedger(ctx, entries, r.cfg.StreamLength)
	r.metrics.seconds.WithLabelValues(d).Observe(time.Since(began).Seconds())
	if err != nil {
		r.metrics.failed.WithLabelValues(d).Inc()
		return err
	}
	r.metrics.delivered.WithLabelValues(d).Add(float64(len(entries)))
	return nil
}

// measure tells how far behind the stream is.
func (r *Runner) measure(d storage.Destination, number int64, list []storage.SealedJournal, taken bool) {
	end, _ := r.head.now()
	r.metrics.events.WithLabelValues(string(d)).Set(float64(max(0, end-number)))
	age := 0.0
	if !taken && len(list) > 0 {
		age = r.cfg.Now().Sub(list[0].Journal.CreatedAt).Seconds()
	}
	r.metrics.age.WithLabelValues(string(d)).Set(max(0, age))
}
