package storagetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

// OutboxStore is a store of destinations and their deliveries.
type OutboxStore interface {
	storage.Webhooks
	storage.Outbox
	storage.Audit
	storage.Upkeep
}

// outboxDesk is a case at work.
type outboxDesk struct {
	*testing.T
	OutboxStore
	at time.Time
}

// Outboxes checks a driver against every promise written on [storage.Outbox] and [storage.Webhooks]. open must return an empty
// store.
func Outboxes(t *testing.T, open func(t *testing.T) OutboxStore) {
	for name, check := range map[string]func(*outboxDesk){
		"a webhook is what was written":                    outboxKeeps,
		"a change is based on what was read":               outboxStale,
		"there are so many and no more":                    outboxLimit,
		"one has the duty":                                 outboxDuty,
		"of ten who ask one gets it":                       outboxRace,
		"what is done without the duty is not written":     outboxLost,
		"deliveries wait, are taken, die and are replayed": outboxLife,
		"what is deleted is gone with its deliveries":      outboxDelete,
		"the stream opens once":                            outboxStream,
		"dead deliveries are trimmed, others are not":      outboxTrim,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(&outboxDesk{T: t, OutboxStore: open(t), at: storage.Instant(time.Now())})
		})
	}
}

func (d *outboxDesk) ok(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *outboxDesk) is(err, want error) {
	d.Helper()
	if !errors.Is(err, want) {
		d.Fatalf("error %v, want %v", err, want)
	}
}

func (d *outboxDesk) same(got, want any) {
	d.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		d.Fatalf("(-want +got):\n%s", diff)
	}
}

func (d *outboxDesk) record(action string) *storage.AuditRecord {
	return &storage.AuditRecord{ID: storage.NewID(d.at), At: d.at, Action: action, Result: "ok", Actor: "operator:test"}
}

func (d *outboxDesk) webhook(id storage.Destination, after int64) storage.Webhook {
	d.Helper()
	until := d.at.Add(time.Hour)
	w := storage.Webhook{
		ID: id, URL: "https://example.com/" + string(id), Description: "täglich", Events: []string{"hold.placed", "journal.posted"},
		Secret: []byte("sealed\x00"), OldSecret: []byte("before"), OldUntil: &until, CreatedAt: d.at, UpdatedAt: d.at,
	}
	d.ok(d.CreateWebhook(d.Context(), w, after, d.record("webhook.created")))
	return w
}

func (d *outboxDesk) claim(to storage.Destination, holder string) storage.Claim {
	d.Helper()
	c, err := d.Claim(d.Context(), to, holder, time.Minute, d.at)
	d.ok(err)
	return c
}

func (d *outboxDesk) advance(c storage.Claim, number int64, put []storage.Delivery, gone ...int64) error {
	return d.Advance(d.Context(), c, storage.Advance{Number: number, Put: put, Gone: gone, Until: c.Until, Now: d.at})
}

func (d *outboxDesk) delivery(to storage.Destination, number int64) storage.Delivery {
	return storage.Delivery{
		Destination: to, Number: number, Journal: storage.JournalID(fmt.Sprintf("journal%d", number)), From: "tom", To: "amy",
		Attempts: 1, NextAt: d.at.Add(time.Second), LastAt: &d.at, Fault: "status 500",
	}
}

func outboxKeeps(d *outboxDesk) {
	b, a := d.webhook("b", 7), d.webhook("a", 7)
	got, err := d.Webhook(d.Context(), "a")
	d.ok(err)
	d.same(got, a)
	list, err := d.ListWebhooks(d.Context())
	d.ok(err)
	d.same(list, []storage.Webhook{a, b})
	_, err = d.Webhook(d.Context(), "c")
	d.is(err, storage.ErrNotFound)
	d.is(d.CreateWebhook(d.Context(), a, 0, nil), storage.ErrExists)
	d.same(d.claim("a", "x").Number, int64(7))
	records, err := d.ListAudit(d.Context(), d.at.Add(-time.Hour), "", 10)
	d.ok(err)
	d.same(len(records), 2)
}

func outboxStale(d *outboxDesk) {
	w := d.webhook("a", 0)
	w.URL, w.Events, w.OldSecret, w.OldUntil = "https://other.example", nil, nil, nil
	w.DisabledAt, w.DisabledWhy = &d.at, storage.DisabledGone
	d.ok(d.UpdateWebhook(d.Context(), w, d.record("webhook.updated")))
	got, err := d.Webhook(d.Context(), "a")
	d.ok(err)
	d.same([]any{got.URL, len(got.Events), len(got.OldSecret), got.DisabledWhy, got.Version}, []any{w.URL, 0, 0, w.DisabledWhy, int64(1)})
	d.is(d.UpdateWebhook(d.Context(), w, nil), storage.ErrStale)
	w.ID = "c"
	d.is(d.UpdateWebhook(d.Context(), w, nil), storage.ErrNotFound)
}

func outboxLimit(d *outboxDesk) {
	for i := range storage.MaxWebhooks {
		d.webhook(storage.Destination(fmt.Sprintf("w%03d", i)), 0)
	}
	d.is(d.CreateWebhook(d.Context(), storage.Webhook{ID: "more", CreatedAt: d.at, UpdatedAt: d.at}, 0, nil), storage.ErrLimit)
	states, err := d.OutboxStates(d.Context())
	d.ok(err)
	d.same(len(states), storage.MaxWebhooks)
}

func outboxDuty(d *outboxDesk) {
	d.webhook("a", 0)
	_, err := d.Claim(d.Context(), "none", "x", time.Minute, d.at)
	d.is(err, storage.ErrNotFound)
	c := d.claim("a", "x")
	_, err = d.Claim(d.Context(), "a", "y", time.Minute, d.at.Add(59*time.Second))
	d.is(err, storage.ErrBusy)
	// Whoever has it keeps it, for longer.
	d.ok(d.Advance(d.Context(), c, storage.Advance{Number: 1, Until: d.at.Add(2 * time.Minute), Now: d.at}))
	_, err = d.Claim(d.Context(), "a", "y", time.Minute, d.at.Add(time.Minute))
	d.is(err, storage.ErrBusy)
	d.ok(d.Release(d.Context(), c, d.at))
	d.same(d.claim("a", "y").Number, int64(1))
	d.ok(d.Release(d.Context(), c, d.at)) // lost long ago: no error, and y keeps the duty
	_, err = d.Claim(d.Context(), "a", "x", time.Minute, d.at)
	d.is(err, storage.ErrBusy)
	_, err = d.Claim(d.Context(), "a", "x", time.Minute, d.at.Add(time.Minute))
	d.ok(err)
}

func outboxRace(d *outboxDesk) {
	d.webhook("a", 0)
	var won atomic.Int64
	race(10, func(i int) {
		_, err := d.Claim(d.Context(), "a", fmt.Sprint("holder ", i), time.Minute, d.at)
		if err == nil {
			won.Add(1)
		} else if !errors.Is(err, storage.ErrBusy) {
			d.Error(err)
		}
	})
	d.same(won.Load(), int64(1))
}

func outboxLost(d *outboxDesk) {
	w := d.webhook("a", 0)
	c := d.claim("a", "x")
	again := d.claim("a", "x")
	d.is(d.advance(c, 5, []storage.Delivery{d.delivery("a", 3)}), storage.ErrLost)
	d.ok(d.advance(again, 5, nil))
	d.is(d.advance(again, 4, nil), storage.ErrLost) // never back
	d.ok(d.UpdateWebhook(d.Context(), w, nil))
	d.is(d.advance(again, 6, nil), storage.ErrLost)
	waiting, err := d.Waiting(d.Context(), "a")
	d.ok(err)
	d.same(len(waiting), 0)
	d.same(d.claim("a", "x").Number, int64(5))
}

func outboxLife(d *outboxDesk) {
	d.webhook("a", 0)
	d.webhook("b", 0)
	c := d.claim("a", "x")
	d3, d5, d8 := d.delivery("a", 3), d.delivery("a", 5), d.delivery("a", 8)
	d5.Attempts, d5.LastAt, d5.Fault, d5.To = 0, nil, "", ""
	d.ok(d.advance(c, 9, []storage.Delivery{d8, d3, d5}))
	d.ok(d.advance(d.claim("b", "x"), 9, []storage.Delivery{d.delivery("b", 3)}))
	waiting, err := d.Waiting(d.Context(), "a")
	d.ok(err)
	d.same(waiting, []storage.Delivery{d3, d5, d8})

	d3.Attempts, d3.DeadAt, d3.Fault = 10, &d.at, "status 400"
	d8.Attempts, d8.DeadAt = 10, &d.at
	d.ok(d.Advance(d.Context(), c, storage.Advance{Number: 9, Taken: true, FailingAt: &d.at, Put: []storage.Delivery{d3, d8}, Gone: []int64{5}, Until: c.Until, Now: d.at.Add(time.Second)}))
	waiting, err = d.Waiting(d.Context(), "a")
	d.ok(err)
	d.same(len(waiting), 0)
	dead, err := d.Dead(d.Context(), "a", 0, 10)
	d.ok(err)
	d.same(dead, []storage.Delivery{d3, d8})
	dead, err = d.Dead(d.Context(), "a", 3, 10)
	d.ok(err)
	d.same(dead, []storage.Delivery{d8})
	states, err := d.OutboxStates(d.Context())
	d.ok(err)
	d.same(states, []storage.OutboxState{
		{Destination: "a", Number: 9, Dead: 2, TakenAt: d.at.Add(time.Second), FailingAt: &d.at},
		{Destination: "b", Number: 9, Waiting: 1, TakenAt: d.at},
	})

	_, err = d.Replay(d.Context(), "a", 5, 1, d.at, nil)
	d.is(err, storage.ErrNotFound)
	n, err := d.Replay(d.Context(), "a", 8, 1, d.at, d.record("webhook.replayed"))
	d.ok(err)
	d.same(n, 1)
	d.is(d.advance(c, 9, nil), storage.ErrLost) // so that it is noticed
	n, err = d.Replay(d.Context(), "a", 0, 10, d.at, nil)
	d.ok(err)
	d.same(n, 1)
	waiting, err = d.Waiting(d.Context(), "a")
	d.ok(err)
	d3.Attempts, d3.DeadAt, d3.NextAt = 0, nil, d.at
	d8.Attempts, d8.DeadAt, d8.NextAt = 0, nil, d.at
	d.same(waiting, []storage.Delivery{d3, d8})
	_, err = d.Replay(d.Context(), "none", 0, 10, d.at, nil)
	d.is(err, storage.ErrNotFound)
}

func outboxDelete(d *outboxDesk) {
	d.webhook("a", 0)
	c := d.claim("a", "x")
	d.ok(d.advance(c, 9, []storage.Delivery{d.delivery("a", 3)}))
	d.ok(d.DeleteWebhook(d.Context(), "a", d.record("webhook.deleted")))
	d.is(d.DeleteWebhook(d.Context(), "a", nil), storage.ErrNotFound)
	d.is(d.advance(c, 10, nil), storage.ErrLost)
	waiting, err := d.Waiting(d.Context(), "a")
	d.ok(err)
	d.same(len(waiting), 0)
	_, err = d.Claim(d.Context(), "a", "x", time.Minute, d.at)
	d.is(err, storage.ErrNotFound)
}

func outboxStream(d *outboxDesk) {
	d.ok(d.OpenStream(d.Context(), 5, d.at))
	d.ok(d.OpenStream(d.Context(), 9, d.at))
	d.same(d.claim(storage.StreamDestination, "x").Number, int64(5))
}

func outboxTrim(d *outboxDesk) {
	d.webhook("a", 0)
	old, recent := d.delivery("a", 1), d.delivery("a", 2)
	before, after := d.at.Add(-time.Hour), d.at.Add(time.Hour)
	old.DeadAt, recent.DeadAt = &before, &after
	d.ok(d.advance(d.claim("a", "x"), 9, []storage.Delivery{old, recent, d.delivery("a", 3)}))
	n, err := d.Trim(d.Context(), storage.TrimDead, d.at, 10)
	d.ok(err)
	d.same(n, 1)
	dead, err := d.Dead(d.Context(), "a", 0, 10)
	d.ok(err)
	waiting, err := d.Waiting(d.Context(), "a")
	d.ok(err)
	d.same([]int{len(dead), len(waiting)}, []int{1, 1})
}
