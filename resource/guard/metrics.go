package guard

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a guard counts. They count also when nobody collects them.
type metrics struct {
	hits, misses prometheus.Counter
	refusals     *prometheus.CounterVec
	direct       *prometheus.CounterVec
	events       *prometheus.CounterVec
	blindSeconds prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tallystick", Subsystem: "guard", Name: name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(
			prometheus.CounterOpts{Namespace: "tallystick", Subsystem: "guard", Name: name, Help: help}, []string{label})
	}
	return &metrics{
		hits:         counter("token_cache_hits_total", "Tokens found in the cache of verified tokens."),
		misses:       counter("token_cache_misses_total", "Tokens whose signature was checked."),
		refusals:     vector("refusals_total", "Requests not let in, by reason or error code.", "reason"),
		direct:       vector("direct_checks_total", "Sessions looked up in the store, by outcome.", "outcome"),
		events:       vector("events_total", "Ends that arrived, by the way they came; most come more than once.", "source"),
		blindSeconds: counter("blind_seconds_total", "Time for which the feed was not heard within its bound."),
	}
}

// register hands everything to a registerer; nil is none.
func (m *metrics) register(r prometheus.Registerer, g *Guard) error {
	if r == nil {
		return nil
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "tallystick", Subsystem: "guard", Name: name, Help: help}, f)
	}
	var errs error
	for _, c := range []prometheus.Collector{
		m.hits, m.misses, m.refusals, m.direct, m.events, m.blindSeconds,
		gauge("ended_entries", "Ended sessions, clients and tokens that unexpired tokens may name.",
			func() float64 { return float64(g.ended.size()) }),
		gauge("ended_overflow", "1 while ends may be missing from the set because it was full.",
			func() float64 { return number(!g.ended.complete(g.now())) }),
		gauge("token_cache_entries", "Verified tokens held.", func() float64 { return float64(g.verified.len()) }),
		gauge("blind", "1 while the feed was not heard within its bound.", func() float64 { return number(g.blind(g.now())) }),
		gauge("feed_lag_seconds", "Time since the feed was last known to be complete.", func() float64 { return g.lag(g.now()).Seconds() }),
	} {
		errs = errors.Join(errs, r.Register(c))
	}
	if errs != nil {
		return fmt.Errorf("register metrics of the guard: %w", errs)
	}
	return nil
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
