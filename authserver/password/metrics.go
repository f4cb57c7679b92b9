package password

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count work and what was turned away.
type metrics struct {
	hashes   *prometheus.CounterVec // by algorithm
	shed     *prometheus.CounterVec // by cause: full, late
	upgrades *prometheus.CounterVec // by the algorithm before
}

func newMetrics(r prometheus.Registerer, waiting func() float64) (*metrics, error) {
	m := &metrics{
		hashes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_password_hashes_total", Help: "Password hashes computed.",
		}, []string{"algorithm"}),
		shed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_password_shed_total", Help: "Callers turned away because too many were hashing.",
		}, []string{"cause"}),
		upgrades: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_password_upgrades_total", Help: "Hashes replaced at sign-in, by the algorithm before.",
		}, []string{"from"}),
	}
	if r == nil {
		return m, nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallystick_password_waiting", Help: "Callers that wait for a worker.",
	}, waiting)
	for _, c := range []prometheus.Collector{m.hashes, m.shed, m.upgrades, gauge} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("password: register metrics: %w", err)
		}
	}
	return m, nil
}
