package redisstore

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys/secret"
)

type target struct {
	Addrs                          []string
	Username, Password, Master     string
	SentinelUser, SentinelPassword string
	DB, Pool                       int
	Cluster, TLS                   bool
	ServerName                     string
}

func TestURLForms(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]target{
		"redis://localhost":           {Addrs: []string{"localhost:6379"}},
		"redis://localhost/":          {Addrs: []string{"localhost:6379"}},
		"redis://[::1]:7000/3":        {Addrs: []string{"[::1]:7000"}, DB: 3},
		"redis://[::1]":               {Addrs: []string{"[::1]:6379"}},
		"redis://:p%40ss@h:1":         {Addrs: []string{"h:1"}, Password: "p@ss"},
		"redis://u:a%3Ab%2F@h:1/0":    {Addrs: []string{"h:1"}, Username: "u", Password: "a:b/"},
		"rediss://cache.example:6380": {Addrs: []string{"cache.example:6380"}, TLS: true, ServerName: "cache.example"},
		"redis://h?pool_size=7":       {Addrs: []string{"h:6379"}, Pool: 7},
		"redis-sentinel://u:p@a,b:5/main/2?sentinel_user=s&sentinel_password=x%26": {
			Addrs: []string{"a:26379", "b:5"}, Username: "u", Password: "p", Master: "main", DB: 2, SentinelUser: "s", SentinelPassword: "x&",
		},
		"rediss-cluster://a:1,b:2": {Addrs: []string{"a:1", "b:2"}, Cluster: true, TLS: true},
	} {
		o, err := parseURL(secret.New(url))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if want.Pool == 0 {
			want.Pool = defaultPoolSize
		}
		got := target{
			Addrs: o.Addrs, Username: o.Username, Password: o.Password, Master: o.MasterName, SentinelUser: o.SentinelUsername,
			SentinelPassword: o.SentinelPassword, DB: o.DB, Pool: o.PoolSize, Cluster: o.IsClusterMode, TLS: o.TLSConfig != nil,
		}
		if got.TLS {
			got.ServerName = o.TLSConfig.ServerName
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", url, diff)
		}
	}
}

func refusedURLs() []string {
	return []string{
		"", "localhost:6379", "http://h", "redis:/h", "redis://", "redis:///1", "redis://h:0", "redis://h:65536", "redis://h:x", "redis://h:",
		"redis://a,b", "redis://::1", "redis://h/x", "redis://h/-1", "redis://h/01", "redis://h/1/2", "redis://h?x=1",
		"redis://h?pool_size=0", "redis://h?pool_size=1&pool_size=2", "redis://h?sentinel_user=a", "redis://h?%zz",
		"redis://%zz@h", "redis-sentinel://h", "redis-sentinel://h/", "redis-sentinel://h//1", "redis-sentinel://h/m/x",
		"redis-cluster://h/0", "redis-cluster://h,", "redis-cluster://" + strings.Repeat("h,", 100) + "h",
	}
}

func TestURLRefusals(t *testing.T) {
	t.Parallel()
	for _, url := range refusedURLs() {
		if o, err := parseURL(secret.New(url)); err == nil {
			t.Errorf("%q was taken as %q", url, o.Addrs)
		}
	}
}

func FuzzURL(f *testing.F) {
	for _, url := range append(refusedURLs(), "redis://u:hunter2@[::1]:7000/3", "redis-sentinel://a,b:5/main/2?sentinel_user=s") {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		const password = "correcthorsebattery"
		withPassword := strings.Replace(url, "://", "://:"+password+"@", 1)
		o, err := parseURL(secret.New(withPassword))
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("error shows the password: %v", err)
		}
		if err == nil && len(o.Addrs) == 0 {
			t.Error("taken without an address")
		}
	})
}

func TestConfigRefusals(t *testing.T) {
	t.Parallel()
	good := secret.New("redis://localhost")
	for name, c := range map[string]Config{
		"no URL":             {},
		"prefix with braces": {URL: good, Prefix: "a{b}"},
		"prefix with spaces": {URL: good, Prefix: "a b"},
		"prefix too long":    {URL: good, Prefix: strings.Repeat("p", 65)},
		"TTL too short":      {URL: good, LockTTL: 1},
	} {
		if s, err := Open(t.Context(), c); err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
		}
	}
}
