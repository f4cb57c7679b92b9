package resource_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const moneyScope = allScope + " wallet:hold wallet:reverse"

// purse is a user with money and a token for all that a user may do.
func (s *stand) purse(name string, fen int64) (storage.UserID, string) {
	s.t.Helper()
	id, _ := s.rich(name, fen)
	return id, s.signIn(id, moneyScope)
}

func (s *stand) post(path, token, k, body string) got {
	s.t.Helper()
	return s.do(call{http.MethodPost, path, token, body, key(k)})
}

// made is the identifier of what a write has made.
func (s *stand) made(g got) string {
	s.t.Helper()
	var m struct{ ID string }
	if err := json.Unmarshal(g.body, &m); err != nil || g.status != http.StatusCreated {
		s.t.Fatalf("got %d %s, want 201 (%v)", g.status, g.body, err)
	}
	return m.ID
}

// has checks what a user has: in all, and how much of it is held.
func (s *stand) has(user storage.UserID, total, held int64) {
	s.t.Helper()
	list, err := s.server.Wallet().Balances(s.t.Context(), user)
	must(s.t, err)
	if list[0].Total != total || list[0].Held != held || list[0].Available != total-held {
		s.t.Errorf("total %d, held %d, available %d; want %d, %d", list[0].Total, list[0].Held, list[0].Available, total, held)
	}
}

func TestAHoldTellsItsStory(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 10000)
	amy, amyToken := s.purse("amy", 0)
	names := map[string]string{string(tom): "tom", string(amy): "amy"}
	body := fmt.Sprintf(`{"to":%q,"amount":3000,"currency":"CNY","memo":"room 7","reference":"booking 9","expires_in":3600}`, amy)

	made := s.post("/v1/holds", tomToken, "h-1", body)
	golden(t, "hold", made, names)
	golden(t, "hold_replayed", s.post("/v1/holds", tomToken, "h-1", body), names)
	s.has(tom, 10000, 3000)
	hold := made.header.Get("Location")
	for who, token := range map[string]string{"payer": tomToken, "recipient": amyToken, "app": s.internal("wallet:hold")} {
		if g := s.do(call{http.MethodGet, hold, token, "", nil}); g.status != http.StatusOK || !bytes.Equal(g.body, made.body) {
			t.Errorf("%s sees %d %s, want what was answered: %s", who, g.status, g.body, made.body)
		}
	}
	_, eveToken := s.purse("eve", 0)
	golden(t, "hold_not_a_party", s.do(call{http.MethodGet, hold, eveToken, "", nil}), names)

	golden(t, "capture_too_much", s.post(hold+"/capture", amyToken, "c-1", `{"amount":3001}`), names)
	taken := s.post(hold+"/capture", amyToken, "c-2", `{"amount":2500}`)
	golden(t, "capture", taken, names)
	golden(t, "capture_replayed", s.post(hold+"/capture", amyToken, "c-2", `{"amount":2500}`), names)
	s.has(tom, 7500, 0)
	s.has(amy, 2500, 0)
	golden(t, "hold_closed", s.post(hold+"/void", amyToken, "v-1", `{}`), names)
	golden(t, "hold_captured", s.do(call{http.MethodGet, hold, tomToken, "", nil}), names)
	if g := s.do(call{http.MethodGet, taken.header.Get("Location"), tomToken, "", nil}); !bytes.Equal(g.body, taken.body) {
		t.Errorf("the capture reads %d %s", g.status, g.body)
	}
	if g := s.do(call{http.MethodGet, strings.Replace(hold, "holds", "transfers", 1), tomToken, "", nil}); g.status != http.StatusNotFound {
		t.Errorf("a hold is read as a transfer: %d %s", g.status, g.body)
	}

	second := s.post("/v1/holds", tomToken, "h-2", fmt.Sprintf(`{"to":%q,"amount":40,"currency":"CNY"}`, amy)).header.Get("Location")
	golden(t, "hold_voided", s.do(call{http.MethodPost, second + "/void", amyToken, "", key("v-2")}), names)
	s.has(tom, 7500, 0)
	if r := s.verify(); r.Journals != 5 {
		t.Errorf("%d journals, want 5", r.Journals)
	}
}

func TestAHoldToTheOutsideIsTheApps(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 1000)
	app := s.internal("wallet:hold")
	hold := s.post("/v1/holds", app, "h", fmt.Sprintf(`{"user":%q,"amount":600,"currency":"CNY"}`, tom)).header.Get("Location")
	s.has(tom, 1000, 600)
	golden(t, "capture_by_payer", s.post(hold+"/capture", tomToken, "t", `{}`), nil)
	for i, path := range []string{"/capture", "/void"} {
		if g := s.post(hold+path, tomToken, fmt.Sprint("t", i), `{}`); g.status != http.StatusForbidden || g.code() != "not_allowed" {
			t.Errorf("the payer's %s: %d %s", path, g.status, g.body)
		}
	}
	s.made(s.do(call{http.MethodPost, hold + "/capture", app, "", key("c")}))
	s.has(tom, 400, 0)
	s.verify()
}

// A payer who placed a hold himself may do with it what the recipient may; but he pays nobody outside.
func TestWhoPlacedAHoldMayCloseIt(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 1000)
	amy, amyToken := s.purse("amy", 0)
	place := func(k, token, body string) string {
		t.Helper()
		g := s.post("/v1/holds", token, k, body)
		s.made(g)
		return g.header.Get("Location")
	}
	own := fmt.Sprintf(`{"to":%q,"amount":100,"currency":"CNY"}`, amy)
	s.made(s.post(place("h-1", tomToken, own)+"/capture", tomToken, "c-1", `{"amount":60}`))
	s.has(amy, 60, 0)
	if g := s.post(place("h-2", tomToken, own)+"/void", tomToken, "v-2", `{}`); g.status != http.StatusOK {
		t.Errorf("the payer voids a hold of his own: %d %s", g.status, g.body)
	}
	guaranteed := place("h-3", s.internal("wallet:hold"), fmt.Sprintf(`{"user":%q,"to":%q,"amount":100,"currency":"CNY"}`, tom, amy))
	for i, path := range []string{"/capture", "/void"} {
		if g := s.post(guaranteed+path, tomToken, fmt.Sprint("g-", i), `{}`); g.status != http.StatusForbidden || g.code() != "not_allowed" {
			t.Errorf("%s by the payer of a hold that an app placed: %d %s", path, g.status, g.body)
		}
	}
	s.made(s.post(guaranteed+"/capture", amyToken, "c-3", `{}`))
	out := place("h-4", tomToken, `{"amount":100,"currency":"CNY"}`)
	if g := s.post(out+"/capture", tomToken, "c-4", `{}`); g.status != http.StatusForbidden || g.code() != "not_allowed" {
		t.Errorf("a user takes money outside: %d %s", g.status, g.body)
	}
	if g := s.post(out+"/void", tomToken, "v-4", `{}`); g.status != http.StatusOK {
		t.Errorf("the payer voids his hold for the outside: %d %s", g.status, g.body)
	}
	s.has(tom, 840, 0)
	s.verify()
}

func TestRefusalsOfAHold(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 1000)
	amy := s.user("amy")
	app := s.internal("wallet:hold")
	body := func(more string) string { return fmt.Sprintf(`{"to":%q,"amount":5,"currency":"CNY"%s}`, amy, more) }
	none := "/v1/holds/0000000000000000000000000n"
	for name, c := range map[string]struct {
		path, token, body string
		status            int
		says              string
	}{
		"no scope":                {"/v1/holds", s.internal("wallet:deposit"), body(""), 403, "wallet:hold"},
		"a payer named by a user": {"/v1/holds", tomToken, body(fmt.Sprintf(`,"user":%q`, amy)), 400, `\"user\"`},
		"no payer by an app":      {"/v1/holds", app, body(""), 400, "user: is missing"},
		"more than there is":      {"/v1/holds", tomToken, fmt.Sprintf(`{"to":%q,"amount":1001,"currency":"CNY"}`, amy), 422, "insufficient_funds"},
		"to oneself":              {"/v1/holds", tomToken, fmt.Sprintf(`{"to":%q,"amount":1,"currency":"CNY"}`, tom), 422, "same_wallet"},
		"to nobody":               {"/v1/holds", tomToken, `{"to":"0000000000000000000000000n","amount":1,"currency":"CNY"}`, 404, "unknown_recipient"},
		"of nobody":               {"/v1/holds", app, `{"user":"0000000000000000000000000n","amount":1,"currency":"CNY"}`, 404, "unknown_recipient"},
		"for no time":             {"/v1/holds", tomToken, body(`,"expires_in":0`), 400, "expires_in"},
		"for too long":            {"/v1/holds", tomToken, body(`,"expires_in":2678401`), 400, "expires_in"},
		"for half a second":       {"/v1/holds", tomToken, body(`,"expires_in":0.5`), 400, "expires_in"},
		"captured, not there":     {none + "/capture", app, `{}`, 404, "not_found"},
		"voided, not there":       {none + "/void", app, `{}`, 404, "not_found"},
		"captured nothing":        {none + "/capture", app, `{"amount":0}`, 422, "amount_out_of_range"},
		"voided in part":          {none + "/void", app, `{"amount":1}`, 400, "unknown field; there are none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := s.post(c.path, c.token, name[:min(len(name), 60)], c.body)
			if g.status != c.status || !strings.Contains(g.text()+g.header.Get("WWW-Authenticate"), c.says) {
				t.Errorf("got %d %s, want %d and something of %q", g.status, g.body, c.status, c.says)
			}
		})
	}
	t.Cleanup(func() {
		for _, path := range []string{"/v1/holds", none + "/capture", none + "/void", "/v1/transfers/x/reversals"} {
			if g := s.do(call{http.MethodPost, path, tomToken, "{", http.Header{}}); g.status/100 != 4 {
				t.Errorf("POST %s without a key: %d %s", path, g.status, g.body)
			}
		}
	})
}

func TestAHoldPastItsTimeIsClosed(t *testing.T) {
	t.Parallel()
	later := time.Duration(0)
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { c.Now = func() time.Time { return time.Now().Add(later) } })
	tom, tomToken := s.purse("tom", 100)
	hold := s.post("/v1/holds", tomToken, "h", `{"amount":60,"currency":"CNY","expires_in":60}`).header.Get("Location")
	later = time.Minute
	if g := s.post(hold+"/capture", s.internal("wallet:hold"), "c", `{}`); g.status != http.StatusConflict || g.code() != "hold_closed" {
		t.Errorf("capture past its time: %d %s", g.status, g.body)
	}
	s.has(tom, 100, 60)
	n, err := s.db.ExpireHolds(t.Context(), time.Now().Add(later), 10)
	if n != 1 || err != nil {
		t.Errorf("expired %d, %v", n, err)
	}
	s.has(tom, 100, 0)
	if g := s.do(call{http.MethodGet, hold, tomToken, "", nil}); !strings.Contains(g.text(), `"state":"expired"`) {
		t.Errorf("the hold reads %s", g.body)
	}
	s.verify()
}

func TestOfRacingCapturesAndVoidsOneHappens(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		tom, tomToken := s.purse("tom", 100)
		amy, amyToken := s.purse("amy", 0)
		hold := s.post("/v1/holds", tomToken, "h", fmt.Sprintf(`{"to":%q,"amount":60,"currency":"CNY"}`, amy)).header.Get("Location")
		app := s.internal("wallet:hold")
		answers := make([]got, 10)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				path, token := []string{"/capture", "/void"}[i%2], []string{amyToken, app}[i/5]
				answers[i] = s.post(hold+path, token, fmt.Sprint("k", i), `{}`)
			})
		}
		wg.Wait()
		happened := 0
		for i, g := range answers {
			switch {
			case g.status/100 == 2:
				happened++
			case g.status != http.StatusConflict || g.code() != "hold_closed":
				t.Errorf("closer %d: %d %s", i, g.status, g.body)
			}
		}
		if happened != 1 {
			t.Errorf("%d closed the hold, want one", happened)
		}
		if got := s.balance(tom) + s.balance(amy); got != 100 {
			t.Errorf("together they have %d, want 100", got)
		}
		s.verify()
	})
}

func TestReversalsAndWithdrawals(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 1000)
	amy, amyToken := s.purse("amy", 0)
	_, eveToken := s.purse("eve", 0)
	app := s.internal("wallet:reverse wallet:withdraw")
	names := map[string]string{string(tom): "tom", string(amy): "amy"}
	paid := s.transfer(tomToken, "t", transferBody(amy, 500)).header.Get("Location")
	reverse := paid + "/reversals"

	part := s.post(reverse, amyToken, "r-1", `{"amount":200,"memo":"too much"}`)
	golden(t, "reversal", part, names)
	golden(t, "reversal_replayed", s.post(reverse, amyToken, "r-1", `{"amount":200,"memo":"too much"}`), names)
	s.has(tom, 700, 0)
	golden(t, "reversal_exceeds_original", s.post(reverse, amyToken, "r-2", `{"amount":301}`), names)
	golden(t, "reversal_by_payer", s.post(reverse, tomToken, "r-3", `{"amount":1}`), names)
	golden(t, "reversal_by_stranger", s.post(reverse, eveToken, "r-3", `{"amount":1}`), names)
	golden(t, "reversal_of_reversal", s.post(part.header.Get("Location")+"/reversals", tomToken, "r-4", `{}`), names)
	s.made(s.post(reverse, app, "r-5", `{"amount":300}`))
	s.has(tom, 1000, 0)
	s.has(amy, 0, 0)

	withdrawal := fmt.Sprintf(`{"user":%q,"amount":400,"currency":"CNY","reference":"payout 1"}`, tom)
	out := s.post("/v1/withdrawals", app, "w-1", withdrawal)
	golden(t, "withdrawal", out, names)
	if g := s.do(call{http.MethodGet, "/v1/transfers/" + s.made(out), s.internal("wallet:read_any"), "", nil}); g.status != http.StatusOK {
		t.Errorf("an app that may read any wallet reads %d %s", g.status, g.body)
	}
	if g := s.do(call{http.MethodGet, "/v1/transfers/" + s.made(out), s.internal("wallet:read"), "", nil}); g.status != http.StatusForbidden {
		t.Errorf("an app with a user's scope reads %d %s", g.status, g.body)
	}
	golden(t, "withdrawal_replayed", s.post("/v1/withdrawals", app, "w-1", withdrawal), names)
	golden(t, "withdrawal_insufficient", s.post("/v1/withdrawals", app, "w-2", strings.Replace(withdrawal, "400", "601", 1)), names)
	s.has(tom, 600, 0)
	golden(t, "transfer_of_withdrawal", s.do(call{http.MethodGet, "/v1/transfers/" + s.made(out), tomToken, "", nil}), names)
	if g := s.post("/v1/withdrawals", tomToken, "w-3", withdrawal); g.status != http.StatusForbidden {
		t.Errorf("a user withdraws: %d %s", g.status, g.body)
	}
	// The payout came back: its reversal puts the money in again. Whom it was taken from may not do that.
	if g := s.post("/v1/transfers/"+s.made(out)+"/reversals", tomToken, "r-6", `{}`); g.code() != "not_allowed" {
		t.Errorf("a user reverses a withdrawal: %d %s", g.status, g.body)
	}
	s.made(s.do(call{http.MethodPost, "/v1/transfers/" + s.made(out) + "/reversals", app, "", key("r-7")}))
	s.has(tom, 1000, 0)
	s.verify()
}

func TestAReversalWithoutAnAmountTakesWhatIsLeft(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		tom, tomToken := s.purse("tom", 100)
		amy, amyToken := s.purse("amy", 50)
		path := s.transfer(tomToken, "t", transferBody(amy, 100)).header.Get("Location") + "/reversals"
		s.made(s.post(path, amyToken, "r-1", `{"amount":30}`))
		var wg sync.WaitGroup
		answers := make([]got, 10)
		for i := range answers {
			wg.Go(func() { answers[i] = s.post(path, amyToken, fmt.Sprint("rest-", i%5), `{}`) })
		}
		wg.Wait()
		for i, g := range answers {
			if again := s.post(path, amyToken, fmt.Sprint("rest-", i%5), `{}`); again.text() != g.text() {
				t.Errorf("reversal %d was answered %s, and again %s", i, g.body, again.body)
			}
			if g.status != http.StatusCreated && g.code() != "reversal_exceeds_original" || g.status == http.StatusCreated && !strings.Contains(g.text(), `"amount":70,`) {
				t.Errorf("reversal %d of the rest: %d %s", i, g.status, g.body)
			}
		}
		s.has(tom, 100, 0)
		s.has(amy, 50, 0)
		s.verify()
	})
}

func TestRacingReversalsNeverExceedTheOriginal(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e)
		tom, tomToken := s.purse("tom", 100)
		amy, amyToken := s.purse("amy", 1000)
		path := s.transfer(tomToken, "t", transferBody(amy, 100)).header.Get("Location") + "/reversals"
		var wg sync.WaitGroup
		answers := make([]got, 10)
		for i := range answers {
			wg.Go(func() { answers[i] = s.post(path, amyToken, fmt.Sprint("r", i), `{"amount":30}`) })
		}
		wg.Wait()
		for i, g := range answers {
			if g.status != http.StatusCreated && g.code() != "reversal_exceeds_original" {
				t.Errorf("reversal %d: %d %s", i, g.status, g.body)
			}
		}
		s.has(tom, 90, 0)
		s.verify()
	})
}

// A capture takes the payer's money, so it takes the payer's lock; a void takes none.
func TestTheLockIsThePayers(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { c.LockWait = 0 })
	tom, tomToken := s.purse("tom", 100)
	amy, amyToken := s.purse("amy", 0)
	hold := s.post("/v1/holds", tomToken, "h", fmt.Sprintf(`{"to":%q,"amount":60,"currency":"CNY"}`, amy)).header.Get("Location")
	lease, err := s.locker.Lock(t.Context(), tom, 0)
	must(t, err)
	h := key("c")
	h.Set("Prefer", "wait=0")
	if g := s.do(call{http.MethodPost, hold + "/capture", amyToken, "", h}); g.status != http.StatusLocked || g.header.Get("Retry-After") == "" {
		t.Errorf("capture while the payer's wallet is locked: %d %s", g.status, g.body)
	}
	if g := s.post(hold+"/void", amyToken, "v", `{}`); g.status != http.StatusOK {
		t.Errorf("void while the payer's wallet is locked: %d %s", g.status, g.body)
	}
	lease.Release(t.Context())
	s.verify()
}

func TestFrozenAndLimitedWalletsSaySo(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 1000)
	amy := s.user("amy")
	single, daily, frozen := int64(100), int64(250), true
	must(t, s.db.ChangeWallet(t.Context(), tom, storage.WalletChange{
		Limits: map[money.Currency]storage.Limits{"CNY": {Single: &single, Daily: &daily}},
	}, nil, time.Now()))
	golden(t, "limit_single", s.transfer(tomToken, "l-1", transferBody(amy, 101)), nil)
	s.made(s.transfer(tomToken, "l-2", transferBody(amy, 100)))
	s.made(s.post("/v1/holds", tomToken, "l-3", transferBody(amy, 100)))
	golden(t, "limit_daily", s.transfer(tomToken, "l-4", transferBody(amy, 51)), nil)
	s.made(s.transfer(tomToken, "l-5", transferBody(amy, 50)))
	must(t, s.db.ChangeWallet(t.Context(), tom, storage.WalletChange{Frozen: &frozen}, nil, time.Now()))
	golden(t, "wallet_frozen", s.transfer(tomToken, "l-6", transferBody(amy, 1)), nil)
	s.has(tom, 850, 100)
	s.verify()
}

func TestInternalAppsReadWalletsAndTheTrialBalance(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.purse("tom", 700)
	s.purse("amy", 300)
	app := s.internal("wallet:read_any ledger:read")
	for suffix, own := range map[string]string{"": "/v1/wallet", "/entries": "/v1/wallet/entries"} {
		got, want := s.do(call{http.MethodGet, "/v1/wallets/" + string(tom) + suffix, app, "", nil}), s.do(call{http.MethodGet, own, tomToken, "", nil})
		if got.status != http.StatusOK || !bytes.Equal(got.body, want.body) {
			t.Errorf("%q: the app reads %d %s, tom %s", suffix, got.status, got.body, want.body)
		}
		if g := s.do(call{http.MethodGet, "/v1/wallets/" + string(tom) + suffix, tomToken, "", nil}); g.status != http.StatusForbidden {
			t.Errorf("%q with a user's token: %d %s", suffix, g.status, g.body)
		}
	}
	golden(t, "trial_balance", s.do(call{http.MethodGet, "/v1/ledger/trial-balance", app, "", nil}), nil)
}
