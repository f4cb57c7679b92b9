package books

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// checkJournal checks that a journal sums to zero, and that its entries are what it calls for.
func checkJournal(r *Report, j storage.Journal, entries []storage.Entry) {
	at := Fault{Check: JournalUnbalanced, Journal: j.ID}
	for _, currency := range currencies(entries) {
		if sum, ok := sumOf(entries, currency); !ok || sum != 0 {
			at.Currency = currency
			r.fault(at, "its entries sum to %d", sum)
		}
	}
	want, known := called(j)
	at = Fault{Check: JournalEntries, Journal: j.ID}
	if !known {
		r.fault(at, "its kind is %.32q", string(j.Kind))
		return
	}
	if len(entries) != len(want) {
		r.fault(at, "%d entries where a %s has %d", len(entries), j.Kind, len(want))
		return
	}
	for _, w := range want {
		i := slices.IndexFunc(entries, func(e storage.Entry) bool { return e.Account == w.Account })
		if i < 0 {
			r.fault(at, "no entry on %s", w.Account)
			continue
		}
		got, at := entries[i], at
		at.Account, at.Sequence = got.Account, got.Sequence
		got.Sequence, got.BalanceAfter = 0, 0
		if !got.CreatedAt.Equal(w.CreatedAt) {
			r.fault(at, "the entry is of another time")
		}
		got.CreatedAt = w.CreatedAt
		if got != w {
			r.fault(at, "the entry (%d %s) is not the one that the journal calls for (%d %s)", got.Amount, got.Currency, w.Amount, w.Currency)
		}
	}
}

// called lists the entries that a journal calls for; known is false for a kind that there is none of.
func called(j storage.Journal) (entries []storage.Entry, known bool) {
	switch j.Kind {
	case storage.KindTransfer, storage.KindDeposit, storage.KindWithdrawal, storage.KindReversal, storage.KindCapture:
	case storage.KindHold, storage.KindVoid, storage.KindExpiry:
		return nil, true
	default:
		return nil, false
	}
	from, to := accountOf(j.From, j.Amount.Currency), accountOf(j.To, j.Amount.Currency)
	line := func(account storage.AccountID, amount int64, counterparty storage.UserID) storage.Entry {
		return storage.Entry{
			Account: account, Journal: j.ID, Kind: j.Kind, Amount: amount, Currency: j.Amount.Currency,
			Counterparty: counterparty, Memo: j.Memo, CreatedAt: j.CreatedAt,
		}
	}
	return []storage.Entry{line(from, -j.Amount.Minor, j.To), line(to, j.Amount.Minor, j.From)}, true
}

// accountOf is the account of a party to a journal: the world's where the party is nobody.
func accountOf(user storage.UserID, currency money.Currency) storage.AccountID {
	if user == "" {
		return storage.WorldAccount(currency)
	}
	return storage.WalletAccount(user, currency)
}

func currencies(entries []storage.Entry) []money.Currency {
	var out []money.Currency
	for _, e := range entries {
		if !slices.Contains(out, e.Currency) {
			out = append(out, e.Currency)
		}
	}
	return out
}

func sumOf(entries []storage.Entry, currency money.Currency) (sum int64, ok bool) {
	for _, e := range entries {
		if e.Currency != currency {
			continue
		}
		next, err := money.Add(sum, e.Amount)
		if err != nil {
			return sum, false
		}
		sum = next
	}
	return sum, true
}

// facts are what a journal and its answer have to agree on, as one text that begins with the journal's
// identifier and a space.
func facts(id storage.JournalID, minor int64, currency money.Currency) string {
	return string(id) + " " + strconv.FormatInt(minor, 10) + " " + string(currency)
}

func factsOf(j storage.Journal) string { return facts(j.ID, j.Amount.Minor, j.Amount.Currency) }

// checkAnswer checks an idempotency record by itself, and returns what it tells of its journal; ok is
// false for a refusal, and for a record that tells nothing.
func checkAnswer(r *Report, k storage.IdempotencyKey, a storage.Answer) (told string, ok bool) {
	at := Fault{Check: AnswerMismatch, Journal: a.Journal, Key: keyName(k)}
	switch {
	case a.Code != "" && a.Journal != "":
		r.fault(at, "a refusal (%.64q) that names a journal", a.Code)
		return "", false
	case a.Code != "":
		return "", false
	case a.Journal == "":
		r.fault(at, "neither a journal nor a refusal")
		return "", false
	}
	var body struct {
		ID storage.JournalID `json:"id"`
		// ClosedBy is the journal where the body is of a hold that it closed.
		ClosedBy storage.JournalID `json:"closed_by"`
		Amount   money.Minor       `json:"amount"`
		Currency money.Currency    `json:"currency"`
	}
	if err := json.Unmarshal(a.Body, &body); err != nil {
		r.fault(at, "its body cannot be read: %v", err)
		return string(a.Journal) + " ?", true
	}
	if body.ClosedBy == a.Journal {
		body.ID = a.Journal
	}
	if body.ID != a.Journal {
		r.fault(at, "its body is of journal %.64q", string(body.ID))
		return string(a.Journal) + " ?", true
	}
	return facts(a.Journal, int64(body.Amount), body.Currency), true
}

func keyName(k storage.IdempotencyKey) string {
	return string(k.Client) + " " + string(k.User) + " " + k.Key
}
