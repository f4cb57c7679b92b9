package events

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

var update = flag.Bool("update", false, "write the golden files")

// TestMessagesOnTheWire keeps every kind of message as it is sent in testdata/stream.golden.
func TestMessagesOnTheWire(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 8, 0, 0, 123456000, time.FixedZone("CST", 8*3600))
	until := at.Add(15 * time.Minute).Truncate(time.Second)
	by := &storage.Superseder{Terminal: storage.Mobile, DeviceName: "Tom’s\n\"phone\" <1>", At: at}
	place := guard.Place{Number: 4711, Event: "06f3"}
	var b strings.Builder
	for _, f := range [][]byte{
		frame("", "begin", begin{Version: version, Mode: modeSnapshot, Because: noPosition, Moment: 71033}),
		frame("", "begin", begin{Version: version, Mode: modeResume, Moment: 0}),
		endedFrame(&storage.Event{
			ID: "06f3", Number: 9, Subject: storage.SubjectSession, Key: "06f2", User: "u", Product: "shop", Terminal: storage.Mobile,
			End: storage.End{Reason: storage.Superseded, At: at, Actor: "user:u", By: by}, Until: until,
		}),
		endedFrame(&storage.Event{ID: "06f4", Subject: storage.SubjectSession, Key: "06f1", End: storage.End{Reason: storage.SignedOut, At: at}, Until: until}),
		endedFrame(&storage.Event{ID: "06f5", Subject: storage.SubjectClient, Key: "billing", End: storage.End{Reason: storage.Kicked, At: at}, Until: until}),
		endedFrame(&storage.Event{ID: "06f6", Subject: storage.SubjectToken, Key: "jti-1", End: storage.End{Reason: storage.SignedOut, At: at}, Until: until}),
		frame("", "heard", heard{71033, 0}),
		frame(position(place), "heard", heard{71250, 3}),
		frame("", "bye", bye{Why: whyStopping}),
		frame("", "bye", bye{Why: whyToken, Reason: storage.Expired}),
	} {
		b.Write(f)
	}
	path := filepath.Join("testdata", "stream.golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(b.String(), "user:u") {
		t.Error("who did it was sent")
	}
}

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{"", "-", "1-x", "1-x-y", "00-x", "+1-x", "9223372036854775807-x", "9223372036854775808-x", "1-\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parsePosition(s)
		if ok != (p != guard.Place{}) {
			t.Fatalf("%q: %v %v", s, p, ok)
		}
		if ok && position(p) != s {
			t.Errorf("%q reads as %v, which is written %q", s, p, position(p))
		}
	})
}

func TestWatcherHoldsSoMuchAndNoMore(t *testing.T) {
	t.Parallel()
	w := &watcher{wake: make(chan struct{}, 1)}
	for range maxWaiting {
		w.push(nil)
	}
	if b := w.take(); b.over || len(b.frames) != maxWaiting {
		t.Fatalf("over %v with %d", b.over, len(b.frames))
	}
	for range maxWaiting + 1 {
		w.push(nil)
	}
	w.push(nil)
	if b := w.take(); !b.over || len(b.frames) != 0 {
		t.Errorf("over %v with %d, want to be cut off with nothing held", b.over, len(b.frames))
	}
}

func TestWatcherHearsNothingOlderThanItself(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := &watcher{from: now, wake: make(chan struct{}, 1)}
	w.hear(mark{at: now.Add(-time.Second)})
	w.hear(mark{at: now})
	if b := w.take(); !b.heard.at.IsZero() {
		t.Errorf("heard of a reading that began before it: %v", b.heard.at)
	}
	w.hear(mark{at: now.Add(2)})
	w.hear(mark{at: now.Add(1)})
	if b := w.take(); b.heard.at != now.Add(2) {
		t.Errorf("heard %v, want the newest", b.heard.at.Sub(now))
	}
}

func TestEndsAreRememberedSoFarAndNoFurther(t *testing.T) {
	t.Parallel()
	h, err := NewHub(HubConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if !h.news("first") || h.news("first") || !h.news("") || !h.news("") {
		t.Error("an end is news once, one without a name always")
	}
	for range 3 * recentEnds {
		h.news(storage.EventID(storage.NewID(time.Now())))
	}
	if held := len(h.recent) + len(h.before); held > 2*recentEnds || held < recentEnds {
		t.Errorf("%d held", held)
	}
	if !h.news("first") {
		t.Error("nothing is forgotten")
	}
}
