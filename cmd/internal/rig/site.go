package rig

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// Site is an installation: a binary, a configuration file, and what story and tests know of it.
type Site struct {
	// Binary is the path of the binary with which it is run.
	Binary string
	// Config is the path of the configuration.
	Config string
	// Target names the addresses of its servers, its clients and its users.
	Target story.Target
}

// Plan is what a site is made of.
type Plan struct {
	Binary string
	// Dir takes the configuration.
	Dir string
	// Issuer and Wallet are the addresses of the authorization server and of the wallet.
	Issuer, Wallet string
	// DSN and Redis are where the engines are.
	DSN, Redis string
	// More is appended to the configuration: whole sections in YAML.
	More string
	// Users are the names of users beside tom and amy.
	Users []string
}

// products are those of the story; mobile is a kickout slot.
const configuration = `issuer: http://%s
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
`

// locks is what is appended where a plan appends nothing.
const locks = `wallet:
  lock: {ttl: 3s} # a killed process keeps its users' locks for so long
`

// Found writes the configuration of a site, brings up its schema, and makes the clients and users of
// the story and those of the plan.
func Found(ctx context.Context, p Plan) (*Site, error) {
	s := &Site{Binary: p.Binary, Config: filepath.Join(p.Dir, "tallystick.yaml")}
	sealing := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	text := fmt.Sprintf(configuration, p.Issuer, p.Issuer, p.DSN, p.Redis, sealing)
	if p.More == "" {
		p.More = locks
	}
	if err := os.WriteFile(s.Config, []byte(text+p.More), 0o600); err != nil {
		return nil, err
	}
	s.Target = story.Target{
		Issuer: "http://" + p.Issuer, API: "http://" + p.Wallet,
		Clients: map[string]story.Client{}, Users: map[string]story.User{},
	}
	if _, err := s.Run(ctx, nil, "migrate", "up"); err != nil {
		return nil, err
	}
	if err := s.addClients(ctx); err != nil {
		return nil, err
	}
	return s, s.addUsers(ctx, append([]string{"tom", "amy"}, p.Users...))
}

// Run runs a verb of the command line on the site and returns what it printed.
func (s *Site) Run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return s.run(ctx, nil, stdin, args...)
}

// RunWith is Run with variables added to the environment.
func (s *Site) RunWith(ctx context.Context, env []string, args ...string) ([]byte, error) {
	return s.run(ctx, env, nil, args...)
}

func (s *Site) run(ctx context.Context, env []string, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Binary, append(args, "--config", s.Config)...) //nolint:gosec // G204: the binary that was built.
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("tallystick %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out, nil
}

func (s *Site) addClients(ctx context.Context) error {
	for name, args := range map[string][]string{
		"shop-app": {
			"--type", "public", "--product", "shop", "--terminal", "mobile", "--terminal", "browser", "--terminal", "api", "--grant", "password", "--grant", "refresh_token",
			"--grant", "urn:ietf:params:oauth:grant-type:device_code", "--grant", "urn:tallystick:grant-type:login-token",
			"--scope", "wallet:read", "--scope", "wallet:transfer", "--scope", "wallet:hold", "--scope", "wallet:reverse",
		},
		"shop-web": {
			"--type", "public", "--product", "shop", "--terminal", "browser", "--terminal", "api", "--grant", "password", "--grant", "refresh_token",
			"--grant", "urn:ietf:params:oauth:grant-type:device_code", "--grant", "urn:tallystick:grant-type:login-token",
			"--scope", "wallet:read", "--scope", "wallet:transfer",
		},
		"music-app": {"--type", "public", "--product", "music", "--terminal", "mobile", "--terminal", "browser", "--grant", "password", "--grant", "refresh_token", "--scope", "wallet:read"},
		"billing":   {"--type", "confidential", "--grant", "client_credentials", "--scope", "wallet:deposit", "--scope", "wallet:withdraw", "--scope", "wallet:hold", "--scope", "wallet:reverse", "--scope", "wallet:read_any"},
	} {
		var made struct {
			Secret string `json:"client_secret"`
		}
		out, err := s.Run(ctx, nil, append([]string{"client", "create", name, "--output", "json"}, args...)...)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(out, &made); err != nil {
			return fmt.Errorf("client create: %w in %s", err, out)
		}
		s.Target.Clients[name] = story.Client{ID: name, Secret: made.Secret}
	}
	return nil
}

// addUsers imports users who share one password, hashed once and as the configuration hashes, so that
// no sign-in has to hash it anew.
func (s *Site) addUsers(ctx context.Context, names []string) error {
	const password = "a long password of many"
	salt := []byte("sixteen bytes...")
	key := argon2.IDKey([]byte(password), salt, 2, 19456, 1, 32)
	enc := base64.RawStdEncoding
	hash := fmt.Sprintf("$argon2id$v=19$m=19456,t=2,p=1$%s$%s", enc.EncodeToString(salt), enc.EncodeToString(key))
	var lines bytes.Buffer
	write := json.NewEncoder(&lines)
	for i, name := range names {
		sub := fmt.Sprintf("usr_%s%03d", strings.Repeat("0", 20), i)
		if err := write.Encode(map[string]string{"username": name, "password_hash": hash, "sub": sub}); err != nil {
			return err
		}
		s.Target.Users[name] = story.User{Username: name, Password: password, Sub: sub}
	}
	_, err := s.Run(ctx, &lines, "user", "import", "-", "--format", "jsonl")
	return err
}

// Serve starts a process of the site in a role at an address, and returns when it is ready.
func (s *Site) Serve(role, addr string, env ...string) (*Process, error) {
	p, err := Launch(Program{
		Path: s.Binary, Args: []string{"serve", "--config", s.Config, "--role", role},
		Env: append([]string{"TALLYSTICK_LISTEN_ADDR=" + addr}, env...),
	})
	if err != nil {
		return nil, err
	}
	if err := p.Await("readiness of "+role, func() bool { return Ready(addr) }); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

// Ready says whether a process at an address wants requests.
func Ready(addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
