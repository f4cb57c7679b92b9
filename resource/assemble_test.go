package resource_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/resource"
	"github.com/tallystick/tallystick/resource/apidoc"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestAServerWithAMissingPartIsNotBuilt(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	whole := wallet.Config{Ledger: s.db, Locker: s.locker, Currencies: []money.Currency{"CNY"}}
	for name, c := range map[string]resource.Config{
		"no guard":      {Wallet: whole},
		"no outbox":     {Wallet: whole, Guard: s.guard, Books: s.db},
		"no books":      {Wallet: whole, Guard: s.guard, Outbox: s.outbox},
		"no ledger":     {Wallet: wallet.Config{Locker: whole.Locker, Currencies: whole.Currencies}, Books: s.db, Outbox: s.outbox, Guard: s.guard},
		"no locker":     {Wallet: wallet.Config{Ledger: whole.Ledger, Currencies: whole.Currencies}, Books: s.db, Outbox: s.outbox, Guard: s.guard},
		"no currencies": {Wallet: wallet.Config{Ledger: whole.Ledger, Locker: whole.Locker}, Books: s.db, Outbox: s.outbox, Guard: s.guard},
	} {
		word := strings.TrimPrefix(name, "no ")
		if _, err := resource.New(c); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := resource.New(resource.Config{Wallet: whole, Books: s.db, Outbox: s.outbox, Guard: s.guard}); err != nil {
		t.Errorf("whole: %v", err)
	}
}

func TestTheRoutes(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	r := gin.New()
	s.server.Register(r)
	var got []string
	for _, route := range r.Routes() {
		if route.Path == apidoc.Path || route.Path == apidoc.PagePath {
			continue // for everybody
		}
		got = append(got, route.Method+" "+route.Path)
		// No route is open to somebody without a token.
		path := strings.NewReplacer(":id", "x", ":sub", "x").Replace(route.Path)
		if g := s.do(call{route.Method, path, "", "", nil}); g.status != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %d", route.Method, path, g.status)
		}
	}
	want := []string{
		"GET /v1/wallet", "GET /v1/wallet/currencies", "GET /v1/wallet/entries", "GET /v1/transfers/:id", "GET /v1/holds/:id",
		"GET /v1/wallets/:sub", "GET /v1/wallets/:sub/entries", "GET /v1/ledger/trial-balance", "GET /v1/ledger/events",
		"POST /v1/transfers", "POST /v1/transfers/:id/reversals", "POST /v1/deposits", "POST /v1/withdrawals",
		"POST /v1/holds", "POST /v1/holds/:id/capture", "POST /v1/holds/:id/void",
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestWritesAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) { c.Metrics = registry })
	tom, tomToken := s.rich("tom", 10)
	amy := s.user("amy")
	for _, c := range []struct {
		key    string
		amount int64
	}{{"a", 1}, {"a", 1}, {"a", 2}, {"b", 100}, {"c", 0}} {
		s.transfer(tomToken, c.key, transferBody(amy, c.amount))
	}
	s.locker.away = storage.ErrUnavailable
	s.transfer(tomToken, "d", transferBody(amy, 1))
	if b := s.balance(tom); b != 8 {
		t.Errorf("tom has %d, want 8", b)
	}
	families, err := registry.Gather()
	must(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "tallystick_wallet_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	want := map[string]float64{
		"writes_total deposit ok": 1, "writes_total transfer ok": 2, "writes_total transfer replayed": 1,
		"writes_total transfer idempotency_key_reused": 1, "writes_total transfer insufficient_funds": 1, "writes_total transfer amount_out_of_range": 1,
		"lock_away": 1, "lockless_writes_total": 1, "lock_wait_seconds": 5, "stale_fence_total": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if _, err := wallet.New(wallet.Config{Ledger: s.db, Locker: s.locker, Currencies: []money.Currency{"CNY"}, Metrics: registry}); err == nil {
		t.Error("two wallets on one registry")
	}
}

func TestCurrenciesAreToldWithTheirExponents(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), func(c *wallet.Config) {
		c.Currencies = []money.Currency{"CNY", "PTS", "JPY", "KWD"}
		c.Exponents = map[money.Currency]int{"PTS": 1, "KWD": 2} // what ISO 4217 says of KWD comes first
	})
	want := `{"currencies":[{"currency":"CNY","exponent":2},{"currency":"PTS","exponent":1},{"currency":"JPY","exponent":0},{"currency":"KWD","exponent":3}]}`
	for who, token := range map[string]string{"a user": s.signIn(s.user("tom"), "wallet:read"), "an app": s.internal("wallet:read_any")} {
		if g := s.do(call{http.MethodGet, "/v1/wallet/currencies", token, "", nil}); g.status != http.StatusOK || g.text() != want {
			t.Errorf("%s: %d %s; want %s", who, g.status, g.body, want)
		}
	}
	for name, exponents := range map[string]map[money.Currency]int{"none": nil, "below 0": {"PTS": -1}, "above 8": {"PTS": 9}} {
		_, err := wallet.New(wallet.Config{Ledger: s.db, Locker: s.locker, Currencies: []money.Currency{"PTS"}, Exponents: exponents})
		if err == nil || !strings.Contains(err.Error(), "PTS has no exponent between 0 and 8") {
			t.Errorf("a currency of our own, %s: %v", name, err)
		}
	}
}

func TestMoneyOfACurrencyThatIsGoneStaysVisible(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom, tomToken := s.rich("tom", 0)
	app := s.internal("wallet:deposit")
	body := fmt.Sprintf(`{"user":%q,"amount":7,"currency":"USD","reference":"r"}`, tom)
	if g := s.do(call{http.MethodPost, "/v1/deposits", app, body, key("k")}); g.status != http.StatusCreated {
		t.Fatalf("deposit: %d %s", g.status, g.body)
	}
	later, err := wallet.New(wallet.Config{Ledger: s.db, Locker: s.locker, Currencies: []money.Currency{"EUR", "CNY"}})
	must(t, err)
	balances, err := later.Balances(t.Context(), tom)
	must(t, err)
	want := []wallet.Balance{{Currency: "EUR"}, {Currency: "CNY"}, {Currency: "USD", Available: 7, Total: 7}}
	if diff := cmp.Diff(want, balances); diff != "" {
		t.Errorf("balances (-want +got):\n%s", diff)
	}
	page, err := later.Entries(t.Context(), tom, wallet.Query{Currency: "USD"})
	if err != nil || len(page.Entries) != 1 {
		t.Errorf("entries in USD: %+v, %v", page, err)
	}
	if g := s.do(call{http.MethodGet, "/v1/wallet", tomToken, "", nil}); !strings.Contains(g.text(), `"currency":"USD","available":7`) {
		t.Errorf("over HTTP: %s", g.body)
	}
}
