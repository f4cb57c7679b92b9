package configs_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/keys/secret"
)

const goodKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// good is the smallest file that loads.
const good = `issuer: https://auth.example.com
mysql:
  dsn: tally:hunter2@tcp(db:3306)/tally?tls=true
redis:
  url: redis://cache:6379/0
keys:
  encryption_key: ` + goodKey + `
products:
  shop: {}
`

func parse(t *testing.T, file string, environ ...string) (configs.Config, error) {
	t.Helper()
	return configs.Parse("t.yaml", []byte(file), environ)
}

func mustParse(t *testing.T, file string, environ ...string) configs.Config {
	t.Helper()
	c, err := parse(t, file, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSmallestFileGetsTheDefaults(t *testing.T) {
	t.Parallel()
	want := configs.Default()
	want.Issuer = "https://auth.example.com"
	want.Audience = []string{want.Issuer}
	want.MySQL.DSN = secret.New("tally:hunter2@tcp(db:3306)/tally?tls=true")
	want.Redis.URL = secret.New("redis://cache:6379/0")
	want.Keys.EncryptionKey = secret.New(goodKey)
	want.Products["shop"] = configs.DefaultProduct()
	same := cmp.Comparer(func(a, b secret.Text) bool { return a.Reveal() == b.Reveal() })
	if diff := cmp.Diff(want, mustParse(t, good), same); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDefaultTerminalsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	want := map[string]configs.Terminal{
		"mobile":  {Mode: "kickout", AccessTTL: 15 * time.Minute, SessionTTL: 168 * time.Hour, MaxSessions: 10},
		"browser": {Mode: "shared", AccessTTL: 15 * time.Minute, SessionTTL: 48 * time.Hour, MaxSessions: 10},
		"api":     {Mode: "concurrent", AccessTTL: 15 * time.Minute, SessionTTL: 2 * time.Hour, MaxSessions: 10},
	}
	if diff := cmp.Diff(want, configs.DefaultProduct().Terminals); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEveryFaultOfAFileIsTold(t *testing.T) {
	t.Parallel()
	_, err := parse(t, `issuer: http://auth.example.com
mysql:
  dsn: "hunter2@nonsense"
  max_open_cons: 7
guard:
  poll: soon
products:
  shop:
    terminals:
      mobile: {mode: kickoff, max_sessions: 0}
log: {level: loud}
`)
	want := []string{
		"t.yaml:6: guard.poll: \"soon\" is not a duration such as 90s, 15m, 2h or 7d",
		"t.yaml:4: mysql.max_open_cons: is not known; did you mean mysql.max_open_conns?",
		"t.yaml:1: issuer: must be https; http is for loopback addresses only",
		"t.yaml:3: mysql.dsn: is not of the form user:password@tcp(host:3306)/database",
		"t.yaml: redis.url: is missing; set it or redis.url_file, such as redis://redis:6379/0",
		"t.yaml: keys.encryption_key: is missing; set it or keys.encryption_key_file; make one with: openssl rand -base64 32",
		"t.yaml:10: products.shop.terminals.mobile.mode: \"kickoff\" is not known; did you mean kickout?",
		"t.yaml:10: products.shop.terminals.mobile.max_sessions: 0 is not between 1 and 1000",
		"t.yaml:11: log.level: \"loud\" is not one of debug, info, warn, error",
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if strings.Contains(fmt.Sprint(err), "hunter2") {
		t.Error("a fault shows the password")
	}
}

func TestFormOfTheFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"a key twice":         {"log: {level: info}\nissuer: a\nissuer: b\n", "t.yaml:3: issuer: is set twice; it was set before at t.yaml:2"},
		"a section twice":     {"log: {level: info}\nlog: {format: text}\n", "t.yaml:2: log: is set twice; it was set before at t.yaml:1"},
		"a deep key twice":    {"log:\n  level: info\n  level: warn\n", "t.yaml:3: log.level: is set twice; it was set before at t.yaml:2"},
		"an anchor":           {"issuer: &a x\n", "t.yaml:1: issuer: anchors and aliases are not read; write the value out"},
		"an alias":            {"audience: [&a x]\n", "t.yaml:1: audience: a list here holds plain values only"},
		"a merge":             {"log: {<<: {level: info}}\n", "t.yaml:1: log: a key must be a plain name"},
		"two documents":       {"issuer: a\n---\nissuer: b\n", "t.yaml: has more than one YAML document; keep one"},
		"a list":              {"- a\n- b\n", "t.yaml:1: the file must be a set of keys, such as issuer: https://auth.example.com"},
		"a text":              {"hello\n", "t.yaml:1: the file must be a set of keys, such as issuer: https://auth.example.com"},
		"a dotted key":        {"log.level: info\n", `t.yaml:1: "log.level" is no name of a key; write sections as nested keys`},
		"no YAML":             {"log:\n\tlevel: info\n", "t.yaml:2: is not YAML: found character that cannot start any token"},
		"too deep":            {strings.Repeat("{a: ", 12) + "1" + strings.Repeat("}", 12), "t.yaml:1: a.a.a.a.a.a.a.a.a: is nested too deeply"},
		"too long":            {strings.Repeat("#", 1<<20+1), "t.yaml: is longer than 1048576 bytes; that is no configuration file"},
		"a list of lists":     {"audience: [[a]]\n", "t.yaml:1: audience: a list here holds plain values only"},
		"a mapping as a name": {"{a: b}: c\n", "t.yaml:1: a key must be a plain name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, c.file)
			if got := fmt.Sprint(err); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// refusal returns the fault of a key, or "".
func refusal(err error, key string) string {
	invalid, is := errors.AsType[*configs.InvalidError](err)
	if !is {
		return ""
	}
	for _, f := range invalid.Faults {
		if f.Key == key {
			return f.Text
		}
	}
	return ""
}

func TestEveryRefusalHasItsKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ add, key, want string }{
		{"issuer: ''", "issuer", "is missing"},
		{"issuer: auth.example.com", "issuer", "is not a URL"},
		{"issuer: ftp://auth.example.com", "issuer", "is not a URL"},
		{"issuer: https://auth.example.com/", "issuer", "without a slash"},
		{"issuer: https://auth.example.com/x", "issuer", "scheme, host and port alone"},
		{"issuer: https://a:b@auth.example.com", "issuer", "scheme, host and port alone"},
		{"issuer: https://auth.example.com?", "issuer", "scheme, host and port alone"},
		{"issuer: http://10.0.0.1", "issuer", "must be https"},
		{"issuer: http://127.0.0.1.example.com", "issuer", "must be https"},
		{"issuer: [a]", "issuer", "is a single value, not a list"},
		{"issuer: {a: b}", "issuer.a", "is not known"},
		{"issuer:", "issuer", "has no value"},
		{"issuer: {}", "issuer", "is a single value, not a section"},
		{"audience: a", "audience", "is a list"},
		{"audience: [a, '']", "audience", "has an empty entry"},
		{"mysql: on", "mysql", "is a section"},
		{"products: [a]", "products", "is a section"},
		{"products: {}", "products", "is empty"},
		{"products:", "products", "is empty"},
		{"products: {Shop: {}}", "products.Shop", "a name is"},
		{"products: {shop: on}", "products.shop", "is a section"},
		{"products: {shop: {terminals: {tablet: {mode: shared}}}}", "products.shop.terminals.tablet.mode", "is not known; did you mean"},
		{"products: {shop: {terminals: {api: {session_ttl: 1h, idle_ttl: 2h}}}}", "products.shop.terminals.api.idle_ttl", "longer than session_ttl"},
		{"products: {shop: {terminals: {api: {session_ttl: 1500ms}}}}", "products.shop.terminals.api.session_ttl", "whole number of seconds"},
		{"products: {shop: {terminals: {api: {session_ttl: 401d}}}}", "products.shop.terminals.api.session_ttl", "401d is not between 1s and 400d"},
		{"products: {shop: {terminals: {api: {access_ttl: 0s}}}}", "products.shop.terminals.api.access_ttl", "is not between"},
		{"listen: {addr: 8080}", "listen.addr", "is not an address"},
		{"listen: {addr: 'localhost:'}", "listen.addr", "is not an address"},
		{"listen: {addr: ':99999'}", "listen.addr", "is not an address"},
		{"listen: {admin_addr: nowhere}", "listen.admin_addr", "is not an address"},
		{"listen: {addr: ':1', admin_addr: ':1'}", "listen.admin_addr", "is the same as listen.addr"},
		{"listen: {tls_cert_file: a}", "listen.tls_key_file", "is missing"},
		{"listen: {tls_key_file: a}", "listen.tls_cert_file", "is missing"},
		{"listen: {trusted_proxies: [everyone]}", "listen.trusted_proxies", "is neither an address nor a network"},
		{"listen: {trusted_proxies: [0.0.0.0/0]}", "listen.trusted_proxies", "trusts the whole world"},
		{"listen: {trusted_proxies: ['::/0']}", "listen.trusted_proxies", "trusts the whole world"},
		{"cors: {origins: ['*']}", "cors.origins", "is a wildcard"},
		{"cors: {origins: ['https://*.example.com']}", "cors.origins", "is a wildcard"},
		{"cors: {origins: [https://shop.example.com/]}", "cors.origins", "is not an origin as browsers send it"},
		{"cors: {origins: [https://Shop.example.com]}", "cors.origins", "is not an origin as browsers send it"},
		{"cors: {origins: ['null']}", "cors.origins", "is not an origin as browsers send it"},
		{"cors: {origins: [http://shop.example.com]}", "cors.origins", "must be https"},
		{"cors: {origins: ['https://shop.example.com:443']}", "cors.origins", "names the usual port"},
		{"listen: {read_timeout: 0s}", "listen.read_timeout", "is not between"},
		{"listen: {write_timeout: 10s}", "listen.write_timeout", "must not be shorter than listen.request_timeout"},
		{"listen: {request_timeout: 30s}", "wallet.lock.wait", "must be shorter than listen.request_timeout"},
		{"mysql: {dsn: ''}", "mysql.dsn", "is missing"},
		{"mysql: {dsn: 'u:p@tcp(h:3306)/'}", "mysql.dsn", "names no database"},
		{"mysql: {max_open_conns: 1}", "mysql.max_open_conns", "1 is not between 2 and 10000"},
		{"mysql: {max_open_conns: many}", "mysql.max_open_conns", "is not a whole number"},
		{"mysql: {conn_max_lifetime: 0s}", "mysql.conn_max_lifetime", "is not between"},
		{"redis: {url: 'http://h'}", "redis.url", "is not a URL such as"},
		{"redis: {url: 'redis://'}", "redis.url", "is not a URL such as"},
		{"redis: {url: 'redis-galaxy://h'}", "redis.url", "is not a URL such as"},
		{"redis: {prefix: 'a{b}'}", "redis.prefix", "without braces"},
		{"redis: {prefix: ''}", "redis.prefix", "1 to 64"},
		{"keys: {algorithm: none}", "keys.algorithm", "is not one of EdDSA, ES256, RS256"},
		{"keys: {algorithm: HS256}", "keys.algorithm", "did you mean ES256?"},
		{"keys: {encryption_key: c2hvcnQ=}", "keys.encryption_key", "is not the base64 of 32 bytes"},
		{"keys: {encryption_key: '" + strings.Repeat("zz", 32) + "'}", "keys.encryption_key", "is not the base64 of 32 bytes"},
		{"keys: {encryption_key: \"" + goodKey[:8] + "\\n" + goodKey[8:] + "\"}", "keys.encryption_key", "is not the base64 of 32 bytes"},
		{"keys: {publish: 1s}", "keys.publish", "is not between"},
		{"tokens: {replay_window: 2m}", "tokens.replay_window", "is not between"},
		{"tokens: {leeway: -1s}", "tokens.leeway", "is not between"},
		{"tokens: {client_credentials_ttl: 2d}", "tokens.client_credentials_ttl", "2d is not between 1s and 1d"},
		{"password: {memory_kib: 8192}", "password.memory_kib", "below the minimum of OWASP"},
		{"password: {time: 1}", "password.memory_kib", "below the minimum of OWASP"},
		{"password: {memory_kib: 262144, time: 16}", "password.time", "more than 1048576 KiB of work"},
		{"password: {threads: 0}", "password.threads", "is not between"},
		{"password: {queue: 0}", "password.queue", "is not between"},
		{"password: {min_length: 4}", "password.min_length", "is not between 8 and 64"},
		{"password: {hmac_keys: {old: {}}}", "password.hmac_keys.old.secret", "is missing"},
		{"password: {hmac_keys: {'Old One': {secret: x}}}", "password.hmac_keys", "is no name of a key"},
		{"wallet: {currencies: []}", "wallet.currencies", "is empty"},
		{"wallet: {currencies: [cny]}", "wallet.currencies", "three capitals"},
		{"wallet: {currencies: [CNY, CNY]}", "wallet.currencies", "named twice"},
		{"wallet: {currencies: [CMY]}", "wallet.currencies", "CMY is no currency of ISO 4217; did you mean CNY? If it is one of your own, say how many digits follow its point: wallet.exponents.CMY: 2"},
		{"wallet: {currencies: [CYN]}", "wallet.currencies", "did you mean CNY?"},
		{"wallet: {currencies: [RMB]}", "wallet.currencies", "did you mean CNY?"},
		{"wallet: {currencies: [QQQ]}", "wallet.currencies", "QQQ is no currency of ISO 4217. If"},
		{"wallet: {exponents: {EUR: 2}}", "wallet.exponents.EUR", "is not one of wallet.currencies"},
		{"wallet: {exponents: {CNY: 3}}", "wallet.exponents.CNY", "ISO 4217 gives CNY 2 digits"},
		{"wallet: {exponents: {cny: 2}}", "wallet.exponents.cny", "three capitals"},
		{"wallet: {currencies: [PTS], exponents: {PTS: 9}}", "wallet.exponents.PTS", "9 is not between 0 and 8"},
		{"wallet: {currencies: [PTS], exponents: {PTS: -1}}", "wallet.exponents.PTS", "is not between"},
		{"wallet: {currencies: [PTS], exponents: {PTS: few}}", "wallet.exponents.PTS", "is not a whole number"},
		{"wallet: {max_amount: 9007199254740992}", "wallet.max_amount", "is not between"},
		{"wallet: {max_amount: 99999999999999999999}", "wallet.max_amount", "is not a whole number"},
		{"wallet: {limits: {CNY: {single: -1}}}", "wallet.limits.CNY.single", "is not between"},
		{"wallet: {limits: {CNY: {daily: 9007199254740992}}}", "wallet.limits.CNY.daily", "is not between"},
		{"wallet: {limits: {CNY: {daily: much}}}", "wallet.limits.CNY.daily", "is not a whole number"},
		{"wallet: {limits: {CNY: {weekly: 1}}}", "wallet.limits.CNY.weekly", "is not known"},
		{"wallet: {limits: {EUR: {daily: 1}}}", "wallet.limits.EUR", "is not one of wallet.currencies"},
		{"wallet: {limits: {cny: {daily: 1}}}", "wallet.limits.cny", "three capitals"},
		{"wallet: {lock: {ttl: 0s}}", "wallet.lock.ttl", "is not between"},
		{"wallet: {lock: {required: maybe}}", "wallet.lock.required", "is neither true nor false"},
		{"webhooks: {stream_length: 1}", "webhooks.stream_length", "is not between"},
		{"webhooks: {timeout: 2m}", "webhooks.timeout", "is not between"},
		{"webhooks: {parallel: 0}", "webhooks.parallel", "is not between"},
		{"webhooks: {disable_after: 1m}", "webhooks.disable_after", "is not between"},
		{"webhooks: {allow_http: perhaps}", "webhooks.allow_http", "is neither true nor false"},
		{"webhooks: {allowed_networks: [10.1.2.3/16]}", "webhooks.allowed_networks", "is not a network"},
		{"guard: {poll: 2s}", "guard.poll", "2s is not between 5ms and 500ms"},
		{"guard: {cache_size: 0}", "guard.cache_size", "is not between"},
		{"guard: {max_ended: 1}", "guard.max_ended", "is not between"},
		{"live: {origins: [shop.example.com]}", "live.origins", "is not an origin"},
		{"live: {origins: [https://shop.example.com/]}", "live.origins", "is not an origin"},
		{"live: {max_connections: 0}", "live.max_connections", "is not between"},
		{"live: {max_per_address: 0}", "live.max_per_address", "is not between"},
		{"live: {max_per_user: 0}", "live.max_per_user", "is not between"},
		{"live: {max_frame: 10}", "live.max_frame", "is not between"},
		{"live: {frames_per_second: 0}", "live.frames_per_second", "is not between"},
		{"live: {frames_at_once: 1}", "live.frames_at_once", "1 is not between 20"},
		{"live: {max_in_flight: 0}", "live.max_in_flight", "is not between"},
		{"live: {max_queued: 1}", "live.max_queued", "1 is not between 8"},
		{"live: {sign_in_time: 1ms}", "live.sign_in_time", "is not between"},
		{"live: {ping_every: 1ms}", "live.ping_every", "is not between"},
		{"live: {pong_time: 1ms}", "live.pong_time", "is not between"},
		{"live: {write_time: 1ms}", "live.write_time", "is not between"},
		{"brakes: {account_failures: 2}", "brakes.account_failures", "2 is not between 3 and 100"},
		{"brakes: {known_failures: 101}", "brakes.known_failures", "101 is not between 3 and 100"},
		{"brakes: {most_failures: 19}", "brakes.most_failures", "19 is not between 20 and 100"},
		{"brakes: {most_failures: 101}", "brakes.most_failures", "101 is not between 20 and 100"},
		{"brakes: {delay: 0s}", "brakes.delay", "0s is not between 1s and 1h0m0s"},
		{"brakes: {max_delay: 1s}", "brakes.max_delay", "1s is not between 30s and 1d"},
		{"brakes: {lock: 1m}", "brakes.lock", "1m0s is not between 1h0m0s and 30d"},
		{"brakes: {window: 1m}", "brakes.window", "1m0s is not between 1h0m0s and 30d"},
		{"brakes: {known: 1m}", "brakes.known", "1m0s is not between 1h0m0s and 400d"},
		{"brakes: {address_failures: 0}", "brakes.address_failures", "0 is not between 5 and 1000000"},
		{"brakes: {address_failures: 60001, address_window: 1m}", "brakes.address_failures", "more than one in a millisecond"},
		{"brakes: {address_window: 1s}", "brakes.address_window", "1s is not between 1m0s and 1d"},
		{"retention: {sessions: 1h}", "retention.sessions", "1h0m0s is not between 1d and 36500d"},
		{"retention: {refresh_tokens: 1m}", "retention.refresh_tokens", "is not between 1h0m0s"},
		{"retention: {events: 1m}", "retention.events", "is not between 10m0s"},
		{"retention: {revoked_tokens: 1m}", "retention.revoked_tokens", "is not between 10m0s"},
		{"retention: {answers: 1d}", "retention.answers", "1d is not between 7d and 36500d"},
		{"retention: {handoffs: 1m}", "retention.handoffs", "1m0s is not between 10m0s and 36500d"},
		{"retention: {dead_deliveries: 1h}", "retention.dead_deliveries", "1h0m0s is not between 1d and 36500d"},
		{"retention: {audit: 1h}", "retention.audit", "1h0m0s is not between 1d and 36500d"},
		{"log: {format: xml}", "log.format", "is not one of json, text"},
		{"frobnicate: {a: 1}", "frobnicate.a", "is not known; configs/tallystick.example.yaml lists every key"},
		{"isuser: https://a", "isuser", "did you mean issuer?"},
	} {
		t.Run(c.add, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, with(good, c.add))
			if got := refusal(err, c.key); !strings.Contains(got, c.want) {
				t.Errorf("%s: got %q, want %q in it; all: %v", c.key, got, c.want, err)
			}
		})
	}
}

// with replaces the section of a file that add begins, or appends it.
func with(file, add string) string {
	name, _, _ := strings.Cut(add, ":")
	var kept []string
	skipping := false
	for line := range strings.Lines(file) {
		if !strings.HasPrefix(line, " ") {
			skipping = strings.HasPrefix(line, name+":")
		}
		if !skipping {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "") + add + "\n"
}

func TestNothingSecurityRelevantHasASilentOff(t *testing.T) {
	t.Parallel()
	_, err := parse(t, "")
	for _, key := range []string{"issuer", "mysql.dsn", "redis.url", "keys.encryption_key", "products"} {
		if refusal(err, key) == "" {
			t.Errorf("an empty file is not refused for %s", key)
		}
	}
}

func TestEmbeddedNeedsNoEngines(t *testing.T) {
	t.Parallel()
	c := configs.Default()
	c.Issuer, c.Embedded = "http://127.0.0.1:8080", true
	c.Keys.EncryptionKey = secret.New(goodKey)
	c.Products["shop"] = configs.DefaultProduct()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestProductsHaveTheTerminalsTheyName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		products string
		environ  []string
		want     map[string]string // product.terminal: mode
	}{
		"none named":                 {"products: {shop: {}}", nil, map[string]string{"shop.mobile": "kickout", "shop.browser": "shared", "shop.api": "concurrent"}},
		"one named":                  {"products: {shop: {terminals: {api: {mode: shared}}}}", nil, map[string]string{"shop.api": "shared"}},
		"one named without settings": {"products:\n  shop:\n    terminals:\n      mobile:\n", nil, map[string]string{"shop.mobile": "kickout"}},
		"adjusted from the environment": {
			"products: {shop: {}}", []string{"TALLYSTICK_PRODUCTS_SHOP_TERMINALS_API_MODE=kickout"},
			map[string]string{"shop.mobile": "kickout", "shop.browser": "shared", "shop.api": "kickout"},
		},
		"a terminal from the environment": {
			"products: {big-shop: {terminals: {api: {}}}}", []string{"TALLYSTICK_PRODUCTS_BIG_SHOP_TERMINALS_MOBILE_MODE=shared"},
			map[string]string{"big-shop.api": "concurrent", "big-shop.mobile": "shared"},
		},
		"a product from the environment": {
			"products: {shop: {terminals: {api: {}}}}", []string{"TALLYSTICK_PRODUCTS_MUSIC_TERMINALS_MOBILE_MODE=shared"},
			map[string]string{"shop.api": "concurrent", "music.mobile": "shared", "music.browser": "shared", "music.api": "concurrent"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[string]string{}
			for name, p := range mustParse(t, with(good, c.products), c.environ...).Products {
				for kind, terminal := range p.Terminals {
					got[name+"."+kind] = terminal.Mode
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAccessTokensDoNotOutliveTheirSession(t *testing.T) {
	t.Parallel()
	c := mustParse(t, with(good, "products: {shop: {terminals: {api: {session_ttl: 5m}}}}"))
	if got := c.Products["shop"].Terminals["api"].AccessTTL; got != 5*time.Minute {
		t.Errorf("access_ttl is %s", got)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "0": 0,
	} {
		c := mustParse(t, with(good, "products: {shop: {terminals: {mobile: {session_ttl: 30d, idle_ttl: "+text+"}}}}"))
		if got := c.Products["shop"].Terminals["mobile"].IdleTTL; got != want {
			t.Errorf("%s is read as %s", text, got)
		}
	}
	for _, text := range []string{"7", "d", "-1d", "1.5d", "1d-2h", "1dx", "1d1d", "300000000d", "9999999999999d", "''"} {
		_, err := parse(t, with(good, "guard: {poll: "+text+"}"))
		if refusal(err, "guard.poll") == "" {
			t.Errorf("%s is accepted as a duration", text)
		}
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("dsn", "u:p@tcp(127.0.0.1:3306)/one line\n\n", 0o600)
	write("url", "redis://h\r\n", 0o644)
	write("empty", "\n", 0o600)
	write("long", strings.Repeat("x", 16<<10+1), 0o600)
	load := func(file string, environ ...string) (configs.Config, error) {
		return configs.Parse(filepath.Join(dir, "t.yaml"), []byte(file), environ)
	}
	base := with(with(good, "mysql: {dsn_file: dsn}"), "redis: {url_file: "+filepath.Join(dir, "url")+"}")

	c, err := load(base)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.MySQL.DSN.Reveal(); got != "u:p@tcp(127.0.0.1:3306)/one line\n" {
		t.Errorf("dsn is %q: exactly one newline goes", got)
	}
	if got := c.Redis.URL.Reveal(); got != "redis://h" {
		t.Errorf("url is %q", got)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "redis.url_file") {
		t.Errorf("warnings are %q; one file is open to everyone", c.Warnings)
	}
	for _, one := range []struct{ section, key, want string }{
		{"mysql: {dsn_file: nowhere}", "mysql.dsn_file", "nowhere: no such file or directory"},
		{"mysql: {dsn_file: empty}", "mysql.dsn_file", "is empty"},
		{"mysql: {dsn_file: long}", "mysql.dsn_file", "that is no secret"},
		{"mysql: {dsn_file: .}", "mysql.dsn_file", "is a directory"},
		{"mysql: {dsn: a, dsn_file: dsn}", "mysql.dsn_file", "and mysql.dsn are both set"},
		{"password: {hmac_keys: {old: {secret: a, secret_file: dsn}}}", "password.hmac_keys.old.secret_file", "are both set"},
	} {
		_, err := load(with(base, one.section))
		if got := refusal(err, one.key); !strings.Contains(got, one.want) {
			t.Errorf("%s: got %q", one.section, got)
		}
		if refusal(err, "mysql.dsn") != "" {
			t.Errorf("%s: the key without _file is reported too: %v", one.section, err)
		}
	}
	if _, err := load(base, "TALLYSTICK_REDIS_URL=redis://other"); refusal(err, "redis.url_file") == "" {
		t.Error("a secret from a variable and one from a file are both accepted")
	}
}

func TestLoadSaysThatAFileIsMissing(t *testing.T) {
	t.Parallel()
	_, err := configs.Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestLoadOfNoFileTakesAllFromTheEnvironment(t *testing.T) {
	t.Parallel()
	c, err := configs.Load("", []string{
		"TALLYSTICK_ISSUER=https://auth.example.com", "TALLYSTICK_MYSQL_DSN=u:p@tcp(h:1)/d", "TALLYSTICK_REDIS_URL=redis://h",
		"TALLYSTICK_KEYS_ENCRYPTION_KEY=" + goodKey, "TALLYSTICK_PRODUCTS_SHOP_TERMINALS_MOBILE_MODE=kickout",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "https://auth.example.com" || len(c.Products) != 1 {
		t.Errorf("got %+v", c)
	}
}

func TestConfigurationPrintsNoSecret(t *testing.T) {
	t.Parallel()
	c := mustParse(t, with(good, "password: {hmac_keys: {old: {secret: hunter2}}}"))
	for _, text := range []string{fmt.Sprintf("%v", c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, goodKey) {
			t.Errorf("a secret shows in %s", text)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for add, want := range map[string]string{
		"mysql: {dsn: 'u:p@tcp(db:3306)/d'}":               "mysql.dsn: the connection is not encrypted",
		"mysql: {dsn: 'u:p@tcp(127.0.0.1:3306)/d'}":        "",
		"mysql: {dsn: 'u:p@unix(/run/mysqld.sock)/d'}":     "",
		"issuer: http://localhost:8080":                    "issuer: http is for trying things out",
		"mysql: {dsn: 'u:p@tcp(db:3306)/d?tls=preferred'}": "",
	} {
		got := mustParse(t, with(good, add)).Warnings
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s: warnings are %q", add, got)
		}
	}
}
