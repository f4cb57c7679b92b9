package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// TestFreezesAndLimitsHoldAtEveryProcess: limits of the configuration are exact over two processes, those that an
// administrator sets come before them, and what is frozen lets nothing out and everything in.
func TestFreezesAndLimitsHoldAtEveryProcess(t *testing.T) {
	t.Parallel()
	m := openTill(t, install(t, true), "TALLYSTICK_WALLET_LIMITS_CNY_DAILY=100", "TALLYSTICK_WALLET_LIMITS_CNY_SINGLE=40")
	m.fund(t, "tom", 10_000)
	tom := signIn(t, m.target, "tom", "mobile", "phone").field("access_token")
	pay := func(n, amount int, key string) (reply, error) {
		body := fmt.Sprintf(`{"to":%q,"amount":%d,"currency":"CNY"}`, m.sub("amy"), amount)
		return call(t.Context(), http.MethodPost, "http://"+m.wallets[n%len(m.wallets)]+"/v1/transfers", write(tom, key), body)
	}
	refused := func(what string, r reply, err error, status int, code string) {
		t.Helper()
		if err != nil || r.status != status || r.field("code") != code {
			t.Errorf("%s: %d %s (%v), want %d %s", what, r.status, r.body, err, status, code)
		}
	}
	r, err := pay(0, 41, "single")
	refused("above the single limit", r, err, http.StatusUnprocessableEntity, "limit_exceeded")
	paid := 0
	for _, r := range together(t, 10, func(n int) (reply, error) { return pay(n, 30, fmt.Sprint("daily-", n)) }) {
		if r.status == http.StatusCreated {
			paid++
		} else {
			refused("above the daily limit", r, nil, http.StatusUnprocessableEntity, "limit_exceeded")
		}
	}
	if paid != 3 {
		t.Errorf("of ten transfers of 30 with a daily limit of 100, %d happened", paid)
	}

	var made story.Client
	out := command(t, "", "client", "create", "admin", "--grant", "client_credentials", "--scope", "admin", "--config", m.config, "--output", "json")
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	m.target.Clients["admin"] = made
	access, wallet := administrator(t, m.target), m.target.Issuer+"/admin/v1/users/"+m.sub("tom")+"/wallet"
	if r := mustCall(t, http.MethodPatch, wallet, jsonBearer(access), `{"limits":{"CNY":{"single":5000,"daily":6000}}}`); r.status != http.StatusOK {
		t.Fatalf("raise limits: %d %s", r.status, r.body)
	}
	if r, err := pay(1, 5000, "raised"); err != nil || r.status != http.StatusCreated {
		t.Errorf("within limits of his own: %d %s (%v)", r.status, r.body, err)
	}
	freezeAndThaw(t, m, pay, wallet, access)
	m.verify(t)
}

// freezeAndThaw freezes by the command line and thaws over HTTP.
func freezeAndThaw(t *testing.T, m *till, pay func(n, amount int, key string) (reply, error), wallet, access string) {
	t.Helper()
	command(t, "", "user", "freeze", "tom", "--reason", "card testing", "--config", m.config)
	for n := range m.wallets {
		if r, err := pay(n, 1, fmt.Sprint("frozen-", n)); err != nil || r.status != http.StatusForbidden || r.field("code") != "wallet_frozen" {
			t.Errorf("out of a frozen wallet: %d %s (%v)", r.status, r.body, err)
		}
	}
	before, _ := m.has(t, "tom")
	m.fund(t, "tom", 7)
	if after, _ := m.has(t, "tom"); after != before+7 {
		t.Errorf("a deposit of 7 into a frozen wallet of %d makes %d", before, after)
	}
	if shown := mustCall(t, http.MethodGet, wallet, bearer(access), ""); !strings.Contains(string(shown.body), `"reason":"card testing"`) {
		t.Errorf("the frozen wallet: %d %s", shown.status, shown.body)
	}
	if r := mustCall(t, http.MethodPatch, wallet, jsonBearer(access), `{"frozen":false}`); r.status != http.StatusOK {
		t.Fatalf("thaw: %d %s", r.status, r.body)
	}
	if r, err := pay(0, 1, "thawed"); err != nil || r.status != http.StatusCreated {
		t.Errorf("out of a thawed wallet: %d %s (%v)", r.status, r.body, err)
	}
}
