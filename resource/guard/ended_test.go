package guard

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func superseded(key, device string) storage.Event {
	return storage.Event{
		Subject: storage.SubjectSession, Key: key,
		End: storage.End{
			Reason: storage.Superseded, At: noon.Add(123456 * time.Microsecond),
			By: &storage.Superseder{Terminal: storage.Mobile, DeviceName: device, At: noon.Add(123456 * time.Microsecond)},
		},
		Until: noon.Add(15 * time.Minute),
	}
}

func TestEndedKeepsAnEndWhole(t *testing.T) {
	t.Parallel()
	e := newEnded(10)
	ev := superseded("s", "Tom’s phone")
	e.add(&ev, noon)
	tomb, ok := e.lookup(subjectDigest(storage.SubjectSession, "s"))
	got, partial := e.end(tomb)
	if diff := cmp.Diff(ev.End, got); diff != "" || !ok || partial {
		t.Errorf("found %v, partial %v (-put +got):\n%s", ok, partial, diff)
	}
	for _, other := range []digest{zero, subjectDigest(storage.SubjectToken, "s"), subjectDigest(storage.SubjectSession, "S")} {
		if _, ok := e.lookup(other); ok {
			t.Error("found under another name")
		}
	}
}

func TestEndedKeepsTheFirstEndOfASession(t *testing.T) {
	t.Parallel()
	e := newEnded(10)
	first := superseded("s", "a")
	second := superseded("s", "b")
	second.End.Reason, second.Until = storage.Kicked, first.Until.Add(time.Minute)
	e.add(&first, noon)
	e.add(&second, noon)
	tomb, _ := e.lookup(subjectDigest(storage.SubjectSession, "s"))
	if got, _ := e.end(tomb); got.Reason != storage.Superseded || got.By.DeviceName != "a" || e.size() != 1 {
		t.Errorf("%+v, %d entries", got, e.size())
	}
	for range endedShards / sweepShards {
		e.sweep(first.Until) // the second lives longer
	}
	if e.size() != 1 {
		t.Error("dropped before the last token could expire")
	}
	for range endedShards / sweepShards {
		e.sweep(second.Until)
	}
	if e.size() != 0 || len(e.devices.number) != 0 {
		t.Errorf("%d entries, %d device names after everything expired", e.size(), len(e.devices.number))
	}
}

func TestWordsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWords(2)
	a, b, c := w.take("a"), w.take("b"), w.take("c")
	if again := w.take("a"); again != a || a == b {
		t.Error("one text has two numbers, or two have one")
	}
	if text, ok := w.text(c); ok || text != "" || c != w.lost() {
		t.Errorf("a text without room: %d %q %v", c, text, ok)
	}
	w.release(a)
	w.release(c)
	if text, ok := w.text(a); !ok || text != "a" {
		t.Error("gone while somebody holds it")
	}
	w.release(a)
	if d := w.take("d"); d != a {
		t.Errorf("room that was given back: %d, want %d", d, a)
	}
}

// answers are sessions that have ended in one way.
type answers struct{ end storage.End }

func (a answers) Check(context.Context, storage.Bearer, time.Time) error {
	return &storage.EndedError{End: a.end}
}

func TestTextWithoutRoomIsAskedFor(t *testing.T) {
	t.Parallel()
	ev := superseded("s", "the last device")
	g, err := New(Config{Tokens: noTokens{}, Feed: noFeed{}, Sessions: answers{ev.End}, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	g.ended.devices = newWords(1)
	first := superseded("other", "the first device")
	g.Apply([]storage.Event{first, ev})
	v := newVerified(Principal{Session: "s"})
	refusal := g.standing(t.Context(), v, "", noon, false)
	if refusal == nil || refusal.End.By.DeviceName != "the last device" {
		t.Errorf("%+v", refusal)
	}
}

// TestMillionEndedSessions measures what the set weighs.
func TestMillionEndedSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: a million entries take a second")
	}
	// Not parallel: it measures the heap.
	const n = 1_000_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = storage.NewID(noon)
	}
	before := heap()
	e := newEnded(n)
	for i, k := range keys {
		ev := superseded(k, fmt.Sprint("phone ", i%5000))
		if !e.add(&ev, noon) {
			t.Fatalf("no room for entry %d", i)
		}
	}
	bytes := float64(heap()-before) / n
	t.Logf("%.0f bytes per entry", bytes)
	if bytes > 90 {
		t.Errorf("%.0f bytes per entry, want at most 90", bytes)
	}
	one := superseded("one more", "x")
	if e.add(&one, noon) || e.complete(noon) {
		t.Error("one more than there is room for was not noticed")
	}
	runtime.KeepAlive(e)
	runtime.KeepAlive(keys)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestEndedUnderManyHands(t *testing.T) {
	t.Parallel()
	e := newEnded(500)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				ev := superseded(fmt.Sprint("s", i), fmt.Sprint("d", worker))
				ev.Until = noon.Add(time.Duration(i%10) * time.Second)
				e.add(&ev, noon)
				if tomb, ok := e.lookup(subjectDigest(storage.SubjectSession, ev.Key)); ok {
					e.end(tomb)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 5000 {
			e.sweep(noon.Add(time.Duration(i%5) * time.Second))
		}
	})
	wg.Wait()
	for range endedShards / sweepShards {
		e.sweep(noon.Add(time.Hour))
	}
	if e.size() != 0 {
		t.Errorf("%d entries left when all have expired", e.size())
	}
}
