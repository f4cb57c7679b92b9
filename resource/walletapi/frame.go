package walletapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// What follows answers the same requests when they come as frames on a connection. body is a JSON object;
// the caller has admitted p to the route of the same name.

// BalancesFrame answers wallet.get.
func (a *API) BalancesFrame(ctx context.Context, p guard.Principal, body json.RawMessage) (any, error) {
	if err := decode(body, nil); err != nil {
		return nil, err
	}
	balances, err := a.wallet.Balances(ctx, p.User)
	if err != nil {
		return nil, err
	}
	return balancesOf(balances), nil
}

// EntriesFrame answers wallet.entries.
func (a *API) EntriesFrame(ctx context.Context, p guard.Principal, body json.RawMessage) (any, error) {
	var currency string
	var q wallet.Query
	err := decode(body, []field{
		text("currency", false, &currency), text("cursor", false, &q.Cursor), count("limit", 1, wallet.MaxLimit, &q.Limit),
	})
	if err != nil {
		return nil, err
	}
	q.Currency = money.Currency(currency)
	page, err := a.wallet.Entries(ctx, p.User, q)
	if err != nil {
		return nil, err
	}
	return pageOf(page), nil
}

// TransferFrame answers transfer. What was refused and is recorded comes back as an outcome as well.
func (a *API) TransferFrame(ctx context.Context, p guard.Principal, body json.RawMessage) (wallet.Outcome, error) {
	o := wallet.TransferOrder{Bearer: p.Bearer(), User: p.User}
	var to, currency string
	wait := -1
	err := decode(body, []field{
		text("idempotency_key", false, &o.Key), count("wait", 0, maxWait, &wait),
		text("to", true, &to), minor("amount", &o.Amount.Minor), text("currency", true, &currency), text("memo", false, &o.Memo),
		labels("metadata", &o.Metadata),
	})
	if err != nil {
		return wallet.Outcome{}, err
	}
	if wait >= 0 {
		d := time.Duration(wait) * time.Second
		o.Wait = &d
	}
	o.To, o.Amount.Currency = storage.UserID(to), money.Currency(currency)
	return a.wallet.Transfer(ctx, o)
}

// count is a field that holds a whole number within bounds.
func count(name string, least, most int, into *int) field {
	return field{name, false, func(raw json.RawMessage) error {
		n, err := strconv.Atoi(string(raw))
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		*into = n
		return nil
	}}
}
