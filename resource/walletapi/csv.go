package walletapi

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/problem"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
)

const (
	// MediaCSV asks for a whole statement, row by row, when it stands in Accept.
	MediaCSV = "text/csv"
	// MaxDownloads bounds the statements that this process sends as CSV at once, and MaxDownloadsEach those of
	// one wallet.
	MaxDownloads = 64
	// MaxDownloadsEach is for one wallet.
	MaxDownloadsEach = 2
	// slowReader is how long a client may take for one page of rows, about 50 KB at the most.
	slowReader = time.Minute
	// downloadAgain is when to come again for one more.
	downloadAgain = 5 * time.Second
)

// downloads counts statements under way.
type downloads struct {
	mu   sync.Mutex
	all  int
	each map[storage.UserID]int
}

// enter takes a place for a wallet; leave gives it back.
func (d *downloads) enter(user storage.UserID) (leave func(), ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all >= MaxDownloads || d.each[user] >= MaxDownloadsEach {
		return nil, false
	}
	d.all++
	d.each[user]++
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.all--
		if d.each[user]--; d.each[user] == 0 {
			delete(d.each, user)
		}
	}, true
}

func wantsCSV(r *http.Request) bool {
	return strings.Contains(strings.Join(r.Header.Values("Accept"), ","), MediaCSV)
}

// download sends all that a query finds, a page of rows at a time: nothing in the database is held while the client
// reads.
func (a *API) download(c *gin.Context, user storage.UserID, q wallet.Query) error {
	if q.Cursor != "" || q.Limit != 0 {
		return invalid("cursor and limit are for JSON; CSV has all entries at once")
	}
	leave, ok := a.downloads.enter(user)
	if !ok {
		return &problem.Problem{
			Code: problem.TemporarilyUnavailable, Detail: "too many statements are being sent as CSV; try again when another has ended",
			RetryAfter: downloadAgain,
		}
	}
	defer leave()
	ctx := c.Request.Context()
	q.Limit = wallet.MaxLimit
	page, err := a.wallet.Entries(ctx, user, q)
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("Content-Type", MediaCSV+"; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="statement.csv"`)
	h.Set("Cache-Control", "no-store")
	c.Status(http.StatusOK)
	rows := csv.NewWriter(c.Writer)
	rows.UseCRLF = true // RFC 4180
	control := http.NewResponseController(c.Writer)
	_ = rows.Write(columns()) // its error comes with Flush
	for {
		_ = control.SetWriteDeadline(time.Now().Add(slowReader)) // a writer without deadlines, as in tests, waits
		for i := range page.Entries {
			_ = rows.Write(row(&page.Entries[i]))
		}
		rows.Flush()
		if err := errors.Join(rows.Error(), control.Flush()); err != nil {
			return fmt.Errorf("the client stopped reading: %w: %w", context.Canceled, err)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
		if page, err = a.wallet.Entries(ctx, user, q); err != nil {
			return err
		}
	}
}

func columns() []string {
	return []string{"id", "transfer_id", "kind", "amount", "currency", "balance_after", "counterparty", "memo", "created_at"}
}

func row(e *storage.Entry) []string {
	return []string{
		wallet.EntryID(*e), string(e.Journal), string(e.Kind), strconv.FormatInt(e.Amount, 10), string(e.Currency),
		strconv.FormatInt(e.BalanceAfter, 10), string(e.Counterparty), plainText(e.Memo), e.CreatedAt.UTC().Format(time.RFC3339Nano),
	}
}

// plainText keeps a spreadsheet from taking a memo, which is somebody else's text, for a formula: an apostrophe goes
// before what begins like one, as do their full-width forms.
func plainText(s string) string {
	if s != "" && strings.ContainsAny(string([]rune(s)[0]), "=+-@\t\r＝＋－＠") {
		return "'" + s
	}
	return s
}
