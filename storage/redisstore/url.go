package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/tallystick/tallystick/keys/secret"
)

const (
	defaultPort     = "6379"
	sentinelPort    = "26379"
	maxHosts        = 64
	maxDatabase     = 1 << 16
	maxPoolSize     = 10_000
	dialTimeout     = 500 * time.Millisecond
	ioTimeout       = 500 * time.Millisecond
	poolTimeout     = 500 * time.Millisecond
	commandRetries  = 1
	defaultPoolSize = 32
)

// scheme is what the first part of a URL asks for.
type scheme struct {
	sentinel, cluster, tls bool
}

func schemeOf(name string) (scheme, bool) {
	switch name {
	case "redis":
		return scheme{}, true
	case "rediss":
		return scheme{tls: true}, true
	case "redis-sentinel":
		return scheme{sentinel: true}, true
	case "rediss-sentinel":
		return scheme{sentinel: true, tls: true}, true
	case "redis-cluster":
		return scheme{cluster: true}, true
	case "rediss-cluster":
		return scheme{cluster: true, tls: true}, true
	}
	return scheme{}, false
}

// parseURL reads the forms in the package's doc, and nothing else. Its errors do not quote the URL,
// which may hold a password.
func parseURL(text secret.Text) (*redis.UniversalOptions, error) {
	name, rest, found := strings.Cut(text.Reveal(), "://")
	s, known := schemeOf(name)
	if !found || !known {
		return nil, errors.New("redis URL: want redis://, rediss://, redis-sentinel://, rediss-sentinel://, redis-cluster:// or rediss-cluster://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	o := baseOptions()
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := userinfo(o, authority[:at]); err != nil {
			return nil, err
		}
		authority = authority[at+1:]
	}
	var err error
	if o.Addrs, err = hosts(authority, s); err != nil {
		return nil, err
	}
	if err := place(o, path, s); err != nil {
		return nil, err
	}
	if err := parameters(o, query, s); err != nil {
		return nil, err
	}
	if s.tls {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if !s.cluster && !s.sentinel {
			o.TLSConfig.ServerName, _, _ = net.SplitHostPort(o.Addrs[0])
		}
	}
	return o, nil
}

// baseOptions are small times: what Redis does is worth waiting for only while that is quicker than
// doing without. A context does not cut a command short, since the server may already have done what
// nobody would then undo; the command's own time does.
func baseOptions() *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		DialTimeout: dialTimeout, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout, PoolTimeout: poolTimeout,
		MaxRetries: commandRetries, DialerRetries: 1, PoolSize: defaultPoolSize,
	}
}

func userinfo(o *redis.UniversalOptions, text string) error {
	user, password, _ := strings.Cut(text, ":")
	var err, err2 error
	o.Username, err = url.PathUnescape(user)
	o.Password, err2 = url.PathUnescape(password)
	if err != nil || err2 != nil {
		return errors.New("redis URL: user name and password must be percent-encoded")
	}
	return nil
}

func hosts(authority string, s scheme) ([]string, error) {
	names := strings.Split(authority, ",")
	if len(names) > maxHosts {
		return nil, fmt.Errorf("redis URL: more than %d hosts", maxHosts)
	}
	if len(names) > 1 && !s.sentinel && !s.cluster {
		return nil, errors.New("redis URL: several hosts need redis-sentinel:// or redis-cluster://")
	}
	port := defaultPort
	if s.sentinel {
		port = sentinelPort
	}
	addresses := make([]string, 0, len(names))
	for _, name := range names {
		address, err := hostPort(name, port)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	return addresses, nil
}

func hostPort(text, defaultPort string) (string, error) {
	bare := strings.HasSuffix(text, "]") || !strings.Contains(text, ":")
	if bare {
		text += ":" + defaultPort
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsAny(host, " \t@/\\%") {
		return "", errors.New("redis URL: want host, host:port or [address]:port")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", errors.New("redis URL: want a port from 1 to 65535")
	}
	return net.JoinHostPort(host, port), nil
}

// place reads what stands behind the hosts: the database, or with Sentinel the master's name and
// then the database. A cluster has neither.
func place(o *redis.UniversalOptions, path string, s scheme) error {
	if s.cluster {
		o.IsClusterMode = true
		if path != "" {
			return errors.New("redis URL: a cluster has no database number")
		}
		return nil
	}
	database := path
	if s.sentinel {
		var name string
		var err error
		name, database, _ = strings.Cut(path, "/")
		if o.MasterName, err = url.PathUnescape(name); err != nil || o.MasterName == "" {
			return errors.New("redis URL: redis-sentinel:// needs the master's name behind the hosts, as in /mymaster")
		}
	}
	if database == "" {
		return nil
	}
	n, err := strconv.Atoi(database)
	if err != nil || n < 0 || n > maxDatabase || strconv.Itoa(n) != database {
		return errors.New("redis URL: want a database number behind the slash")
	}
	o.DB = n
	return nil
}

func parameters(o *redis.UniversalOptions, query string, s scheme) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("redis URL: malformed parameters")
	}
	for name, list := range values {
		if len(list) != 1 {
			return fmt.Errorf("redis URL: parameter %q is given more than once", name)
		}
		switch {
		case name == "pool_size":
			n, err := strconv.Atoi(list[0])
			if err != nil || n < 1 || n > maxPoolSize {
				return fmt.Errorf("redis URL: pool_size must be a number from 1 to %d", maxPoolSize)
			}
			o.PoolSize = n
		case name == "sentinel_user" && s.sentinel:
			o.SentinelUsername = list[0]
		case name == "sentinel_password" && s.sentinel:
			o.SentinelPassword = list[0]
		default:
			return fmt.Errorf("redis URL: unknown parameter %q", name)
		}
	}
	return nil
}
