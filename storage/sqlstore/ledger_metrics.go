package sqlstore

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// The ways in which a group that was not committed as a whole goes on.
const (
	fallSingly  = "singly"      // each member by itself: a deadlock, or no telling which
	fallSift    = "sift"        // as a group again, without those whose key is answered
	fallResolve = "resolve"     // each member by its key: the outcome of the commit is unknown
	fallGone    = "unavailable" // not at all: the engine is away
)

// groupMetrics tell how well postings share transactions.
type groupMetrics struct {
	size  prometheus.Histogram
	took  prometheus.Histogram
	falls *prometheus.CounterVec
	full  prometheus.Counter
	late  prometheus.Counter
}

func newGroupMetrics(reg prometheus.Registerer, waiting func() float64) (*groupMetrics, error) {
	m := &groupMetrics{
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tallystick_ledger_group_size",
			Help:    "Postings that shared a transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tallystick_ledger_group_seconds",
			Help:    "How long the transaction of a group took, committed or not.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		falls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_ledger_group_fallbacks_total",
			Help: "Groups that were not committed as a whole, by how their members went on.",
		}, []string{"way"}),
		full: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tallystick_ledger_queue_full_total",
			Help: "Postings turned away because the queue for groups was full.",
		}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tallystick_ledger_holds_expired_total",
			Help: "Holds that were let go of because their time was past.",
		}),
	}
	for _, way := range []string{fallSingly, fallSift, fallResolve, fallGone} {
		m.falls.WithLabelValues(way)
	}
	if reg == nil {
		return m, nil
	}
	queue := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tallystick_ledger_queue_length",
		Help: "Postings that wait for a group.",
	}, waiting)
	for _, c := range []prometheus.Collector{m.size, m.took, m.falls, m.full, m.late, queue} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the ledger: %w", err)
		}
	}
	return m, nil
}
