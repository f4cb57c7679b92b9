package resource_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/resource/walletapi"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var asCSV = http.Header{"Accept": {"text/csv"}}

func TestAStatementAsCSV(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		_, token := s.rich("tom", 1000)
		amy := s.user("amy")
		memos := []string{"=1+1", "+49", "-5", "@x", "＝1", "'quoted", `say "hi", twice`, "plain", "grün 漢字", ""}
		for i, memo := range memos {
			body := fmt.Sprintf(`{"to":%q,"amount":%d,"currency":"CNY","memo":%q}`, amy, i+1, memo)
			if g := s.transfer(token, strconv.Itoa(i), body); g.status != http.StatusCreated {
				t.Fatalf("%q: %d %s", memo, g.status, g.body)
			}
		}
		g := s.do(call{http.MethodGet, "/v1/wallet/entries?kind=transfer", token, "", asCSV})
		if g.status != http.StatusOK || g.header.Get("Content-Type") != "text/csv; charset=utf-8; header=present" {
			t.Fatalf("%d %v %s", g.status, g.header, g.body)
		}
		if strings.Count(g.text(), "\r\n") != strings.Count(g.text(), "\n") {
			t.Error("a row does not end in CRLF")
		}
		rows, err := csv.NewReader(strings.NewReader(g.text())).ReadAll()
		must(t, err)
		if got := strings.Join(rows[0], " "); got != "id transfer_id kind amount currency balance_after counterparty memo created_at" || len(rows) != len(memos)+1 {
			t.Fatalf("header %q and %d rows", got, len(rows)-1)
		}
		for i, row := range rows[1:] {
			memo := memos[len(memos)-1-i]
			if strings.ContainsAny(memo[:min(1, len(memo))], "=+-@") || strings.HasPrefix(memo, "＝") {
				memo = "'" + memo
			}
			if row[7] != memo || row[3] != strconv.Itoa(-(len(memos)-i)) || row[6] != string(amy) {
				t.Errorf("row %d is %q, want the memo %q", i, row, memo)
			}
		}
	})
}

// longEntries is more than two pages.
const longEntries = 2*wallet.MaxLimit + 50

// turns is a ledger with a long statement, that stops before each page after the first until it is let go on.
type turns struct {
	storage.Ledger

	pages atomic.Int64
	fail  atomic.Bool
	wait  chan struct{}
	asked chan struct{}
}

// Entries implements storage.Ledger.
func (l *turns) Entries(ctx context.Context, id storage.AccountID, before int64, limit int) ([]storage.Entry, error) {
	if l.pages.Add(1) > 1 {
		select {
		case l.asked <- struct{}{}:
		default:
		}
		select {
		case <-l.wait:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", storage.ErrUnavailable, ctx.Err())
		}
	}
	if l.fail.Load() {
		return nil, storage.ErrUnavailable
	}
	if before == 0 || before > longEntries {
		before = longEntries + 1
	}
	var made []storage.Entry
	for n := before - 1; n > 0 && len(made) < limit; n-- {
		made = append(made, storage.Entry{
			Account: id, Sequence: n, Journal: "0000000000000000000000000n", Kind: storage.KindDeposit, Amount: 1, Currency: "CNY", BalanceAfter: n,
			CreatedAt: time.UnixMicro(n),
		})
	}
	return made, nil
}

// longStatement is a stand with a statement of more than two pages.
func longStatement(t *testing.T) (*stand, *turns, string) {
	t.Helper()
	l := &turns{wait: make(chan struct{}), asked: make(chan struct{}, 1)}
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { l.Ledger, c.Ledger = c.Ledger, l })
	_, token := s.rich("tom", 1)
	return s, l, token
}

// open begins a download and reads its first line.
func (s *stand) open(ctx context.Context, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http.URL+"/v1/wallet/entries?currency=CNY", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Accept": {"text/csv"}, "Authorization": {"Bearer " + token}}
	return s.http.Client().Do(req)
}

func TestCSVComesAsItIsRead(t *testing.T) {
	t.Parallel()
	s, l, token := longStatement(t)
	resp, err := s.open(t.Context(), token)
	must(t, err)
	defer resp.Body.Close()
	// The second page is held back, and the first is there all the same.
	line := make([]byte, 12)
	if _, err := io.ReadFull(resp.Body, line); err != nil || string(line) != "id,transfer_" {
		t.Fatalf("%q %v", line, err)
	}
	<-l.asked
	close(l.wait)
	rest, err := io.ReadAll(resp.Body)
	must(t, err)
	if rows := strings.Count(string(rest), "\r\n"); rows != longEntries+1 {
		t.Errorf("%d lines", rows)
	}
}

func TestCSVThatCannotBeFinishedIsCut(t *testing.T) {
	t.Parallel()
	s, l, token := longStatement(t)
	resp, err := s.open(t.Context(), token)
	must(t, err)
	defer resp.Body.Close()
	l.fail.Store(true)
	close(l.wait)
	if body, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, and then %v: a part looks like the whole", len(body), err)
	}
}

func TestDownloadsOfAWalletAreBounded(t *testing.T) {
	t.Parallel()
	s, l, token := longStatement(t)
	var cancels []context.CancelFunc
	for range walletapi.MaxDownloadsEach {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cancels = append(cancels, cancel)
		l.pages.Store(0) // each has its first page
		resp, err := s.open(ctx, token)
		must(t, err)
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
		<-l.asked // it waits for its second page, and takes nobody's first
	}
	g := s.do(call{http.MethodGet, "/v1/wallet/entries", token, "", asCSV})
	if g.status != http.StatusServiceUnavailable || g.header.Get("Retry-After") != "5" || g.code() != "temporarily_unavailable" {
		t.Errorf("one more: %d %v %s", g.status, g.header, g.body)
	}
	// Clients that go away give their places back, although their pages never came.
	for _, cancel := range cancels {
		cancel()
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		l.pages.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := s.open(ctx, token)
		must(t, err)
		status := resp.StatusCode
		cancel()
		resp.Body.Close()
		if status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after they went: %d", status)
		}
	}
	if g := s.do(call{http.MethodGet, "/v1/wallet/entries?limit=5", token, "", asCSV}); g.status != http.StatusBadRequest {
		t.Errorf("with a limit: %d %s", g.status, g.body)
	}
}
