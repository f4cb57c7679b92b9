package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// till is an installation with several wallets, and an app that may do everything with money.
type till struct {
	*installation

	app     string   // its access token
	wallets []string // their addresses
}

// openTill starts an authorization server and two wallets on one database.
func openTill(t *testing.T, i *installation, env ...string) *till {
	t.Helper()
	m := &till{installation: i, wallets: []string{i.wallet, freeAddr(t)}}
	i.serve(t, "auth")
	for _, addr := range m.wallets {
		i.serveAt(t, "wallet", addr, env...)
	}
	m.app = billing(t, i.target)
	return m
}

// at writes through one of the wallets, with the app's token.
func (m *till) at(t *testing.T, n int, path, key, body string) (reply, error) {
	t.Helper()
	return call(t.Context(), http.MethodPost, "http://"+m.wallets[n%len(m.wallets)]+path, write(m.app, key), body)
}

// made writes what has to succeed, and returns its identifier.
func (m *till) made(t *testing.T, path, key, body string) string {
	t.Helper()
	r, err := m.at(t, 0, path, key, body)
	if err != nil || r.status != http.StatusCreated {
		t.Fatalf("%s: %d %s (%v)", path, r.status, r.body, err)
	}
	return r.field("id")
}

func (m *till) sub(user string) string { return m.target.Users[user].Sub }

func (m *till) fund(t *testing.T, user string, amount int) {
	t.Helper()
	m.made(t, "/v1/deposits", fmt.Sprintf("funds-%s-%d", user, amount), fmt.Sprintf(`{"user":%q,"amount":%d,"currency":"CNY","reference":"r"}`, m.sub(user), amount))
}

// has is what a user has, and how much of it is held.
func (m *till) has(t *testing.T, user string) (total, held int) {
	t.Helper()
	r := mustCall(t, http.MethodGet, m.target.API+"/v1/wallets/"+m.sub(user), bearer(m.app), "")
	total, held, err := readBalance(r)
	if err != nil {
		t.Fatalf("wallet of %s: %d %s (%v)", user, r.status, r.body, err)
	}
	return total, held
}

// hold reserves money of tom for amy.
func (m *till) hold(t *testing.T, key string, amount, seconds int) string {
	t.Helper()
	return m.made(t, "/v1/holds", key, m.holding(amount, seconds))
}

func (m *till) holding(amount, seconds int) string {
	return fmt.Sprintf(`{"user":%q,"to":%q,"amount":%d,"currency":"CNY","expires_in":%d}`, m.sub("tom"), m.sub("amy"), amount, seconds)
}

// verify proves the books, chain of seals included.
func (m *till) verify(t *testing.T) {
	t.Helper()
	t.Logf("%s", command(t, "", "ledger", "verify", "--config", m.config))
}

// TestMoneyRacesAtTwoProcesses: what may happen once happens once, though the callers come at the same
// time and to different processes.
func TestMoneyRacesAtTwoProcesses(t *testing.T) {
	t.Parallel()
	m := openTill(t, install(t, true))
	m.fund(t, "tom", 10_000)
	t.Run("a hundred duplicates", func(t *testing.T) { hundredDuplicates(t, m) })
	t.Run("captures and voids", func(t *testing.T) { capturesAndVoids(t, m) })
	t.Run("captures, voids and the end of the hold", func(t *testing.T) { capturesAtTheEnd(t, m) })
	m.verify(t)
}

// together makes n requests at once.
func together(t *testing.T, n int, f func(n int) (reply, error)) []reply {
	t.Helper()
	out, errs := make([]reply, n), make([]error, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() {
			<-begin
			out[k], errs[k] = f(k)
		})
	}
	close(begin)
	wg.Wait()
	for k, err := range errs {
		if err != nil {
			t.Errorf("request %d of %d at once: %v", k, n, err)
		}
	}
	return out
}

// hundredDuplicates sends one transfer a hundred times at once, half of them to each process.
func hundredDuplicates(t *testing.T, m *till) {
	tom := signIn(t, m.target, "tom", "mobile", "phone").field("access_token")
	before, _ := m.has(t, "tom")
	first, body := 0, ""
	for _, r := range together(t, 100, func(n int) (reply, error) {
		return call(t.Context(), http.MethodPost, "http://"+m.wallets[n%2]+"/v1/transfers", write(tom, "one of a hundred"), transfer(m.sub("amy"), 7))
	}) {
		if r.status != http.StatusCreated {
			t.Errorf("%d %s", r.status, r.body)
			continue
		}
		if r.header.Get("Idempotent-Replayed") == "" {
			first++
		}
		if body == "" {
			body = string(r.body)
		}
		if string(r.body) != body {
			t.Errorf("two answers under one key:\n%s\n%s", body, r.body)
		}
	}
	if after, _ := m.has(t, "tom"); first != 1 || before-after != 7 {
		t.Errorf("%d first answers, and %d moved; want 1 and 7", first, before-after)
	}
	if r := mustCall(t, http.MethodPost, m.target.API+"/v1/transfers", write(tom, "one of a hundred"), transfer(m.sub("amy"), 8)); r.field("code") != "idempotency_key_reused" {
		t.Errorf("another transfer under the key: %d %s", r.status, r.body)
	}
}

// capturesAndVoids lets captures of different amounts fall on one hold, and every other time voids as well.
func capturesAndVoids(t *testing.T, m *till) {
	won := map[string]int{}
	for round := range 12 {
		id := m.hold(t, fmt.Sprint("hold-", round), 60, 3600)
		before, _ := m.has(t, "tom")
		taken, closed := 0, 0
		for n, r := range together(t, 12, func(n int) (reply, error) {
			what, body := closing(n, round)
			return m.at(t, n/3, "/v1/holds/"+id+what, fmt.Sprintf("close-%d-%d", round, n), body)
		}) {
			what, _ := closing(n, round)
			switch {
			case r.status == http.StatusCreated:
				closed++
				taken = 7 + 2*(n%3)
				won[what]++
			case r.status == http.StatusOK:
				closed++
				won[what]++
			case r.status != http.StatusConflict || r.field("code") != "hold_closed":
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		if after, held := m.has(t, "tom"); closed != 1 || before-after != taken || held != 0 {
			t.Errorf("closed %d times, %d moved, %d held; want once, %d and 0", closed, before-after, held, taken)
		}
	}
	t.Logf("won by %v", won)
}

// closing is the nth of the ways to close a hold: a capture of 7, of 9, and of 11 or a void.
func closing(n, round int) (path, body string) {
	if n%3 == 2 && round%2 == 0 {
		return "/void", ""
	}
	return "/capture", fmt.Sprintf(`{"amount":%d}`, 7+2*(n%3))
}

// capturesAtTheEnd captures and voids holds around the instant at which they expire by themselves: the
// first well before it, the last after it.
func capturesAtTheEnd(t *testing.T, m *till) {
	const holds, apart = 24, 30 * time.Millisecond
	before, _ := m.has(t, "tom")
	ids, ends := make([]string, holds), make([]time.Time, holds)
	for n, r := range together(t, holds, func(n int) (reply, error) {
		return m.at(t, n, "/v1/holds", fmt.Sprint("short hold ", n), m.holding(10, 1))
	}) {
		var err error
		if ends[n], err = time.Parse(time.RFC3339, r.field("expires_at")); err != nil {
			t.Fatalf("hold: %d %s (%v)", r.status, r.body, err)
		}
		ids[n] = r.field("id")
	}
	states := make([]string, holds)
	replies := together(t, 2*holds, func(k int) (reply, error) {
		n, what, body := k/2, "/capture", `{"amount":4}`
		if k%2 == 1 {
			what, body = "/void", ""
		}
		<-time.After(time.Until(ends[n]) + time.Duration(n-2*holds/3)*apart)
		return m.at(t, k, "/v1/holds/"+ids[n]+what, fmt.Sprint("short ", k), body)
	})
	for n, id := range ids {
		states[n] = m.closed(t, id)
	}
	taken, count := 0, map[string]int{}
	for n, state := range states {
		captured, voided := replies[2*n].status == http.StatusCreated, replies[2*n+1].status == http.StatusOK
		if captured {
			taken += 4
		}
		count[state]++
		if captured != (state == "captured") || voided != (state == "voided") || captured && voided {
			t.Errorf("hold %d is %s; its capture: %d %s; its void: %d %s", n, state, replies[2*n].status, replies[2*n].body, replies[2*n+1].status, replies[2*n+1].body)
		}
	}
	for k, r := range replies {
		if r.status != http.StatusCreated && r.status != http.StatusOK && r.field("code") != "hold_closed" {
			t.Errorf("request %d: %d %s", k, r.status, r.body)
		}
	}
	if after, held := m.has(t, "tom"); before-after != taken || held != 0 {
		t.Errorf("%d moved, %d held; by the answers %d and 0", before-after, held, taken)
	}
	t.Logf("ended as %v", count)
	if count["expired"] == 0 || count["captured"]+count["voided"] == 0 {
		t.Error("the end of the holds was not in the middle of the race")
	}
}

// closed waits until a hold is closed, if by nobody then by itself, and returns how.
func (m *till) closed(t *testing.T, id string) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		r := mustCall(t, http.MethodGet, m.target.API+"/v1/holds/"+id, bearer(m.app), "")
		if state := r.field("state"); r.status != http.StatusOK || state != "open" || time.Now().After(deadline) {
			return state
		}
		<-time.After(20 * time.Millisecond)
	}
}
