package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/story"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const readyWithin = 30 * time.Second

var (
	buildOnce sync.Once
	built     string
	errBuild  error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(filepath.Dir(built))
	}
	os.Exit(code)
}

// binary builds tallystick once.
func binary(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		dir, err := os.MkdirTemp("", "tallystick-e2e-")
		if err != nil {
			errBuild = err
			return
		}
		built = filepath.Join(dir, "tallystick")
		out, err := exec.Command("go", "build", "-o", built, "github.com/tallystick/tallystick/cmd/tallystick").CombinedOutput()
		if err != nil {
			errBuild = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if errBuild != nil {
		t.Fatal(errBuild)
	}
	return built
}

// command runs a verb and returns what it printed.
func command(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tallystick %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// process is a running binary, whose output is logged if the test fails.
type process struct {
	cmd    *exec.Cmd
	output *bytes.Buffer
	exited chan struct{}
	once   sync.Once
}

// start starts a program and stops it at the end of the test. env is added to the environment.
func start(t *testing.T, env []string, path string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(path, args...), output: &bytes.Buffer{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("output of %s %v:\n%s", filepath.Base(path), args, tail(p.output.String()))
		}
	})
	return p
}

func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// stop asks the process to stop and waits for it.
func (p *process) stop() {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(20 * time.Second):
			p.kill()
		}
	})
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// await polls until ready says yes, or fails the test.
func (p *process) await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	deadline := time.Now().Add(readyWithin)
	for !ready() {
		select {
		case <-p.exited:
			t.Fatalf("the process ended before %s", what)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %s", what, readyWithin)
		}
	}
}

func healthy(addr string) func() bool {
	return func() bool {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		resp, err := http.DefaultClient.Do(req.WithContext(ctx))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
}

// startDev runs "tallystick dev" on a data folder and returns it when it is ready.
func startDev(t *testing.T, dir, addr string, more ...string) (*process, story.Target) {
	t.Helper()
	p := start(t, nil, binary(t), append([]string{"dev", "--addr", addr, "--data-dir", dir}, more...)...)
	var target story.Target
	p.await(t, "dev.json", func() bool {
		var err error
		target, err = story.Load(filepath.Join(dir, "dev.json"))
		return err == nil && target.PID == p.cmd.Process.Pid
	})
	return p, target
}

// redis is a server of the test's own, which can be stopped and flushed.
type redis struct {
	*process
	addr string
}

func startRedis(t *testing.T, addr string) *redis {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if path, err = exec.LookPath("valkey-server"); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal("redis-server is needed and not installed")
			}
			t.Skip("SKIPPED: redis-server is not installed, so it cannot be stopped and flushed here")
		}
	}
	_, port, _ := net.SplitHostPort(addr)
	r := &redis{start(t, nil, path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir()), addr}
	r.await(t, "Redis", func() bool { return r.command("PING") == nil })
	return r
}

// command sends one inline command.
func (r *redis) command(line string) error {
	conn, err := net.DialTimeout("tcp", r.addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if answer[0] == '-' {
		return errors.New(string(answer[:n]))
	}
	return nil
}

// installation is a database, a Redis and a configuration, for tallystick serve.
type installation struct {
	config string
	auth   string // address of the authorization server
	wallet string // address of the wallet; the same for one process
	redis  *redis
	target story.Target
}

// install makes an installation with the clients and users of the story. The wallet listens on an
// address of its own if split says so.
func install(t *testing.T, split bool) *installation {
	t.Helper()
	db := engine.MySQL(t)
	i := &installation{auth: freeAddr(t), redis: startRedis(t, freeAddr(t))}
	i.wallet = i.auth
	if split {
		i.wallet = freeAddr(t)
	}
	i.config = i.write(t, db.DSN.Reveal())
	i.provision(t)
	return i
}

func (i *installation) write(t *testing.T, dsn string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tallystick.yaml")
	text := fmt.Sprintf(`issuer: http://%s
listen:
  addr: %s
mysql:
  dsn: %s
redis:
  url: redis://%s/0
keys:
  encryption_key: %s
products:
  shop:
    terminals:
      mobile: {}
      browser: {}
      api: {max_sessions: 3}
  music:
    terminals:
      mobile: {}
      browser: {}
      api: {}
wallet:
  currencies: [CNY]
  lock: {ttl: 3s} # a killed process keeps its users' locks for so long
log:
  level: info
`, i.auth, i.auth, dsn, i.redis.addr, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// provision makes the clients and users of the story with the command line.
func (i *installation) provision(t *testing.T) {
	t.Helper()
	command(t, "", "migrate", "up", "--config", i.config)
	i.target = story.Target{
		Issuer: "http://" + i.auth, API: "http://" + i.wallet,
		Clients: map[string]story.Client{}, Users: map[string]story.User{},
	}
	for name, args := range map[string][]string{
		"shop-app":  {"--type", "public", "--product", "shop", "--terminal", "mobile", "--terminal", "browser", "--terminal", "api", "--grant", "password", "--grant", "refresh_token", "--scope", "wallet:read", "--scope", "wallet:transfer"},
		"music-app": {"--type", "public", "--product", "music", "--terminal", "mobile", "--terminal", "browser", "--grant", "password", "--grant", "refresh_token", "--scope", "wallet:read"},
		"billing":   {"--type", "confidential", "--grant", "client_credentials", "--scope", "wallet:deposit"},
	} {
		var made struct {
			Secret string `json:"client_secret"`
		}
		out := command(t, "", append([]string{"client", "create", name, "--config", i.config, "--output", "json"}, args...)...)
		if err := json.Unmarshal(out, &made); err != nil {
			t.Fatalf("client create: %v in %s", err, out)
		}
		i.target.Clients[name] = story.Client{ID: name, Secret: made.Secret}
	}
	for _, name := range []string{"tom", "amy"} {
		var made struct {
			Sub string `json:"sub"`
		}
		password := name + " has a long password"
		out := command(t, password+"\n", "user", "create", name, "--config", i.config, "--output", "json")
		if err := json.Unmarshal(out, &made); err != nil {
			t.Fatalf("user create: %v in %s", err, out)
		}
		i.target.Users[name] = story.User{Username: name, Password: password, Sub: made.Sub}
	}
}

// serve starts a process of the installation in a role.
func (i *installation) serve(t *testing.T, role string) *process {
	t.Helper()
	addr := i.auth
	if role == "wallet" {
		addr = i.wallet
	}
	p := start(t, []string{"TALLYSTICK_LISTEN_ADDR=" + addr}, binary(t), "serve", "--config", i.config, "--role", role)
	p.await(t, "readiness of "+role, healthy(addr))
	return p
}
