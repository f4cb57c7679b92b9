package resource_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares an answer, with what differs from run to run replaced, with a file.
func golden(t *testing.T, name string, g got, names map[string]string) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\n", g.status, g.header.Get("Content-Type"))
	for _, h := range []string{"Location", "Idempotent-Replayed", "Preference-Applied", "Retry-After", "Cache-Control", "Www-Authenticate"} {
		if v := g.header.Get(h); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", h, v)
		}
	}
	b.WriteString("\n")
	if err := json.Indent(&b, g.body, "", "  "); err != nil {
		t.Fatalf("body is not JSON: %v: %s", err, g.body)
	}
	b.WriteString("\n")
	text := b.String()
	for id, label := range names {
		text = strings.ReplaceAll(text, id, "<"+label+">")
	}
	text = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+Z`).ReplaceAllString(text, "<time>")
	text = regexp.MustCompile(`\b[0-9a-hjkmnp-tv-z]{26}\b`).ReplaceAllString(text, "<id>")
	text = regexp.MustCompile(`"next_cursor": "[^"]+"`).ReplaceAllString(text, `"next_cursor": "<cursor>"`)
	file := filepath.Join("testdata", name+".golden")
	if *update {
		must(t, os.MkdirAll("testdata", 0o750))
		must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestAWalletTellsItsStory(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, amy := s.user("tom"), s.user("amy")
	tomToken, amyToken, app := s.signIn(tom, allScope), s.signIn(amy, allScope), s.internal("wallet:deposit")
	names := map[string]string{string(tom): "tom", string(amy): "amy"}

	golden(t, "wallet_empty", s.do(call{http.MethodGet, "/v1/wallet", amyToken, "", nil}), names)
	golden(t, "entries_empty", s.do(call{http.MethodGet, "/v1/wallet/entries", amyToken, "", nil}), names)

	deposit := call{http.MethodPost, "/v1/deposits", app, fmt.Sprintf(`{"user":%q,"amount":100000,"currency":"CNY","reference":"invoice 7"}`, tom), key("d-1")}
	first := s.do(deposit)
	golden(t, "deposit", first, names)
	again := s.do(deposit)
	golden(t, "deposit_replayed", again, names)
	if !bytes.Equal(first.body, again.body) {
		t.Errorf("replayed deposit differs:\n%s\n%s", first.body, again.body)
	}

	body := fmt.Sprintf(`{"to":%q,"amount":1250,"currency":"CNY","memo":"lunch <&> 午饭"}`, amy)
	sent := s.transfer(tomToken, "t-1", body)
	golden(t, "transfer", sent, names)
	replayed := s.transfer(tomToken, "t-1", " "+body+"\n")
	golden(t, "transfer_replayed", replayed, names)
	if !bytes.Equal(sent.body, replayed.body) {
		t.Errorf("replayed transfer differs:\n%s\n%s", sent.body, replayed.body)
	}

	golden(t, "wallet", s.do(call{http.MethodGet, "/v1/wallet", tomToken, "", nil}), names)
	golden(t, "entries", s.do(call{http.MethodGet, "/v1/wallet/entries", tomToken, "", nil}), names)
	golden(t, "entries_first_page", s.do(call{http.MethodGet, "/v1/wallet/entries?limit=1", tomToken, "", nil}), names)

	location := sent.header.Get("Location")
	for who, token := range map[string]string{"payer": tomToken, "payee": amyToken} {
		seen := s.do(call{http.MethodGet, location, token, "", nil})
		if seen.status != http.StatusOK || !bytes.Equal(seen.body, sent.body) {
			t.Errorf("%s sees %d %s, want what was answered: %s", who, seen.status, seen.body, sent.body)
		}
	}
	var made struct{ ID string }
	must(t, json.Unmarshal(first.body, &made))
	golden(t, "transfer_of_deposit", s.do(call{http.MethodGet, "/v1/transfers/" + made.ID, tomToken, "", nil}), names)
	golden(t, "transfer_not_a_party", s.do(call{http.MethodGet, "/v1/transfers/" + made.ID, amyToken, "", nil}), names)

	report := s.verify()
	if report.Journals != 2 || report.Entries != 4 || report.Answers != 2 {
		t.Errorf("journals, entries, answers: %d, %d, %d; want 2, 4, 2", report.Journals, report.Entries, report.Answers)
	}
}

func TestAStatementIsReadPageByPageWhileItGrows(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		tom, tomToken := s.rich("tom", 0)
		app := s.internal("wallet:deposit")
		const n = 12
		for i := range n {
			currency := []string{"CNY", "USD", "CNY"}[i%3]
			body := fmt.Sprintf(`{"user":%q,"amount":%d,"currency":%q,"reference":"r"}`, tom, i+1, currency)
			if g := s.do(call{http.MethodPost, "/v1/deposits", app, body, key(fmt.Sprint("k", i))}); g.status != http.StatusCreated {
				t.Fatalf("deposit: %d %s", g.status, g.body)
			}
		}
		var amounts []int64
		seen := map[string]bool{}
		for cursor, page := "", 0; ; page++ {
			g := s.do(call{http.MethodGet, "/v1/wallet/entries?limit=5&cursor=" + cursor, tomToken, "", nil})
			var p struct {
				Entries []struct {
					ID     string
					Amount int64
				}
				NextCursor *string `json:"next_cursor"`
			}
			if err := json.Unmarshal(g.body, &p); err != nil || g.status != http.StatusOK {
				t.Fatalf("page %d: %d %s", page, g.status, g.body)
			}
			for _, e := range p.Entries {
				amounts = append(amounts, e.Amount)
				seen[e.ID] = true
			}
			if p.NextCursor == nil {
				break
			}
			cursor = *p.NextCursor
			// Money that arrives between two pages belongs before the first.
			body := fmt.Sprintf(`{"user":%q,"amount":999,"currency":"USD","reference":"r"}`, tom)
			s.do(call{http.MethodPost, "/v1/deposits", app, body, key(fmt.Sprint("late", page))})
		}
		var want []int64
		for i := n; i >= 1; i-- {
			want = append(want, int64(i))
		}
		if diff := cmp.Diff(want, amounts); diff != "" {
			t.Errorf("amounts, newest first (-want +got):\n%s", diff)
		}
		if len(seen) != n {
			t.Errorf("%d different entry ids, want %d", len(seen), n)
		}
		usd := s.do(call{http.MethodGet, "/v1/wallet/entries?currency=USD&limit=200", tomToken, "", nil})
		if strings.Contains(usd.text(), "CNY") || !strings.Contains(usd.text(), `"amount":999`) {
			t.Errorf("entries in USD: %s", usd.body)
		}
	})
}

func TestADifferentTokenSeesADifferentWallet(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	_, tomToken := s.rich("tom", 500)
	_, amyToken := s.rich("amy", 0)
	if g := s.do(call{http.MethodGet, "/v1/wallet", amyToken, "", nil}); strings.Contains(g.text(), "500") {
		t.Errorf("amy sees %s", g.body)
	}
	page := s.do(call{http.MethodGet, "/v1/wallet/entries?limit=1", tomToken, "", nil})
	if !strings.Contains(page.text(), `"amount":500`) {
		t.Errorf("tom's entries: %s", page.body)
	}
}

func TestPreferWaitIsToldBack(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { c.LockWait = 30 * time.Second })
	_, tomToken := s.rich("tom", 500)
	amy := s.user("amy")
	for prefer, applied := range map[string]string{
		"wait=7": "wait=7", "respond-async, WAIT=\"3\"": "wait=3", "wait=0": "wait=0", "wait=600": "wait=30", "wait=99999999999999999999": "wait=30",
		"": "", "wait": "", "wait=-1": "", "wait=1.5": "", "waiting=3": "", "foo=\"a, wait=3\"": "", "wait=x, wait=3": "",
	} {
		h := key(storage.NewID(time.Now()))
		if prefer != "" {
			h.Set("Prefer", prefer)
		}
		g := s.do(call{http.MethodPost, "/v1/transfers", tomToken, transferBody(amy, 1), h})
		if g.status != http.StatusCreated || g.header.Get("Preference-Applied") != applied {
			t.Errorf("Prefer %q: %d, Preference-Applied %q, want 201, %q", prefer, g.status, g.header.Get("Preference-Applied"), applied)
		}
	}
}
