package federation

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/oauth"
)

// The outcomes of exchanges that are no code of the protocol.
const (
	outcomeOK         = "ok"
	outcomeRemembered = "remembered"
)

// metrics counts exchanges. Its labels are bounded: the providers there are, and the codes of the protocol.
type metrics struct{ exchanges *prometheus.CounterVec }

func newMetrics(to prometheus.Registerer, providers []Provider) (*metrics, error) {
	m := &metrics{exchanges: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tallystick_federation_exchanges_total",
		Help: "Codes that were presented, by provider and outcome; remembered ones were answered without asking.",
	}, []string{"provider", "outcome"})}
	for _, p := range providers {
		m.exchanges.WithLabelValues(p.Name(), outcomeOK)
		m.exchanges.WithLabelValues(p.Name(), outcomeRemembered)
	}
	if to == nil {
		return m, nil
	}
	if err := to.Register(m.exchanges); err != nil {
		return nil, fmt.Errorf("federation: register metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) count(p Provider, outcome string) {
	m.exchanges.WithLabelValues(p.Name(), outcome).Inc()
}

func outcomeOf(err error) string {
	if err == nil {
		return outcomeOK
	}
	if refused, ok := errors.AsType[*oauth.Error](err); ok {
		return string(refused.Code)
	}
	return string(oauth.ServerFault)
}
