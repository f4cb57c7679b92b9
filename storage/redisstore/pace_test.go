package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
)

func TestPaceIsSharedByProcesses(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, c redisstore.Config) {
		one, other := open(t, c), open(t, c)
		key := storage.NewID(time.Now())
		for i, s := range []*redisstore.Store{one, other, one} {
			if first, err := s.Pace(t.Context(), key, time.Minute); err != nil || first != (i == 0) {
				t.Errorf("asked for the %d. time: %v, %v", i+1, first, err)
			}
		}
		if first, err := other.Pace(t.Context(), key+"x", time.Minute); err != nil || !first {
			t.Errorf("another key: %v, %v", first, err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if first, err := other.Pace(t.Context(), key+"y", time.Minute); first || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("without Redis: %v, %v", first, err)
		}
	})
}
