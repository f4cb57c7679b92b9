package wallet

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// ReversalOrder asks to move back what a transfer moved, or a part of it.
type ReversalOrder struct {
	Bearer   storage.Bearer
	Actor    storage.UserID // empty for an internal app
	Original storage.JournalID
	// Amount is in minor units; 0 means all that is left of the original after its other reversals.
	Amount   int64
	Memo     string
	Metadata map[string]string
	Key      string
	// Wait is as in [TransferOrder]; the lock is that of whoever gives back.
	Wait *time.Duration
}

// Reverse moves money back to where a transfer or capture took it from; an internal app may reverse a
// deposit or withdrawal as well. Of users the recipient of the money may, and nobody else: to the payer it says
// [CodeNotAllowed], to strangers storage.ErrNotFound. All reversals of one transfer together never
// exceed it: [CodeReversalExceeds]. Its other errors are those of [Wallet.Transfer].
func (w *Wallet) Reverse(ctx context.Context, o ReversalOrder) (Outcome, error) {
	out, err := w.reverse(ctx, &o)
	if err != nil {
		err = fmt.Errorf("reverse: %w", err)
	}
	return w.count(opReversal, out, err)
}

func (w *Wallet) reverse(ctx context.Context, o *ReversalOrder) (Outcome, error) {
	if err := checkKey(o.Key); err != nil {
		return Outcome{}, err
	}
	if o.Amount < 0 || o.Amount > money.Max {
		return Outcome{}, refuse(CodeAmountOutOfRange, "amount %d is not between 1 and %d", o.Amount, money.Max)
	}
	if err := checkText("memo", o.Memo, 0, MaxMemo); err != nil {
		return Outcome{}, err
	}
	metadata, err := canonical(o.Metadata)
	if err != nil {
		return Outcome{}, err
	}
	original, err := w.reversible(ctx, o.Actor, o.Original)
	if err != nil {
		return Outcome{}, err
	}
	amount := original.Amount
	amount.Minor = o.Amount
	return w.write(ctx, storage.Posting{
		Key:         storage.IdempotencyKey{Client: o.Bearer.Client, User: o.Actor, Key: o.Key},
		RequestHash: hashWith(metadata, "reversal/1", string(o.Original), strconv.FormatInt(o.Amount, 10), o.Memo),
		Bearer:      o.Bearer,
		Journal: storage.Journal{
			Kind: storage.KindReversal, Original: original.ID, From: original.To, To: original.From, Amount: amount,
			Memo: o.Memo, Reference: original.Reference, Metadata: metadata,
			Client: o.Bearer.Client, Actor: o.Actor, Session: o.Bearer.Session,
		},
		From:    otherSide(original.To, amount.Currency),
		To:      otherSide(original.From, amount.Currency),
		Rest:    amount.Minor == 0,
		Success: answerTransfer,
		Refuse:  w.refuses(storage.KindReversal),
	}, route{payer: original.To, wait: w.wait(o.Wait)})
}

// reversible finds a journal that an actor may reverse.
func (w *Wallet) reversible(ctx context.Context, actor storage.UserID, id storage.JournalID) (storage.Journal, error) {
	j, err := w.moved(ctx, actor, id)
	if err != nil {
		return j, err
	}
	switch {
	case j.Kind == storage.KindReversal:
		return j, refuse(CodeNotReversible, "a reversal is not reversed; make a new transfer")
	case actor != "" && (actor != j.To || j.From == ""):
		return j, refuse(CodeNotAllowed, "a transfer is reversed by the one who got the money, or by an internal app")
	}
	return j, nil
}

// WithdrawalOrder asks to move money out of a user's wallet to the outside.
type WithdrawalOrder struct {
	// Bearer is the internal app's token.
	Bearer    storage.Bearer
	User      storage.UserID
	Amount    money.Amount
	Reference string
	Metadata  map[string]string
	Key       string
	Wait      *time.Duration
}

// Withdraw moves money out of a user's wallet, under that user's lock. Its errors are those of
// [Wallet.Transfer].
func (w *Wallet) Withdraw(ctx context.Context, o WithdrawalOrder) (Outcome, error) {
	d := DepositOrder{User: o.User, Amount: o.Amount, Reference: o.Reference, Metadata: o.Metadata, Key: o.Key}
	metadata, err := w.checkDeposit(&d)
	if err != nil {
		return w.count(opWithdrawal, Outcome{}, err)
	}
	out, err := w.write(ctx, storage.Posting{
		Key:         storage.IdempotencyKey{Client: o.Bearer.Client, Key: o.Key},
		RequestHash: hashWith(metadata, "withdrawal/1", string(o.User), strconv.FormatInt(o.Amount.Minor, 10), string(o.Amount.Currency), o.Reference),
		Bearer:      o.Bearer,
		Journal: storage.Journal{
			Kind: storage.KindWithdrawal, From: o.User, Amount: o.Amount, Reference: o.Reference, Metadata: metadata,
			Client: o.Bearer.Client, Session: o.Bearer.Session,
		},
		From:      storage.WalletAccount(o.User, o.Amount.Currency),
		To:        storage.WorldAccount(o.Amount.Currency),
		MustExist: o.User,
		Success:   answerWithdrawal,
		Refuse:    w.refuses(storage.KindWithdrawal),
	}, route{payer: o.User, wait: w.wait(o.Wait)})
	if err != nil {
		err = fmt.Errorf("withdraw: %w", err)
	}
	return w.count(opWithdrawal, out, err)
}
