package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
)

const (
	day       = 24 * time.Hour
	envPrefix = "TALLYSTICK_"
)

// key is one key: its path and how its text fills its field. A list has setList and no set.
type key struct {
	path    string
	set     func(string) error
	setList func([]string) error
}

// env returns the name of the variable that sets a path.
func env(path string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(path))
}

// keys lists every key but those under the names that the operator chooses.
func (c *Config) keys() []key { //nolint:funlen // a table: one line for each key.
	l, m, p, b, w, r, v, h := &c.Listen, &c.MySQL, &c.Password, &c.Brakes, &c.Wallet, &c.Retention, &c.Live, &c.Webhooks
	return []key{
		text("issuer", &c.Issuer),
		list("audience", &c.Audience),
		text("listen.addr", &l.Addr),
		text("listen.admin_addr", &l.AdminAddr),
		text("listen.tls_cert_file", &l.TLSCertFile),
		text("listen.tls_key_file", &l.TLSKeyFile),
		list("listen.trusted_proxies", &l.TrustedProxies),
		span("listen.read_timeout", &l.ReadTimeout),
		span("listen.write_timeout", &l.WriteTimeout),
		span("listen.idle_timeout", &l.IdleTimeout),
		span("listen.request_timeout", &l.RequestTimeout),
		span("listen.shutdown_timeout", &l.ShutdownTimeout),
		list("cors.origins", &c.CORS.Origins),
		hidden("mysql.dsn", &m.DSN),
		text("mysql.dsn_file", &m.DSNFile),
		number("mysql.max_open_conns", &m.MaxOpenConns),
		number("mysql.max_idle_conns", &m.MaxIdleConns),
		span("mysql.conn_max_lifetime", &m.ConnMaxLifetime),
		span("mysql.conn_max_idle_time", &m.ConnMaxIdleTime),
		hidden("redis.url", &c.Redis.URL),
		text("redis.url_file", &c.Redis.URLFile),
		text("redis.prefix", &c.Redis.Prefix),
		text("keys.algorithm", &c.Keys.Algorithm),
		hidden("keys.encryption_key", &c.Keys.EncryptionKey),
		text("keys.encryption_key_file", &c.Keys.EncryptionKeyFile),
		span("keys.publish", &c.Keys.Publish),
		span("tokens.client_credentials_ttl", &c.Tokens.ClientCredentialsTTL),
		span("tokens.replay_window", &c.Tokens.ReplayWindow),
		span("tokens.leeway", &c.Tokens.Leeway),
		number("password.memory_kib", &p.MemoryKiB),
		number("password.time", &p.Time),
		number("password.threads", &p.Threads),
		number("password.workers", &p.Workers),
		number("password.queue", &p.Queue),
		span("password.wait", &p.Wait),
		number("password.min_length", &p.MinLength),
		number("brakes.account_failures", &b.AccountFailures),
		number("brakes.known_failures", &b.KnownFailures),
		span("brakes.delay", &b.Delay),
		span("brakes.max_delay", &b.MaxDelay),
		number("brakes.most_failures", &b.MostFailures),
		span("brakes.lock", &b.Lock),
		span("brakes.window", &b.Window),
		span("brakes.known", &b.Known),
		number("brakes.address_failures", &b.AddressFailures),
		span("brakes.address_window", &b.AddressWindow),
		text("wechat.base_url", &c.WeChat.BaseURL),
		span("wechat.timeout", &c.WeChat.Timeout),
		text("pages.client", &c.Pages.Client),
		list("wallet.currencies", &w.Currencies),
		number("wallet.max_amount", &w.MaxAmount),
		span("wallet.lock.ttl", &w.Lock.TTL),
		span("wallet.lock.wait", &w.Lock.Wait),
		flag("wallet.lock.required", &w.Lock.Required),
		number("webhooks.stream_length", &h.StreamLength),
		span("webhooks.timeout", &h.Timeout),
		number("webhooks.parallel", &h.Parallel),
		span("webhooks.disable_after", &h.DisableAfter),
		flag("webhooks.allow_http", &h.AllowHTTP),
		list("webhooks.allowed_networks", &h.AllowedNetworks),
		number("guard.cache_size", &c.Guard.CacheSize),
		number("guard.max_ended", &c.Guard.MaxEnded),
		span("guard.poll", &c.Guard.Poll),
		list("live.origins", &v.Origins),
		number("live.max_connections", &v.MaxConnections),
		number("live.max_per_address", &v.MaxPerAddress),
		number("live.max_per_user", &v.MaxPerUser),
		number("live.max_frame", &v.MaxFrame),
		number("live.frames_per_second", &v.FramesPerSecond),
		number("live.frames_at_once", &v.FramesAtOnce),
		number("live.max_in_flight", &v.MaxInFlight),
		number("live.max_queued", &v.MaxQueued),
		span("live.sign_in_time", &v.SignInTime),
		span("live.ping_every", &v.PingEvery),
		span("live.pong_time", &v.PongTime),
		span("live.write_time", &v.WriteTime),
		span("retention.sessions", &r.Sessions),
		span("retention.refresh_tokens", &r.RefreshTokens),
		span("retention.events", &r.Events),
		span("retention.revoked_tokens", &r.RevokedTokens),
		span("retention.answers", &r.Answers),
		span("retention.audit", &r.Audit),
		span("retention.handoffs", &r.Handoffs),
		span("retention.dead_deliveries", &r.DeadDeliveries),
		text("log.level", &c.Log.Level),
		text("log.format", &c.Log.Format),
	}
}

// keys lists the keys of a terminal under its path.
func (t *Terminal) keys(path string) []key {
	return []key{
		text(path+".mode", &t.Mode),
		span(path+".access_ttl", &t.AccessTTL),
		span(path+".session_ttl", &t.SessionTTL),
		span(path+".idle_ttl", &t.IdleTTL),
		number(path+".max_sessions", &t.MaxSessions),
	}
}

// keys lists the keys of an HMAC key under its path.
func (h *HMACKey) keys(path string) []key {
	return []key{hidden(path+".secret", &h.Secret), text(path+".secret_file", &h.SecretFile)}
}

// keys lists the keys of a mini program under its path.
func (a *WeChatApp) keys(path string) []key {
	return []key{
		text(path+".app_id", &a.AppID),
		hidden(path+".secret", &a.Secret), text(path+".secret_file", &a.SecretFile),
		text(path+".platform", &a.Platform),
		list(path+".clients", &a.Clients),
	}
}

// keys lists the keys of the limits in a currency under its path.
func (l *WalletLimits) keys(path string) []key {
	return []key{numberOrNil(path+".single", &l.Single), numberOrNil(path+".daily", &l.Daily)}
}

func text(path string, to *string) key {
	return key{path: path, set: func(s string) error { *to = s; return nil }}
}

func hidden(path string, to *secret.Text) key {
	return key{path: path, set: func(s string) error { *to = secret.New(s); return nil }}
}

func list(path string, to *[]string) key {
	return key{path: path, setList: func(s []string) error { *to = s; return nil }}
}

func span(path string, to *time.Duration) key {
	return key{path: path, set: func(s string) (err error) { *to, err = parseDuration(s); return err }}
}

func number[N int | int64](path string, to *N) key {
	return key{path: path, set: func(s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", s)
		}
		*to = N(n)
		return nil
	}}
}

// numberOrNil is a number that stays nil where nothing is said.
func numberOrNil(path string, to **int64) key {
	var n int64
	k := number(path, &n)
	return key{path: path, set: func(s string) error {
		err := k.set(s)
		*to = &n
		return err
	}}
}

func flag(path string, to *bool) key {
	return key{path: path, set: func(s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		*to = b
		return nil
	}}
}

// parseDuration reads a duration of Go, or one that begins with whole days: 7d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration such as 90s, 15m, 2h or 7d", s)
	days, rest, found := strings.Cut(s, "d")
	if !found {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, bad
		}
		return d, nil
	}
	n, err := strconv.ParseUint(days, 10, 31)
	if err != nil {
		return 0, bad
	}
	if n > uint64(math.MaxInt64/day) {
		return 0, errors.New("is longer than a duration can be")
	}
	total := time.Duration(n) * day
	if rest == "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > math.MaxInt64-total {
		return 0, bad
	}
	return total + d, nil
}
