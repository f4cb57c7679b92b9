package serve

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOrderOfMiddleware pins the order that the package's doc promises.
func TestOrderOfMiddleware(t *testing.T) {
	t.Parallel()
	o := Options{Log: slog.New(slog.DiscardHandler), RequestTimeout: time.Second, MaxBody: 1, Now: time.Now}
	steps, err := o.steps()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range steps {
		got = append(got, s.name)
	}
	want := []string{"request id", "access record", "recovery", "security headers", "cross origin", "deadline", "body limit"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Handlers) != len(want) {
		t.Errorf("the engine has %d handlers", len(e.Handlers))
	}
}

func TestNewIDsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 10_000 {
		id := newID()
		if !saneID(id) || seen[id] {
			t.Fatalf("%q is not sane or not new", id)
		}
		seen[id] = true
	}
}
