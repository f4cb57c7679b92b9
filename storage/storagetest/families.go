package storagetest

import (
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// families makes sure whose the families of a session are.
func (w *world) families(id storage.SessionID, limit int, want ...storage.ClientID) {
	w.Helper()
	got, err := w.Families(w.ctx(), id, limit)
	w.ok(err)
	w.same(slices.Sorted(slices.Values(got)), want)
}

func familiesAll(w *world) {
	u, all := w.party(2)
	id := all[0].Session.ID
	w.families(id, 10, ClientID, ClientID)
	o := NewOpening(u.ID, storage.Shared, w.clock.Advance(time.Second))
	o.Refresh.Client = "other-app"
	w.mustOpen(o)
	w.families(id, 10, "other-app", ClientID, ClientID)
	got, err := w.Families(w.ctx(), id, 2)
	w.ok(err)
	w.same(len(got), 2)
	w.mustRotate(NewRotation(all[0].Refresh.Hash, w.clock.Advance(time.Minute)))
	w.leave(all[1].Refresh.Hash)
	w.families(id, 10, "other-app", ClientID, ClientID)
	w.clock.Advance(SessionTTL)
	w.families(id, 10, "other-app", ClientID, ClientID)
	w.families("none", 10)
}
