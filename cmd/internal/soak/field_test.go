package soak_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/faultproxy"
	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/resource/guard"
)

// field is what the soak plays on: two authorization servers and two wallets, their engines, and a proxy
// on each way between.
type field struct {
	site    *rig.Site
	db      *rig.MariaDB
	redis   *rig.Redis
	start   time.Time
	history *history

	watcher *guard.Guard // fed by HTTP
	addrs   []string
	ways    map[victim][]*faultproxy.Proxy

	mu        sync.Mutex
	processes []*rig.Process
}

// settings go below the configuration of the rig: limits so short that nothing can hang unnoticed, and a
// window for lost answers to a refresh that is longer than a storm's longest fault.
const settings = `wallet:
  lock: {ttl: 2s, wait: 5s}
tokens:
  replay_window: 30s
`

// open starts everything. A server that is not installed skips the test aloud.
func open(t *testing.T, users []string) *field {
	t.Helper()
	f := &field{history: &history{}, ways: map[victim][]*faultproxy.Proxy{}, processes: make([]*rig.Process, len(roles))}
	t.Cleanup(func() { f.close(t) })
	err := f.engines(t)
	if errors.Is(err, rig.ErrMissing) && os.Getenv("CI") == "" {
		t.Skipf("SKIPPED: the soak needs servers of its own: %v", err)
	}
	if err == nil {
		err = f.build(t, users)
	}
	for n := range roles {
		if err == nil {
			err = f.launch(n)
		}
	}
	if err == nil {
		err = f.staff(t)
	}
	if err == nil {
		err = f.watcher.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	f.start = time.Now()
	return f
}

func (f *field) engines(t *testing.T) (err error) {
	if f.db, err = rig.StartMariaDB(t.Context(), t.TempDir()); err != nil {
		return err
	}
	if f.redis, err = rig.StartRedis(t.TempDir()); err != nil {
		return err
	}
	for range roles {
		for way, server := range map[victim]string{mysqlWay: f.db.Addr, redisWay: f.redis.Addr} {
			p, err := faultproxy.Start(t.Context(), server)
			if err != nil {
				return err
			}
			f.ways[way] = append(f.ways[way], p)
		}
		addr, err := rig.FreeAddr()
		if err != nil {
			return err
		}
		f.addrs = append(f.addrs, addr)
	}
	return f.db.Create(t.Context(), "tallystick")
}

func (f *field) build(t *testing.T, users []string) error {
	binary, err := rig.Build(t.Context(), t.TempDir())
	if err != nil {
		return err
	}
	f.site, err = rig.Found(t.Context(), rig.Plan{
		Binary: binary, Dir: t.TempDir(), Issuer: f.addrs[0], Wallet: f.addrs[2],
		DSN: f.db.DSN("tallystick"), Redis: f.redis.Addr, More: settings, Users: users,
	})
	return err
}

// launch starts a process, with its own way to each engine.
func (f *field) launch(n int) error {
	p, err := f.site.Serve(roles[n], f.addrs[n],
		"TALLYSTICK_MYSQL_DSN="+rig.DSN(f.ways[mysqlWay][n].Addr(), "tallystick"),
		"TALLYSTICK_REDIS_URL=redis://"+f.ways[redisWay][n].Addr()+"/0",
		"TALLYSTICK_LISTEN_REQUEST_TIMEOUT=20s", "TALLYSTICK_LISTEN_WRITE_TIMEOUT=25s", "TALLYSTICK_LOG_LEVEL=warn",
	)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[n] = p
	return nil
}

func (f *field) process(n int) *rig.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[n]
}

// relaunch starts a process that was killed. Its database may be away at the time, and then it refuses to
// start, and whoever runs it starts it again.
func (f *field) relaunch(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, rig.ReadyWithin)
	defer cancel()
	for {
		err := f.launch(n)
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// since is the time of the soak.
func (f *field) since() time.Duration { return time.Since(f.start) }

func (f *field) close(t *testing.T) {
	if f.watcher != nil {
		f.watcher.Stop()
	}
	for n, p := range f.processes {
		if p == nil {
			continue
		}
		p.Stop()
		if t.Failed() {
			t.Logf("output of %s process %d:\n%s", roles[n], n, last(p.Output()))
		}
	}
	for _, ways := range f.ways {
		for _, p := range ways {
			p.Stop()
		}
	}
	if f.redis != nil && f.redis.Process != nil {
		f.redis.Stop()
	}
	if f.db != nil && f.db.Process != nil {
		f.db.Stop()
	}
}

func last(s string) string {
	const most = 3000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// play breaks what a lane says, when it says so.
func (f *field) play(ctx context.Context, lane []fault) error {
	for _, one := range lane {
		select {
		case <-time.After(one.at - f.since()):
		case <-ctx.Done():
			return nil
		}
		w := window{from: f.since(), what: one.String(), process: one.felt(), locks: true, kills: one.victim == aProcess}
		err := f.inflict(ctx, one)
		w.to = f.since()
		f.history.broke(w)
		if err != nil {
			return fmt.Errorf("%s: %w", one, err)
		}
	}
	return nil
}

// inflict does one fault from its beginning to its end.
func (f *field) inflict(ctx context.Context, one fault) error {
	last := func() {
		select {
		case <-time.After(one.lasts):
		case <-ctx.Done():
		}
	}
	switch one.victim {
	case flushed:
		return f.redis.Command("FLUSHALL")
	case redis:
		f.redis.Kill()
		last()
		return f.redis.Restart()
	case mariaDB:
		f.db.Kill()
		last()
		return f.db.Restart(context.WithoutCancel(ctx))
	case aProcess:
		f.process(one.process).Kill()
		last()
		return f.relaunch(context.WithoutCancel(ctx), one.process)
	}
	way := f.ways[one.victim][one.process]
	if one.cut {
		way.Cut()
		return nil
	}
	way.Set(one.wire)
	last()
	way.Set(faultproxy.Fault{})
	return nil
}

// starved says how late a clock must be that the machine counts as having given no time.
const starved = 250 * time.Millisecond

// pulse notices when the first authorization server is given no time, by a page that it answers from memory:
// the guard that is fed by HTTP hears from it alone, and asks it within half a second.
func (f *field) pulse(ctx context.Context) {
	client := &http.Client{Timeout: grace}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.addrs[0]+"/healthz", http.NoBody)
		if err != nil {
			return
		}
		before := f.since()
		resp, err := client.Do(req)
		if err != nil {
			continue // it was killed, or the soak is over
		}
		resp.Body.Close()
		if now := f.since(); now-before > starved {
			f.history.broke(window{from: before, to: now, what: "the first authorization server had no time", process: watching})
		}
	}
}

// watch notices when the machine gives this process no time, and so perhaps none to others.
func (f *field) watch(ctx context.Context) {
	const step = 20 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	before := f.since()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := f.since()
		if now-before > starved {
			f.history.broke(window{from: before, to: now, what: "the machine gave no time", process: everywhere, locks: true})
		}
		before = now
	}
}
