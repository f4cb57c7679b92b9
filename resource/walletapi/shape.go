package walletapi

import (
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

type balanceShape struct {
	Currency  money.Currency `json:"currency"`
	Available money.Minor    `json:"available"`
	Held      money.Minor    `json:"held"`
	Total     money.Minor    `json:"total"`
}

type balancesShape struct {
	Balances []balanceShape `json:"balances"`
}

func balancesOf(balances []wallet.Balance) balancesShape {
	out := balancesShape{Balances: make([]balanceShape, len(balances))}
	for i, b := range balances {
		out.Balances[i] = balanceShape{b.Currency, money.Minor(b.Available), money.Minor(b.Held), money.Minor(b.Total)}
	}
	return out
}

type currencyShape struct {
	Currency money.Currency `json:"currency"`
	Exponent int            `json:"exponent"`
}

type currenciesShape struct {
	Currencies []currencyShape `json:"currencies"`
}

func currenciesOf(dealt []wallet.Dealt) currenciesShape {
	out := currenciesShape{Currencies: make([]currencyShape, len(dealt))}
	for i, d := range dealt {
		out.Currencies[i] = currencyShape(d)
	}
	return out
}

// pastShape is what somebody had. What was held then is not told.
type pastShape struct {
	At       time.Time   `json:"at"`
	Balances []pastEntry `json:"balances"`
}

type pastEntry struct {
	Currency money.Currency `json:"currency"`
	Total    money.Minor    `json:"total"`
}

func pastOf(at time.Time, balances []wallet.Balance) pastShape {
	out := pastShape{At: at, Balances: make([]pastEntry, len(balances))}
	for i, b := range balances {
		out.Balances[i] = pastEntry{b.Currency, money.Minor(b.Total)}
	}
	return out
}

// entryShape is a line of a statement. Counterparty is null where the other side is not a user.
type entryShape struct {
	ID           string              `json:"id"`
	TransferID   storage.JournalID   `json:"transfer_id"`
	Kind         storage.JournalKind `json:"kind"`
	Amount       money.Minor         `json:"amount"`
	Currency     money.Currency      `json:"currency"`
	BalanceAfter money.Minor         `json:"balance_after"`
	Counterparty *storage.UserID     `json:"counterparty"`
	Memo         string              `json:"memo"`
	CreatedAt    time.Time           `json:"created_at"`
}

// pageShape is a page of a statement. NextCursor is null on the last.
type pageShape struct {
	Entries    []entryShape `json:"entries"`
	NextCursor *string      `json:"next_cursor"`
}

func pageOf(page wallet.Page) pageShape {
	out := pageShape{Entries: make([]entryShape, len(page.Entries))}
	for i, e := range page.Entries {
		out.Entries[i] = entryShape{
			ID: wallet.EntryID(e), TransferID: e.Journal, Kind: e.Kind, Amount: money.Minor(e.Amount), Currency: e.Currency,
			BalanceAfter: money.Minor(e.BalanceAfter), Memo: e.Memo, CreatedAt: e.CreatedAt.UTC(),
		}
		if e.Counterparty != "" {
			out.Entries[i].Counterparty = &e.Counterparty
		}
	}
	if page.Next != "" {
		out.NextCursor = &page.Next
	}
	return out
}
