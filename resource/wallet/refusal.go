package wallet

import (
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// The stable codes of refusals.
const (
	CodeInsufficientFunds = "insufficient_funds"
	CodeUnknownRecipient  = "unknown_recipient"
	CodeSameWallet        = "same_wallet"
	CodeAmountOutOfRange  = "amount_out_of_range"
	CodeCurrencyUnknown   = "currency_unknown"
	CodeLimitExceeded     = "limit_exceeded"
	CodeKeyRequired       = "idempotency_key_required"
	CodeInvalidRequest    = "invalid_request"
	// CodeHoldClosed: captured, voided or expired before.
	CodeHoldClosed = "hold_closed"
	// CodeReversalExceeds: more than is left of what was moved.
	CodeReversalExceeds = "reversal_exceeds_original"
	// CodeNotReversible: a journal of a kind that is not reversed.
	CodeNotReversible = "not_reversible"
	// CodeFrozen: nothing leaves the wallet for now.
	CodeFrozen = "wallet_frozen"
	// CodeNotAllowed: by a party who may see it, but not do this to it.
	CodeNotAllowed = "not_allowed"
)

// ErrCursor says that a cursor is not one that this statement handed out.
var ErrCursor = errors.New("cursor is not one of this statement")

// Refusal is a refusal of business: its code for programs, its detail for people. The detail is the
// caller's own request told back and never says anything about somebody else.
type Refusal struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Error implements error.
func (r *Refusal) Error() string { return r.Code + ": " + r.Detail }

// Is compares codes: errors.Is(err, &wallet.Refusal{Code: wallet.CodeSameWallet}).
func (r *Refusal) Is(target error) bool {
	t, ok := errors.AsType[*Refusal](target)
	return ok && t.Code == r.Code
}

func refuse(code, format string, args ...any) error {
	return &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// refusal names what the books refused a journal of a kind.
func refusal(kind storage.JournalKind, err error) *Refusal {
	switch {
	case errors.Is(err, storage.ErrFrozen):
		return &Refusal{CodeFrozen, "the wallet is frozen and nothing leaves it; nothing was moved"}
	case errors.Is(err, storage.ErrOverLimit):
		return overLimit(err)
	case errors.Is(err, storage.ErrClosed):
		return &Refusal{CodeHoldClosed, "the hold was captured or voided before, or is past its time; nothing was moved"}
	case errors.Is(err, storage.ErrExceeds) && kind == storage.KindCapture:
		return &Refusal{CodeAmountOutOfRange, "that is more than is held; nothing was moved"}
	case errors.Is(err, storage.ErrExceeds):
		return &Refusal{CodeReversalExceeds, "that is more than is left of the original after its other reversals; nothing was moved"}
	case errors.Is(err, storage.ErrInsufficient):
		return &Refusal{CodeInsufficientFunds, "the wallet does not have that much available; nothing was moved"}
	case errors.Is(err, storage.ErrNotFound):
		return &Refusal{CodeUnknownRecipient, "there is no such user; nothing was moved"}
	case errors.Is(err, money.ErrRange):
		return &Refusal{CodeLimitExceeded, "the amount would carry a balance beyond what the ledger can hold; nothing was moved"}
	}
	return &Refusal{CodeInvalidRequest, "the ledger refused; nothing was moved"}
}

// overLimit names the limit, and what is left of it.
func overLimit(err error) *Refusal {
	told, ok := errors.AsType[*storage.LimitError](err)
	switch {
	case !ok:
		return &Refusal{CodeLimitExceeded, "that is above a limit; nothing was moved"}
	case told.Limit == storage.LimitSingle:
		return &Refusal{CodeLimitExceeded, fmt.Sprintf("the limit of a single payment in %s is %d; nothing was moved", told.Currency, told.Bound)}
	}
	return &Refusal{CodeLimitExceeded, fmt.Sprintf("the daily limit in %s is %d, of which %d is left until midnight UTC; nothing was moved",
		told.Currency, told.Bound, told.Left)}
}
