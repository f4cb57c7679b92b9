package configs

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// SealingKeyLength is the length of the key that seals private keys: AES-256.
const SealingKeyLength = 32

var errSealingKey = fmt.Errorf("is not the base64 of %d bytes; make one with: openssl rand -base64 %[1]d", SealingKeyLength)

// SealingKey returns the key that seals private keys: the encryption key out of its base64, of either
// alphabet and padded or not. The error does not quote it.
func (k Keys) SealingKey() ([]byte, error) {
	s := k.EncryptionKey.Reveal()
	if strings.ContainsAny(s, "\r\n") {
		return nil, errSealingKey // the decoders would pass over them
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := encoding.Strict().DecodeString(s); err == nil && len(b) == SealingKeyLength {
			return b, nil
		}
	}
	return nil, errSealingKey
}

// Validate returns all that is wrong as an [*InvalidError], or nil.
func (c *Config) Validate() error {
	f := c.faults()
	return f.orNil()
}

func (c *Config) faults() faults {
	var f faults
	c.checkIssuer(&f)
	c.checkListen(&f)
	c.checkOrigins(&f)
	if !c.Embedded {
		c.checkEngines(&f)
	}
	c.checkKeys(&f)
	c.checkPassword(&f)
	c.checkBrakes(&f)
	c.checkProducts(&f)
	c.checkWeChat(&f)
	c.checkWallet(&f)
	c.checkWebhooks(&f)
	between(&f, "guard.cache_size", c.Guard.CacheSize, 1, 100_000_000)
	between(&f, "guard.max_ended", c.Guard.MaxEnded, 1000, 100_000_000)
	spanBetween(&f, "guard.poll", c.Guard.Poll, 5*time.Millisecond, 500*time.Millisecond)
	c.checkLive(&f)
	c.checkRetention(&f)
	oneOf(&f, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(&f, "log.format", c.Log.Format, "json", "text")
	return f
}

func (c *Config) checkIssuer(f *faults) {
	u, err := url.Parse(c.Issuer)
	switch {
	case c.Issuer == "":
		f.add("", "issuer", "is missing; set the URL under which clients reach this server, such as https://auth.example.com")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		f.add("", "issuer", "%q is not a URL such as https://auth.example.com", c.Issuer)
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil || strings.HasSuffix(c.Issuer, "#"):
		f.add("", "issuer", "must be scheme, host and port alone, without a slash at its end")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		f.add("", "issuer", "must be https; http is for loopback addresses only")
	}
	for _, a := range c.Audience {
		if strings.TrimSpace(a) == "" {
			f.add("", "audience", "has an empty entry; leave audience out to use the issuer")
		}
	}
}

// loopback says that a host is this machine.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (c *Config) checkListen(f *faults) {
	l := &c.Listen
	checkAddr(f, "listen.addr", l.Addr)
	if l.AdminAddr != "" {
		checkAddr(f, "listen.admin_addr", l.AdminAddr)
		if l.AdminAddr == l.Addr && !strings.HasSuffix(l.Addr, ":0") {
			f.add("", "listen.admin_addr", "is the same as listen.addr; give it a port of its own")
		}
	}
	if l.TLSCertFile != "" && l.TLSKeyFile == "" {
		f.add("", "listen.tls_key_file", "is missing; listen.tls_cert_file is set and needs its key")
	}
	if l.TLSKeyFile != "" && l.TLSCertFile == "" {
		f.add("", "listen.tls_cert_file", "is missing; listen.tls_key_file is set and needs its certificate")
	}
	for _, p := range l.TrustedProxies {
		prefix, err := netip.ParsePrefix(p)
		if _, single := netip.ParseAddr(p); err != nil && single != nil {
			f.add("", "listen.trusted_proxies", "%q is neither an address nor a network such as 10.0.0.0/8", p)
		} else if err == nil && prefix.Bits() == 0 {
			f.add("", "listen.trusted_proxies", "%q trusts the whole world; name your proxies", p)
		}
	}
	spanBetween(f, "listen.read_timeout", l.ReadTimeout, time.Second, 10*time.Minute)
	spanBetween(f, "listen.write_timeout", l.WriteTimeout, time.Second, 10*time.Minute)
	spanBetween(f, "listen.idle_timeout", l.IdleTimeout, time.Second, time.Hour)
	spanBetween(f, "listen.request_timeout", l.RequestTimeout, time.Second, 10*time.Minute)
	spanBetween(f, "listen.shutdown_timeout", l.ShutdownTimeout, time.Second, 10*time.Minute)
	if l.RequestTimeout > l.WriteTimeout {
		f.add("", "listen.write_timeout", "must not be shorter than listen.request_timeout (%s), or answers are cut off", l.RequestTimeout)
	}
}

// maxOrigins bounds the list: the pages of a company, not those of its customers.
const maxOrigins = 100

func (c *Config) checkOrigins(f *faults) {
	if len(c.CORS.Origins) > maxOrigins {
		f.add("", "cors.origins", "has more than %d entries", maxOrigins)
	}
	for _, o := range c.CORS.Origins {
		u, err := url.Parse(o)
		switch {
		case strings.Contains(o, "*"):
			f.add("", "cors.origins", "%q is a wildcard; name each origin", o)
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Scheme+"://"+u.Host != o || strings.ToLower(o) != o:
			f.add("", "cors.origins", "%q is not an origin as browsers send it, such as https://shop.example.com: lower case, no path, no slash at its end", o)
		case u.Scheme == "http" && !loopback(u.Hostname()):
			f.add("", "cors.origins", "%q must be https; http is for loopback addresses only", o)
		case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
			f.add("", "cors.origins", "%q names the usual port, which browsers leave out", o)
		}
	}
}

func checkAddr(f *faults, key, addr string) {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		f.add("", key, "%q is not an address such as 127.0.0.1:8080 or :8080", addr)
	}
}

func (c *Config) checkEngines(f *faults) {
	m := &c.MySQL
	if m.DSN.Empty() {
		f.add("", "mysql.dsn", "is missing; set it or mysql.dsn_file, such as user:password@tcp(db:3306)/tallystick")
	} else if d, err := mysql.ParseDSN(m.DSN.Reveal()); err != nil {
		f.add("", "mysql.dsn", "is not of the form user:password@tcp(host:3306)/database")
	} else if d.DBName == "" {
		f.add("", "mysql.dsn", "names no database; end it with /tallystick or the like")
	}
	between(f, "mysql.max_open_conns", m.MaxOpenConns, 2, 10_000)
	between(f, "mysql.max_idle_conns", m.MaxIdleConns, 0, 10_000)
	spanBetween(f, "mysql.conn_max_lifetime", m.ConnMaxLifetime, time.Second, day)
	spanBetween(f, "mysql.conn_max_idle_time", m.ConnMaxIdleTime, time.Second, day)
	if c.Redis.URL.Empty() {
		f.add("", "redis.url", "is missing; set it or redis.url_file, such as redis://redis:6379/0")
	} else if !redisURL(c.Redis.URL.Reveal()) {
		f.add("", "redis.url", "is not a URL such as redis://:password@host:6379/0; rediss, redis-sentinel and redis-cluster are schemes too")
	}
	odd := strings.ContainsFunc(c.Redis.Prefix, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' })
	if c.Redis.Prefix == "" || len(c.Redis.Prefix) > 64 || odd {
		f.add("", "redis.prefix", "must be 1 to 64 printable ASCII characters without braces and spaces, such as tallystick:")
	}
}

// redisURL says that s has one of the forms that storage/redisstore reads, as far as its scheme tells.
func redisURL(s string) bool {
	scheme, rest, found := strings.Cut(s, "://")
	kind, _ := strings.CutPrefix(scheme, "redis")
	return found && rest != "" && strings.HasPrefix(scheme, "redis") &&
		slices.Contains([]string{"", "-sentinel", "-cluster"}, strings.TrimPrefix(kind, "s"))
}

func (c *Config) checkKeys(f *faults) {
	oneOf(f, "keys.algorithm", c.Keys.Algorithm, "EdDSA", "ES256", "RS256")
	if c.Keys.EncryptionKey.Empty() {
		f.add("", "keys.encryption_key", "is missing; set it or keys.encryption_key_file; make one with: openssl rand -base64 32")
	} else if _, err := c.Keys.SealingKey(); err != nil {
		f.add("", "keys.encryption_key", "%s", err)
	}
	spanBetween(f, "keys.publish", c.Keys.Publish, 5*time.Second, 30*day) // a ring is read every 5 seconds
	spanBetween(f, "tokens.client_credentials_ttl", c.Tokens.ClientCredentialsTTL, time.Second, day)
	spanBetween(f, "tokens.replay_window", c.Tokens.ReplayWindow, 0, time.Minute)
	spanBetween(f, "tokens.leeway", c.Tokens.Leeway, 0, time.Minute)
}

// owasp are the least memory (KiB) and passes of argon2id that OWASP recommends, all of one strength.
func owasp() [][2]int { return [][2]int{{47104, 1}, {19456, 2}, {12288, 3}, {9216, 4}, {7168, 5}} }

const (
	maxMemoryKiB = 256 << 10
	maxWorkKiB   = 1 << 20 // memory times passes
)

func (c *Config) checkPassword(f *faults) {
	p := &c.Password
	between(f, "password.memory_kib", p.MemoryKiB, 1, maxMemoryKiB)
	between(f, "password.time", p.Time, 1, 16)
	between(f, "password.threads", p.Threads, 1, 16)
	between(f, "password.workers", p.Workers, 0, 1024)
	between(f, "password.queue", p.Queue, 1, 100_000)
	spanBetween(f, "password.wait", p.Wait, time.Millisecond, time.Minute)
	between(f, "password.min_length", p.MinLength, 8, 64)
	enough := func(least [2]int) bool { return p.MemoryKiB >= least[0] && p.Time >= least[1] }
	if !slices.ContainsFunc(owasp(), enough) {
		f.add("", "password.memory_kib", "%d KiB with password.time %d is below the minimum of OWASP, which is 19456 KiB and 2, or an equivalent", p.MemoryKiB, p.Time)
	}
	if p.MemoryKiB > 0 && p.Time > maxWorkKiB/p.MemoryKiB {
		f.add("", "password.time", "%d passes over %d KiB are more than %d KiB of work", p.Time, p.MemoryKiB, maxWorkKiB)
	}
	for _, id := range slices.Sorted(maps.Keys(p.HMACKeys)) {
		if h := p.HMACKeys[id]; h.Secret.Empty() {
			f.add("", hmacPath+"."+id+".secret", "is missing; set it or its secret_file")
		}
	}
}

func (c *Config) checkProducts(f *faults) {
	if len(c.Products) == 0 {
		f.add("", productsPath, "is empty; name at least one product, such as products: {shop: {}}")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Products)) {
		if !nameForm.MatchString(name) {
			f.add("", productsPath+"."+name, nameRule)
		}
		for _, kind := range slices.Sorted(maps.Keys(c.Products[name].Terminals)) {
			t := c.Products[name].Terminals[kind]
			t.check(f, productsPath+"."+name+".terminals."+kind)
		}
	}
}

// The bounds of what WeChat and its mini programs are called.
const (
	maxWeChatApps = 64
	maxWeChatName = 64
)

func (c *Config) checkWeChat(f *faults) {
	w := &c.WeChat
	u, err := url.Parse(w.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		f.add("", "wechat.base_url", "is not a URL such as https://api.weixin.qq.com")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		f.add("", "wechat.base_url", "must be https; app secrets are sent there")
	}
	spanBetween(f, "wechat.timeout", w.Timeout, 100*time.Millisecond, 5*time.Second)
	between(f, wechatPath, len(w.Apps), 0, maxWeChatApps)
	apps, clients := map[string]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(w.Apps)) {
		a, at := w.Apps[name], wechatPath+"."+name
		switch other, twice := apps[a.AppID]; {
		case a.AppID == "" || len(a.AppID) > maxWeChatName:
			f.add("", at+".app_id", "is missing or longer than %d bytes; it is the AppID of the mini program, such as wx0123456789abcdef", maxWeChatName)
		case twice:
			f.add("", at+".app_id", "is that of %s too", other)
		}
		apps[a.AppID] = name
		if a.Secret.Empty() {
			f.add("", at+".secret", "is missing; set it or its secret_file")
		}
		if len(a.Platform) > maxWeChatName {
			f.add("", at+".platform", "is longer than %d bytes", maxWeChatName)
		}
		if len(a.Clients) == 0 {
			f.add("", at+".clients", "is empty; name the OAuth clients that are this mini program")
		}
		for _, client := range a.Clients {
			if other, taken := clients[client]; taken {
				f.add("", at+".clients", "%q is a client of %s already; a client is one mini program", client, other)
			}
			clients[client] = name
		}
	}
}

func (t *Terminal) check(f *faults, path string) {
	oneOf(f, path+".mode", t.Mode, "kickout", "shared", "concurrent")
	spanBetween(f, path+".access_ttl", t.AccessTTL, time.Second, day)
	spanBetween(f, path+".session_ttl", t.SessionTTL, time.Second, 400*day)
	spanBetween(f, path+".idle_ttl", t.IdleTTL, 0, 400*day)
	between(f, path+".max_sessions", t.MaxSessions, 1, 1000)
	if t.IdleTTL > t.SessionTTL {
		f.add("", path+".idle_ttl", "%s is longer than session_ttl (%s) and could never be reached", short(t.IdleTTL), short(t.SessionTTL))
	}
	for _, one := range []struct {
		key string
		ttl time.Duration
	}{{".access_ttl", t.AccessTTL}, {".session_ttl", t.SessionTTL}, {".idle_ttl", t.IdleTTL}} {
		if one.ttl%time.Second != 0 {
			f.add("", path+one.key, "%s is not a whole number of seconds, which is how tokens count", one.ttl)
		}
	}
}

var currencyForm = regexp.MustCompile(`^[A-Z]{3}$`)

// mostFailures is what NIST SP 800-63B §5.2.2 allows in a row.
const mostFailures = 100

func (c *Config) checkBrakes(f *faults) {
	b := &c.Brakes
	between(f, "brakes.account_failures", b.AccountFailures, 3, mostFailures)
	between(f, "brakes.known_failures", b.KnownFailures, 3, mostFailures)
	between(f, "brakes.most_failures", b.MostFailures, max(b.AccountFailures, b.KnownFailures), mostFailures)
	spanBetween(f, "brakes.delay", b.Delay, time.Second, time.Hour)
	spanBetween(f, "brakes.max_delay", b.MaxDelay, b.Delay, day)
	spanBetween(f, "brakes.lock", b.Lock, b.MaxDelay, 30*day)
	spanBetween(f, "brakes.window", b.Window, max(time.Hour, b.MaxDelay), 30*day)
	spanBetween(f, "brakes.known", b.Known, time.Hour, 400*day)
	between(f, "brakes.address_failures", b.AddressFailures, 5, 1_000_000)
	spanBetween(f, "brakes.address_window", b.AddressWindow, time.Minute, day)
	if b.AddressWindow.Milliseconds() < int64(b.AddressFailures) {
		f.add("", "brakes.address_failures", "%d in %s are more than one in a millisecond", b.AddressFailures, short(b.AddressWindow))
	}
}

func (c *Config) checkLive(f *faults) {
	v := &c.Live
	for _, o := range v.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || o != strings.ToLower(u.Scheme+"://"+u.Host) {
			f.add("", "live.origins", "%q is not an origin such as https://shop.example.com", o)
		}
	}
	between(f, "live.max_connections", v.MaxConnections, 1, 1_000_000)
	between(f, "live.max_per_address", v.MaxPerAddress, 1, 1_000_000)
	between(f, "live.max_per_user", v.MaxPerUser, 1, 1000)
	between(f, "live.max_frame", v.MaxFrame, 1<<10, 1<<20)
	between(f, "live.frames_per_second", v.FramesPerSecond, 1, 10_000)
	between(f, "live.frames_at_once", v.FramesAtOnce, v.FramesPerSecond, 100_000)
	between(f, "live.max_in_flight", v.MaxInFlight, 1, 1000)
	between(f, "live.max_queued", v.MaxQueued, v.MaxInFlight, 10_000)
	spanBetween(f, "live.sign_in_time", v.SignInTime, time.Second, 10*time.Minute)
	spanBetween(f, "live.ping_every", v.PingEvery, time.Second, time.Hour)
	spanBetween(f, "live.pong_time", v.PongTime, time.Second, 10*time.Minute)
	spanBetween(f, "live.write_time", v.WriteTime, 100*time.Millisecond, 5*time.Minute)
}

// checkRetention keeps what is still good for something: the reasons stand in the example file.
func (c *Config) checkRetention(f *faults) {
	const most = 36500 * day
	r := &c.Retention
	spanBetween(f, "retention.sessions", r.Sessions, day, most)
	spanBetween(f, "retention.refresh_tokens", r.RefreshTokens, time.Hour, most)
	spanBetween(f, "retention.events", r.Events, 10*time.Minute, most)
	spanBetween(f, "retention.revoked_tokens", r.RevokedTokens, 10*time.Minute, most)
	spanBetween(f, "retention.answers", r.Answers, 7*day, most)
	spanBetween(f, "retention.audit", r.Audit, day, most)
	spanBetween(f, "retention.handoffs", r.Handoffs, 10*time.Minute, most)
	spanBetween(f, "retention.dead_deliveries", r.DeadDeliveries, day, most)
}

func (c *Config) checkWallet(f *faults) {
	w := &c.Wallet
	if len(w.Currencies) == 0 {
		f.add("", "wallet.currencies", "is empty; name at least one, such as [CNY]")
	}
	for i, one := range w.Currencies {
		if !currencyForm.MatchString(one) {
			f.add("", "wallet.currencies", "%q is not a code of three capitals, such as CNY", one)
		} else if slices.Contains(w.Currencies[:i], one) {
			f.add("", "wallet.currencies", "%s is named twice", one)
		} else if _, given := w.Exponents[one]; !given {
			checkKnown(f, one)
		}
	}
	c.checkExponents(f)
	between(f, "wallet.max_amount", w.MaxAmount, 1, DefaultMaxAmount)
	for _, currency := range slices.Sorted(maps.Keys(w.Limits)) {
		l, at := w.Limits[currency], limitsPath+"."+currency
		if !slices.Contains(w.Currencies, currency) {
			f.add("", at, "is not one of wallet.currencies")
		}
		for name, bound := range map[string]*int64{".single": l.Single, ".daily": l.Daily} {
			if bound != nil {
				between(f, at+name, *bound, 0, DefaultMaxAmount)
			}
		}
	}
	spanBetween(f, "wallet.lock.ttl", w.Lock.TTL, time.Second, 10*time.Minute)
	spanBetween(f, "wallet.lock.wait", w.Lock.Wait, 0, 10*time.Minute)
	if w.Lock.Wait >= c.Listen.RequestTimeout {
		f.add("", "wallet.lock.wait", "must be shorter than listen.request_timeout (%s), or nobody is left to get the answer", c.Listen.RequestTimeout)
	}
}

func (c *Config) checkWebhooks(f *faults) {
	h := &c.Webhooks
	between(f, "webhooks.stream_length", h.StreamLength, 100, 10_000_000)
	spanBetween(f, "webhooks.timeout", h.Timeout, time.Second, time.Minute)
	between(f, "webhooks.parallel", h.Parallel, 1, 64)
	spanBetween(f, "webhooks.disable_after", h.DisableAfter, time.Hour, 90*day)
	for _, n := range h.AllowedNetworks {
		if p, err := netip.ParsePrefix(n); err != nil || p != p.Masked() {
			f.add("", "webhooks.allowed_networks", "%q is not a network such as 10.1.0.0/16", n)
		}
	}
}

// warnings are the things that are allowed and probably not meant.
func (c *Config) warnings() []string {
	var out []string
	if d, err := mysql.ParseDSN(c.MySQL.DSN.Reveal()); err == nil && d.Net == "tcp" {
		host, _, _ := net.SplitHostPort(d.Addr)
		if !loopback(host) && (d.TLSConfig == "" || d.TLSConfig == "false") {
			out = append(out, "mysql.dsn: the connection is not encrypted; add ?tls=true unless the network is your own")
		}
	}
	if strings.HasPrefix(c.Issuer, "http://") && !c.Embedded {
		out = append(out, "issuer: http is for trying things out on this machine")
	}
	return out
}

func between[N int | int64](f *faults, key string, n, low, high N) {
	if n < low || n > high {
		f.add("", key, "%d is not between %d and %d", n, low, high)
	}
}

func spanBetween(f *faults, key string, d, low, high time.Duration) {
	if d < low || d > high {
		f.add("", key, "%s is not between %s and %s", short(d), short(low), short(high))
	}
}

// short prints a duration as one would write it: whole days as 7d.
func short(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

func oneOf(f *faults, key, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	if near, found := nearest(value, allowed); found {
		f.add("", key, "%q is not known; did you mean %s?", value, near)
		return
	}
	f.add("", key, "%q is not one of %s", value, strings.Join(allowed, ", "))
}
