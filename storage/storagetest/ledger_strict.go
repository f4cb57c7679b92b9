package storagetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

func ledgerStrict() map[string]func(*testing.T, *desk) {
	return map[string]func(*testing.T, *desk){
		"a bearer that has ended is refused with its reason":    endedBearers,
		"an ended bearer gets no replay":                        endedBearerReplays,
		"a disabled client is refused, its old tokens for good": disabledClient,
		"a revoked token is refused, and no other":              revokedToken,
	}
}

func endedBearers(t *testing.T, d *desk) {
	amy := d.wallet(t, 0)
	for name, c := range map[string]struct {
		end  func(t *testing.T, w *wallet, p *storage.Posting)
		want storage.End
	}{
		"superseded": {
			func(t *testing.T, w *wallet, _ *storage.Posting) { d.signIn(t, w.user) },
			storage.End{Reason: storage.Superseded, At: d.now, By: &storage.Superseder{
				Terminal: storage.Mobile, DeviceName: "Tom's phone", At: d.now,
			}},
		},
		"superseded and past its time": {
			func(t *testing.T, w *wallet, p *storage.Posting) {
				d.signIn(t, w.user)
				p.Now = d.now.Add(48 * time.Hour)
			},
			storage.End{Reason: storage.Superseded, At: d.now, By: &storage.Superseder{
				Terminal: storage.Mobile, DeviceName: "Tom's phone", At: d.now,
			}},
		},
		"kicked": {
			func(t *testing.T, w *wallet, _ *storage.Posting) { d.end(t, w.user, storage.Kicked) },
			storage.End{Reason: storage.Kicked, At: d.now},
		},
		"banned": {
			func(t *testing.T, w *wallet, _ *storage.Posting) { d.end(t, w.user, storage.Banned) },
			storage.End{Reason: storage.Banned, At: d.now},
		},
		"past its time": {
			func(_ *testing.T, _ *wallet, p *storage.Posting) { p.Now = d.now.Add(time.Hour) },
			storage.End{Reason: storage.Expired, At: d.now.Add(time.Hour)},
		},
		"idle for too long": {
			func(t *testing.T, w *wallet, p *storage.Posting) {
				o := d.opening(w.user)
				o.Session.IdleAt = d.now.Add(time.Minute)
				if _, err := d.Open(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				p.Bearer, p.Now = bearerOf(o.Session), d.now.Add(time.Minute)
			},
			storage.End{Reason: storage.Expired, At: d.now.Add(time.Minute)},
		},
		"unknown": {
			func(_ *testing.T, _ *wallet, p *storage.Posting) { p.Bearer.Session = "nothing" },
			storage.End{Reason: storage.Expired, At: d.now},
		},
		"of an unknown client": {
			func(_ *testing.T, _ *wallet, p *storage.Posting) { p.Bearer = storage.Bearer{Client: "nothing"} },
			storage.End{Reason: storage.Expired, At: d.now},
		},
		"of nobody": {
			func(_ *testing.T, _ *wallet, p *storage.Posting) { p.Bearer = storage.Bearer{} },
			storage.End{Reason: storage.Expired, At: d.now},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := d.wallet(t, 10)
			p := d.transfer(w, amy, 1)
			c.end(t, &w, &p)
			err := d.failed(t, p)
			ended, ok := errors.AsType[*storage.EndedError](err)
			if !ok {
				t.Fatalf("posting gives %v", err)
			}
			ended.End.Actor = ""
			if diff := cmp.Diff(c.want, ended.End); diff != "" {
				t.Error(diff)
			}
			if got := d.balance(t, w); got != 10 {
				t.Errorf("balance %d of a wallet that could not pay", got)
			}
		})
	}
}

// end ends all sessions of a user.
func (d *desk) end(t *testing.T, user storage.UserID, reason storage.Reason) {
	t.Helper()
	if _, err := d.End(t.Context(), storage.EndOrder{User: user, Reason: reason, Actor: "operator:test", Now: d.now}); err != nil {
		t.Fatalf("end sessions: %v", err)
	}
}

func endedBearerReplays(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 10), d.wallet(t, 0)
	p := d.transfer(tom, amy, 1)
	d.must(t, p)
	d.end(t, tom.user, storage.Kicked)
	if _, err := d.Post(t.Context(), d.again(p)); !errors.Is(err, storage.ErrEnded) {
		t.Errorf("repeated by a bearer that has ended: %v", err)
	}
}

func disabledClient(t *testing.T, d *desk) {
	tom, amy := d.wallet(t, 10), d.wallet(t, 0)
	later := d.now.Add(time.Minute)
	refused := func(what string, p storage.Posting) {
		t.Helper()
		p.Now = later
		ended, ok := errors.AsType[*storage.EndedError](d.failed(t, p))
		if !ok || ended.End.Reason != storage.Kicked || !ended.End.At.Equal(d.now) {
			t.Errorf("%s: %+v, want kicked at %v", what, ended, d.now)
		}
	}
	if _, err := d.DisableClient(t.Context(), d.app.Client, "operator:test", later, nil, d.now); err != nil {
		t.Fatal(err)
	}
	refused("client's own token", d.deposit(tom.user, 1))
	refused("token of a user", d.transfer(tom, amy, 1))
	if err := d.EnableClient(t.Context(), d.app.Client, nil, later); err != nil {
		t.Fatal(err)
	}
	refused("old token of a client that is back", d.deposit(tom.user, 1))
	refused("old token of a user of a client that is back", d.transfer(tom, amy, 1))
	p := d.deposit(tom.user, 1)
	p.Bearer.IssuedAt, p.Now = later, later
	d.must(t, p)
}

func revokedToken(t *testing.T, d *desk) {
	tom := d.wallet(t, 0)
	p := d.deposit(tom.user, 1)
	until := d.now.Add(time.Hour)
	if _, err := d.RevokeToken(t.Context(), p.Bearer.JTI, p.Bearer.Client, "client:app", until, nil, d.now); err != nil {
		t.Fatal(err)
	}
	ended, ok := errors.AsType[*storage.EndedError](d.failed(t, p))
	want := storage.End{Reason: storage.SignedOut, At: d.now, Actor: "client:app"}
	if !ok {
		t.Fatal("the posting of a revoked token is not refused for that")
	}
	if diff := cmp.Diff(want, ended.End); diff != "" {
		t.Error(diff)
	}
	other := d.deposit(tom.user, 2)
	other.Bearer.JTI = storage.NewID(d.now)
	d.must(t, other)
	if got := d.balance(t, tom); got != 2 {
		t.Errorf("balance %d, want 2", got)
	}
}
