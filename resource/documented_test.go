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
	r := &round{stand: s, app: s.internal("wallet:deposit wallet:withdraw wallet:hold wallet:reverse wallet:read_any ledger:read")}
	r.tom, r.tomToken = s.purse("tom", 100_000)
	r.amy, r.amyToken = s.purse("amy", 0)
	r.writes()
	r.reads()
	r.malformed()
	r.forbidden()
	r.busy()
	r.bounded()
	if diff := cmp.Diff([]string{}, r.unseen()); diff != "" {
		t.Errorf("documented, and never answered:\n%s", diff)
	}
}

// round is two users, an app, and what they have made.
type round struct {
	*stand

	tom, amy                storage.UserID
	tomToken, amyToken, app string
	moved, hold, taken      string // where they are
	back                    string // the identifier of a reversal
}

const (
	nobody   = "0000000000000000000000000n"
	tooMuch  = 1_000_000
	mistyped = `{"colour":1}`
)

func transferOf(to any, n int64, currency string) string {
	return fmt.Sprintf(`{"to":%q,"amount":%d,"currency":%q}`, to, n, currency)
}

func bookedOf(user any, n int64, currency string) string {
	return fmt.Sprintf(`{"user":%q,"reference":"r","amount":%d,"currency":%q}`, user, n, currency)
}

func (r *round) get(path, token string) { r.do(call{http.MethodGet, path, token, "", nil}) }

// held is where a new hold is, of one for amy.
func (r *round) held(k string) string {
	return r.post("/v1/holds", r.tomToken, k, transferOf(r.amy, 1, "CNY")).header.Get("Location")
}

// guaranteed is where a hold is that the app made of tom's money, so that tom may not close it.
func (r *round) guaranteed(k string) string {
	body := fmt.Sprintf(`{"user":%q,"to":%q,"amount":10,"currency":"CNY"}`, r.tom, r.amy)
	return r.post("/v1/holds", r.app, k, body).header.Get("Location")
}

// token is that of somebody who may write there.
func (r *round) token(path string) string {
	if path == "/v1/transfers" || path == "/v1/holds" {
		return r.tomToken
	}
	return r.app
}

func (r *round) writes() {
	r.moved = r.post("/v1/transfers", r.tomToken, "moved", transferOf(r.amy, 100, "CNY")).header.Get("Location")
	r.hold, r.taken = r.held("h-1"), r.held("h-2")
	r.post(r.taken+"/capture", r.amyToken, "capture", `{}`)
	r.post(r.held("h-3")+"/void", r.amyToken, "void", `{}`)
	r.post("/v1/deposits", r.app, "deposit", bookedOf(r.tom, 5, "CNY"))
	r.post("/v1/withdrawals", r.app, "withdrawal", bookedOf(r.tom, 5, "CNY"))
	r.back = r.made(r.post(r.moved+"/reversals", r.amyToken, "reversal", `{"amount":1}`))
}

func (r *round) reads() {
	for _, path := range []string{"/v1/ledger/trial-balance", "/v1/ledger/events", "/v1/ledger/events?limit=0"} {
		r.get(path, r.app)
	}
	for _, path := range []string{"/v1/wallet/currencies", r.moved, r.hold, "/v1/transfers/" + nobody, "/v1/holds/" + nobody} {
		r.get(path, r.tomToken)
	}
	for prefix, token := range map[string]string{
		"/v1/wallet": r.tomToken, "/v1/wallets/" + string(r.tom): r.app, "/v1/wallets/" + strings.Repeat("x", 33): r.app,
	} {
		for _, rest := range []string{"", "?at=x", "/entries", "/entries?limit=0", "/entries?currency=EUR"} {
			r.get(prefix+rest, token)
		}
	}
}

// malformed sends what each write refuses: for its headers, for its body, and for what it asks for.
func (r *round) malformed() {
	payments := []string{
		transferOf(r.amy, 1, "CNY"), transferOf(r.amy, tooMuch, "CNY"), transferOf(nobody, 1, "CNY"), transferOf(r.tom, 1, "CNY"),
		transferOf(r.amy, 0, "CNY"), transferOf(r.amy, 1, "EUR"),
	}
	bookings := []string{
		bookedOf(r.tom, 1, "CNY"), bookedOf(nobody, 1, "CNY"), bookedOf(r.tom, 0, "CNY"), bookedOf(r.tom, 1, "EUR"), bookedOf(r.tom, tooMuch, "CNY"),
	}
	// The first of each is good, and is sent without a key and with one that is used.
	for path, bodies := range map[string][]string{
		"/v1/transfers": payments, "/v1/holds": payments, "/v1/withdrawals": bookings, "/v1/deposits": bookings[:4],
		r.moved + "/reversals": {`{"amount":1}`, `{"amount":0}`, `{"amount":101}`},
		r.hold + "/capture":    {`{"amount":1}`, `{"amount":0}`},
		r.hold + "/void":       {`{}`},
	} {
		token := r.token(path)
		r.do(call{http.MethodPost, path, token, bodies[0], nil})
		r.post(path, token, map[string]string{r.tomToken: "moved", r.app: "deposit"}[token], bodies[0])
		r.post(path, token, "mistyped", mistyped)
		r.post(path, token, "large", strings.Repeat(" ", 64<<10+1))
		r.do(call{http.MethodPost, path, token, bodies[0], http.Header{"Idempotency-Key": {"media"}, "Content-Type": {"text/plain"}}})
		for i, body := range bodies[1:] {
			r.post(path, token, fmt.Sprint("bad ", path[len(path)-8:], i), body)
		}
	}
}

// forbidden asks for what is not there, not theirs, or over.
func (r *round) forbidden() {
	for _, path := range []string{"/v1/transfers/" + nobody + "/reversals", "/v1/holds/" + nobody + "/capture", "/v1/holds/" + nobody + "/void"} {
		r.post(path, r.app, "none", `{}`)
	}
	for _, path := range []string{r.moved + "/reversals", r.guaranteed("h-4") + "/capture", r.guaranteed("h-5") + "/void"} {
		r.post(path, r.tomToken, "not mine", `{}`)
	}
	r.post("/v1/transfers/"+r.back+"/reversals", r.app, "twice", `{}`)
	r.post(r.taken+"/capture", r.app, "closed", `{}`)
	r.post(r.taken+"/void", r.app, "closed too", `{}`)
	gone := r.post("/v1/transfers", r.tomToken, "gone", transferOf(r.amy, 50_000, "CNY")).header.Get("Location")
	r.post("/v1/transfers", r.amyToken, "spent", transferOf(r.tom, 50_000, "CNY"))
	r.post(gone+"/reversals", r.app, "nothing left", `{}`)
}

// outgoing is a body for each path that takes money out of a wallet.
func (r *round) outgoing(hold string) map[string]string {
	return map[string]string{
		"/v1/transfers": transferOf(r.amy, 1, "CNY"), "/v1/holds": transferOf(r.amy, 1, "CNY"), "/v1/withdrawals": bookedOf(r.tom, 1, "CNY"),
		r.moved + "/reversals": `{"amount":1}`, hold + "/capture": `{}`,
	}
}

// busy has somebody else hold the lock of whoever pays.
func (r *round) busy() {
	for path, body := range r.outgoing(r.held("h-6")) {
		payer := r.tom
		if strings.HasSuffix(path, "/reversals") {
			payer = r.amy
		}
		lease, err := r.locker.Lock(r.t.Context(), payer, time.Minute)
		must(r.t, err)
		h := http.Header{"Idempotency-Key": {"busy " + path[len(path)-8:]}, "Prefer": {"wait=0"}}
		r.do(call{http.MethodPost, path, r.token(path), body, h})
		lease.Release(r.t.Context())
	}
}

// bounded has limits and frozen wallets, and a ledger that is full.
func (r *round) bounded() {
	single, frozen := int64(1), true
	must(r.t, r.db.ChangeWallet(r.t.Context(), r.tom, storage.WalletChange{
		Limits: map[money.Currency]storage.Limits{"CNY": {Single: &single}},
	}, nil, time.Now()))
	r.post("/v1/transfers", r.tomToken, "limit", transferOf(r.amy, 2, "CNY"))
	r.post("/v1/holds", r.tomToken, "limit h", transferOf(r.amy, 2, "CNY"))
	r.post("/v1/deposits", r.app, "full", bookedOf(r.tom, money.Max, "CNY"))
	outgoing := r.outgoing(r.held("h-7"))
	for _, user := range []storage.UserID{r.tom, r.amy} {
		must(r.t, r.db.ChangeWallet(r.t.Context(), user, storage.WalletChange{Frozen: &frozen}, nil, time.Now()))
	}
	for path, body := range outgoing {
		token := r.token(path)
		if strings.HasSuffix(path, "/reversals") {
			token = r.amyToken // an app's goes through
		}
		r.post(path, token, "frozen "+path[len(path)-8:], body)
	}
}

// unseen is what is documented and was never answered: of successes, and of codes below 500.
func (r *round) unseen() []string {
	documented := map[string]bool{}
	for _, o := range r.contract.operations() {
		for status, response := range asMap(o.it["responses"]) {
			if status < "400" {
				documented[o.id+" "+status] = true
			}
			schema := asMap(asMap(asMap(asMap(response)["content"])["application/problem+json"])["schema"])
			all, _ := schema["allOf"].([]any)
			if len(all) != 2 || status >= "500" {
				continue
			}
			codes, _ := asMap(asMap(asMap(all[1])["properties"])["code"])["enum"].([]any)
			for _, code := range codes {
				documented[fmt.Sprintf("%s %s %s", o.id, status, code)] = true
			}
		}
	}
	// These take no lock, and are busy only when the database is.
	delete(documented, "createDeposit 423 wallet_busy")
	delete(documented, "voidHold 423 wallet_busy")
	unseen := []string{}
	for _, d := range slices.Sorted(maps.Keys(documented)) {
		if !r.contract.seen[d] {
			unseen = append(unseen, d)
		}
	}
	return unseen
}
