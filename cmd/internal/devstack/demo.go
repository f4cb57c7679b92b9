package devstack

import (
	"time"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Currency is the currency of the demo, and Funding what its first user starts with.
const (
	Currency = "CNY"
	Funding  = 100000
)

// apiSessions is the limit of the demo's api terminals: small, so that eviction is soon seen.
const apiSessions = 3

// demoUser is a user of the demo.
type demoUser struct {
	name    string
	funding int64
}

func demoUsers() []demoUser { return []demoUser{{"tom", Funding}, {"amy", 0}} }

// Products are the demo's products: a shop and a music app, each on all terminals as they are by
// default, but for a small limit on the api terminals of the shop.
func Products() map[string]configs.Product {
	shop, music := configs.DefaultProduct(), configs.DefaultProduct()
	api := shop.Terminals[string(storage.API)]
	api.MaxSessions = apiSessions
	shop.Terminals[string(storage.API)] = api
	return map[string]configs.Product{"shop": shop, "music": music}
}

// Config is the configuration of an instance at an address, with the encryption key of its folder.
func Config(addr string, key secret.Text) configs.Config {
	c := configs.Default()
	c.Issuer = "http://" + addr
	c.Audience = []string{c.Issuer}
	c.Embedded = true
	c.Listen.Addr = addr
	c.Listen.ShutdownTimeout = 5 * time.Second
	c.Keys.EncryptionKey = key
	c.Products = Products()
	c.Wallet.Currencies = []string{Currency}
	c.Pages.Client = "shop-web"
	c.Webhooks.AllowHTTP = true
	c.Webhooks.AllowedNetworks = []string{"127.0.0.0/8", "::1/128"}
	return c
}

// demoClient is a client of the demo.
type demoClient struct {
	id, name  string
	kind      storage.ClientKind
	products  []string
	terminals []storage.Terminal
	grants    []string
	scopes    []string
	redirects []string
}

func demoClients(issuer string) []demoClient {
	userScopes := []string{"wallet:read", "wallet:transfer", "wallet:hold", "wallet:reverse"}
	appGrants := []string{oauth.GrantPassword, oauth.GrantRefreshToken, oauth.GrantLoginToken, oauth.GrantDeviceCode, oauth.GrantWeChat}
	browserFirst := []storage.Terminal{storage.Browser, storage.Mobile, storage.API}
	return []demoClient{
		{
			id: "shop-app", name: "Shop for phones", kind: storage.Public, products: []string{"shop"},
			terminals: storage.Terminals(), grants: appGrants, scopes: userScopes,
		},
		{
			id: "shop-web", name: "Shop in the browser", kind: storage.Public, products: []string{"shop"},
			terminals: browserFirst, grants: appGrants, scopes: userScopes, redirects: []string{issuer + "/demo/callback"},
		},
		{
			id: "shop-server", name: "Shop's server", kind: storage.Confidential, products: []string{"shop"},
			terminals: storage.Terminals(), grants: append([]string{oauth.GrantClientCredentials}, appGrants...), scopes: userScopes,
		},
		{
			id: "music-app", name: "Music for phones", kind: storage.Public, products: []string{"music"},
			terminals: storage.Terminals(), grants: appGrants, scopes: userScopes,
		},
		{
			id: "billing", name: "Billing", kind: storage.Confidential, grants: []string{oauth.GrantClientCredentials},
			scopes: []string{"wallet:deposit", "wallet:withdraw", "wallet:hold", "wallet:reverse", "wallet:read_any", "ledger:read"},
		},
		{
			id: "admin", name: "Administration", kind: storage.Confidential, grants: []string{oauth.GrantClientCredentials},
			scopes: []string{"admin", "sessions:watch"},
		},
	}
}
