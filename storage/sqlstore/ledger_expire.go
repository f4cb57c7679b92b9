package sqlstore

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// defaultExpiry is how often a group looks for holds to let go of: the look-up is a range of an index, as
// a rule an empty one.
const defaultExpiry = time.Second

// GroupConfig is what a [Group] needs; its zero value will do.
type GroupConfig struct {
	// Expiry is how often to look for holds whose time is past; 0 means a second.
	Expiry  time.Duration
	Now     func() time.Time      // nil: time.Now
	Log     *slog.Logger          // nil: discards
	Metrics prometheus.Registerer // nil: none
}

func (c GroupConfig) withDefaults() GroupConfig {
	if c.Expiry <= 0 {
		c.Expiry = defaultExpiry
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// expire lets go of holds whose time is past until ctx ends. Every process that keeps a ledger does so:
// each hold expires once, whoever comes first.
func (g *Group) expire(ctx context.Context) {
	ticker := time.NewTicker(g.cfg.Expiry)
	defer ticker.Stop()
	failing := false
	for {
		n, err := g.db.ExpireHolds(ctx, g.cfg.Now(), storage.MaxExpire)
		g.metrics.late.Add(float64(n))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			g.cfg.Log.WarnContext(ctx, "holds do not expire", "err", err)
		case err == nil && failing:
			g.cfg.Log.InfoContext(ctx, "holds expire again")
		}
		failing = err != nil
		if n == storage.MaxExpire {
			continue // there may be more
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
