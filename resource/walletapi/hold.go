package walletapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// Hold answers POST /v1/holds. A user's token holds that user's money; an internal app names the user.
func (a *API) Hold(c *gin.Context) error {
	w, err := a.begin(c)
	if err != nil {
		return err
	}
	o := wallet.HoldOrder{Bearer: w.Bearer(), Actor: w.User, User: w.User, Key: w.key, Wait: w.wait}
	var user, to, currency string
	fields := []field{
		text("to", false, &to), minor("amount", &o.Amount.Minor), text("currency", true, &currency), text("memo", false, &o.Memo),
		text("reference", false, &o.Reference), seconds("expires_in", &o.For), labels("metadata", &o.Metadata),
	}
	if w.User == "" {
		fields = append(fields, text("user", true, &user))
	}
	if err := readBody(c.Writer, c.Request, fields...); err != nil {
		return err
	}
	if w.User == "" {
		o.User = storage.UserID(user)
	}
	o.To, o.Amount.Currency = storage.UserID(to), money.Currency(currency)
	out, err := a.wallet.Hold(c.Request.Context(), o)
	if err != nil {
		return err
	}
	if out.Code == "" {
		c.Header("Location", "/v1/holds/"+string(out.Journal))
	}
	return written(c, http.StatusCreated, out)
}

// HoldByID answers GET /v1/holds/:id.
func (a *API) HoldByID(c *gin.Context) error {
	p, err := principal(c)
	if err != nil {
		return err
	}
	h, err := a.wallet.HoldByID(c.Request.Context(), p.User, storage.JournalID(c.Param("id")))
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, h)
}

// Capture answers POST /v1/holds/:id/capture.
func (a *API) Capture(c *gin.Context) error {
	w, err := a.begin(c)
	if err != nil {
		return err
	}
	o := wallet.CaptureOrder{Bearer: w.Bearer(), Actor: w.User, Hold: storage.JournalID(c.Param("id")), Key: w.key, Wait: w.wait}
	if err := readOptionalBody(c.Writer, c.Request, part("amount", &o.Amount), labels("metadata", &o.Metadata)); err != nil {
		return err
	}
	out, err := a.wallet.Capture(c.Request.Context(), o)
	if err != nil {
		return err
	}
	w.locate(c, out)
	return written(c, http.StatusCreated, out)
}

// Void answers POST /v1/holds/:id/void.
func (a *API) Void(c *gin.Context) error {
	w, err := a.begin(c)
	if err != nil {
		return err
	}
	if err := readOptionalBody(c.Writer, c.Request); err != nil {
		return err
	}
	out, err := a.wallet.Void(c.Request.Context(), wallet.VoidOrder{
		Bearer: w.Bearer(), Actor: w.User, Hold: storage.JournalID(c.Param("id")), Key: w.key,
	})
	if err != nil {
		return err
	}
	return written(c, http.StatusOK, out)
}

// Reverse answers POST /v1/transfers/:id/reversals.
func (a *API) Reverse(c *gin.Context) error {
	w, err := a.begin(c)
	if err != nil {
		return err
	}
	o := wallet.ReversalOrder{Bearer: w.Bearer(), Actor: w.User, Original: storage.JournalID(c.Param("id")), Key: w.key, Wait: w.wait}
	if err := readOptionalBody(c.Writer, c.Request, part("amount", &o.Amount), text("memo", false, &o.Memo), labels("metadata", &o.Metadata)); err != nil {
		return err
	}
	out, err := a.wallet.Reverse(c.Request.Context(), o)
	if err != nil {
		return err
	}
	w.locate(c, out)
	return written(c, http.StatusCreated, out)
}

// Withdraw answers POST /v1/withdrawals.
func (a *API) Withdraw(c *gin.Context) error {
	w, err := a.begin(c)
	if err != nil {
		return err
	}
	if w.User != "" || w.Session != "" {
		return unguarded(c)
	}
	o := wallet.WithdrawalOrder{Bearer: w.Bearer(), Key: w.key, Wait: w.wait}
	var user, currency string
	err = readBody(c.Writer, c.Request,
		text("user", true, &user), minor("amount", &o.Amount.Minor), text("currency", true, &currency), text("reference", true, &o.Reference),
		labels("metadata", &o.Metadata))
	if err != nil {
		return err
	}
	o.User, o.Amount.Currency = storage.UserID(user), money.Currency(currency)
	out, err := a.wallet.Withdraw(c.Request.Context(), o)
	if err != nil {
		return err
	}
	return written(c, http.StatusCreated, out)
}

// write is what every write begins with: who calls, under which key, and how long they would wait.
type write struct {
	guard.Principal
	key  string
	wait *time.Duration
}

// begin reads a write's headers, and tells back what was heeded of them.
func (a *API) begin(c *gin.Context) (w write, err error) {
	if w.Principal, err = principal(c); err != nil {
		return w, err
	}
	if w.key, err = idempotencyKey(c.Request.Header); err != nil {
		return w, err
	}
	if w.wait = preferredWait(c.Request.Header); w.wait != nil {
		c.Header(headerApplied, "wait="+strconv.Itoa(int(min(*w.wait, a.wallet.LockWait())/time.Second)))
	}
	return w, nil
}

// locate tells where what was posted is to be read: by users, and by apps that may read any wallet.
func (w *write) locate(c *gin.Context, out wallet.Outcome) {
	if out.Code == "" {
		c.Header("Location", "/v1/transfers/"+string(out.Journal))
	}
}
