package problem

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
)

// ContentType is the media type of a problem (RFC 9457 §3).
const ContentType = "application/problem+json"

// Code is a stable code of a refusal.
type Code string

// The codes. Those of the wallet's refusals are the wallet's.
const (
	InsufficientFunds      Code = wallet.CodeInsufficientFunds
	UnknownRecipient       Code = wallet.CodeUnknownRecipient
	SameWallet             Code = wallet.CodeSameWallet
	AmountOutOfRange       Code = wallet.CodeAmountOutOfRange
	CurrencyUnknown        Code = wallet.CodeCurrencyUnknown
	LimitExceeded          Code = wallet.CodeLimitExceeded
	KeyRequired            Code = wallet.CodeKeyRequired
	InvalidRequest         Code = wallet.CodeInvalidRequest
	HoldClosed             Code = wallet.CodeHoldClosed
	ReversalExceeds        Code = wallet.CodeReversalExceeds
	NotReversible          Code = wallet.CodeNotReversible
	NotAllowed             Code = wallet.CodeNotAllowed
	WalletFrozen           Code = wallet.CodeFrozen
	KeyReused              Code = "idempotency_key_reused"
	WalletBusy             Code = "wallet_busy"
	NotFound               Code = "not_found"
	Conflict               Code = "conflict"
	BodyTooLarge           Code = "body_too_large"
	UnsupportedMediaType   Code = "unsupported_media_type"
	TemporarilyUnavailable Code = "temporarily_unavailable"
	Internal               Code = "internal"
)

// retryAfter is what a caller is asked to wait after a passing fault.
const retryAfter = time.Second

// entry is a line of the table.
type entry struct {
	status int
	title  string
}

// table is the one list of what can be refused. A code that is not in it is internal.
func table(c Code) (entry, bool) {
	switch c {
	case InsufficientFunds:
		return entry{http.StatusUnprocessableEntity, "Not enough money"}, true
	case UnknownRecipient:
		return entry{http.StatusNotFound, "Unknown recipient"}, true
	case SameWallet:
		return entry{http.StatusUnprocessableEntity, "Payer and recipient are the same"}, true
	case AmountOutOfRange:
		return entry{http.StatusUnprocessableEntity, "Amount out of range"}, true
	case CurrencyUnknown:
		return entry{http.StatusUnprocessableEntity, "Unknown currency"}, true
	case LimitExceeded:
		return entry{http.StatusUnprocessableEntity, "Limit exceeded"}, true
	case HoldClosed:
		return entry{http.StatusConflict, "Hold closed"}, true
	case ReversalExceeds:
		return entry{http.StatusUnprocessableEntity, "Reversal exceeds original"}, true
	case NotReversible:
		return entry{http.StatusUnprocessableEntity, "Not reversible"}, true
	case WalletFrozen:
		return entry{http.StatusForbidden, "Wallet frozen"}, true
	case NotAllowed:
		return entry{http.StatusForbidden, "Not allowed"}, true
	case KeyRequired:
		return entry{http.StatusBadRequest, "Idempotency key required"}, true
	case KeyReused:
		return entry{http.StatusUnprocessableEntity, "Idempotency key reused"}, true
	case WalletBusy:
		return entry{http.StatusLocked, "Wallet busy"}, true
	case InvalidRequest:
		return entry{http.StatusBadRequest, "Invalid request"}, true
	case Conflict:
		return entry{http.StatusConflict, "Conflict"}, true
	case NotFound:
		return entry{http.StatusNotFound, "Not found"}, true
	case BodyTooLarge:
		return entry{http.StatusRequestEntityTooLarge, "Body too large"}, true
	case UnsupportedMediaType:
		return entry{http.StatusUnsupportedMediaType, "Unsupported media type"}, true
	case TemporarilyUnavailable:
		return entry{http.StatusServiceUnavailable, "Temporarily unavailable"}, true
	case Internal:
		return entry{http.StatusInternalServerError, "Internal error"}, true
	}
	return entry{}, false
}

// Status is the HTTP status of a code; 500 for one that is not in the table.
func Status(c Code) int {
	e, known := table(c)
	if !known {
		return http.StatusInternalServerError
	}
	return e.status
}

// Problem is a refusal as the caller sees it, and its cause, which the caller never sees.
type Problem struct {
	Code   Code
	Detail string
	// RequestID is set for status 500 and above.
	RequestID string
	// RetryAfter, if not zero, is sent in whole seconds, rounded up.
	RetryAfter time.Duration
	// Cause goes to the log.
	Cause error
}

// New makes a problem with a detail that tells the caller what to do.
func New(code Code, detail string) *Problem { return &Problem{Code: code, Detail: detail} }

// Error implements error. It is for logs and holds the cause; bodies are made by MarshalJSON.
func (p *Problem) Error() string {
	s := string(p.Code) + ": " + p.Detail
	if p.Cause != nil {
		s += ": " + p.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Status is the HTTP status of the problem.
func (p *Problem) Status() int { return Status(p.Code) }

// MarshalJSON writes what the caller sees.
func (p *Problem) MarshalJSON() ([]byte, error) {
	code := p.Code
	e, known := table(code)
	if !known {
		code = Internal
		e, _ = table(Internal)
	}
	return json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Detail    string `json:"detail,omitempty"`
		Code      Code   `json:"code"`
		RequestID string `json:"request_id,omitempty"`
	}{"urn:tallystick:problem:" + string(code), e.title, e.status, p.Detail, code, p.RequestID})
}

// Recorded renders a refusal of the wallet as it is answered, for the wallet to record.
func Recorded(r *wallet.Refusal) json.RawMessage {
	b, err := New(Code(r.Code), r.Detail).MarshalJSON()
	if err != nil { // strings and a number: there is nothing that can fail
		return nil
	}
	return b
}
