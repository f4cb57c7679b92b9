package events

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a hub counts. They count also when nobody collects them.
type metrics struct {
	watchers prometheus.Gauge
	ends     prometheus.Counter
	begun    *prometheus.CounterVec
	finished *prometheus.CounterVec
}

func newMetrics() *metrics {
	options := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "tallystick", Subsystem: "events", Name: name, Help: help}
	}
	return &metrics{
		watchers: prometheus.NewGauge(prometheus.GaugeOpts(options("watchers", "Streams of session events that are open."))),
		ends:     prometheus.NewCounter(prometheus.CounterOpts(options("ends_total", "Ends passed on to those who watch."))),
		begun: prometheus.NewCounterVec(prometheus.CounterOpts(options(
			"streams_total", "Streams of session events, by how they began.")), []string{"mode"}),
		finished: prometheus.NewCounterVec(prometheus.CounterOpts(options(
			"streams_ended_total", "Streams of session events that ended, by why.")), []string{"why"}),
	}
}

// register hands everything to a registerer; nil is none.
func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	var errs error
	for _, c := range []prometheus.Collector{m.watchers, m.ends, m.begun, m.finished} {
		errs = errors.Join(errs, r.Register(c))
	}
	if errs != nil {
		return fmt.Errorf("register metrics: %w", errs)
	}
	return nil
}
