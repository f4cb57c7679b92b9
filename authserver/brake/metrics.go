package brake

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

type metrics struct {
	refused, engaged *prometheus.CounterVec // by what is guessed, and by the brake
	floor            prometheus.Counter
}

func newMetrics(r prometheus.Registerer, floor *Floor) (*metrics, error) {
	vector := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(
			prometheus.CounterOpts{Namespace: "tallystick", Subsystem: "brake", Name: name, Help: help}, []string{"guessed", "brake"})
	}
	m := &metrics{
		refused: vector("refused_total", "Tries that were held back, by what was guessed and by the brake."),
		engaged: vector("engaged_total", "Brakes that engaged, by what was guessed and by the brake."),
		floor: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "tallystick", Subsystem: "brake", Name: "floor_total",
			Help: "Tries that were judged by what this process alone has counted.",
		}),
	}
	for _, by := range []storage.BrakeScope{storage.BrakeAccount, storage.BrakePair, storage.BrakeAddress} {
		for _, what := range []string{guessedPassword, guessedSecret, guessedCode, guessedUserCode} {
			m.refused.WithLabelValues(what, string(by))
			m.engaged.WithLabelValues(what, string(by))
		}
	}
	if r == nil {
		return m, nil
	}
	kept := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "tallystick", Subsystem: "brake", Name: "floor_counters",
		Help: "Counters that this process keeps for itself.",
	}, func() float64 { return float64(floor.Len()) })
	for _, c := range []prometheus.Collector{m.refused, m.engaged, m.floor, kept} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("brake: register metrics: %w", err)
		}
	}
	return m, nil
}
