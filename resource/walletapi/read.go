package walletapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// balances answers with what a user has, or had at a time.
func (a *API) balances(c *gin.Context, user storage.UserID) error {
	values, err := parameters(c, "at")
	if err != nil {
		return err
	}
	at, err := instant(values, "at")
	if err != nil {
		return err
	}
	if at.IsZero() {
		balances, err := a.wallet.Balances(c.Request.Context(), user)
		if err != nil {
			return err
		}
		return answer(c, http.StatusOK, balancesOf(balances))
	}
	balances, err := a.wallet.BalancesAt(c.Request.Context(), user, at)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, pastOf(at, balances))
}

// Currencies answers GET /v1/wallet/currencies, with what is needed to show an amount.
func (a *API) Currencies(c *gin.Context) error {
	return answer(c, http.StatusOK, currenciesOf(a.wallet.Currencies()))
}

// entries answers with a page of a user's statement, or with all of it as CSV.
func (a *API) entries(c *gin.Context, user storage.UserID) error {
	q, err := query(c)
	if err != nil {
		return err
	}
	c.Writer.Header().Add("Vary", "Accept")
	if wantsCSV(c.Request) {
		return a.download(c, user, q)
	}
	page, err := a.wallet.Entries(c.Request.Context(), user, q)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, pageOf(page))
}

// query reads what of a statement is asked for.
func query(c *gin.Context) (wallet.Query, error) {
	values, err := parameters(c, "currency", "cursor", "limit", "since", "until")
	if err != nil {
		return wallet.Query{}, err
	}
	q := wallet.Query{Currency: money.Currency(values.Get("currency")), Cursor: values.Get("cursor")}
	if len(values["kind"]) > len(wallet.Kinds()) {
		return q, invalid("kind: is there %d times; there are %v", len(values["kind"]), wallet.Kinds())
	}
	for _, k := range values["kind"] {
		kind := storage.JournalKind(k)
		if !slices.Contains(wallet.Kinds(), kind) {
			return q, invalid("kind: %q is not one of %v", shown(k), wallet.Kinds())
		}
		q.Kinds = append(q.Kinds, kind)
	}
	if q.Since, err = instant(values, "since"); err != nil {
		return q, err
	}
	if q.Until, err = instant(values, "until"); err != nil {
		return q, err
	}
	if raw := values.Get("limit"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > wallet.MaxLimit {
			return wallet.Query{}, invalid("limit: %q is not between 1 and %d", shown(raw), wallet.MaxLimit)
		}
		q.Limit = n
	}
	return q, nil
}

// parameters are those of a request; none of the named may be there twice.
func parameters(c *gin.Context, names ...string) (url.Values, error) {
	values := c.Request.URL.Query()
	for _, name := range names {
		if n := len(values[name]); n > 1 {
			return nil, invalid("%s: is there %d times", name, n)
		}
	}
	return values, nil
}

// The years that times are taken of: a time in nanoseconds has 64 bits.
const (
	firstYear = 1970
	lastYear  = 2200
)

// instant reads a time (RFC 3339); zero if it is not there.
func instant(values url.Values, name string) (time.Time, error) {
	raw := values.Get(name)
	if raw == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, raw)
	switch {
	case err != nil && strings.Contains(raw, " "):
		return t, invalid("%s: %q is not a time (RFC 3339); in an address + is written as %%2B", name, shown(raw))
	case err != nil:
		return t, invalid("%s: %q is not a time such as 2026-11-20T08:00:00Z (RFC 3339)", name, shown(raw))
	case t.Year() < firstYear || t.Year() > lastYear:
		return t, invalid("%s: not of the years %d to %d", name, firstYear, lastYear)
	}
	return t.UTC(), nil
}
