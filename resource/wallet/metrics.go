package wallet

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
)

const (
	opTransfer   = "transfer"
	opDeposit    = "deposit"
	opWithdrawal = "withdrawal"
	opHold       = "hold"
	opCapture    = "capture"
	opVoid       = "void"
	opReversal   = "reversal"
)

type metrics struct {
	writes   *prometheus.CounterVec
	lockWait prometheus.Histogram
	lockless prometheus.Counter
	lockAway prometheus.Gauge
	stale    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tallystick_wallet_writes_total",
			Help: "Writes to wallets by operation and result; a result is ok, replayed or the code of the refusal.",
		}, []string{"operation", "result"}),
		lockWait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "tallystick_wallet_lock_wait_seconds",
			Help:    "How long a write waited for the payer's lock, had or not.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9),
		}),
		lockless: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tallystick_wallet_lockless_writes_total",
			Help: "Writes that went on with row locks alone because there was no telling who held the lock.",
		}),
		lockAway: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tallystick_wallet_lock_away",
			Help: "1 while wallet locks cannot be had.",
		}),
		stale: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tallystick_wallet_stale_fence_total",
			Help: "Postings given up because the payer's lock had been lost.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.writes, m.lockWait, m.lockless, m.lockAway, m.stale} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// count counts a write and passes its result on.
func (w *Wallet) count(op string, out Outcome, err error) (Outcome, error) {
	w.metrics.writes.WithLabelValues(op, result(out, err)).Inc()
	return out, err
}

func result(out Outcome, err error) string {
	r, refused := errors.AsType[*Refusal](err)
	switch {
	case refused:
		return r.Code
	case errors.Is(err, storage.ErrKeyReused):
		return "idempotency_key_reused"
	case errors.Is(err, storage.ErrEnded):
		return "session_ended"
	case errors.Is(err, storage.ErrBusy):
		return "wallet_busy"
	case errors.Is(err, storage.ErrUnavailable):
		return "temporarily_unavailable"
	case err != nil:
		return "internal"
	case out.Replayed:
		return "replayed"
	case out.Code != "":
		return out.Code
	}
	return "ok"
}
