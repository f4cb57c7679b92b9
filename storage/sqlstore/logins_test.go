package sqlstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// TestNoSessionHidesBehindOthers has a session, and more started before and after it than a page holds: whoever
// ends all of them ends that one, too.
func TestNoSessionHidesBehindOthers(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		const others = 2100
		db, now := e.Open(t), storage.Instant(time.Now())
		tom := storagetest.NewUser("tom", now)
		if err := db.CreateUser(t.Context(), tom); err != nil {
			t.Fatal(err)
		}
		phone, err := db.Open(t.Context(), storagetest.NewOpening(tom.ID, storage.Kickout, now))
		if err != nil {
			t.Fatal(err)
		}
		hidden, err := db.Open(t.Context(), storagetest.NewOpening(tom.ID, storage.Concurrent, now))
		if err != nil {
			t.Fatal(err)
		}
		args := []any{string(tom.ID), string(hidden.Session.ID), string(phone.Session.ID)}
		for i := range others {
			args = append(args, string(tom.ID), storage.NewID(now.Add(time.Duration(i-others/2)*time.Second)), string(phone.Session.ID))
		}
		rows := strings.Repeat(", (?, ?, ?, 9000000000000000)", len(args)/3)[2:]
		if _, err := e.Raw(t).ExecContext(t.Context(), "INSERT INTO session_starts (user_id, session_id, origin_id, expires_at) VALUES "+rows, args...); err != nil {
			t.Fatal(err)
		}
		ended, err := db.End(t.Context(), storage.EndOrder{User: tom.ID, StartedBy: phone.Session.ID, Reason: storage.Kicked, Now: now})
		if err != nil || len(ended) != 1 || ended[0].Key != string(hidden.Session.ID) {
			t.Errorf("ended %v, %v; want session %s alone", ended, err, hidden.Session.ID)
		}
	})
}
