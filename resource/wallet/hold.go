package wallet

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

const (
	// DefaultHold is how long a hold lasts for which nothing is said.
	DefaultHold = 7 * 24 * time.Hour
	// MinHold and MaxHold bound what can be asked for.
	MinHold = time.Second
	// MaxHold is the longest that a hold lasts.
	MaxHold = 31 * 24 * time.Hour
)

// HoldOrder asks to reserve money in a wallet.
type HoldOrder struct {
	// Bearer is whose token it is; Actor its user, empty for an internal app.
	Bearer storage.Bearer
	Actor  storage.UserID
	// User is whose money is held: the actor, or whom an internal app names.
	User storage.UserID
	// To gets what is captured; empty for money that goes outside, which an internal app alone can take.
	To        storage.UserID
	Amount    money.Amount
	Memo      string
	Reference string
	Metadata  map[string]string
	// For is how long the hold lasts, in whole seconds; 0 means [DefaultHold].
	For time.Duration
	Key string
	// Wait is as in [TransferOrder].
	Wait *time.Duration
}

// CaptureOrder asks to take money out of a hold.
type CaptureOrder struct {
	Bearer storage.Bearer
	Actor  storage.UserID // empty for an internal app
	Hold   storage.JournalID
	// Amount is in minor units; 0 means all that is held. What is not taken is let go of.
	Amount int64
	// Metadata are those of the hold where there are none.
	Metadata map[string]string
	Key      string
	Wait     *time.Duration
}

// VoidOrder asks to let go of a hold.
type VoidOrder struct {
	Bearer storage.Bearer
	Actor  storage.UserID // empty for an internal app
	Hold   storage.JournalID
	Key    string
}

// Hold reserves money. Its errors are those of [Wallet.Transfer].
func (w *Wallet) Hold(ctx context.Context, o HoldOrder) (Outcome, error) {
	if o.For == 0 {
		o.For = DefaultHold
	}
	err := w.checkHold(&o)
	if err != nil {
		return w.count(opHold, Outcome{}, err)
	}
	metadata, err := canonical(o.Metadata)
	if err != nil {
		return w.count(opHold, Outcome{}, err)
	}
	out, err := w.write(ctx, storage.Posting{
		Key:         storage.IdempotencyKey{Client: o.Bearer.Client, User: o.Actor, Key: o.Key},
		RequestHash: o.hash(metadata),
		Bearer:      o.Bearer,
		Journal: storage.Journal{
			Kind: storage.KindHold, From: o.User, To: o.To, Amount: o.Amount, Memo: o.Memo, Reference: o.Reference, Metadata: metadata,
			Client: o.Bearer.Client, Actor: o.Actor, Session: o.Bearer.Session,
		},
		From:      storage.WalletAccount(o.User, o.Amount.Currency),
		To:        otherSide(o.To, o.Amount.Currency),
		MustExist: o.mustExist(),
		Limits:    w.cfg.Limits[o.Amount.Currency],
		Success:   func(j storage.Journal) storage.Answer { return answerHold(j, j.CreatedAt.Add(o.For)) },
		Refuse:    w.refuses(storage.KindHold),
	}, route{payer: o.User, wait: w.wait(o.Wait), lasts: o.For})
	if err != nil {
		err = fmt.Errorf("hold: %w", err)
	}
	return w.count(opHold, out, err)
}

// mustExist is the recipient. A payer who does not exist has nothing to hold.
func (o *HoldOrder) mustExist() storage.UserID {
	if o.To == "" {
		return o.User
	}
	return o.To
}

// Capture takes all of a hold or a part of it. Its recipient may, an internal app, and the payer who placed it
// himself for somebody else; the payer of a hold that an app placed may not ([CodeNotAllowed]). To everybody else the
// hold does not exist: storage.ErrNotFound. Its other errors are those of [Wallet.Transfer].
func (w *Wallet) Capture(ctx context.Context, o CaptureOrder) (Outcome, error) {
	out, err := w.capture(ctx, &o)
	if err != nil {
		err = fmt.Errorf("capture: %w", err)
	}
	return w.count(opCapture, out, err)
}

func (w *Wallet) capture(ctx context.Context, o *CaptureOrder) (Outcome, error) {
	if err := checkKey(o.Key); err != nil {
		return Outcome{}, err
	}
	if o.Amount < 0 || o.Amount > money.Max {
		return Outcome{}, refuse(CodeAmountOutOfRange, "amount %d is not between 1 and %d", o.Amount, money.Max)
	}
	metadata, err := canonical(o.Metadata)
	if err != nil {
		return Outcome{}, err
	}
	h, err := w.closable(ctx, o.Actor, o.Hold, storage.KindCapture)
	if err != nil {
		return Outcome{}, err
	}
	amount := h.Amount
	if o.Amount != 0 {
		amount.Minor = o.Amount
	}
	made := h.journal
	return w.write(ctx, storage.Posting{
		Key:         storage.IdempotencyKey{Client: o.Bearer.Client, User: o.Actor, Key: o.Key},
		RequestHash: hashWith(metadata, "capture/1", string(o.Hold), strconv.FormatInt(o.Amount, 10)),
		Bearer:      o.Bearer,
		Journal: storage.Journal{
			Kind: storage.KindCapture, Original: h.ID, From: h.From, To: h.To, Amount: amount,
			Memo: made.Memo, Reference: made.Reference, Metadata: cmp.Or(metadata, made.Metadata),
			Client: o.Bearer.Client, Actor: o.Actor, Session: o.Bearer.Session,
		},
		From:    h.Account,
		To:      otherSide(h.To, h.Amount.Currency),
		Success: answerTransfer,
		Refuse:  w.refuses(storage.KindCapture),
	}, route{payer: h.From, wait: w.wait(o.Wait)})
}

// Void lets go of a hold. Who may is as for [Wallet.Capture], and the payer who placed it also where the money
// would go outside. Its errors are those too; no lock is taken, since no money is.
func (w *Wallet) Void(ctx context.Context, o VoidOrder) (Outcome, error) {
	out, err := w.void(ctx, &o)
	if err != nil {
		err = fmt.Errorf("void: %w", err)
	}
	return w.count(opVoid, out, err)
}

func (w *Wallet) void(ctx context.Context, o *VoidOrder) (Outcome, error) {
	if err := checkKey(o.Key); err != nil {
		return Outcome{}, err
	}
	h, err := w.closable(ctx, o.Actor, o.Hold, storage.KindVoid)
	if err != nil {
		return Outcome{}, err
	}
	return w.write(ctx, storage.Posting{
		Key:         storage.IdempotencyKey{Client: o.Bearer.Client, User: o.Actor, Key: o.Key},
		RequestHash: hashFields("void/1", string(o.Hold)),
		Bearer:      o.Bearer,
		Journal: storage.Journal{
			Kind: storage.KindVoid, Original: h.ID, From: h.From, To: h.To, Amount: h.Amount,
			Client: o.Bearer.Client, Actor: o.Actor, Session: o.Bearer.Session,
		},
		From:    h.Account,
		To:      otherSide(h.To, h.Amount.Currency),
		Success: func(j storage.Journal) storage.Answer { return answerVoid(h, j) },
		Refuse:  w.refuses(storage.KindVoid),
	}, route{})
}

// heldMoney is a hold and the journal that made it.
type heldMoney struct {
	storage.Hold
	journal storage.Journal
}

// HoldByID returns a hold to a party to it, or to an internal app, whose actor is empty. To everybody
// else it does not exist: storage.ErrNotFound.
func (w *Wallet) HoldByID(ctx context.Context, actor storage.UserID, id storage.JournalID) (Hold, error) {
	h, err := w.held(ctx, actor, id)
	if err != nil {
		return Hold{}, fmt.Errorf("hold by id: %w", err)
	}
	return holdOf(&h.Hold, &h.journal), nil
}

func (w *Wallet) held(ctx context.Context, actor storage.UserID, id storage.JournalID) (heldMoney, error) {
	if len(id) != storage.IDLength {
		return heldMoney{}, storage.ErrNotFound
	}
	h, err := w.cfg.Ledger.Hold(ctx, id)
	if err != nil {
		return heldMoney{}, err
	}
	if actor != "" && actor != h.From && actor != h.To {
		return heldMoney{}, fmt.Errorf("not a party: %w", storage.ErrNotFound)
	}
	j, err := w.cfg.Ledger.Journal(ctx, id)
	return heldMoney{h, j}, err
}

// closable finds a hold that an actor may capture or void, as the kind says. A payer takes no money outside: that
// is a withdrawal, which is an app's.
func (w *Wallet) closable(ctx context.Context, actor storage.UserID, id storage.JournalID, kind storage.JournalKind) (heldMoney, error) {
	h, err := w.held(ctx, actor, id)
	if err != nil {
		return h, err
	}
	switch {
	case actor == "" || actor == h.To:
		return h, nil
	case actor != h.journal.Actor:
		return h, refuse(CodeNotAllowed, "a hold is captured or voided by who placed it, its recipient or an internal app; to its payer it comes back when it expires")
	case h.To == "" && kind == storage.KindCapture:
		return h, refuse(CodeNotAllowed, "a hold of money that goes outside is captured by an internal app; who placed it may void it")
	}
	return h, nil
}

func (w *Wallet) checkHold(o *HoldOrder) error {
	if err := checkKey(o.Key); err != nil {
		return err
	}
	if err := w.checkAmount(o.Amount); err != nil {
		return err
	}
	if err := checkText("memo", o.Memo, 0, MaxMemo); err != nil {
		return err
	}
	if err := checkText("reference", o.Reference, 0, MaxReference); err != nil {
		return err
	}
	if o.For < MinHold || o.For > MaxHold || o.For%time.Second != 0 {
		return refuse(CodeInvalidRequest, "expires_in: not between %d and %d seconds", int(MinHold/time.Second), int(MaxHold/time.Second))
	}
	if err := checkUser(o.User); err != nil {
		return err
	}
	if o.To == "" {
		return nil
	}
	if o.To == o.User {
		return refuse(CodeSameWallet, "payer and recipient are the same user")
	}
	return checkUser(o.To)
}

func (o *HoldOrder) hash(metadata string) [32]byte {
	return hashWith(metadata, "hold/1", string(o.User), string(o.To), strconv.FormatInt(o.Amount.Minor, 10), string(o.Amount.Currency),
		o.Memo, o.Reference, o.For.String())
}

// otherSide is the account of a recipient, or that of the world outside where there is none.
func otherSide(user storage.UserID, currency money.Currency) storage.AccountID {
	if user == "" {
		return storage.WorldAccount(currency)
	}
	return storage.WalletAccount(user, currency)
}
