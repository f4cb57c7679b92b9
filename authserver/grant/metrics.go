package grant

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/password"
)

// metrics counts token requests. Its labels are bounded: grants are those that are served, or
// "other"; results are "ok", a code of the protocol, or the reason why a session has ended.
type metrics struct {
	requests *prometheus.CounterVec
	shed     prometheus.Counter
	ok       map[string]prometheus.Counter
}

func newMetrics(to prometheus.Registerer, grants []string) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_token_requests_total", Help: "Token requests by grant and result.",
		}, []string{"grant", "result"}),
		shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tallystick_token_requests_shed_total", Help: "Token requests refused because too many passwords were waiting.",
		}),
		ok: make(map[string]prometheus.Counter, len(grants)),
	}
	for _, grant := range grants {
		m.ok[grant] = m.requests.WithLabelValues(grant, "ok")
	}
	if to == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.shed} {
		if err := to.Register(c); err != nil {
			return nil, fmt.Errorf("register token metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(grant string, err error) {
	ok, known := m.ok[grant]
	if err == nil {
		ok.Inc()
		return
	}
	if !known {
		grant = "other"
	}
	result := string(oauth.ServerFault)
	if refused, presented := errors.AsType[*oauth.Error](err); presented {
		result = string(refused.Code)
		if refused.Reason != "" {
			result = refused.Reason
		}
	}
	m.requests.WithLabelValues(grant, result).Inc()
	if _, overloaded := errors.AsType[*password.OverloadError](err); overloaded {
		m.shed.Inc()
	}
}
