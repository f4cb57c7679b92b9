package wallet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// lock says what became of the payer's lock, for which a write has asked since began. held is false where there is no
// telling who has it and the configuration lets the row locks stand alone. release is never nil when err is.
func (w *Wallet) lock(ctx context.Context, began time.Time, lease storage.Lease, err error) (release func(), held bool, _ error) {
	w.metrics.lockWait.Observe(w.cfg.Now().Sub(began).Seconds())
	switch {
	case err == nil:
		w.lockBack(ctx)
		return func() { letGo(ctx, lease) }, true, nil
	case errors.Is(err, errStopping):
		return nil, false, fmt.Errorf("lock wallet: %w", errors.Join(storage.ErrUnavailable, err))
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, false, fmt.Errorf("lock wallet: %w", context.Cause(ctx))
	case errors.Is(err, storage.ErrBusy), errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, storage.ErrUnavailable):
		return nil, false, fmt.Errorf("lock wallet: %w", errors.Join(storage.ErrBusy, err))
	case !errors.Is(err, storage.ErrUnavailable) || w.cfg.LockRequired:
		return nil, false, fmt.Errorf("lock wallet: %w", errors.Join(storage.ErrUnavailable, err))
	}
	w.lockAway(ctx, err)
	return func() {}, false, nil
}

// errStopping says that a wait was ended by the stop of the process.
var errStopping = errors.New("this process is stopping")

// obtain takes the lock, or gives up when the process stops. It takes what was had in that very moment.
func (w *Wallet) obtain(ctx context.Context, payer storage.UserID, wait time.Duration) (storage.Lease, error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.cfg.Stopping, func() { cancel(errStopping) })() //nolint:contextcheck // the stop is not the request's.
	lease, err := w.cfg.Locker.Lock(waiting, payer, wait)
	if err != nil && errors.Is(context.Cause(waiting), errStopping) {
		return nil, errStopping // also for who would have found it busy: not asking again here is better advice
	}
	return lease, err
}

// letGo releases a lock also for a caller that has gone.
func letGo(ctx context.Context, lease storage.Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	lease.Release(ctx)
}

func (w *Wallet) lockAway(ctx context.Context, err error) {
	w.metrics.lockless.Inc()
	if w.lockless.CompareAndSwap(false, true) {
		w.metrics.lockAway.Set(1)
		w.cfg.Log.WarnContext(ctx, "wallet locks are away; the ledger's row locks stand alone", "err", err)
	}
}

func (w *Wallet) lockBack(ctx context.Context) {
	if w.lockless.CompareAndSwap(true, false) {
		w.metrics.lockAway.Set(0)
		w.cfg.Log.InfoContext(ctx, "wallet locks are back")
	}
}
