package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tallystick/tallystick/storage"
)

const (
	// window is how many events of a webhook are taken in beyond its cursor: after a crash about so many come again.
	window = 128
	// writeEvery is the time between two writes of what was done, as long as there is more to do.
	writeEvery = 100 * time.Millisecond
	// drainTime is how long tries that are under way may take when the process stops.
	drainTime = 3 * time.Second
)

// schedule is after how long a failed event is tried again: that of Standard Webhooks.
func schedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// watch runs a lane for each webhook that is enabled, and a new one for each that was changed.
func (r *Runner) watch(ctx context.Context) {
	type running struct {
		version int64
		stop    context.CancelFunc
		done    chan struct{}
	}
	lanes := map[storage.Destination]running{}
	end := func(id storage.Destination) {
		lanes[id].stop()
		<-lanes[id].done
		delete(lanes, id)
	}
	defer func() {
		for _, l := range lanes {
			l.stop()
		}
		for _, l := range lanes {
			<-l.done
		}
	}()
	for {
		hooks, err := r.hooks(ctx)
		if err != nil && ctx.Err() == nil {
			r.metrics.errors.Inc()
		}
		if err == nil {
			there := map[storage.Destination]storage.Webhook{}
			for _, w := range hooks {
				there[w.ID] = w
			}
			for id, l := range lanes {
				w, still := there[id]
				if !still || w.DisabledAt != nil || w.Version != l.version {
					end(id)
				}
				if !still {
					r.metrics.forget(id)
				}
			}
			for id, w := range there {
				if _, runs := lanes[id]; runs || w.DisabledAt != nil {
					continue
				}
				own, stop := context.WithCancel(ctx)
				l := running{w.Version, stop, make(chan struct{})}
				lanes[id] = l
				r.running.Go(func() {
					defer close(l.done)
					r.keep(own, id, nil, r.serve)
				})
			}
		}
		if !pause(ctx, min(listEvery, 5*r.cfg.Interval)) {
			return
		}
	}
}

func (r *Runner) hooks(ctx context.Context) ([]storage.Webhook, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return r.cfg.Store.ListWebhooks(ctx)
}

// lane delivers to one webhook under one claim. All but the tries is of one goroutine.
type lane struct {
	r       *Runner
	hook    storage.Webhook
	claim   storage.Claim
	line    line
	flying  int
	results chan result
	taken   bool // since the last write
	failing *time.Time
	gone    bool // it wants no more
	wrote   time.Time
}

type result struct {
	*item
	outcome
	lost error // the event could not be read
}

// open reads what is known of a webhook.
func (r *Runner) open(ctx context.Context, c storage.Claim) (*lane, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	w, err := r.cfg.Store.Webhook(ctx, c.Destination)
	if err != nil {
		return nil, err
	}
	if w.DisabledAt != nil {
		return nil, errOver
	}
	rows, err := r.cfg.Store.Waiting(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	l := &lane{r: r, hook: w, claim: c, results: make(chan result), failing: c.FailingAt}
	l.line.cursor, l.line.seen = c.Number, c.Number
	for i := range rows {
		made, _ := storage.IDTime(string(rows[i].Journal))
		l.line.items = append(l.line.items, &item{Delivery: rows[i], stored: true, made: made})
	}
	return l, nil
}

// serve delivers to a webhook for as long as it has the duty.
func (r *Runner) serve(ctx context.Context, c storage.Claim) error {
	l, err := r.open(ctx, c)
	if err != nil {
		return err
	}
	// Tries live a little longer than the lane, so that their outcome is written.
	tries, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var flying sync.WaitGroup
	err = l.run(ctx, func(i *item) {
		l.flying++
		i.flying = true
		flying.Go(func() { l.results <- l.try(tries, i) })
	})
	defer time.AfterFunc(drainTime, cancel).Stop()
	if errors.Is(err, storage.ErrLost) {
		cancel()
	}
	for l.flying > 0 {
		l.note(ctx, <-l.results)
	}
	cancel()
	flying.Wait()
	if err != nil {
		return err
	}
	if err := l.write(ctx); err != nil {
		return err
	}
	r.release(ctx, l.claim)
	return nil
}

// run is the work of a lane until ctx ends or the duty is lost.
func (l *lane) run(ctx context.Context, start func(*item)) error {
	for ctx.Err() == nil {
		end, bell := l.r.head.now()
		more, err := l.takeIn(ctx, end)
		if err != nil {
			return err
		}
		now := l.r.cfg.Now()
		var at time.Time
		for l.flying < l.r.cfg.Parallel && now.Before(l.claim.Until) {
			ready, next := l.line.next(now)
			if at = next; ready == nil {
				break
			}
			start(ready)
		}
		if l.due(now) {
			if err := l.write(ctx); err != nil {
				return err
			}
			if stop, err := l.disable(ctx); stop || err != nil {
				return err
			}
		}
		l.measure(now, end)
		if more {
			at = now
		}
		l.wait(ctx, bell, now, at)
	}
	return nil
}

// takeIn reads some of the chain, if there is room, and says whether there is more and room for it.
func (l *lane) takeIn(ctx context.Context, end int64) (more bool, err error) {
	room := min(window-l.line.fresh(), storage.MaxWaiting-len(l.line.items))
	if end <= l.line.seen || room <= 0 {
		return false, nil
	}
	list, err := l.r.sealed(ctx, l.line.seen, room)
	if err != nil || len(list) == 0 {
		return false, err
	}
	for i := range list {
		l.line.seen = list[i].Seal.Number
		e, there := EventOf(&list[i])
		if !there || !wants(l.hook.Events, e.Type) {
			continue
		}
		j := &list[i].Journal
		l.line.items = append(l.line.items, &item{
			Delivery: storage.Delivery{Destination: l.hook.ID, Number: e.Number, Journal: j.ID, From: j.From, To: j.To, NextAt: j.CreatedAt},
			made:     j.CreatedAt, event: &e,
		})
	}
	return end > l.line.seen && l.line.fresh() < window, nil
}

// due says whether it is time to write: there is something and nothing else to do, or it has waited; or the duty
// has to be kept.
func (l *lane) due(now time.Time) bool {
	if now.After(l.claim.Until.Add(-2 * l.r.cfg.Lease / 3)) {
		return true
	}
	cursor, put, gone := l.line.written(1)
	something := cursor > l.line.cursor || len(put)+len(gone) > 0 || l.taken
	return something && (l.flying == 0 || now.Sub(l.wrote) >= writeEvery)
}

// write writes what was done and keeps the duty.
func (l *lane) write(ctx context.Context) error {
	cursor, put, gone := l.line.written(storage.MaxAdvance)
	a := storage.Advance{Number: cursor, Taken: l.taken, FailingAt: l.failing}
	for _, i := range put {
		a.Put = append(a.Put, i.Delivery)
	}
	for _, i := range gone {
		a.Gone = append(a.Gone, i.Number)
	}
	if err := l.r.advance(ctx, &l.claim, a); err != nil {
		return err
	}
	l.line.done(cursor, put, gone)
	l.taken, l.wrote = false, l.r.cfg.Now()
	return nil
}

// wait waits for what comes next.
func (l *lane) wait(ctx context.Context, bell <-chan struct{}, now, at time.Time) {
	d := l.r.cfg.Lease / 6
	if l.flying > 0 {
		d = min(d, writeEvery)
	}
	if !at.IsZero() && l.flying < l.r.cfg.Parallel {
		d = min(d, max(at.Sub(now), 0))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	if l.line.fresh() >= window || len(l.line.items) >= storage.MaxWaiting {
		bell = nil // there is no room for more
	}
	select {
	case out := <-l.results:
		l.note(ctx, out)
	case <-bell:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// try reads the event if it must, and sends it.
func (l *lane) try(ctx context.Context, i *item) result {
	e := i.event
	if e == nil {
		list, err := l.r.sealed(ctx, i.Number-1, 1)
		if err != nil {
			return result{item: i, lost: err}
		}
		if len(list) == 1 && list[0].Seal.Number == i.Number {
			if read, there := EventOf(&list[0]); there {
				e = &read
			}
		}
		if e == nil {
			return result{item: i, outcome: outcome{fault: "the journal is not in the books any more"}}
		}
	}
	body, err := e.body()
	if err != nil {
		return result{item: i, lost: err}
	}
	out := l.r.cfg.Hooks.send(ctx, &l.hook, e.ID, body, l.r.cfg.Now())
	if !out.taken && ctx.Err() != nil {
		return result{item: i, lost: ctx.Err()} // it was not given the time
	}
	return result{item: i, outcome: out}
}

// note takes note of what came of a try.
func (l *lane) note(ctx context.Context, out result) {
	l.flying--
	i, now, m, d := out.item, l.r.cfg.Now(), l.r.metrics, string(l.hook.ID)
	i.flying = false
	if out.lost != nil {
		m.errors.Inc()
		i.NextAt = now.Add(troubled) // no try of theirs
		return
	}
	m.seconds.WithLabelValues(d).Observe(out.took.Seconds())
	if out.outcome.taken {
		m.delivered.WithLabelValues(d).Inc()
		i.taken, l.taken, l.failing = true, true, nil
		return
	}
	m.failed.WithLabelValues(d).Inc()
	i.Attempts++
	i.LastAt, i.Fault, i.dirty, i.event = &now, out.fault, true, nil
	if l.failing == nil {
		l.failing = &now
	}
	l.gone = l.gone || out.gone
	if i.Attempts > len(l.r.cfg.schedule) {
		i.DeadAt = &now
		m.dead.WithLabelValues(d).Inc()
		l.r.cfg.Log.WarnContext(ctx, "a webhook did not take an event", "webhook", d, "number", i.Number, "fault", i.Fault)
		return
	}
	delay := l.r.cfg.schedule[i.Attempts-1]
	delay += rand.N(delay/5 + 1) //nolint:gosec // G404: jitter.
	i.NextAt = now.Add(max(delay, out.retryAfter))
}

// disable disables the webhook if it wants no more, or has taken nothing for too long.
func (l *lane) disable(ctx context.Context) (bool, error) {
	now := l.r.cfg.Now()
	w := l.hook
	switch {
	case l.gone:
		w.DisabledWhy = storage.DisabledGone
	case l.failing != nil && now.Sub(*l.failing) >= l.r.cfg.DisableAfter:
		w.DisabledWhy = storage.DisabledFailing
	default:
		return false, nil
	}
	w.DisabledAt, w.UpdatedAt = &now, now
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	err := l.r.cfg.Store.UpdateWebhook(ctx, w, record(now, "webhook.disabled", Origin{Actor: "system"}, w.ID, map[string]string{"why": w.DisabledWhy}))
	if errors.Is(err, storage.ErrStale) || errors.Is(err, storage.ErrNotFound) {
		return true, storage.ErrLost // somebody has changed it, and decides
	}
	if err == nil {
		l.r.cfg.Log.WarnContext(ctx, "a webhook is disabled", "webhook", string(w.ID), "why", w.DisabledWhy)
		err = errOver
	}
	return true, err
}

func (l *lane) measure(now time.Time, end int64) {
	d, m := string(l.hook.ID), l.r.metrics
	oldest, waiting := l.line.oldest()
	m.events.WithLabelValues(d).Set(float64(max(0, end-l.line.cursor) + int64(waiting)))
	m.waiting.WithLabelValues(d).Set(float64(waiting))
	age := 0.0
	if !oldest.IsZero() {
		age = max(0, now.Sub(oldest).Seconds())
	}
	m.age.WithLabelValues(d).Set(age)
}
