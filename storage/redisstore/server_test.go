package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/redisstore/embedded"
)

const (
	envRedis = "TALLYSTICK_TEST_REDIS_URL"
	patience = 20 * time.Second // for what must happen; what must not is decided by events
)

func TestMain(m *testing.M) {
	redisstore.CaptureLog(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// server is a Redis that a test may mistreat.
type server interface {
	URL() secret.Text
	Flush()
	// Stop takes it away, and Again brings it back empty at the same address.
	Stop()
	Again(t *testing.T)
}

// embeddedServer is the embedded one.
type embeddedServer struct{ *embedded.Server }

func startEmbedded(t *testing.T) *embeddedServer {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	e := &embeddedServer{s}
	t.Cleanup(func() { e.Stop() })
	return e
}

func (e *embeddedServer) Again(t *testing.T) {
	t.Helper()
	s, err := embedded.Start(embedded.Config{Addr: e.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	e.Server = s
}

// binary is a redis-server process of the test's own.
type binary struct {
	path string
	port int
	args []string
	cmd  *exec.Cmd
}

func startBinary(t *testing.T, args ...string) *binary {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-server is not installed: this test must run in CI")
		}
		t.Skip("SKIPPED: a real Redis is not tested: redis-server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b := &binary{path: path, port: port, args: append([]string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", t.TempDir(), "--loglevel", "warning",
	}, args...)}
	b.Again(t)
	t.Cleanup(b.Stop)
	return b
}

func (b *binary) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

func (b *binary) URL() secret.Text { return secret.New("redis://" + b.addr()) }

func (b *binary) Again(t *testing.T) {
	t.Helper()
	b.cmd = exec.Command(b.path, b.args...)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: b.addr(), MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	within(t, "redis-server answers", func() bool { return c.Ping(t.Context()).Err() == nil })
}

func (b *binary) Stop() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.cmd = nil
}

func (b *binary) Flush() {
	c := redis.NewClient(&redis.Options{Addr: b.addr()})
	defer c.Close()
	c.FlushAll(context.Background())
}

// eachServer runs a test that mistreats its Redis.
func eachServer(t *testing.T, f func(t *testing.T, s server)) {
	t.Run("embedded", func(t *testing.T) { t.Parallel(); f(t, startEmbedded(t)) })
	t.Run("redis-server", func(t *testing.T) { t.Parallel(); f(t, startBinary(t)) })
}

// eachURL runs a test that shares its Redis: also the one addressed by the environment.
func eachURL(t *testing.T, f func(t *testing.T, c redisstore.Config)) {
	prefix := "tallystick_test_" + strings.ToLower(rand.Text()) + ":"
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		f(t, redisstore.Config{URL: startEmbedded(t).URL(), Prefix: prefix})
	})
	t.Run("addressed", func(t *testing.T) {
		t.Parallel()
		url := os.Getenv(envRedis)
		if url == "" {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not set: this test must run in CI", envRedis)
			}
			t.Skipf("SKIPPED: a real Redis is not tested: set %s", envRedis)
		}
		t.Cleanup(func() { removeKeys(t, url, prefix) })
		f(t, redisstore.Config{URL: secret.New(url), Prefix: prefix})
	})
}

func removeKeys(t *testing.T, url, prefix string) {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	keys := c.Scan(context.Background(), 0, prefix+"*", 1000).Iterator()
	for keys.Next(context.Background()) {
		c.Del(context.Background(), keys.Val())
	}
}

// open opens and starts a store, and closes it with the test.
func open(t *testing.T, c redisstore.Config) *redisstore.Store {
	t.Helper()
	c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := redisstore.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// within waits until a condition holds that nothing announces.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing within %v", what, patience)
		panic("unreachable")
	}
}

func TestRunsOnACluster(t *testing.T) {
	t.Parallel()
	worksAtAll(t, redisstore.Config{URL: startCluster(t)})
}

// startCluster starts a cluster of one.
func startCluster(t *testing.T) secret.Text {
	t.Helper()
	b := startBinary(t, "--cluster-enabled", "yes")
	c := redis.NewClient(&redis.Options{Addr: b.addr()})
	defer c.Close()
	if err := c.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	within(t, "the cluster is formed", func() bool {
		return strings.Contains(c.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	})
	return secret.New("redis-cluster://" + b.addr())
}

func TestRunsBehindSentinel(t *testing.T) {
	t.Parallel()
	master := startBinary(t)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor tally 127.0.0.1 %d 1\n", master.port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := startSentinel(t, conf)
	worksAtAll(t, redisstore.Config{URL: secret.New("redis-sentinel://" + sentinel.addr() + "/tally")})
}

func startSentinel(t *testing.T, conf string) *binary {
	t.Helper()
	b := startBinary(t) // finds the binary, and a port
	b.Stop()
	b.args = []string{conf, "--sentinel", "--port", strconv.Itoa(b.port), "--bind", "127.0.0.1"}
	b.Again(t)
	return b
}

// worksAtAll takes a lock and sends an event.
func worksAtAll(t *testing.T, c redisstore.Config) {
	t.Helper()
	s := open(t, c)
	lease, err := s.Lock(t.Context(), "u1", 0)
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, c)
	if _, err := other.Lock(t.Context(), "u1", 0); !errors.Is(err, storage.ErrBusy) {
		t.Errorf("lock that another process holds: %v, want ErrBusy", err)
	}
	lease.Release(t.Context())
	f := follow(t, other)
	f.hears(t, s)
}
