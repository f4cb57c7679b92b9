package wallet

import (
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// StatusCompleted is the status of money that has moved. A posting is complete when it is committed.
const StatusCompleted = "completed"

// Transfer is a transfer as it is shown to the parties to it, and recorded as the answer under its
// key. From is nil where the money came from outside.
type Transfer struct {
	ID        storage.JournalID `json:"id"`
	From      *storage.UserID   `json:"from"`
	To        *storage.UserID   `json:"to"`
	Amount    money.Minor       `json:"amount"`
	Currency  money.Currency    `json:"currency"`
	Memo      string            `json:"memo"`
	Status    string            `json:"status"`
	CreatedAt time.Time         `json:"created_at"`
}

// Deposit is a deposit as it is shown to the app that made it, and recorded as the answer under its
// key.
type Deposit struct {
	ID        storage.JournalID `json:"id"`
	User      storage.UserID    `json:"user"`
	Amount    money.Minor       `json:"amount"`
	Currency  money.Currency    `json:"currency"`
	Reference string            `json:"reference"`
	Status    string            `json:"status"`
	CreatedAt time.Time         `json:"created_at"`
}

// transferOf shows a journal.
func transferOf(j storage.Journal) Transfer {
	return Transfer{
		ID: j.ID, From: party(j.From), To: party(j.To), Amount: money.Minor(j.Amount.Minor), Currency: j.Amount.Currency,
		Memo: j.Memo, Status: StatusCompleted, CreatedAt: storage.Instant(j.CreatedAt),
	}
}

func depositOf(j storage.Journal) Deposit {
	return Deposit{
		ID: j.ID, User: j.To, Amount: money.Minor(j.Amount.Minor), Currency: j.Amount.Currency,
		Reference: j.Reference, Status: StatusCompleted, CreatedAt: storage.Instant(j.CreatedAt),
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

func answerDeposit(j storage.Journal) storage.Answer {
	return storage.Answer{Journal: j.ID, Body: mustJSON(depositOf(j))}
}

func (w *Wallet) answerRefusal(err error) storage.Answer {
	r := refusal(err)
	return storage.Answer{Code: r.Code, Body: w.cfg.Refusal(r)}
}

// mustJSON renders the structs of this file, none of which can fail to.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
