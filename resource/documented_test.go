package resource_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// TestEveryDocumentedAnswerIsGiven brings about each success and each refusal that the document lists, but for those that
// need a fault.
func TestEveryDocumentedAnswerIsGiven(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { c.MaxAmount = money.Max })
	tom, tomToken := s.purse("tom", 100_000)
	amy, amyToken := s.purse("amy", 0)
	app := s.internal("wallet:deposit wallet:withdraw wallet:hold wallet:reverse wallet:read_any ledger:read")
	nobody, none := "0000000000000000000000000n", strings.Repeat("0", 25)+"n"
	get := func(path, token string) { s.do(call{http.MethodGet, path, token, "", nil}) }
	get("/v1/wallet", tomToken)
	get("/v1/wallet?at=x", tomToken)
	get("/v1/ledger/trial-balance", app)
	get("/v1/ledger/events", app)
	get("/v1/ledger/events?limit=0", app)
	for prefix, token := range map[string]string{"/v1/wallet": tomToken, "/v1/wallets/" + string(tom): app, "/v1/wallets/" + strings.Repeat("x", 33): app} {
		for _, rest := range []string{"", "?at=x", "/entries", "/entries?limit=0", "/entries?currency=EUR"} {
			get(prefix+rest, token)
		}
	}
	amount := `,"amount":%d,"currency":%q`
	transfer := func(to any, n int, currency string) string {
		return fmt.Sprintf(`{"to":%q`+amount+`}`, to, n, currency)
	}
	booked := func(user any, n int, currency string) string {
		return fmt.Sprintf(`{"user":%q,"reference":"r"`+amount+`}`, user, n, currency)
	}
	moved := s.post("/v1/transfers", tomToken, "moved", transfer(amy, 100, "CNY")).header.Get("Location")
	held := func(k string) string {
		return s.post("/v1/holds", tomToken, k, transfer(amy, 10, "CNY")).header.Get("Location")
	}
	guaranteed := func(k string) string { // by an app, so that its payer may not close it
		return s.post("/v1/holds", app, k, fmt.Sprintf(`{"user":%q,"to":%q,"amount":10,"currency":"CNY"}`, tom, amy)).header.Get("Location")
	}
	hold, taken := held("h-1"), held("h-2")
	get(moved, tomToken)
	get(hold, tomToken)
	get("/v1/transfers/"+none, tomToken)
	get("/v1/holds/"+none, tomToken)
	s.post(taken+"/capture", amyToken, "capture", `{}`)
	s.post(held("h-3")+"/void", amyToken, "void", `{}`)
	s.post("/v1/deposits", app, "deposit", booked(tom, 5, "CNY"))
	s.post("/v1/withdrawals", app, "withdrawal", booked(tom, 5, "CNY"))
	back := s.made(s.post(moved+"/reversals", amyToken, "reversal", `{"amount":1}`))

	// What each write refuses: of a body, and of what it asks for.
	const large = 1_000_000
	for path, c := range map[string]struct {
		token string
		good  string
		bad   []string
	}{
		"/v1/transfers": {tomToken, transfer(amy, 1, "CNY"), []string{
			transfer(amy, large, "CNY"), transfer(nobody, 1, "CNY"), transfer(tom, 1, "CNY"), transfer(amy, 0, "CNY"), transfer(amy, 1, "EUR"),
		}},
		"/v1/holds": {tomToken, transfer(amy, 1, "CNY"), []string{
			transfer(amy, large, "CNY"), transfer(nobody, 1, "CNY"), transfer(tom, 1, "CNY"), transfer(amy, 0, "CNY"), transfer(amy, 1, "EUR"),
		}},
		"/v1/deposits": {app, booked(amy, 1, "CNY"), []string{booked(nobody, 1, "CNY"), booked(tom, 0, "CNY"), booked(tom, 1, "EUR")}},
		"/v1/withdrawals": {app, booked(tom, 1, "CNY"), []string{
			booked(nobody, 1, "CNY"), booked(tom, 0, "CNY"), booked(tom, 1, "EUR"), booked(tom, large, "CNY"),
		}},
		moved + "/reversals": {app, `{"amount":1}`, []string{`{"amount":0}`, `{"amount":101}`}},
		hold + "/capture":    {app, `{"amount":1}`, []string{`{"amount":0}`}},
		hold + "/void":       {app, `{}`, nil},
	} {
		s.do(call{http.MethodPost, path, c.token, c.good, nil})
		s.post(path, c.token, path+" bad", `{"colour":1}`)
		s.post(path, c.token, path+" large", strings.Repeat(" ", 64<<10+1))
		s.do(call{http.MethodPost, path, c.token, c.good, http.Header{"Idempotency-Key": {"media"}, "Content-Type": {"text/plain"}}})
		for i, body := range c.bad {
			s.post(path, c.token, fmt.Sprint("b", len(path), i), body)
		}
		s.do(call{http.MethodPost, path, c.token, c.good, key(map[string]string{tomToken: "moved", app: "deposit"}[c.token])})
	}
	s.post("/v1/transfers", tomToken, "moved", transfer(amy, 7, "CNY"))
	s.post(moved+"/reversals", app, "deposit", `{"amount":2}`)
	s.post("/v1/deposits", app, "deposit", booked(tom, 6, "CNY"))
	for _, path := range []string{"/v1/transfers/" + none + "/reversals", "/v1/holds/" + none + "/capture", "/v1/holds/" + none + "/void"} {
		s.post(path, app, "none", `{}`)
	}
	for _, path := range []string{moved + "/reversals", guaranteed("h-4") + "/capture", guaranteed("h-5") + "/void"} {
		s.post(path, tomToken, "not mine", `{}`)
	}
	s.post("/v1/transfers/"+back+"/reversals", app, "twice", `{}`)
	s.post(taken+"/capture", app, "closed", `{}`)
	s.post(taken+"/void", app, "closed too", `{}`)

	// Somebody else has the lock.
	busy := map[string]string{
		"/v1/transfers": transfer(amy, 1, "CNY"), "/v1/holds": transfer(amy, 1, "CNY"), "/v1/withdrawals": booked(tom, 1, "CNY"),
		moved + "/reversals": `{"amount":1}`, held("h-6") + "/capture": `{}`,
	}
	for path, body := range busy {
		owner, token := tom, app
		if path == "/v1/transfers" || path == "/v1/holds" {
			token = tomToken
		}
		if strings.HasSuffix(path, "/reversals") {
			owner = amy
		}
		lease, err := s.locker.Lock(t.Context(), owner, time.Minute)
		must(t, err)
		s.do(call{http.MethodPost, path, token, body, http.Header{"Idempotency-Key": {"busy " + path[len(path)-8:]}, "Prefer": {"wait=0"}}})
		lease.Release(t.Context())
	}

	// A wallet that has nothing left to give back, one that is limited, and one that is frozen.
	gone := s.post("/v1/transfers", tomToken, "gone", transfer(amy, 50_000, "CNY")).header.Get("Location")
	s.post("/v1/transfers", amyToken, "spent", transfer(tom, 50_000, "CNY"))
	s.post(gone+"/reversals", app, "nothing left", `{}`)
	single, frozen := int64(1), true
	must(t, s.db.ChangeWallet(t.Context(), tom, storage.WalletChange{
		Limits: map[money.Currency]storage.Limits{"CNY": {Single: &single}},
	}, nil, time.Now()))
	s.post("/v1/transfers", tomToken, "limit", transfer(amy, 2, "CNY"))
	s.post("/v1/holds", tomToken, "limit h", transfer(amy, 2, "CNY"))
	s.post("/v1/deposits", app, "rich", booked(tom, int(money.Max), "CNY"))
	last := s.post("/v1/holds", tomToken, "h-7", transfer(amy, 1, "CNY")).header.Get("Location")
	for _, user := range []storage.UserID{tom, amy} {
		must(t, s.db.ChangeWallet(t.Context(), user, storage.WalletChange{Frozen: &frozen}, nil, time.Now()))
	}
	for path, body := range map[string]string{
		"/v1/transfers": transfer(amy, 1, "CNY"), "/v1/holds": transfer(amy, 1, "CNY"), "/v1/withdrawals": booked(tom, 1, "CNY"),
		moved + "/reversals": `{"amount":1}`, last + "/capture": `{}`,
	} {
		token := app
		switch path {
		case "/v1/transfers", "/v1/holds":
			token = tomToken
		case moved + "/reversals":
			token = amyToken
		}
		s.post(path, token, "frozen "+path[len(path)-8:], body)
	}

	documented, unseen := map[string]bool{}, []string{}
	for _, o := range s.contract.operations() {
		for status, r := range o.it["responses"].(map[string]any) {
			if status < "400" {
				documented[o.id+" "+status] = true
			}
			body := asMap(asMap(asMap(r)["content"])["application/problem+json"])
			list, _ := asMap(body["schema"])["allOf"].([]any)
			if len(list) != 2 || status >= "500" {
				continue
			}
			for _, code := range asMap(asMap(asMap(list[1])["properties"])["code"])["enum"].([]any) {
				documented[fmt.Sprintf("%s %s %s", o.id, status, code)] = true
			}
		}
	}
	// These take no lock, and are busy only when the database is.
	delete(documented, "createDeposit 423 wallet_busy")
	delete(documented, "voidHold 423 wallet_busy")
	for _, d := range slices.Sorted(maps.Keys(documented)) {
		if !s.contract.seen[d] {
			unseen = append(unseen, d)
		}
	}
	if diff := cmp.Diff([]string{}, unseen); diff != "" {
		t.Errorf("documented, and never answered:\n%s", diff)
	}
}
