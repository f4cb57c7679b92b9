package walletapi

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/outbox"
)

// Events is the ledger's events over HTTP.
type Events struct{ outbox *outbox.Runner }

// NewEvents builds the handlers over an outbox.
func NewEvents(o *outbox.Runner) *Events { return &Events{o} }

// After answers GET /v1/ledger/events?after=&limit=&wait=: the events of the sealed journals after a number (0: from
// the first one on), oldest first, at most limit. wait is for how many seconds to wait for one if there are none.
func (e *Events) After(c *gin.Context) error {
	values := c.Request.URL.Query()
	after, err := whole(values, "after", 0, 1<<62, 0)
	if err != nil {
		return err
	}
	limit, err := whole(values, "limit", 1, outbox.MaxPage, outbox.DefaultPage)
	if err != nil {
		return err
	}
	wait, err := whole(values, "wait", 0, int64(outbox.MaxWait/time.Second), 0)
	if err != nil {
		return err
	}
	page, err := e.outbox.Read(c.Request.Context(), after, int(limit), time.Duration(wait)*time.Second)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, page)
}

// whole reads a whole number of the query, within bounds.
func whole(values url.Values, name string, least, most, otherwise int64) (int64, error) {
	switch given := values[name]; {
	case len(given) > 1:
		return 0, invalid("%s: is there %d times", name, len(given))
	case len(given) == 0 || given[0] == "":
		return otherwise, nil
	}
	n, err := strconv.ParseInt(values.Get(name), 10, 64)
	if err != nil || n < least || n > most {
		return 0, invalid("%s: %q is not a whole number from %d to %d", name, shown(values.Get(name)), least, most)
	}
	return n, nil
}
