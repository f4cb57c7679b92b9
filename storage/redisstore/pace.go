package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Pace says whether nobody has asked it for key within the time before, and if so begins that time. What it
// keeps is gone with a flush: then somebody is let ask once too early.
func (s *Store) Pace(ctx context.Context, key string, every time.Duration) (first bool, err error) {
	err = s.breaker.run(ctx, func() (err error) {
		first, err = s.client.SetNX(ctx, s.paceKey(key), 1, every).Result()
		return err
	})
	if err != nil {
		return false, fmt.Errorf("pace: %w: %w", storage.ErrUnavailable, err)
	}
	return first, nil
}
