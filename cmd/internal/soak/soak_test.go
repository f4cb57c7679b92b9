package soak_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	soakFor  = flag.Duration("soak.for", shortest+calm, "how long to soak, the calm after each storm included")
	soakSeed = flag.Uint64("soak.seed", 0, "seed of the schedule and the users' whims; 0 for a new one")
)

const (
	// crowded is how many users there are: as many as two cores can hash the passwords of.
	crowded = 10
	// fortune is what each user begins with.
	fortune = 1000
	// shown is how many violations are told.
	shown = 20
)

// TestSoak is not parallel: it wants the machine for itself.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("seed %d, for %s: again with -soak.seed %d -soak.for %s", seed, *soakFor, seed, *soakFor)
	servers, wires := plan(seed, *soakFor)
	if len(servers) == 0 {
		t.Fatalf("-soak.for %s: too short for a storm and a calm, which take %s", *soakFor, shortest+calm)
	}
	names := make([]string, crowded)
	for n := range names {
		names[n] = fmt.Sprintf("user%d", n)
	}
	f := open(t, names)
	c := newCrowd(f, names)
	c.fund(t)
	f.start = time.Now()
	f.storm(t, c, seed, c.machine(t, operator, "admin"), servers, wires)
	c.settle(t)
	acts, windows := f.history.copied()
	found := judge(acts, windows)
	report(t, acts, windows)
	for n, one := range found {
		if n == shown {
			t.Errorf("and %d more", len(found)-shown)
			break
		}
		t.Error(one)
	}
	out, err := f.site.Run(t.Context(), nil, "ledger", "verify")
	if err != nil {
		t.Error(err)
	}
	t.Logf("%s", out)
}

// storm lets the crowd live while everything breaks, until the time is up.
func (f *field) storm(t *testing.T, c *crowd, seed uint64, admin string, lanes ...[]fault) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { c.live(ctx, seed) })
	wg.Go(func() { c.rule(ctx, admin, seed) })
	wg.Go(func() { f.watch(ctx) })
	wg.Go(func() { f.pulse(ctx) })
	for _, lane := range lanes {
		wg.Go(func() {
			if err := f.play(ctx, lane); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// fund gives everybody the same.
func (c *crowd) fund(t *testing.T) {
	t.Helper()
	target := c.field.site.Target
	app := c.machine(t, "billing", "wallet:deposit")
	for _, u := range c.users {
		a := act{process: 2}
		status := c.ask(t.Context(), &a, http.MethodPost, "/v1/deposits", http.Header{
			"Authorization": {"Bearer " + app}, "Content-Type": {"application/json"}, "Idempotency-Key": {"funds of " + u.name},
		}, fmt.Sprintf(`{"user":%q,"amount":%d,"currency":"CNY","reference":"r"}`, target.Users[u.name].Sub, fortune))
		if status != http.StatusCreated {
			t.Fatalf("deposit: %s", a)
		}
	}
}

// machine signs a client in.
func (c *crowd) machine(t *testing.T, client, scope string) string {
	t.Helper()
	a := act{}
	r := c.token(t.Context(), &a, map[string][]string{
		"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {c.field.site.Target.Clients[client].Secret}, "scope": {scope},
	})
	if a.outcome != accepted {
		t.Fatalf("client credentials: %s", a)
	}
	return r.Access
}

// settle signs everybody in once more, asks again about what had no certain answer, tries the last of
// the sessions that must be dead, and compares the balances with the answers.
func (c *crowd) settle(t *testing.T) {
	t.Helper()
	newest, admin := make([]*held, len(c.users)), c.machine(t, operator, "admin")
	for n, u := range c.users {
		if o := c.order(t.Context(), unban, u, admin, n%2); o != accepted { // one that was not answered may have come late
			t.Errorf("unban after the last storm: %s", o)
		}
		h, a := u.signIn(t.Context(), "last", n%2)
		if h == nil {
			t.Fatalf("after the last storm: %s", a)
		}
		newest[n] = h
		pending := u.pending
		u.pending = nil
		for _, p := range pending {
			if a := u.pay(t.Context(), h, p, 2+n%2); a.outcome != accepted {
				t.Errorf("payment %s after the last storm: %s", p.key, a)
			}
		}
		for k := max(0, len(u.sessions)-4); k < len(u.sessions)-1; k++ {
			u.pay(t.Context(), u.sessions[k], payment{key: fmt.Sprint("ghost-", k), to: (n + 1) % len(c.users), amount: 1}, 2+n%2)
		}
	}
	for n, u := range c.users {
		if got, want := c.available(t, newest[n]), fortune+u.got-u.paid; got != want {
			t.Errorf("%s has %d, and by the answers %d: %d + %d - %d", u.name, got, want, fortune, u.got, u.paid)
		}
	}
}

func (c *crowd) available(t *testing.T, h *held) int64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.field.addrs[2]+"/v1/wallet", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.access)
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var n int64
	if _, err := fmt.Fscanf(resp.Body, `{"balances":[{"currency":"CNY","available":%d,`, &n); err != nil {
		t.Fatalf("wallet: %d %v", resp.StatusCode, err)
	}
	return n
}

// report says what was broken, and how much of what was asked came to what. A soak in which some kind of
// request never succeeded, or no session was ever ended, has looked at nothing.
func report(t *testing.T, acts []act, windows []window) {
	t.Helper()
	var lines []string
	for _, w := range windows {
		lines = append(lines, w.String())
	}
	t.Logf("what was broken:\n%s", strings.Join(lines, "\n"))
	count := map[kind]map[outcome]int{}
	for _, a := range acts {
		if count[a.kind] == nil {
			count[a.kind] = map[outcome]int{}
		}
		count[a.kind][a.outcome]++
	}
	for _, k := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%s: %v", k, count[k])
	}
	t.Logf("the longest that a fault was felt after its end: %s", felt(acts, windows).Round(time.Millisecond))
	for _, k := range []kind{signIn, refresh, strict, local, kick, ban, unban} {
		if count[k][accepted] == 0 {
			t.Errorf("no %s ever succeeded", k)
		}
	}
	reasons := map[string]int{}
	for _, a := range acts {
		if a.reason != "" && a.outcome == ended {
			reasons[a.reason]++
		}
		if a.process == watching {
			reasons["by the guard fed by HTTP: "+string(a.outcome)]++
		}
	}
	t.Logf("refused as %v", reasons)
	if reasons[superseded] == 0 || reasons[kicked]+reasons[banned] == 0 || reasons["by the guard fed by HTTP: "+string(ended)] == 0 {
		t.Error("nobody was refused as superseded, or as kicked or banned, or by the guard that is fed by HTTP")
	}
	if count[strict][ended] == 0 || count[local][ended] == 0 {
		t.Error("no session was ever refused")
	}
}

// felt is the longest time after a fault at which something was sent that could not be answered for it.
func felt(acts []act, windows []window) (longest time.Duration) {
	for _, a := range acts {
		if a.outcome != busy && a.outcome != lost {
			continue
		}
		since := grace
		for _, w := range windows {
			if w.excuses(a) {
				since = min(since, max(0, a.began-w.to))
			}
		}
		longest = max(longest, since)
	}
	return longest
}
