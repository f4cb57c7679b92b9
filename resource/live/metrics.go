package live

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a connection was closed, as the metrics and the log say it.
const (
	whyClient    = "client"    // it closed, or its network broke
	whyEnded     = "ended"     // its session
	whyStopping  = "stopping"  // the server
	whySilent    = "silent"    // no pong
	whySlow      = "slow"      // it did not read
	whyNobody    = "nobody"    // no sign-in in time
	whyRate      = "rate"      // too many frames
	whyMalformed = "malformed" // too many that were not understood
	whyTooBig    = "too_big"   // a frame
	whyBinary    = "binary"    // a frame
	whyReplaced  = "replaced"  // by a newer one of the same user
)

// metrics are what the room counts. They count also when nobody collects them. Labels are bounded: types
// are those that are known, or "other"; results are "ok" or codes of refusals.
type metrics struct {
	frames  *prometheus.CounterVec
	closed  *prometheus.CounterVec
	refused *prometheus.CounterVec
	ended   prometheus.Counter
}

func newMetrics() *metrics {
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tallystick", Subsystem: "live", Name: name, Help: help}, labels)
	}
	return &metrics{
		frames:  vector("frames_total", "Frames that connections sent, by type and result.", "type", "result"),
		closed:  vector("closed_total", "Connections that ended, by why.", "why"),
		refused: vector("refused_total", "Connections that were not accepted, by why.", "why"),
		ended: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "tallystick", Subsystem: "live", Name: "sessions_ended_total", Help: "Connections that were told that their session had ended.",
		}),
	}
}

func (m *metrics) register(r prometheus.Registerer, l *Live) error {
	if r == nil {
		return nil
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "tallystick", Subsystem: "live", Name: name, Help: help}, f)
	}
	var errs error
	for _, c := range []prometheus.Collector{
		m.frames, m.closed, m.refused, m.ended,
		gauge("connections", "Connections that are open.", func() float64 { return float64(l.open.Load()) }),
		gauge("signed_in", "Connections that are signed in.", func() float64 { return float64(l.seats.size()) }),
	} {
		errs = errors.Join(errs, r.Register(c))
	}
	if errs != nil {
		return fmt.Errorf("register metrics of live connections: %w", errs)
	}
	return nil
}
