package outbox

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// metrics are what a runner counts, by destination: "stream" or the ID of a webhook, of which there are few.
type metrics struct {
	delivered *prometheus.CounterVec
	failed    *prometheus.CounterVec
	dead      *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	events    *prometheus.GaugeVec
	age       *prometheus.GaugeVec
	waiting   *prometheus.GaugeVec
	leads     *prometheus.GaugeVec
	errors    prometheus.Counter
}

func newMetrics() *metrics {
	name := func(s string) string { return prometheus.BuildFQName("tallystick", "outbox", s) }
	by := []string{"destination"}
	counter := func(n, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(n), Help: help}, by)
	}
	gauge := func(n, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name(n), Help: help + ", in the process that delivers to it."}, by)
	}
	return &metrics{
		delivered: counter("delivered_total", "Events that a destination took."),
		failed:    counter("failed_total", "Tries that a destination did not take."),
		dead:      counter("dead_total", "Events that were given up."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name("attempt_seconds"), Help: "How long a try took.", Buckets: prometheus.ExponentialBuckets(0.002, 3, 10),
		}, by),
		events:  gauge("lag_events", "How many sealed journals a destination has not gone past, and deliveries that wait"),
		age:     gauge("lag_seconds", "Age of the oldest event that a destination has not taken and that is not dead"),
		waiting: gauge("waiting", "Deliveries that wait"),
		leads:   gauge("leads", "1 where this process delivers to it"),
		errors:  prometheus.NewCounter(prometheus.CounterOpts{Name: name("errors_total"), Help: "What the store refused."}),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.delivered, m.failed, m.dead, m.seconds, m.events, m.age, m.waiting, m.leads, m.errors} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("outbox: register metrics: %w", err)
		}
	}
	// They are there from the beginning for the one destination that always is.
	m.delivered.WithLabelValues(string(storage.StreamDestination))
	m.failed.WithLabelValues(string(storage.StreamDestination))
	m.rest(storage.StreamDestination)
	return nil
}

// rest says that this process does not deliver to a destination.
func (m *metrics) rest(d storage.Destination) {
	for _, g := range []*prometheus.GaugeVec{m.events, m.age, m.waiting, m.leads} {
		g.WithLabelValues(string(d)).Set(0)
	}
}

// forget drops a destination that is there no more.
func (m *metrics) forget(d storage.Destination) {
	for _, v := range []interface{ DeleteLabelValues(lvs ...string) bool }{
		m.delivered, m.failed, m.dead, m.seconds, m.events, m.age, m.waiting, m.leads,
	} {
		v.DeleteLabelValues(string(d))
	}
}
