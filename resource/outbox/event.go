package outbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// The types of events.
const (
	TypePosted   = "journal.posted"
	TypeReversed = "journal.reversed"
	TypePlaced   = "hold.placed"
	TypeCaptured = "hold.captured"
	TypeVoided   = "hold.voided"
	TypeExpired  = "hold.expired"
	TypeTest     = "webhook.test"
)

// Types lists the types of ledger events.
func Types() []string {
	return []string{TypePosted, TypeReversed, TypePlaced, TypeCaptured, TypeVoided, TypeExpired}
}

// idPrefix begins the identifier of every event.
const idPrefix = "evt_"

// typeOf is the type of a journal's event; empty for a kind that is not known, such as that of a journal which
// somebody has deleted.
func typeOf(k storage.JournalKind) string {
	switch k {
	case storage.KindTransfer, storage.KindDeposit, storage.KindWithdrawal:
		return TypePosted
	case storage.KindReversal:
		return TypeReversed
	case storage.KindHold:
		return TypePlaced
	case storage.KindCapture:
		return TypeCaptured
	case storage.KindVoid:
		return TypeVoided
	case storage.KindExpiry:
		return TypeExpired
	}
	return ""
}

// Event is what others are told. See the package's doc for its parts.
type Event struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Number    int64     `json:"number"`
	Data      Data      `json:"data"`
}

// Data is the journal of an event.
type Data struct {
	ID        storage.JournalID   `json:"id"`
	Kind      storage.JournalKind `json:"kind"`
	From      storage.UserID      `json:"from,omitempty"`
	To        storage.UserID      `json:"to,omitempty"`
	Amount    int64               `json:"amount"`
	Currency  string              `json:"currency"`
	Memo      string              `json:"memo,omitempty"`
	Reference string              `json:"reference,omitempty"`
	Metadata  json.RawMessage     `json:"metadata,omitempty"`
	Original  storage.JournalID   `json:"original,omitempty"`
	Client    storage.ClientID    `json:"client_id"`
	CreatedAt time.Time           `json:"created_at"`
	Entries   []Entry             `json:"entries"`
}

// Entry is a line of the journal. User is empty for the system's side.
type Entry struct {
	User         storage.UserID `json:"user,omitempty"`
	Amount       int64          `json:"amount"`
	BalanceAfter int64          `json:"balance_after"`
	Sequence     int64          `json:"sequence"`
}

// EventOf is the event of a sealed journal; false if there is none, because its journal is not in the books any
// more.
func EventOf(s *storage.SealedJournal) (Event, bool) {
	j := &s.Journal
	kind := typeOf(j.Kind)
	if kind == "" {
		return Event{}, false
	}
	e := Event{
		ID: EventID(j.ID), Type: kind, Timestamp: j.CreatedAt.UTC(), Number: s.Seal.Number,
		Data: Data{
			ID: j.ID, Kind: j.Kind, From: j.From, To: j.To, Amount: j.Amount.Minor, Currency: string(j.Amount.Currency),
			Memo: j.Memo, Reference: j.Reference, Original: j.Original, Client: j.Client, CreatedAt: j.CreatedAt.UTC(),
			Entries: make([]Entry, 0, len(s.Entries)),
		},
	}
	if j.Metadata != "" {
		e.Data.Metadata = json.RawMessage(j.Metadata)
	}
	for i := range s.Entries {
		line := &s.Entries[i]
		e.Data.Entries = append(e.Data.Entries, Entry{
			User: ownerOf(j, line), Amount: line.Amount, BalanceAfter: line.BalanceAfter, Sequence: line.Sequence,
		})
	}
	return e, true
}

// ownerOf is the user whose account an entry is on.
func ownerOf(j *storage.Journal, e *storage.Entry) storage.UserID {
	for _, user := range []storage.UserID{j.From, j.To} {
		if user != "" && e.Account == storage.WalletAccount(user, e.Currency) {
			return user
		}
	}
	return ""
}

// body is the event as it is sent.
func (e *Event) body() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("render event %s: %w", e.ID, err)
	}
	return b, nil
}

// wants says whether a webhook asks for a type; one that names none asks for all.
func wants(types []string, kind string) bool { return len(types) == 0 || slices.Contains(types, kind) }

// EventID is the identifier of a journal's event.
func EventID(j storage.JournalID) string { return idPrefix + string(j) }
