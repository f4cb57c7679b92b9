package e2e_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/faultproxy"
	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func readBalance(r reply) (total, held int, err error) {
	var w struct {
		Balances []struct {
			Currency               string
			Available, Held, Total int
		}
	}
	if err := json.Unmarshal(r.body, &w); err != nil {
		return 0, 0, err
	}
	for _, b := range w.Balances {
		if b.Available < 0 || b.Available+b.Held != b.Total {
			return 0, 0, fmt.Errorf("%+v is no balance", b)
		}
		if b.Currency == "CNY" {
			return b.Total, b.Held, nil
		}
	}
	return 0, 0, errors.New("no CNY")
}

// member is a database user who is not above the limits and the read-only mode of the server, as root is.
const member = "tallystick_app"

// TestDatabasesThatRefuse has a database that answers, but takes no writes or lets nobody in.
func TestDatabasesThatRefuse(t *testing.T) {
	t.Parallel()
	i, db, proxy := installProxied(t, func(db *rig.MariaDB, _ *rig.Redis) string { return db.Addr })
	root := func(t *testing.T, statements ...string) {
		t.Helper()
		for _, s := range statements {
			if err := db.Execute(context.WithoutCancel(t.Context()), s); err != nil {
				t.Error(err)
			}
		}
	}
	root(t, "CREATE USER "+member+"@'127.0.0.1'", "GRANT ALL ON tallystick.* TO "+member+"@'127.0.0.1'")
	dsn := fmt.Sprintf("TALLYSTICK_MYSQL_DSN=%s@tcp(%s)/tallystick", member, proxy.Addr())
	// Pools of two, so that two transactions that have to wait leave none to anybody else.
	i.serve(t, "auth", dsn, "TALLYSTICK_MYSQL_MAX_OPEN_CONNS=2")
	i.serve(t, "wallet", dsn, "TALLYSTICK_MYSQL_MAX_OPEN_CONNS=2")
	t.Run("read-only, as after a fail-over to a replica", func(t *testing.T) {
		outage(t, i, func() { root(t, "SET GLOBAL read_only = 1") }, func() { root(t, "SET GLOBAL read_only = 0") }, true)
	})
	t.Run("too many connections", func(t *testing.T) {
		var others []*sql.Conn
		outage(t, i, func() { others = crowdOut(t, db, proxy) }, func() {
			for _, c := range others {
				_ = c.Close()
			}
			root(t, "SET GLOBAL max_connections = 400")
		}, true)
	})
	t.Run("pool exhausted: its connections wait for a lock", func(t *testing.T) {
		var tables *sql.Conn
		var wg sync.WaitGroup
		m, user := &till{installation: i, wallets: []string{i.wallet}, app: billing(t, i.target)}, i.target.Users["amy"].Sub
		outage(t, i, func() {
			tables = lockTables(t, db, "accounts", "sessions")
			for n := range 4 { // more than there are connections
				wg.Go(func() {
					r, err := m.at(t, 0, "/v1/deposits", fmt.Sprint("in the crowd ", n), fmt.Sprintf(`{"user":%q,"amount":1,"currency":"CNY","reference":"r"}`, user))
					if err != nil || r.status != http.StatusCreated && (r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "") {
						t.Errorf("deposit: %d %s (%v)", r.status, r.body, err)
					}
				})
			}
		}, func() { _ = tables.Close() }, true)
		wg.Wait()
	})
	t.Logf("%s", command(t, "", "ledger", "verify", "--config", i.config))
}

// pool opens the database as an ordinary user.
func pool(t *testing.T, db *rig.MariaDB) *sql.DB {
	t.Helper()
	p, err := sql.Open("mysql", fmt.Sprintf("%s@tcp(%s)/tallystick", member, db.Addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// crowdOut takes every connection that the server gives, and those of the processes away.
func crowdOut(t *testing.T, db *rig.MariaDB, proxy *faultproxy.Proxy) (taken []*sql.Conn) {
	t.Helper()
	const few = 10 // the fewest that a server can be set to
	p := pool(t, db)
	p.SetMaxIdleConns(0) // who is let go is closed
	for range few {
		c, err := p.Conn(t.Context())
		if err != nil {
			t.Error(err)
			break
		}
		taken = append(taken, c)
	}
	if err := db.Execute(t.Context(), fmt.Sprintf("SET GLOBAL max_connections = %d", few)); err != nil {
		t.Error(err)
	}
	proxy.Cut()
	return taken
}

// lockTables keeps everybody from reading and writing some tables, until the connection that it returns is closed.
func lockTables(t *testing.T, db *rig.MariaDB, tables ...string) *sql.Conn {
	t.Helper()
	p := pool(t, db)
	p.SetMaxIdleConns(0)
	c, err := p.Conn(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ExecContext(t.Context(), "LOCK TABLES "+strings.Join(tables, " WRITE, ")+" WRITE"); err != nil {
		t.Error(err)
	}
	return c
}

// TestHolderThatOutlivesItsLock stops a wallet in the middle of what it does, for longer than its locks
// live, while another goes on with the same payers, and then lets it go on. Of what it thought to do under locks that
// are another's by now nothing goes wrong.
func TestHolderThatOutlivesItsLock(t *testing.T) {
	t.Parallel()
	const ttl = time.Second
	db, redis := startMariaDB(t), startRedis(t)
	if err := db.Create(t.Context(), "tallystick"); err != nil {
		t.Fatal(err)
	}
	i := found(t, true, rig.Plan{
		Binary: binary(t), DSN: db.DSN("tallystick"), Redis: redis.Addr,
		More: fmt.Sprintf("wallet:\n  lock: {ttl: %s, wait: 3s}\n", ttl),
	}, redis)
	m := &till{installation: i, wallets: []string{i.wallet, freeAddr(t)}}
	i.serve(t, "auth")
	i.serveAt(t, "wallet", m.wallets[0])
	hangs := i.serveAt(t, "wallet", m.wallets[1])
	m.app = billing(t, i.target)
	m.fund(t, "tom", 100_000)
	m.underLoad(t, func() {
		for range 3 {
			if err := hangs.Pause(); err != nil {
				t.Error(err)
			}
			<-time.After(ttl + ttl/2) // what is tested is that so much time passes
			if err := hangs.Resume(); err != nil {
				t.Error(err)
			}
			<-time.After(ttl / 2)
		}
	})
	r := mustCall(t, http.MethodGet, "http://"+m.wallets[1]+"/metrics", nil, "")
	stale := regexp.MustCompile(`(?m)^tallystick_wallet_stale_fence_total .*$`).Find(r.body)
	t.Logf("at the wallet that hung: %s", stale)
	m.verify(t)
}

// underLoad has many callers move money of tom's at both wallets while something happens, and for a
// while more. Each answer is a success, or 423 or 503 with Retry-After. What had no success is sent again
// afterwards under its key: then everything has happened once.
func (m *till) underLoad(t *testing.T, happens func()) {
	t.Helper()
	const callers = 8
	before, _ := m.has(t, "tom")
	var over atomic.Bool
	var moved, refused atomic.Int64
	again := make([][]string, callers)
	send := func(n int, key string) (reply, error) {
		return m.at(t, n, "/v1/withdrawals", key, fmt.Sprintf(`{"user":%q,"amount":1,"currency":"CNY","reference":"r"}`, m.sub("tom")))
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := 0; !over.Load(); n++ {
				key := fmt.Sprintf("load-%d-%d", c, n)
				r, err := send(c, key)
				switch {
				case err != nil:
					t.Errorf("%s: %v", key, err)
					return
				case r.status == http.StatusCreated:
					moved.Add(1)
				case (r.status == http.StatusServiceUnavailable || r.status == http.StatusLocked) && r.header.Get("Retry-After") != "":
					refused.Add(1)
					again[c] = append(again[c], key)
				default:
					t.Errorf("%s: %d %s", key, r.status, r.body)
				}
			}
		})
	}
	happens()
	over.Store(true)
	wg.Wait()
	replayed := 0
	for c, keys := range again {
		for _, key := range keys {
			r, err := send(c+1, key)
			if err != nil || r.status != http.StatusCreated {
				t.Fatalf("%s again: %d %s (%v)", key, r.status, r.body, err)
			}
			if r.header.Get("Idempotent-Replayed") == "true" {
				replayed++
			}
			moved.Add(1)
		}
	}
	t.Logf("%d moved; %d refused for the time being, of which %d had happened", moved.Load(), refused.Load(), replayed)
	if after, held := m.has(t, "tom"); int64(before-after) != moved.Load() || held != 0 {
		t.Errorf("%d movements of 1 took %d; %d held", moved.Load(), before-after, held)
	}
}

// TestClocksThatDisagree has a wallet whose clock is an hour ahead beside one that is an hour behind and
// one that is right. They move money of the same users at the same time; the tokens are of an authorization server
// that is behind as well, and live for long enough to be good at all of them.
func TestClocksThatDisagree(t *testing.T) {
	t.Parallel()
	db, redis := engine.MySQL(t), startRedis(t)
	i := found(t, true, rig.Plan{Binary: mortal(t), DSN: db.DSN.Reveal(), Redis: redis.Addr}, redis)
	m := &till{installation: i, wallets: []string{i.wallet, freeAddr(t), freeAddr(t)}}
	i.serve(t, "auth", "TALLYSTICK_TEST_CLOCK=-1h", "TALLYSTICK_TOKENS_CLIENT_CREDENTIALS_TTL=3h")
	for n, clock := range []string{"", "1h", "-1h"} {
		i.serveAt(t, "wallet", m.wallets[n], "TALLYSTICK_TEST_CLOCK="+clock)
	}
	m.app = billing(t, i.target)
	m.fund(t, "tom", 100_000)
	for n := range m.wallets { // each lives at its own time
		r, err := m.at(t, n, "/v1/withdrawals", fmt.Sprint("when ", n), fmt.Sprintf(`{"user":%q,"amount":1,"currency":"CNY","reference":"r"}`, m.sub("tom")))
		at, _ := time.Parse(time.RFC3339, r.field("created_at"))
		if off := time.Since(at).Round(time.Hour); err != nil || off != []time.Duration{0, -time.Hour, time.Hour}[n] {
			t.Errorf("wallet %d: %d %s (%v): off by %s", n, r.status, r.body, err, off)
		}
	}
	m.underLoad(t, func() {
		for n := range 8 { // opened at one, captured at another
			id := m.hold(t, fmt.Sprint("hold ", n), 2, 3*3600)
			if r, err := m.at(t, n, "/v1/holds/"+id+"/capture", fmt.Sprint("capture ", n), `{"amount":1}`); err != nil || r.status != http.StatusCreated {
				t.Errorf("capture: %d %s (%v)", r.status, r.body, err)
			}
			if r, err := m.at(t, n, "/v1/deposits", fmt.Sprint("back ", n), fmt.Sprintf(`{"user":%q,"amount":1,"currency":"CNY","reference":"r"}`, m.sub("tom"))); err != nil || r.status != http.StatusCreated {
				t.Errorf("deposit: %d %s (%v)", r.status, r.body, err)
			}
		}
	})
	m.verify(t)
}

// TestDiskIsFull fills the disk under SQLite, and makes room again.
func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	dir, addr := smallDisk(t), freeAddr(t)
	_, target := startDev(t, dir, addr)
	i := &installation{Site: &rig.Site{Target: target}, auth: addr, wallet: addr, target: target}
	filler := filepath.Join(dir, "filler")
	outage(t, i, func() {
		f, err := os.Create(filler)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for size := 64 << 10; size > 0; size /= 2 { // to the last byte
			for err = nil; err == nil; {
				_, err = f.Write(make([]byte, size))
			}
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("the disk takes no more, and says %v", err)
		}
	}, func() {
		if err := os.Remove(filler); err != nil {
			t.Error(err)
		}
	}, true)
	t.Logf("%s", command(t, "", "ledger", "verify", "--data-dir", dir))
}

// smallDisk is a folder on a disk of its own, or skips the test where none may be mounted. What SQLite does when
// it has no more room is tested everywhere, in storage/sqlstore.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir, first := t.TempDir(), []string{}
	if os.Geteuid() != 0 {
		first = []string{"sudo", "-n"}
	}
	run := func(args ...string) error {
		all := append(slices.Clone(first), args...)
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), all[0], all[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=16m,mode=0700,uid=%d", os.Getuid()), "tmpfs", dir); err != nil {
		t.Skipf("SKIPPED: no disk may be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := run("umount", dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
