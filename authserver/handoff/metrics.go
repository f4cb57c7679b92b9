package handoff

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

type metrics struct{ steps *prometheus.CounterVec }

func newMetrics(to prometheus.Registerer, b *bell) (*metrics, error) {
	m := &metrics{steps: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tallystick_handoff_steps_total", Help: "Steps of hand-offs: requests of devices, and login tokens.",
	}, []string{"kind", "step"})}
	for _, step := range []string{"asked", "turned", "scanned", "approved", "wrong_number", "denied", "cancelled", "redeemed"} {
		m.steps.WithLabelValues(string(storage.HandoffDevice), step)
	}
	for _, step := range []string{"issued", "revoked", "redeemed"} {
		m.steps.WithLabelValues(string(storage.HandoffLogin), step)
	}
	if to == nil {
		return m, nil
	}
	streams := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallystick_handoff_streams", Help: "Devices that watch their request over server-sent events.",
	}, func() float64 { return float64(b.size()) })
	for _, c := range []prometheus.Collector{m.steps, streams} {
		if err := to.Register(c); err != nil {
			return nil, fmt.Errorf("handoff: register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) step(kind storage.HandoffKind, step string) {
	m.steps.WithLabelValues(string(kind), step).Inc()
}
