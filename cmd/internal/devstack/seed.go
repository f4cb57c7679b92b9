package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// fundingKey is the idempotency key under which a user's first money comes, however often the
// instance starts.
const fundingKey = "dev-first-funding-"

// Services are what the demo is made with.
type Services struct {
	Clients *client.Manager
	Users   *admin.Users
	Wallet  *wallet.Wallet
}

// Demo is what is there when the demo has been seeded.
type Demo struct {
	// WeChat is where the stand-in for WeChat makes codes; see [WeChat.Mint].
	WeChat  string
	clients map[string]readyClient
	users   map[string]readyUser
}

// Seed makes the demo's clients and users where they are missing, and funds the wallets once.
func (f *Folder) Seed(ctx context.Context, s Services, issuer string, now time.Time) (Demo, error) {
	d := Demo{clients: map[string]readyClient{}, users: map[string]readyUser{}}
	for _, c := range demoClients(issuer) {
		made, err := f.seedClient(ctx, s.Clients, c)
		if err != nil {
			return Demo{}, fmt.Errorf("demo client %s: %w", c.id, err)
		}
		d.clients[c.id] = made
	}
	for _, u := range demoUsers() {
		made, err := f.seedUser(ctx, s, u, now)
		if err != nil {
			return Demo{}, fmt.Errorf("demo user %s: %w", u.name, err)
		}
		d.users[u.name] = made
	}
	return d, nil
}

func (f *Folder) seedClient(ctx context.Context, clients *client.Manager, c demoClient) (readyClient, error) {
	known := f.secrets.Clients[c.id]
	_, made, err := clients.Create(ctx, audit.System(), client.Draft{
		ID: storage.ClientID(c.id), Name: c.name, Kind: c.kind, Grants: c.grants, Products: c.products,
		Terminals: c.terminals, Scopes: c.scopes, RedirectURIs: c.redirects,
	})
	exists := errors.Is(err, storage.ErrExists)
	if err != nil && !exists {
		return readyClient{}, err
	}
	if exists && known == "" && c.kind == storage.Confidential {
		// The start that made the client was cut off before it could keep the secret.
		if _, made, err = clients.RotateSecret(ctx, audit.System(), storage.ClientID(c.id), 0); err != nil {
			return readyClient{}, err
		}
	}
	if !made.Empty() {
		f.secrets.Clients[c.id] = made.Reveal()
		if err := f.write(secretsFile, f.secrets); err != nil {
			return readyClient{}, err
		}
	}
	return readyClient{ID: c.id, Secret: f.secrets.Clients[c.id], Type: string(c.kind), RedirectURIs: c.redirects}, nil
}

func (f *Folder) seedUser(ctx context.Context, s Services, u demoUser, now time.Time) (readyUser, error) {
	pw := secret.New(f.secrets.Passwords[u.name])
	user, err := s.Users.ByName(ctx, u.name)
	if errors.Is(err, storage.ErrNotFound) {
		user, err = s.Users.Create(ctx, audit.System(), u.name, &pw)
	}
	if err != nil {
		return readyUser{}, err
	}
	if u.funding > 0 {
		_, err := s.Wallet.Deposit(ctx, wallet.DepositOrder{
			Bearer: storage.Bearer{Client: "billing", JTI: "dev", IssuedAt: now}, User: user.ID,
			Amount: money.Amount{Minor: u.funding, Currency: Currency}, Reference: "opening balance", Key: fundingKey + u.name,
		})
		if err != nil {
			return readyUser{}, fmt.Errorf("fund the wallet: %w", err)
		}
	}
	return readyUser{Username: u.name, Password: pw.Reveal(), Sub: string(user.ID)}, nil
}

// ready is dev.json. Its form is part of the contract with users.
type ready struct {
	Issuer  string                 `json:"issuer"`
	API     string                 `json:"api"`
	PID     int                    `json:"pid"`
	Clients map[string]readyClient `json:"clients"`
	Users   map[string]readyUser   `json:"users"`
	WeChat  readyWeChat            `json:"wechat"`
}

type readyWeChat struct {
	Mint string `json:"mint"`
}

type readyClient struct {
	ID           string   `json:"client_id"`
	Secret       string   `json:"client_secret,omitempty"`
	Type         string   `json:"type"`
	RedirectURIs []string `json:"redirect_uris,omitempty"`
}

type readyUser struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Sub      string `json:"sub"`
}

// WriteReady writes dev.json: the instance serves requests.
func (f *Folder) WriteReady(base string, d Demo) error {
	return f.write(ReadyFile, ready{Issuer: base, API: base, PID: os.Getpid(), Clients: d.clients, Users: d.users, WeChat: readyWeChat{d.WeChat}})
}

// Greeting is what dev prints when it is ready: the addresses, and lines that work as pasted into a
// shell with curl.
func (f *Folder) Greeting(base string, d Demo) string {
	file := f.dir + "/" + ReadyFile
	tom, amy, billing := d.users["tom"], d.users["amy"], d.clients["billing"]
	lines := []string{
		"Tallystick is ready at " + base,
		"  metadata   " + base + "/.well-known/oauth-authorization-server",
		"  pages      " + base + "/signin",
		"  health     " + base + "/readyz",
		"  metrics    " + base + "/metrics",
		"  clients and users of the demo are in " + file,
		"",
		"# paste these, in order: tom signs in on his phone …",
		fmt.Sprintf(`TOKEN=$(curl -sS %s/oauth2/token -d grant_type=password -d client_id=shop-app -d terminal=mobile -d device_name='old phone' -d username=%s -d password=%s | sed 's/.*"access_token":"\([^"]*\)".*/\1/')`, base, tom.Username, tom.Password),
		"# … reads his wallet …",
		fmt.Sprintf(`curl -sS %s/v1/wallet -H "Authorization: Bearer $TOKEN"; echo`, base),
		"# … pays amy, and reads his statement …",
		fmt.Sprintf(`curl -sS %s/v1/transfers -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H "Idempotency-Key: lunch-$$" -d '{"to":"%s","amount":1250,"currency":"CNY","memo":"lunch"}'; echo`, base, amy.Sub),
		fmt.Sprintf(`curl -sS %s/v1/wallet/entries -H "Authorization: Bearer $TOKEN"; echo`, base),
		"# … signs in on another phone, and the first one is told why it is out.",
		fmt.Sprintf(`curl -sS %s/oauth2/token -d grant_type=password -d client_id=shop-app -d terminal=mobile -d device_name='new phone' -d username=%s -d password=%s; echo`, base, tom.Username, tom.Password),
		fmt.Sprintf(`curl -sS %s/v1/wallet -H "Authorization: Bearer $TOKEN"; echo`, base),
		"# An internal app deposits money.",
		fmt.Sprintf(`APP=$(curl -sS -u %s:%s %s/oauth2/token -d grant_type=client_credentials -d scope=wallet:deposit | sed 's/.*"access_token":"\([^"]*\)".*/\1/')`, billing.ID, billing.Secret, base),
		fmt.Sprintf(`curl -sS %s/v1/deposits -H "Authorization: Bearer $APP" -H 'Content-Type: application/json' -H "Idempotency-Key: deposit-$$" -d '{"user":"%s","amount":100000,"currency":"CNY","reference":"card 1"}'; echo`, base, tom.Sub),
		"# A mini program signs in: the stand-in for WeChat makes the code that wx.login would give.",
		fmt.Sprintf(`curl -sS %s/oauth2/token -d grant_type=%s -d client_id=shop-app -d terminal=mobile --data-urlencode "code=$(curl -sS '%s&openid=amys-phone&unionid=amy')"; echo`, base, oauth.GrantWeChat, d.WeChat),
		"",
		"Stop with Ctrl-C; what is in " + f.dir + " survives a restart, and --fresh starts over.",
		"",
	}
	return strings.Join(lines, "\n")
}
