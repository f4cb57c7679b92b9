package redisstore

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a store counts. They count also when nobody collects them.
type metrics struct {
	announced, followed, garbage, reconnects prometheus.Counter
	dropped, locks, released                 *prometheus.CounterVec
	waited                                   prometheus.Histogram
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tallystick", Subsystem: "redis", Name: name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(
			prometheus.CounterOpts{Namespace: "tallystick", Subsystem: "redis", Name: name, Help: help}, []string{label})
	}
	return &metrics{
		announced:  counter("events_announced_total", "Events pushed to the stream."),
		followed:   counter("events_followed_total", "Events read from the stream."),
		garbage:    counter("events_garbage_total", "Entries of the stream that are no events."),
		reconnects: counter("follow_reconnects_total", "Connections of followers that broke."),
		dropped:    vector("events_dropped_total", "Events not pushed; followers find them in SQL.", "reason"),
		locks:      vector("locks_total", "Locks asked of Redis, by outcome.", "outcome"),
		released:   vector("locks_released_total", "Locks given back, by outcome.", "outcome"),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tallystick", Subsystem: "redis", Name: "lock_wait_seconds",
			Help:    "Time from asking Redis for a lock to its answer, without the queue in the process.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
	}
}

// register hands everything to a registerer; nil is none.
func (m *metrics) register(r prometheus.Registerer, s *Store) error {
	if r == nil {
		return nil
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "tallystick", Subsystem: "redis", Name: name, Help: help}, f)
	}
	var errs error
	for _, c := range []prometheus.Collector{
		m.announced, m.followed, m.garbage, m.reconnects, m.dropped, m.locks, m.released, m.waited,
		gauge("away", "1 while commands are refused because Redis did not answer.", func() float64 {
			if s.breaker.isOpen() {
				return 1
			}
			return 0
		}),
		gauge("lock_waiters", "Callers that wait for a lock in this process.", func() float64 { return float64(s.queue.waiters()) }),
		gauge("events_waiting", "Events that wait to be pushed.", func() float64 { return float64(len(s.announced)) }),
	} {
		errs = errors.Join(errs, r.Register(c))
	}
	if errs != nil {
		return fmt.Errorf("register metrics of redis: %w", errs)
	}
	return nil
}
