package storagetest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Keys checks a driver against every promise written on [storage.Keys]. open must return an empty
// store.
func Keys(t *testing.T, open func(t *testing.T) Store) {
	cases{
		"keys come back as they were added, oldest first":       keyRoundTrip,
		"a key is added after the newest of its use only":       keyChain,
		"the newest is the last one created, whenever it signs": keyNewest,
		"of racing additions one wins":                          keyRace,
		"a key is retired":                                      keyRetired,
	}.run(t, open)
}

func newKey(id, use string, active time.Time) storage.Key {
	return storage.Key{
		ID: id, Use: use, Algorithm: "EdDSA", Sealed: []byte{0, 1, 0xff, '\'', '\\', 0},
		CreatedAt: storage.Instant(active), ActiveAt: storage.Instant(active),
	}
}

func (w *world) keys() []storage.Key {
	w.Helper()
	list, err := w.ListKeys(w.ctx())
	w.ok(err)
	return list
}

func keyRoundTrip(w *world) {
	w.same(len(w.keys()), 0)
	late := newKey("late", "sig", w.now().Add(time.Hour))
	late.Sealed = bytes.Repeat([]byte{0xfe}, 8192)
	retired := storage.Instant(w.now().Add(2 * time.Hour))
	early := newKey("early", "enc", w.now())
	early.RetiredAt = &retired
	w.ok(w.AddKey(w.ctx(), late, ""))
	w.ok(w.AddKey(w.ctx(), early, ""))
	w.same(w.keys(), []storage.Key{early, late})
}

func keyChain(w *world) {
	first, second, third := newKey("k1", "sig", w.now()), newKey("k2", "sig", w.now().Add(1)), newKey("k3", "sig", w.now().Add(2))
	w.is(w.AddKey(w.ctx(), first, "k0"), storage.ErrStale) // there is no such key
	w.ok(w.AddKey(w.ctx(), first, ""))
	w.is(w.AddKey(w.ctx(), second, ""), storage.ErrStale) // there is a first one already
	w.is(w.AddKey(w.ctx(), newKey("e1", "enc", w.now()), "k1"), storage.ErrStale)
	w.ok(w.AddKey(w.ctx(), newKey("e1", "enc", w.now()), "")) // another use is another chain
	w.ok(w.AddKey(w.ctx(), second, "k1"))
	w.is(w.AddKey(w.ctx(), third, "k1"), storage.ErrStale)
	w.ok(w.AddKey(w.ctx(), third, "k2"))
	w.is(w.AddKey(w.ctx(), second, "k3"), storage.ErrStale) // it is in the chain already
	w.same(len(w.keys()), 4)
}

// keyNewest: an emergency key signs before one that still waits, and a host whose clock is behind adds
// one; each is the newest all the same, and the next rotation can name it.
func keyNewest(w *world) {
	waiting := newKey("waiting", "sig", w.now())
	waiting.ActiveAt = storage.Instant(w.now().Add(time.Hour))
	emergency := newKey("emergency", "sig", w.now().Add(time.Minute))
	behind := newKey("behind", "sig", w.now().Add(-time.Minute))
	w.ok(w.AddKey(w.ctx(), waiting, ""))
	w.ok(w.AddKey(w.ctx(), emergency, "waiting"))
	w.ok(w.AddKey(w.ctx(), behind, "emergency"))
	newest := storage.Key{}
	for _, k := range w.keys() {
		if k.CreatedAt.After(newest.CreatedAt) {
			newest = k
		}
	}
	w.same(newest.ID, "behind")
	w.ok(w.RetireKey(w.ctx(), "behind", w.now())) // retired or not
	w.is(w.AddKey(w.ctx(), newKey("next", "sig", w.now()), "waiting"), storage.ErrStale)
	w.ok(w.AddKey(w.ctx(), newKey("next", "sig", w.now()), "behind"))
}

func keyRace(w *world) {
	const callers = 10
	for round, after := range []string{"", "winner"} {
		errs := make([]error, callers)
		race(callers, func(i int) {
			errs[i] = w.AddKey(w.ctx(), newKey(fmt.Sprintf("r%d-%d", round, i), "sig", w.now()), after)
		})
		winners := 0
		for _, err := range errs {
			if err == nil {
				winners++
				continue
			}
			w.is(err, storage.ErrStale)
		}
		if after == "winner" {
			w.same(winners, 0) // no key is called that
			continue
		}
		w.same(winners, 1)
	}
	w.same(len(w.keys()), 1)
}

func keyRetired(w *world) {
	k := newKey("k1", "sig", w.now())
	w.ok(w.AddKey(w.ctx(), k, ""))
	at := storage.Instant(w.now().Add(time.Hour))
	w.ok(w.RetireKey(w.ctx(), "k1", at))
	k.RetiredAt = &at
	w.same(w.keys(), []storage.Key{k})
	w.is(w.RetireKey(w.ctx(), "k2", at), storage.ErrNotFound)
}
