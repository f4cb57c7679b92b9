package wallet

import (
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// StatusCompleted is the status of money that has moved. A posting is complete when it is committed.
const StatusCompleted = "completed"

// Transfer is money that has moved, as it is shown to the parties to it, and recorded as the answer
// under its key: a transfer, capture, reversal, deposit or withdrawal. From is nil where the money came from
// outside, To where it went there.
type Transfer struct {
	ID       storage.JournalID   `json:"id"`
	Kind     storage.JournalKind `json:"kind"`
	From     *storage.UserID     `json:"from"`
	To       *storage.UserID     `json:"to"`
	Amount   money.Minor         `json:"amount"`
	Currency money.Currency      `json:"currency"`
	Memo     string              `json:"memo"`
	// Reference is left out where there is none. Hold is what a capture was taken out of, and Reverses what a
	// reversal moved back.
	Reference string            `json:"reference,omitempty"`
	Metadata  json.RawMessage   `json:"metadata,omitempty"`
	Hold      storage.JournalID `json:"hold,omitempty"`
	Reverses  storage.JournalID `json:"reverses,omitempty"`
	Status    string            `json:"status"`
	CreatedAt time.Time         `json:"created_at"`
}

// Hold is a hold as it is shown to the parties to it, and recorded as the answer under its key. To is nil
// where what is captured goes outside. ClosedBy is the journal that closed it, which for a capture is a transfer
// to read; nil while it is open.
type Hold struct {
	ID        storage.JournalID  `json:"id"`
	From      storage.UserID     `json:"from"`
	To        *storage.UserID    `json:"to"`
	Amount    money.Minor        `json:"amount"`
	Currency  money.Currency     `json:"currency"`
	Memo      string             `json:"memo"`
	Reference string             `json:"reference"`
	Metadata  json.RawMessage    `json:"metadata,omitempty"`
	State     storage.HoldState  `json:"state"`
	Captured  money.Minor        `json:"captured"`
	ClosedBy  *storage.JournalID `json:"closed_by"`
	CreatedAt time.Time          `json:"created_at"`
	ExpiresAt time.Time          `json:"expires_at"`
	ClosedAt  *time.Time         `json:"closed_at"`
}

// Deposit is a deposit, or a withdrawal, as it is shown to the app that made it, and recorded as the
// answer under its key.
type Deposit struct {
	ID        storage.JournalID `json:"id"`
	User      storage.UserID    `json:"user"`
	Amount    money.Minor       `json:"amount"`
	Currency  money.Currency    `json:"currency"`
	Reference string            `json:"reference"`
	Metadata  json.RawMessage   `json:"metadata,omitempty"`
	Status    string            `json:"status"`
	CreatedAt time.Time         `json:"created_at"`
}

// transferOf shows a journal.
func transferOf(j storage.Journal) Transfer {
	t := Transfer{
		ID: j.ID, Kind: j.Kind, From: party(j.From), To: party(j.To), Amount: money.Minor(j.Amount.Minor), Currency: j.Amount.Currency,
		Memo: j.Memo, Reference: j.Reference, Metadata: json.RawMessage(j.Metadata), Status: StatusCompleted, CreatedAt: storage.Instant(j.CreatedAt),
	}
	switch j.Kind { //nolint:exhaustive // no other kind has an original and moves money.
	case storage.KindCapture:
		t.Hold = j.Original
	case storage.KindReversal:
		t.Reverses = j.Original
	}
	return t
}

// holdOf shows a hold and the journal that made it.
func holdOf(h *storage.Hold, j *storage.Journal) Hold {
	out := Hold{
		ID: h.ID, From: h.From, To: party(h.To), Amount: money.Minor(h.Amount.Minor), Currency: h.Amount.Currency,
		Memo: j.Memo, Reference: j.Reference, Metadata: json.RawMessage(j.Metadata), State: h.State, Captured: money.Minor(h.Captured),
		CreatedAt: storage.Instant(h.CreatedAt), ExpiresAt: storage.Instant(h.ExpiresAt),
	}
	if h.ClosedAt != nil {
		at := storage.Instant(*h.ClosedAt)
		out.ClosedBy, out.ClosedAt = &h.ClosedBy, &at
	}
	return out
}

func depositOf(j storage.Journal) Deposit {
	return Deposit{
		ID: j.ID, User: j.To, Amount: money.Minor(j.Amount.Minor), Currency: j.Amount.Currency,
		Reference: j.Reference, Metadata: json.RawMessage(j.Metadata), Status: StatusCompleted, CreatedAt: storage.Instant(j.CreatedAt),
	}
}

func party(id storage.UserID) *storage.UserID {
	if id == "" {
		return nil
	}
	return &id
}

func answerTransfer(j storage.Journal) storage.Answer {
	return storage.Answer{Journal: j.ID, Body: mustJSON(transferOf(j))}
}

func answerHold(j storage.Journal, expires time.Time) storage.Answer {
	h := storage.Hold{
		ID: j.ID, From: j.From, To: j.To, Amount: j.Amount, State: storage.HoldOpen, CreatedAt: j.CreatedAt, ExpiresAt: expires,
	}
	return storage.Answer{Journal: j.ID, Body: mustJSON(holdOf(&h, &j))}
}

func answerVoid(h heldMoney, j storage.Journal) storage.Answer {
	h.State, h.ClosedBy, h.ClosedAt = storage.HoldVoided, j.ID, &j.CreatedAt
	return storage.Answer{Journal: j.ID, Body: mustJSON(holdOf(&h.Hold, &h.journal))}
}

func answerWithdrawal(j storage.Journal) storage.Answer {
	j.To = j.From
	return answerDeposit(j)
}

func answerDeposit(j storage.Journal) storage.Answer {
	return storage.Answer{Journal: j.ID, Body: mustJSON(depositOf(j))}
}

// refuses renders refusals of journals of a kind.
func (w *Wallet) refuses(kind storage.JournalKind) func(error) storage.Answer {
	return func(err error) storage.Answer {
		r := refusal(kind, err)
		return storage.Answer{Code: r.Code, Body: w.cfg.Refusal(r)}
	}
}

// mustJSON renders the structs of this file, none of which can fail to.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
