package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/faultproxy"
	"github.com/tallystick/tallystick/cmd/internal/rig"
)

const (
	// lasting is how long an outage lasts here: longer than the bound, so that guards go blind.
	lasting = 1500 * time.Millisecond
	// healing is how long after an outage everything must be as before.
	healing = 5 * time.Second
)

// TestOutagesOfTheDatabase takes the database from both processes, in every way that networks know, and
// restarts it under them. While it is away nothing may be answered wrongly: 503 with Retry-After, never
// a 401, never an invalid_grant; afterwards all is well again by itself.
func TestOutagesOfTheDatabase(t *testing.T) {
	t.Parallel()
	i, db, proxy := installProxied(t, func(db *rig.MariaDB, _ *rig.Redis) string { return db.Addr })
	i.serve(t, "auth", "TALLYSTICK_MYSQL_DSN="+rig.DSN(proxy.Addr(), "tallystick"))
	i.serve(t, "wallet", "TALLYSTICK_MYSQL_DSN="+rig.DSN(proxy.Addr(), "tallystick"))
	for _, kind := range []faultproxy.Kind{faultproxy.Stall, faultproxy.Drop, faultproxy.Deafen, faultproxy.Refuse} {
		t.Run(kind.String(), func(t *testing.T) {
			outage(t, i, func() { proxy.Set(faultproxy.Fault{Kind: kind}) }, func() { proxy.Set(faultproxy.Fault{}) }, true)
		})
	}
	t.Run("slow", func(t *testing.T) {
		outage(t, i, func() { proxy.Set(faultproxy.Fault{Kind: faultproxy.Slow, Delay: 20 * time.Millisecond}) }, func() { proxy.Set(faultproxy.Fault{}) }, false)
	})
	t.Run("cut", func(t *testing.T) { outage(t, i, proxy.Cut, proxy.Cut, false) })
	t.Run("killed and restarted", func(t *testing.T) {
		outage(t, i, db.Kill, func() {
			if err := db.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		}, true)
	})
	t.Run("kick-out afterwards", func(t *testing.T) { kickOut(t, i) })
	t.Logf("%s", command(t, "", "ledger", "verify", "--config", i.config))
}

// TestOutagesOfRedis does the same to Redis. Nothing becomes wrong, and nothing that SQL decides becomes
// impossible: kick-outs keep their bounds.
func TestOutagesOfRedis(t *testing.T) {
	t.Parallel()
	i, _, proxy := installProxied(t, func(_ *rig.MariaDB, redis *rig.Redis) string { return redis.Addr })
	i.serve(t, "auth", "TALLYSTICK_REDIS_URL=redis://"+proxy.Addr()+"/0")
	i.serve(t, "wallet", "TALLYSTICK_REDIS_URL=redis://"+proxy.Addr()+"/0")
	for _, f := range []faultproxy.Fault{
		{Kind: faultproxy.Stall}, {Kind: faultproxy.Drop}, {Kind: faultproxy.Deafen}, {Kind: faultproxy.Refuse},
		{Kind: faultproxy.Slow, Delay: 50 * time.Millisecond},
	} {
		t.Run(f.Kind.String(), func(t *testing.T) {
			proxy.Set(f)
			kickOut(t, i)
			proxy.Set(faultproxy.Fault{})
			kickOut(t, i)
			outage(t, i, func() { proxy.Set(f) }, func() { proxy.Set(faultproxy.Fault{}) }, false)
		})
	}
	t.Run("cut", func(t *testing.T) { outage(t, i, proxy.Cut, proxy.Cut, false) })
	t.Run("killed, and restarted empty", func(t *testing.T) {
		outage(t, i, i.redis.Kill, func() {
			if err := i.redis.Restart(); err != nil {
				t.Error(err)
			}
		}, false)
	})
	t.Logf("%s", command(t, "", "ledger", "verify", "--config", i.config))
}

// installProxied makes an installation with a MariaDB and a Redis of its own, and a proxy before one of
// them.
func installProxied(t *testing.T, before func(*rig.MariaDB, *rig.Redis) string) (*installation, *rig.MariaDB, *faultproxy.Proxy) {
	t.Helper()
	db, redis := startMariaDB(t), startRedis(t)
	if err := db.Create(t.Context(), "tallystick"); err != nil {
		t.Fatal(err)
	}
	i := found(t, true, rig.Plan{Binary: binary(t), DSN: db.DSN("tallystick"), Redis: redis.Addr}, redis)
	proxy, err := faultproxy.Start(t.Context(), before(db, redis))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return i, db, proxy
}

// caller makes one kind of request again and again.
type caller struct {
	name      string
	try       func(t *testing.T) (reply, error)
	well, ill int
	slowest   time.Duration
}

// outage makes every kind of request while something is away and until all of them succeed again.
// felt says that the outage must be noticed by some of them, or the test would test nothing.
func outage(t *testing.T, i *installation, begin, end func(), felt bool) {
	t.Helper()
	m := newMover(t, i)
	callers := []*caller{
		{name: "local check", try: m.local}, {name: "transfer", try: m.transfer}, {name: "sign-in", try: m.signIn},
		{name: "refresh", try: m.refresh}, {name: "client credentials", try: m.machine},
	}
	var healed atomic.Pointer[time.Time]
	var wg sync.WaitGroup
	for _, c := range callers {
		wg.Go(func() { c.run(t, &healed) })
	}
	begin()
	time.AfterFunc(lasting, func() {
		end()
		now := time.Now()
		healed.Store(&now)
	})
	wg.Wait()
	noticed := false
	for _, c := range callers {
		t.Logf("%s: %d well, %d refused for the time being, the slowest in %s", c.name, c.well, c.ill, c.slowest.Round(time.Millisecond))
		noticed = noticed || c.ill > 0 || c.slowest > lasting/2
	}
	if felt && !noticed {
		t.Error("nobody noticed the outage")
	}
	m.settle(t)
}

// run calls until it has been well again after the healing. Whatever is not well must be a 503 that says
// when to come again.
func (c *caller) run(t *testing.T, healed *atomic.Pointer[time.Time]) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for ; !t.Failed(); <-pace.C {
		after, began := healed.Load(), time.Now()
		r, err := c.try(t)
		c.slowest = max(c.slowest, time.Since(began))
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case r.status == http.StatusOK, r.status == http.StatusCreated:
			c.well++
			if after != nil {
				return
			}
		case r.status != http.StatusServiceUnavailable:
			t.Errorf("%s: %d %s", c.name, r.status, r.body)
		case r.header.Get("Retry-After") == "":
			t.Errorf("%s: 503 without Retry-After: %s", c.name, r.body)
		default:
			c.ill++
		}
		if after != nil && time.Since(*after) > healing {
			t.Errorf("%s: still %d %s after the end of the outage", c.name, r.status, time.Since(*after))
			return
		}
	}
}

// mover is a user with money, whose requests an outage meets.
type mover struct {
	i       *installation
	access  string
	token   string // the newest refresh token
	before  int
	sent    int
	unknown []string // keys of transfers whose outcome was not told
	moved   int
	app     string
}

func newMover(t *testing.T, i *installation) *mover {
	t.Helper()
	m := &mover{i: i, app: billing(t, i.target)}
	tom := i.target.Users["tom"].Sub
	key := fmt.Sprint("funds-", time.Now().UnixNano())
	if r := mustCall(t, http.MethodPost, i.target.API+"/v1/deposits", write(m.app, key), fmt.Sprintf(`{"user":%q,"amount":100000,"currency":"CNY","reference":"r"}`, tom)); r.status != http.StatusCreated {
		t.Fatalf("deposit: %d %s", r.status, r.body)
	}
	phone := signIn(t, i.target, "tom", "mobile", "phone")
	m.access, m.token = phone.field("access_token"), phone.field("refresh_token")
	m.before = available(t, i.target, m.access)
	return m
}

func (m *mover) local(t *testing.T) (reply, error) {
	return call(t.Context(), http.MethodGet, m.i.target.API+"/v1/wallet", bearer(m.access), "")
}

func (m *mover) transfer(t *testing.T) (reply, error) {
	m.sent++
	key := fmt.Sprintf("outage-%d-%p", m.sent, m)
	r, err := m.send(t, key)
	if r.status == http.StatusCreated {
		m.moved++
	} else {
		m.unknown = append(m.unknown, key)
	}
	return r, err
}

func (m *mover) send(t *testing.T, key string) (reply, error) {
	return call(t.Context(), http.MethodPost, m.i.target.API+"/v1/transfers", write(m.access, key), transfer(m.i.target.Users["amy"].Sub, 1))
}

// signIn signs the other user in, over and over on one slot.
func (m *mover) signIn(t *testing.T) (reply, error) {
	return m.i.signInAt(t, m.i.auth, "amy", "phone")
}

func (m *mover) refresh(t *testing.T) (reply, error) {
	r, err := refreshAt(t, m.i.auth, m.token)
	if r.status == http.StatusOK {
		m.token = r.field("refresh_token")
	}
	return r, err
}

func (m *mover) machine(t *testing.T) (reply, error) {
	return call(t.Context(), http.MethodPost, m.i.target.Issuer+"/oauth2/token", form(), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"billing"}, "client_secret": {m.i.target.Clients["billing"].Secret},
	}.Encode())
}

// settle sends again what had no certain answer, under the same keys. Then every transfer has happened
// once.
func (m *mover) settle(t *testing.T) {
	t.Helper()
	for _, key := range m.unknown {
		r, err := m.send(t, key)
		if err != nil || r.status != http.StatusCreated {
			t.Fatalf("transfer %s again: %d %s (%v)", key, r.status, r.body, err)
		}
		m.moved++
	}
	if after := available(t, m.i.target, m.access); m.before-after != m.moved {
		t.Errorf("%d transfers of 1 took %d", m.moved, m.before-after)
	}
}
