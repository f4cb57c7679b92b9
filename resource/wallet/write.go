package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Outcome is the recorded answer to a write.
type Outcome struct {
	// Journal is what was posted; empty if Code says why nothing was.
	Journal storage.JournalID
	// Code is the stable code of the refusal; empty for success.
	Code string
	// Body is the answer, byte for byte the same each time.
	Body json.RawMessage
	// Replayed says that the answer was given before.
	Replayed bool
}

// Transfer moves money between two users.
//
// Errors: [*Refusal] for what the request alone shows to be wrong; [*storage.EndedError] if the
// bearer's session has ended; storage.ErrKeyReused; storage.ErrBusy if the payer's lock was not had in
// time, with nothing done; storage.ErrUnavailable, after which the key tells what happened.
func (w *Wallet) Transfer(ctx context.Context, o TransferOrder) (Outcome, error) {
	metadata, err := w.checkTransfer(&o)
	if err != nil {
		return w.count(opTransfer, Outcome{}, err)
	}
	out, err := w.write(ctx, storage.Posting{
		Key:         storage.IdempotencyKey{Client: o.Bearer.Client, User: o.User, Key: o.Key},
		RequestHash: o.hash(metadata),
		Bearer:      o.Bearer,
		Journal: storage.Journal{
			Kind: storage.KindTransfer, From: o.User, To: o.To,
			Amount: o.Amount, Memo: o.Memo, Metadata: metadata,
			Client: o.Bearer.Client, Actor: o.User, Session: o.Bearer.Session,
		},
		From:      storage.WalletAccount(o.User, o.Amount.Currency),
		To:        storage.WalletAccount(o.To, o.Amount.Currency),
		MustExist: o.To,
		Limits:    w.cfg.Limits[o.Amount.Currency],
		Success:   answerTransfer,
		Refuse:    w.refuses(storage.KindTransfer),
	}, route{payer: o.User, wait: w.wait(o.Wait)})
	if err != nil {
		err = fmt.Errorf("transfer: %w", err)
	}
	return w.count(opTransfer, out, err)
}

// Deposit moves money into a user's wallet from outside. It takes no lock. Its errors are those of
// [Wallet.Transfer].
func (w *Wallet) Deposit(ctx context.Context, o DepositOrder) (Outcome, error) {
	metadata, err := w.checkDeposit(&o)
	if err != nil {
		return w.count(opDeposit, Outcome{}, err)
	}
	out, err := w.write(ctx, storage.Posting{
		Key:         storage.IdempotencyKey{Client: o.Bearer.Client, Key: o.Key},
		RequestHash: o.hash(metadata),
		Bearer:      o.Bearer,
		Journal: storage.Journal{
			Kind: storage.KindDeposit, To: o.User,
			Amount: o.Amount, Reference: o.Reference, Metadata: metadata,
			Client: o.Bearer.Client, Session: o.Bearer.Session,
		},
		From:      storage.WorldAccount(o.Amount.Currency),
		To:        storage.WalletAccount(o.User, o.Amount.Currency),
		MustExist: o.User,
		Success:   answerDeposit,
		Refuse:    w.refuses(storage.KindDeposit),
	}, route{})
	if err != nil {
		err = fmt.Errorf("deposit: %w", err)
	}
	return w.count(opDeposit, out, err)
}

// wait bounds what a caller asked for.
func (w *Wallet) wait(asked *time.Duration) time.Duration {
	if asked == nil {
		return w.cfg.LockWait
	}
	return min(max(*asked, 0), w.cfg.LockWait)
}

// route is how a posting goes down the one road.
type route struct {
	// payer is whose lock is taken, waited for as long as wait says; empty for a credit.
	payer storage.UserID
	wait  time.Duration
	// lasts is how long a hold lasts; 0 for other kinds.
	lasts time.Duration
}

// write takes a posting down the one road.
func (w *Wallet) write(ctx context.Context, p storage.Posting, r route) (Outcome, error) {
	if r.payer == "" {
		if out, known, err := w.answered(ctx, &p); known || err != nil {
			return out, err
		}
		return w.post(ctx, p, r)
	}
	until := w.cfg.Now().Add(r.wait)
	for try := 1; ; try++ {
		out, err := w.postLocked(ctx, p, r)
		if !errors.Is(err, storage.ErrStale) {
			return out, err
		}
		w.metrics.stale.Inc()
		if try == postTries {
			return Outcome{}, fmt.Errorf("lost the lock %d times: %w", try, errors.Join(storage.ErrBusy, err))
		}
		r.wait = max(until.Sub(w.cfg.Now()), 0)
	}
}

// answered gives what was answered under a posting's key, if anything was.
func (w *Wallet) answered(ctx context.Context, p *storage.Posting) (out Outcome, known bool, err error) {
	a, err := w.cfg.Ledger.Answered(ctx, p.Key, p.RequestHash)
	switch {
	case err == nil:
		return outcome(a, true), true, nil
	case errors.Is(err, storage.ErrNotFound):
		return Outcome{}, false, nil
	}
	return Outcome{}, false, fmt.Errorf("look up key: %w", err)
}

// postLocked posts under the payer's lock, or without where there is no telling who has it. The key is looked up before
// anything is waited for or refused, and again with the fence: a write that waited may find its twin's answer.
func (w *Wallet) postLocked(ctx context.Context, p storage.Posting, r route) (Outcome, error) {
	began := w.cfg.Now()
	lease, err := w.obtain(ctx, r.payer, 0)
	if err != nil {
		if out, known, err := w.answered(ctx, &p); known || err != nil {
			return out, err
		}
		if r.wait > 0 && errors.Is(err, storage.ErrBusy) {
			lease, err = w.obtain(ctx, r.payer, max(r.wait-w.cfg.Now().Sub(began), 0))
		}
	}
	release, held, err := w.lock(ctx, began, lease, err)
	if err != nil {
		return Outcome{}, err
	}
	defer release()
	if held {
		f, err := w.cfg.Ledger.Footing(ctx, p.Key, p.RequestHash, p.From)
		switch {
		case err != nil:
			return Outcome{}, fmt.Errorf("look up key and fence: %w", err)
		case f.Answer != nil:
			return outcome(*f.Answer, true), nil
		}
		p.Fence = &f.Fence
	}
	return w.post(ctx, p, r)
}

// post stamps the posting only here: a session may have run out while its owner waited for the lock.
func (w *Wallet) post(ctx context.Context, p storage.Posting, r route) (Outcome, error) {
	p.Now = storage.Instant(w.cfg.Now())
	p.Journal.ID = storage.JournalID(storage.NewID(p.Now))
	p.Journal.CreatedAt = p.Now
	if r.lasts > 0 {
		p.HoldUntil = p.Now.Add(r.lasts)
	}
	posted, err := w.cfg.Ledger.Post(ctx, p)
	if err != nil {
		return Outcome{}, fmt.Errorf("post: %w", err)
	}
	return outcome(posted.Answer, posted.Replayed), nil
}

func outcome(a storage.Answer, replayed bool) Outcome {
	return Outcome{Journal: a.Journal, Code: a.Code, Body: a.Body, Replayed: replayed}
}
