package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage"
)

func TestDecodeRefusesWhatNoEventCanBe(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	good := storage.Event{
		ID: "e", Subject: storage.SubjectToken, Key: "k", End: storage.End{Reason: storage.SignedOut, At: at}, Until: at.Add(time.Hour),
	}
	for name, spoil := range map[string]func(*storage.Event){
		"nothing spoilt":         nil,
		"unknown subject":        func(e *storage.Event) { e.Subject = "planet" },
		"no key":                 func(e *storage.Event) { e.Key = "" },
		"key too long":           func(e *storage.Event) { e.Key = strings.Repeat("k", 65) },
		"key with a line break":  func(e *storage.Event) { e.Key = "a\nb" },
		"no reason":              func(e *storage.Event) { e.End.Reason = "" },
		"reason too long":        func(e *storage.Event) { e.End.Reason = storage.Reason(strings.Repeat("r", 33)) },
		"product not plain":      func(e *storage.Event) { e.Product = "é" },
		"device name too long":   func(e *storage.Event) { e.End.By = &storage.Superseder{DeviceName: strings.Repeat("d", 129)} },
		"until before the end":   func(e *storage.Event) { e.Until = at.Add(-1 * time.Second) },
		"until in a distant age": func(e *storage.Event) { e.Until = at.AddDate(3, 0, 0) },
		"no time":                func(e *storage.Event) { e.End.At = time.Time{} },
		"actor too long":         func(e *storage.Event) { e.End.Actor = strings.Repeat("a", 5000) },
	} {
		e := good
		if spoil != nil {
			spoil(&e)
		}
		body, err := encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(body); (err == nil) != (spoil == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"e","subject":"session","key":"k","reason":"kicked","at":1,"until":2,"by":{"terminal":"api","device":"d","at":1}}`))
	f.Add([]byte(`{"v":1,"until":-9223372036854775808,"at":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) > maxEntry {
			return // escapes may make it longer than what was read
		}
		twice, err := decode(again)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if diff := cmp.Diff(e, twice); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCompareIDs(t *testing.T) {
	t.Parallel()
	ordered := []string{"0-0", "1-0", "1-2", "1-10", "9-0", "10-0", "1700000000000-0"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := compareIDs(a, b), min(1, max(-1, i-j)); got != want {
				t.Errorf("compareIDs(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	if compareIDs("garbage", "1-0") >= 0 {
		t.Error("what is no number must come first")
	}
}
