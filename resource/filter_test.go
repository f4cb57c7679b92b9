package resource_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// statement reads all pages of a statement, and returns the kinds of its entries.
func (s *stand) statement(token, query string) (kinds []string, times []time.Time) {
	s.t.Helper()
	cursor := ""
	for {
		g := s.do(call{http.MethodGet, "/v1/wallet/entries?limit=2&" + query + "&cursor=" + cursor, token, "", nil})
		var page struct {
			Entries []struct {
				Kind      string    `json:"kind"`
				CreatedAt time.Time `json:"created_at"`
			} `json:"entries"`
			Next *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(g.body, &page); err != nil || g.status != http.StatusOK {
			s.t.Fatalf("%s: %d %s", query, g.status, g.body)
		}
		for _, e := range page.Entries {
			kinds, times = append(kinds, e.Kind), append(times, e.CreatedAt)
		}
		if page.Next == nil {
			return kinds, times
		}
		cursor = *page.Next
	}
}

func TestStatementsAreFiltered(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		_, token := s.rich("tom", 1000)
		amy := s.user("amy")
		for _, k := range []string{"a", "b", "c"} {
			s.transfer(token, k, transferBody(amy, 10))
		}
		all, times := s.statement(token, "")
		if len(all) != 4 || all[3] != "deposit" {
			t.Fatalf("entries: %v", all)
		}
		at := func(name string, t time.Time) string { return url.Values{name: {t.Format(time.RFC3339Nano)}}.Encode() }
		for query, want := range map[string]int{
			"kind=deposit":  1,
			"kind=transfer": 3,
			"kind=transfer&kind=deposit&currency=CNY": 4,
			"kind=capture":                              0,
			at("since", times[1]):                       2,
			at("until", times[1]):                       2,
			at("until", times[3]):                       0,
			at("since", times[0].Add(time.Microsecond)): 0,
			at("since", times[3]) + "&" + at("until", times[1]) + "&kind=transfer": 1,
			at("since", times[3].In(time.FixedZone("", 8*3600))):                   4,
		} {
			if kinds, _ := s.statement(token, query); len(kinds) != want {
				t.Errorf("%s: %v, want %d", query, kinds, want)
			}
		}
		for i, want := range []int64{970, 980, 990, 1000, 0} {
			then := times[3].Add(-time.Microsecond)
			if i < len(times) {
				then = times[i]
			}
			g := s.do(call{http.MethodGet, "/v1/wallet?" + at("at", then), token, "", nil})
			var had struct{ Balances []struct{ Total int64 } }
			if err := json.Unmarshal(g.body, &had); err != nil || had.Balances[0].Total != want {
				t.Errorf("at %s: %d %s, want %d", then, g.status, g.body, want)
			}
		}
	})
}

func TestFiltersThatAreNone(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	_, token := s.rich("tom", 10)
	for range 2 {
		s.rich("other", 1)
	}
	s.transfer(token, "k", transferBody(s.user("amy"), 1))
	first := s.do(call{http.MethodGet, "/v1/wallet/entries?limit=1&kind=transfer&kind=deposit", token, "", nil})
	var page struct {
		Next string `json:"next_cursor"`
	}
	must(t, json.Unmarshal(first.body, &page))
	for path, says := range map[string]string{
		"/v1/wallet/entries?kind=gift":                                                                     "kind",
		"/v1/wallet/entries?kind=hold":                                                                     "kind",
		"/v1/wallet/entries?since=yesterday":                                                               "RFC 3339",
		"/v1/wallet/entries?since=2026-11-20T08:00:00+08:00":                                               "%2B",
		"/v1/wallet/entries?until=2026-11-20":                                                              "until",
		"/v1/wallet/entries?until=2026-11-20T08:00:00Z&until=2026-11-20T08:00:00Z":                         "2 times",
		"/v1/wallet/entries?since=2026-11-20T08:00:00Z&until=2026-11-20T08:00:00Z":                         "since",
		"/v1/wallet/entries?since=9999-11-20T08:00:00Z":                                                    "years",
		"/v1/wallet/entries?kind=deposit&kind=deposit&kind=deposit&kind=deposit&kind=deposit&kind=deposit": "6 times",
		"/v1/wallet/entries?limit=1&kind=transfer&cursor=" + page.Next:                                     "filters",
		"/v1/wallet/entries?cursor=" + page.Next:                                                           "filters",
		"/v1/wallet?at=2199-01-01T00:00:00Z":                                                               "future",
		"/v1/wallet?at=now":                                                                                "RFC 3339",
		"/v1/wallet?at=2020-01-01T00:00:00Z&at=2020-01-01T00:00:00Z":                                       "2 times",
	} {
		if g := s.do(call{http.MethodGet, path, token, "", nil}); g.status != http.StatusBadRequest || g.code() != "invalid_request" || !contains(g, says) {
			t.Errorf("%s: %d %s, want 400 and something of %q", path, g.status, g.body, says)
		}
	}
	if g := s.do(call{http.MethodGet, "/v1/wallet/entries?limit=5&kind=deposit&kind=transfer&cursor=" + page.Next, token, "", nil}); g.status != http.StatusOK {
		t.Errorf("the kinds in another order: %d %s", g.status, g.body)
	}
}

func contains(g got, says string) bool {
	var p struct{ Detail string }
	return json.Unmarshal(g.body, &p) == nil && strings.Contains(p.Detail, says)
}
