package adminapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// walletShape is a wallet as administration sees it.
type walletShape struct {
	Subject  storage.UserID `json:"sub"`
	Frozen   bool           `json:"frozen"`
	FrozenAt *time.Time     `json:"frozen_at,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Accounts []accountShape `json:"accounts"`
}

type accountShape struct {
	Currency  money.Currency `json:"currency"`
	Available money.Minor    `json:"available"`
	Held      money.Minor    `json:"held"`
	Total     money.Minor    `json:"total"`
	Limits    limitsShape    `json:"limits"`
}

// limitsShape are the limits that a wallet has of its own; null where it has none.
type limitsShape struct {
	Single *int64 `json:"single"`
	Daily  *int64 `json:"daily"`
}

func walletOf(w *storage.WalletState) walletShape {
	s := walletShape{
		Subject: w.User, Frozen: w.FrozenAt != nil, FrozenAt: w.FrozenAt, Reason: w.Reason, Accounts: make([]accountShape, len(w.Accounts)),
	}
	for i := range w.Accounts {
		a := &w.Accounts[i]
		s.Accounts[i] = accountShape{
			a.Currency, money.Minor(a.Available()), money.Minor(a.Held), money.Minor(a.Balance), limitsShape(a.Limits),
		}
	}
	return s
}

// Wallet is the handler of GET /admin/v1/users/{sub}/wallet.
func (a *API) Wallet(c *gin.Context) error {
	h, err := begin(c, nil)
	if err != nil {
		return err
	}
	state, err := a.cfg.Users.Wallet(c.Request.Context(), h.user)
	if err != nil {
		return refusal(err, "user")
	}
	return web.JSON(c, http.StatusOK, walletOf(&state))
}

// ChangeWallet is the handler of PATCH /admin/v1/users/{sub}/wallet.
func (a *API) ChangeWallet(c *gin.Context) error {
	var body struct {
		Frozen *bool           `json:"frozen"`
		Reason string          `json:"reason"`
		Limits json.RawMessage `json:"limits"`
	}
	h, err := begin(c, object(&body))
	if err != nil {
		return err
	}
	change := storage.WalletChange{Frozen: body.Frozen, Reason: body.Reason}
	if body.Limits != nil {
		if change.Limits, err = a.limits(body.Limits); err != nil {
			return err
		}
	}
	state, err := a.cfg.Users.ChangeWallet(c.Request.Context(), h.from, h.user, change)
	if err != nil {
		return refusal(err, "user")
	}
	return web.JSON(c, http.StatusOK, walletOf(&state))
}

// limits reads {"CNY": {"single": 100, "daily": null}}: both members each time, so that what is left out is
// not lifted by mistake.
func (a *API) limits(raw json.RawMessage) (map[money.Currency]storage.Limits, error) {
	all := map[money.Currency]storage.Limits{}
	err := eachMember(raw, "limits", func(code string, value json.RawMessage) error {
		currency := money.Currency(code)
		if !slices.Contains(a.cfg.Currencies, currency) {
			return oauth.New(oauth.InvalidRequest, fmt.Sprintf("limits: there is a currency that is not one of %v", a.cfg.Currencies))
		}
		at := "limits." + code
		bounds := map[string]*int64{}
		err := eachMember(value, at, func(name string, v json.RawMessage) error {
			if name != storage.LimitSingle && name != storage.LimitDaily {
				return oauth.New(oauth.InvalidRequest, at+": there are single and daily, and no other members")
			}
			bounds[name] = nil
			if string(v) == "null" {
				return nil
			}
			n, err := money.ParseMinor(string(v))
			bounds[name] = &n
			if err != nil || n < 0 {
				return oauth.New(oauth.InvalidRequest, fmt.Sprintf("%s.%s: must be null or an integer of minor units up to %d", at, name, money.Max))
			}
			return nil
		})
		if err == nil && len(bounds) != 2 { //nolint:mnd // single and daily.
			err = oauth.New(oauth.InvalidRequest, at+": must say both single and daily; null is no limit of its own")
		}
		all[currency] = storage.Limits{Single: bounds[storage.LimitSingle], Daily: bounds[storage.LimitDaily]}
		return err
	})
	return all, err
}

// eachMember calls f for each member of an object, which is JSON as the body that it stands in is; a
// name that comes twice is refused.
func eachMember(raw json.RawMessage, at string, f func(name string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return oauth.New(oauth.InvalidRequest, at+": must be a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok || seen[name] {
			return oauth.New(oauth.InvalidRequest, at+": a member comes twice")
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("read %s: %w", at, err)
		}
		if err := f(name, value); err != nil {
			return err
		}
	}
	return nil
}
