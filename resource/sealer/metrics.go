package sealer

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// metrics are what a runner counts. They count also when nobody collects them.
type metrics struct {
	waiting  prometheus.Gauge
	oldest   prometheus.Gauge
	took     prometheus.Histogram
	journals prometheus.Counter
	enrolled prometheus.Counter
	errors   prometheus.Counter
	leads    prometheus.Gauge
}

func newMetrics() *metrics {
	name := func(s string) string { return prometheus.BuildFQName("tallystick", "seal", s) }
	return &metrics{
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: name("waiting"), Help: "Journals that wait to be sealed, in the process that has the duty; 0 in others.",
		}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: name("oldest_seconds"), Help: "Age of the oldest journal that waits to be sealed, in the process that has the duty; 0 in others.",
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name("seconds"), Help: "How long sealing a block took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12),
		}),
		journals: prometheus.NewCounter(prometheus.CounterOpts{Name: name("journals_total"), Help: "Journals sealed by this process."}),
		enrolled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: name("enrolled_total"), Help: "Journals of which this process looked whether they wait or are sealed.",
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: name("errors_total"), Help: "Blocks and duties that the store refused."}),
		leads:  prometheus.NewGauge(prometheus.GaugeOpts{Name: name("leads"), Help: "1 in the process that has the duty."}),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.waiting, m.oldest, m.took, m.journals, m.enrolled, m.errors, m.leads} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("sealer: register metrics: %w", err)
		}
	}
	return nil
}

func (m *metrics) sealed(journals int, took time.Duration) {
	m.journals.Add(float64(journals))
	m.took.Observe(took.Seconds())
}

func (m *metrics) backlog(b storage.Backlog, now time.Time) {
	m.waiting.Set(float64(b.Journals))
	age := 0.0
	if b.Oldest != nil {
		age = max(0, now.Sub(*b.Oldest).Seconds())
	}
	m.oldest.Set(age)
}

// lead takes note of who has the duty. Whoever has not does not know what waits.
func (m *metrics) lead(leads bool) {
	if leads {
		m.leads.Set(1)
		return
	}
	m.leads.Set(0)
	m.waiting.Set(0)
	m.oldest.Set(0)
}
