package resource_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// events asks for events.
func (s *stand) events(token, query string) outbox.Page {
	s.t.Helper()
	g := s.do(call{http.MethodGet, "/v1/ledger/events?" + query, token, "", nil})
	if g.status != http.StatusOK {
		s.t.Fatalf("%s: %d %s", query, g.status, g.text())
	}
	var page outbox.Page
	must(s.t, json.Unmarshal(g.body, &page))
	return page
}

// seal seals what waits.
func (s *stand) seal() {
	s.t.Helper()
	_, err := s.db.Seal(s.t.Context(), storage.MaxSeal, time.Now())
	must(s.t, err)
}

func TestLedgerEvents(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		books := s.internal("ledger:read")
		if page := s.events(books, ""); len(page.Events) != 0 || page.Next != 0 {
			t.Fatalf("an empty ledger has %+v", page)
		}
		tom, token := s.rich("tom", 5000)
		amy := s.user("amy")
		key := http.Header{"Idempotency-Key": {"k1"}}
		g := s.do(call{http.MethodPost, "/v1/transfers", token, fmt.Sprintf(`{"to":%q,"amount":1250,"currency":"CNY","memo":"tea"}`, amy), key})
		if g.status != http.StatusCreated {
			t.Fatal(g.text())
		}
		if page := s.events(books, ""); len(page.Events) != 0 {
			t.Fatalf("what is not sealed is told: %+v", page)
		}
		s.seal()
		page := s.events(books, "after=0&limit=1")
		if len(page.Events) != 1 || page.Next != 1 || page.Events[0].Data.Kind != storage.KindDeposit || page.Events[0].Data.To != tom {
			t.Fatalf("first page %+v", page)
		}
		page = s.events(books, "after=1")
		if len(page.Events) != 1 || page.Next != 2 {
			t.Fatalf("second page %+v", page)
		}
		got := page.Events[0]
		var made struct{ ID string }
		must(t, json.Unmarshal(g.body, &made))
		if got.ID != "evt_"+made.ID || got.Type != "journal.posted" || got.Number != 2 || got.Data.From != tom || got.Data.To != amy ||
			got.Data.Amount != 1250 || got.Data.Memo != "tea" || len(got.Data.Entries) != 2 {
			t.Errorf("event %+v", got)
		}
		for _, line := range got.Data.Entries {
			want := map[storage.UserID]outbox.Entry{
				tom: {User: tom, Amount: -1250, BalanceAfter: 3750, Sequence: 2}, amy: {User: amy, Amount: 1250, BalanceAfter: 1250, Sequence: 1},
			}[line.User]
			if line != want {
				t.Errorf("entry %+v, want %+v", line, want)
			}
		}
		if page := s.events(books, "after=2"); len(page.Events) != 0 || page.Next != 2 {
			t.Errorf("after the last one %+v", page)
		}
	})
}

// Somebody who waits is answered when there is an event, and not before.
func TestLedgerEventsWait(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	books := s.internal("ledger:read")
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if page := s.events(books, "after=0&wait=30"); len(page.Events) != 1 {
				t.Errorf("whoever waited got %+v", page)
			}
		})
	}
	s.rich("tom", 5000)
	s.seal()
	waiting.Wait()
}

func TestLedgerEventsRefuse(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	books := s.internal("ledger:read")
	for _, query := range []string{"after=-1", "after=x", "limit=0", "limit=1001", "wait=31", "after=1&after=2"} {
		if g := s.do(call{http.MethodGet, "/v1/ledger/events?" + query, books, "", nil}); g.status != http.StatusBadRequest || g.code() != "invalid_request" {
			t.Errorf("%s: %d %s", query, g.status, g.text())
		}
	}
	_, token := s.rich("tom", 0)
	for _, token := range []string{token, s.internal("wallet:read_any")} {
		if g := s.do(call{http.MethodGet, "/v1/ledger/events", token, "", nil}); g.status != http.StatusForbidden {
			t.Errorf("%d %s", g.status, g.text())
		}
	}
}
