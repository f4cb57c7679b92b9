package configs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/configs"
)

func TestEnvironmentOverridesEveryKindOfKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pair string
		got  func(configs.Config) any
		want string
	}{
		{"ISSUER=https://other.example.com", func(c configs.Config) any { return c.Issuer }, "https://other.example.com"},
		{"AUDIENCE=https://a, https://b", func(c configs.Config) any { return c.Audience }, "[https://a https://b]"},
		{"MYSQL_DSN=a:b@tcp(c:1)/d?tls=true", func(c configs.Config) any { return c.MySQL.DSN.Reveal() }, "a:b@tcp(c:1)/d?tls=true"},
		{"MYSQL_MAX_OPEN_CONNS=99", func(c configs.Config) any { return c.MySQL.MaxOpenConns }, "99"},
		{"WALLET_MAX_AMOUNT=500", func(c configs.Config) any { return c.Wallet.MaxAmount }, "500"},
		{"WALLET_LIMITS_CNY_SINGLE=0", func(c configs.Config) any { return *c.Wallet.Limits["CNY"].Single }, "0"},
		{"WALLET_LIMITS_CNY_DAILY=500", func(c configs.Config) any {
			return c.Wallet.Limits["CNY"].Single == nil && *c.Wallet.Limits["CNY"].Daily == 500
		}, "true"},
		{"WALLET_EXPONENTS_CNY=2", func(c configs.Config) any { return c.Wallet.Exponents["CNY"] }, "2"},
		{"WALLET_LOCK_REQUIRED=true", func(c configs.Config) any { return c.Wallet.Lock.Required }, "true"},
		{"TOKENS_CLIENT_CREDENTIALS_TTL=2h", func(c configs.Config) any { return c.Tokens.ClientCredentialsTTL }, "2h0m0s"},
		{"PASSWORD_HMAC_KEYS_OLD_SECRET=s", func(c configs.Config) any { return c.Password.HMACKeys["old"].Secret.Reveal() }, "s"},
		{"PRODUCTS_SHOP_TERMINALS_MOBILE_SESSION_TTL=30d", func(c configs.Config) any { return c.Products["shop"].Terminals["mobile"].SessionTTL }, "720h0m0s"},
		{"CORS_ORIGINS=https://shop.example.com,http://localhost:5173", func(c configs.Config) any { return c.CORS.Origins }, "[https://shop.example.com http://localhost:5173]"},
		{"LISTEN_TRUSTED_PROXIES=", func(c configs.Config) any { return c.Listen.TrustedProxies }, "[]"},
	} {
		t.Run(c.pair, func(t *testing.T) {
			t.Parallel()
			if got := fmt.Sprint(c.got(mustParse(t, good, "TALLYSTICK_"+c.pair))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestFaultsNameTheVariable(t *testing.T) {
	t.Parallel()
	_, err := parse(t, good, "TALLYSTICK_GUARD_POLL=soon", "TALLYSTICK_LOG_LEVEL=loud", "TALLYSTICK_MYSQL_MAX_OPEN_CONN=3", "PATH=/bin")
	want := strings.Join([]string{
		`environment TALLYSTICK_GUARD_POLL: guard.poll: "soon" is not a duration such as 90s, 15m, 2h or 7d`,
		"environment: TALLYSTICK_MYSQL_MAX_OPEN_CONN: is not known; did you mean TALLYSTICK_MYSQL_MAX_OPEN_CONNS?",
		`environment TALLYSTICK_LOG_LEVEL: log.level: "loud" is not one of debug, info, warn, error`,
	}, "\n")
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestVariablesOfPlatformsAndTestsArePassedOver(t *testing.T) {
	t.Parallel()
	mustParse(t, good,
		"TALLYSTICK_SERVICE_HOST=10.0.0.1", "TALLYSTICK_SERVICE_PORT=80", "TALLYSTICK_SERVICE_PORT_HTTP=80", "TALLYSTICK_PORT=tcp://10.0.0.1:80",
		"TALLYSTICK_PORT_80_TCP=tcp://10.0.0.1:80", "TALLYSTICK_PORT_80_TCP_ADDR=10.0.0.1", "TALLYSTICK_MYSQL_SERVICE_HOST=10.0.0.2",
		"TALLYSTICK_TEST_MYSQL_DSN=root@tcp(127.0.0.1:3306)/",
	)
}
