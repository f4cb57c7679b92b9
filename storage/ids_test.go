package storage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

func TestIdentifiersTellTheirTimeAndSortByIt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.November, 20, 8, 0, 0, 123_000_000, time.UTC)
	id := storage.NewID(now)
	if at, ok := storage.IDTime(id); !ok || !at.Equal(now) {
		t.Errorf("%s tells %v, %v; want %v", id, at, ok, now)
	}
	if later := storage.NewID(now.Add(time.Millisecond)); later <= id {
		t.Errorf("%s does not sort after %s", later, id)
	}
	for _, none := range []string{"", id[1:], id + "0", strings.Repeat("u", storage.IDLength)} {
		if at, ok := storage.IDTime(none); ok {
			t.Errorf("%q tells %v", none, at)
		}
	}
}
