package upkeep

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// metrics are what a runner counts. They count also when nobody collects them.
type metrics struct {
	now     func() time.Time
	removed *prometheus.CounterVec
	took    prometheus.Histogram
	errors  prometheus.Counter
	size    prometheus.Gauge
	last    prometheus.Gauge
	behind  *prometheus.Desc
	duty    *prometheus.Desc

	mu      sync.Mutex
	leading bool
	since   map[storage.TrimKind]time.Time // when nothing more was due
}

func newMetrics(now func() time.Time) *metrics {
	name := func(s string) string { return prometheus.BuildFQName("tallystick", "upkeep", s) }
	m := &metrics{
		now: now,
		removed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name("removed_total"), Help: "Rows that were removed because they were due.",
		}, []string{"kind"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name("batch_seconds"), Help: "How long batches took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: name("errors_total"), Help: "Batches and duties that the store refused."}),
		size:   prometheus.NewGauge(prometheus.GaugeOpts{Name: name("batch_rows"), Help: "How many rows the next batch may remove."}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: name("finished_timestamp_seconds"), Help: "When this process last had removed everything that was due.",
		}),
		behind: prometheus.NewDesc(name("behind_seconds"),
			"Time since nothing more of a kind was due, in the process that has the duty; 0 in others.", []string{"kind"}, nil),
		duty:  prometheus.NewDesc(name("leads"), "1 in the process that has the duty.", nil, nil),
		since: make(map[storage.TrimKind]time.Time),
	}
	for _, kind := range storage.TrimKinds() {
		m.removed.WithLabelValues(string(kind))
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.removed, m.took, m.errors, m.size, m.last, m} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("upkeep: register metrics: %w", err)
		}
	}
	return nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.behind
	to <- m.duty
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, leads := m.now(), 0.0
	if m.leading {
		leads = 1
	}
	to <- prometheus.MustNewConstMetric(m.duty, prometheus.GaugeValue, leads)
	for _, kind := range storage.TrimKinds() {
		behind := 0.0
		if m.leading {
			behind = now.Sub(m.since[kind]).Seconds()
		}
		to <- prometheus.MustNewConstMetric(m.behind, prometheus.GaugeValue, behind, string(kind))
	}
}

func (m *metrics) leads() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leading
}

// lead takes note of who has the duty. Whoever gets it begins to be behind then.
func (m *metrics) lead(leads bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if leads && !m.leading {
		for _, kind := range storage.TrimKinds() {
			m.since[kind] = m.now()
		}
	}
	m.leading = leads
}

func (m *metrics) batch(kind storage.TrimKind, removed int, took time.Duration) {
	m.removed.WithLabelValues(string(kind)).Add(float64(removed))
	m.took.Observe(took.Seconds())
}

func (m *metrics) caughtUp(kind storage.TrimKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since[kind] = m.now()
}

func (m *metrics) finished() { m.last.Set(float64(m.now().UnixMicro()) / 1e6) }
