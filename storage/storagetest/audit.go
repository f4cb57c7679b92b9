package storagetest

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Audit checks a driver against every promise written on [storage.Audit]. open must return an empty
// store.
func Audit(t *testing.T, open func(t *testing.T) Store) {
	cases{
		"records come back as they were appended":          auditRoundTrip,
		"records are listed oldest first, page after page": auditPages,
		"records before the given time are left out":       auditSince,
		"a record is appended once":                        auditOnce,
	}.run(t, open)
}

// audited makes sure that these are all the audit records, in the order of their IDs.
func (w *world) audited(want ...storage.AuditRecord) {
	w.Helper()
	got, err := w.ListAudit(w.ctx(), time.Time{}, "", 1000)
	w.ok(err)
	w.same(got, want)
}

func auditRoundTrip(w *world) {
	full := *NewAudit("session.opened", w.now())
	full.User, full.Client, full.Session = "user", "client", "session"
	w.ok(w.Append(w.ctx(), full))
	bare := storage.AuditRecord{ID: storage.NewID(w.clock.Advance(time.Second)), At: storage.Instant(w.now())}
	w.ok(w.Append(w.ctx(), bare))
	w.audited(full, bare)
}

func auditPages(w *world) {
	var want []storage.AuditRecord
	for range 5 {
		r := *NewAudit("session.opened", w.clock.Advance(time.Millisecond))
		want = append(want, r)
	}
	for _, i := range []int{3, 0, 4, 2, 1} {
		w.ok(w.Append(w.ctx(), want[i]))
	}
	var got []storage.AuditRecord
	for after := ""; ; after = got[len(got)-1].ID {
		page, err := w.ListAudit(w.ctx(), time.Time{}, after, 2)
		w.ok(err)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	w.same(got, want)
}

func auditSince(w *world) {
	for range 3 {
		w.ok(w.Append(w.ctx(), *NewAudit("old", w.clock.Advance(time.Hour))))
	}
	since := w.clock.Advance(time.Hour)
	first := *NewAudit("new", since) // "not older than since": the instant itself is in
	w.ok(w.Append(w.ctx(), first))
	early := *NewAudit("new", w.clock.Advance(-time.Second)) // its identifier was made a moment before
	early.At = storage.Instant(since.Add(time.Second))
	w.ok(w.Append(w.ctx(), early))
	got, err := w.ListAudit(w.ctx(), since, "", 10)
	w.ok(err)
	w.same(got, []storage.AuditRecord{early, first})
	got, err = w.ListAudit(w.ctx(), since, early.ID, 10)
	w.ok(err)
	w.same(got, []storage.AuditRecord{first})
}

func auditOnce(w *world) {
	r := *NewAudit("session.opened", w.now())
	w.ok(w.Append(w.ctx(), r))
	w.is(w.Append(w.ctx(), r), storage.ErrExists)
	w.audited(r)
}
