package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

const (
	// DefaultLockWait is how long a write waits for the payer's lock, and the most it can ask for.
	DefaultLockWait = 60 * time.Second
	// MaxCurrencies bounds the currencies of one ledger, and with them the work for one page of a
	// statement.
	MaxCurrencies = 32
	// DefaultLimit is the size of a page of a statement for which nothing is said.
	DefaultLimit = 20
	// MaxLimit is the largest page.
	MaxLimit = 200
	// MaxMemo and MaxReference are in bytes.
	MaxMemo = 256
	// MaxReference is in bytes.
	MaxReference = 128
	// MaxKey is the length of an idempotency key.
	MaxKey = 64

	postTries      = 4                // postings after a lost lock, the first included
	releaseTimeout = 5 * time.Second  // for letting go of a lock
	maxUserID      = 32               // bytes of a subject identifier as stored
	maxWaitBound   = 10 * time.Minute // what LockWait can be set to
)

// Config is what a [Wallet] is made of.
type Config struct {
	Ledger storage.Ledger
	Locker storage.Locker
	// Currencies that are dealt in, in the order in which balances are listed. At least one.
	Currencies []money.Currency
	// Exponents are those of the currencies that ISO 4217 does not list: how many digits follow the point, 0 to
	// [money.MaxExponent]. Every currency must be listed there or here.
	Exponents map[money.Currency]int
	// MaxAmount is the largest amount of one write, in minor units; 0 means [money.Max].
	MaxAmount int64
	// Limits bound, by currency, the transfers and holds of wallets that have no limits of their own; none for
	// a currency that is not there.
	Limits map[money.Currency]storage.Limits
	// LockWait is how long a write waits for the payer's lock; 0 means [DefaultLockWait].
	LockWait time.Duration
	// LockRequired refuses writes while nobody can tell who holds a lock. The books are right without.
	LockRequired bool
	// Stopping ends when the process begins to stop: what waits for a lock then, or would have to, is refused
	// with storage.ErrUnavailable and nothing done, since waiting can take longer than a stop may. Who has
	// a lock goes on. Nil means never.
	Stopping context.Context //nolint:containedctx // It is not that of a request.
	// Refusal renders what is recorded, and answered, for a refusal of the books. It must be pure. Nil
	// means the refusal's own JSON.
	Refusal func(*Refusal) json.RawMessage
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets the transitions of the lock; nil means slog.Default.
	Log *slog.Logger
	// Metrics may be nil.
	Metrics prometheus.Registerer
}

// Wallet moves money and shows it. It is safe for concurrent use and keeps no state of its own but
// whether the lock was to be had.
type Wallet struct {
	cfg     Config
	metrics *metrics
	// lockless is true from the first write that found no locker until the next that did.
	lockless atomic.Bool
}

// New checks the configuration and builds a Wallet.
func New(cfg Config) (*Wallet, error) {
	cfg.Currencies, cfg.Exponents, cfg.Limits = slices.Clone(cfg.Currencies), maps.Clone(cfg.Exponents), maps.Clone(cfg.Limits)
	if cfg.MaxAmount == 0 {
		cfg.MaxAmount = money.Max
	}
	if cfg.LockWait == 0 {
		cfg.LockWait = DefaultLockWait
	}
	if cfg.Stopping == nil {
		cfg.Stopping = context.Background()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Refusal == nil {
		cfg.Refusal = func(r *Refusal) json.RawMessage { return mustJSON(r) }
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return &Wallet{cfg: cfg, metrics: m}, nil
}

func (c *Config) validate() error {
	var faults []error
	if c.Ledger == nil {
		faults = append(faults, errors.New("no ledger"))
	}
	if c.Locker == nil {
		faults = append(faults, errors.New("no locker"))
	}
	if n := len(c.Currencies); n < 1 || n > MaxCurrencies {
		faults = append(faults, fmt.Errorf("currencies: %d given, not 1 to %d", n, MaxCurrencies))
	}
	for i, cur := range c.Currencies {
		if _, err := money.ParseCurrency(string(cur)); err != nil {
			faults = append(faults, fmt.Errorf("currencies: %w", err))
		} else if n, ok := c.exponent(cur); !ok || n < 0 || n > money.MaxExponent {
			faults = append(faults, fmt.Errorf("currencies: %s has no exponent between 0 and %d", cur, money.MaxExponent))
		}
		if slices.Contains(c.Currencies[:i], cur) {
			faults = append(faults, fmt.Errorf("currencies: %s is there twice", cur))
		}
	}
	if c.MaxAmount < 1 || c.MaxAmount > money.Max {
		faults = append(faults, fmt.Errorf("max_amount: %d is not between 1 and %d", c.MaxAmount, money.Max))
	}
	for cur, l := range c.Limits {
		if !slices.Contains(c.Currencies, cur) {
			faults = append(faults, fmt.Errorf("limits: %s is not dealt in", cur))
		}
		for _, bound := range []*int64{l.Single, l.Daily} {
			if bound != nil && (*bound < 0 || *bound > money.Max) {
				faults = append(faults, fmt.Errorf("limits of %s: %d is not between 0 and %d", cur, *bound, money.Max))
			}
		}
	}
	if c.LockWait < 0 || c.LockWait > maxWaitBound {
		faults = append(faults, fmt.Errorf("lock.wait: %s is not between 0 and %s", c.LockWait, maxWaitBound))
	}
	return errors.Join(faults...)
}

// exponent is that of a currency, and whether there is one. What ISO 4217 says comes first.
func (c *Config) exponent(cur money.Currency) (n int, ok bool) {
	if n, ok = cur.Known(); ok {
		return n, true
	}
	n, ok = c.Exponents[cur]
	return n, ok
}

// Dealt is a currency that is dealt in: Exponent digits of its minor unit follow the point.
type Dealt struct {
	Currency money.Currency
	Exponent int
}

// Currencies are those that are dealt in, in the order of the configuration.
func (w *Wallet) Currencies() []Dealt {
	all := make([]Dealt, len(w.cfg.Currencies))
	for i, c := range w.cfg.Currencies {
		n, _ := w.cfg.exponent(c) // New has seen that there is one
		all[i] = Dealt{c, n}
	}
	return all
}

// LockWait is the longest that a write waits for the payer's lock.
func (w *Wallet) LockWait() time.Duration { return w.cfg.LockWait }
