package walletapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/problem"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// API holds the handlers. They return errors, for [problem.Renderer.Handle] to render.
type API struct {
	wallet    *wallet.Wallet
	downloads downloads
}

// New builds the handlers over a wallet.
func New(w *wallet.Wallet) (*API, error) {
	if w == nil {
		return nil, errors.New("walletapi: no wallet")
	}
	return &API{wallet: w, downloads: downloads{each: map[storage.UserID]int{}}}, nil
}

// Balances answers GET /v1/wallet.
func (a *API) Balances(c *gin.Context) error {
	user, err := caller(c)
	if err != nil {
		return err
	}
	return a.balances(c, user)
}

// Entries answers GET /v1/wallet/entries.
func (a *API) Entries(c *gin.Context) error {
	user, err := caller(c)
	if err != nil {
		return err
	}
	return a.entries(c, user)
}

// Transfer answers POST /v1/transfers.
func (a *API) Transfer(c *gin.Context) error {
	w, err := a.begin(c)
	if err != nil {
		return err
	}
	if w.User == "" {
		return unguarded(c)
	}
	o := wallet.TransferOrder{Bearer: w.Bearer(), User: w.User, Key: w.key, Wait: w.wait}
	var to, currency string
	err = readBody(c.Writer, c.Request,
		text("to", true, &to), minor("amount", &o.Amount.Minor), text("currency", true, &currency), text("memo", false, &o.Memo),
		labels("metadata", &o.Metadata))
	if err != nil {
		return err
	}
	o.To, o.Amount.Currency = storage.UserID(to), money.Currency(currency)
	out, err := a.wallet.Transfer(c.Request.Context(), o)
	if err != nil {
		return err
	}
	w.locate(c, out)
	return written(c, http.StatusCreated, out)
}

// TransferByID answers GET /v1/transfers/:id.
func (a *API) TransferByID(c *gin.Context) error {
	p, err := principal(c)
	if err != nil {
		return err
	}
	t, err := a.wallet.Transferred(c.Request.Context(), p.User, storage.JournalID(c.Param("id")))
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, t)
}

// Deposit answers POST /v1/deposits.
func (a *API) Deposit(c *gin.Context) error {
	p, err := principal(c)
	if err != nil {
		return err
	}
	if p.User != "" || p.Session != "" {
		return unguarded(c)
	}
	o := wallet.DepositOrder{Bearer: p.Bearer()}
	if o.Key, err = idempotencyKey(c.Request.Header); err != nil {
		return err
	}
	var user, currency string
	err = readBody(c.Writer, c.Request,
		text("user", true, &user), minor("amount", &o.Amount.Minor), text("currency", true, &currency), text("reference", true, &o.Reference),
		labels("metadata", &o.Metadata))
	if err != nil {
		return err
	}
	o.User, o.Amount.Currency = storage.UserID(user), money.Currency(currency)
	out, err := a.wallet.Deposit(c.Request.Context(), o)
	if err != nil {
		return err
	}
	return written(c, http.StatusCreated, out)
}

// principal is who calls.
func principal(c *gin.Context) (guard.Principal, error) {
	p, ok := guard.From(c.Request.Context())
	if !ok {
		return p, unguarded(c)
	}
	return p, nil
}

// unguarded is what a route gets that was not mounted behind the guard it needs: the caller is not at
// fault, and nothing is done.
func unguarded(c *gin.Context) error {
	return fmt.Errorf("route %s is not behind the guard that it needs", c.FullPath())
}

// caller is the user whose wallet is looked at.
func caller(c *gin.Context) (storage.UserID, error) {
	p, err := principal(c)
	if err != nil {
		return "", err
	}
	if p.User == "" {
		return "", unguarded(c)
	}
	return p.User, nil
}

// written answers a write with what is recorded under its key; status is that of its success.
func written(c *gin.Context, status int, out wallet.Outcome) error {
	if out.Replayed {
		c.Header(headerReplayed, "true")
	}
	if out.Code != "" {
		problem.Write(c.Writer, problem.Status(problem.Code(out.Code)), out.Body)
		return nil
	}
	raw(c, status, out.Body)
	return nil
}

func answer(c *gin.Context, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("render answer: %w", err)
	}
	raw(c, status, body)
	return nil
}

func raw(c *gin.Context, status int, body []byte) {
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Length", strconv.Itoa(len(body)))
	c.Data(status, "application/json", body)
}
