package session

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

// metrics are what a book counts. They count also when nobody collects them.
type metrics struct {
	opened *prometheus.CounterVec // by terminal, and whether it was made or joined
	ends   *prometheus.CounterVec // by subject and reason
}

// The ways into a session.
const (
	wayNew    = "new"
	wayJoined = "joined"
)

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_session_opened_total", Help: "Sign-ins by terminal, and by whether the session was made or joined.",
		}, []string{"terminal", "way"}),
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_session_ends_total", Help: "Sessions, clients and tokens that were ended here, by reason. Expiry ends nothing.",
		}, []string{"subject", "reason"}),
	}
	for _, terminal := range storage.Terminals() {
		m.opened.WithLabelValues(string(terminal), wayNew)
		m.opened.WithLabelValues(string(terminal), wayJoined)
	}
	for _, reason := range []storage.Reason{
		storage.Superseded, storage.Kicked, storage.Evicted, storage.SignedOut, storage.PasswordChanged, storage.Banned, storage.ReuseDetected,
	} {
		m.ends.WithLabelValues(string(storage.SubjectSession), string(reason))
	}
	if to == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.opened, m.ends} {
		if err := to.Register(c); err != nil {
			return nil, fmt.Errorf("session: register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) open(s *storage.Opened) {
	way := wayNew
	if s.Joined {
		way = wayJoined
	}
	m.opened.WithLabelValues(string(s.Session.Terminal), way).Inc()
}

func (m *metrics) end(events []storage.Event) {
	for i := range events {
		m.ends.WithLabelValues(string(events[i].Subject), string(events[i].End.Reason)).Inc()
	}
}
