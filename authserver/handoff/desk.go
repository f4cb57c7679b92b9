package handoff

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// The times of hand-offs.
const (
	// RequestTTL is how long a device may ask, TurnAfter after how long its public code is replaced, and
	// Grace how long the code before is still taken: for who scanned it in that moment.
	RequestTTL = 180 * time.Second
	TurnAfter  = 60 * time.Second
	Grace      = 5 * time.Second
	// LoginTTL is how long a login token may be redeemed.
	LoginTTL = 5 * time.Minute
	// Interval is how often a waiting device may ask at the token endpoint; it is told to slow down when
	// it asks sooner than Pace after it was last answered.
	Interval = 2 * time.Second
	Pace     = time.Second
)

// The limits of hand-offs.
const (
	// MaxPerClient is how many requests of a client are open at once, MaxPerAddress those from one address
	// (an IPv6 network of 64 bits), unless a confidential client asks for it; MaxPerUser those that
	// a user has scanned, and MaxLoginTokens the login tokens that a user's sessions, or a client, have open.
	MaxPerClient   = 5000
	MaxPerAddress  = 100
	MaxPerUser     = 10
	MaxLoginTokens = 20
	// MaxWrong is how often the number may be told wrong.
	MaxWrong = 3
	// MaxData is the longest data of a login token, in bytes.
	MaxData = 4 << 10
	// tries is how often another public code is drawn when one is taken.
	tries = 4
)

// Store keeps hand-offs.
type Store interface {
	storage.Devices
	storage.Logins
}

// Clients authenticates clients and reads those that tokens name; [client.Registry] does.
type Clients interface {
	Authenticate(ctx context.Context, c client.Credentials) (storage.Client, error)
	Client(ctx context.Context, id storage.ClientID) (storage.Client, error)
}

// Brake holds back who guesses public codes; the brake of package brake does.
type Brake interface {
	TryUserCode(ctx context.Context, user storage.UserID, address string, prove func(context.Context) (right bool, err error)) error
}

// Pacer says how often a waiting device may ask. What it keeps may vanish at any instant.
type Pacer interface {
	// Pace says whether nobody has asked it for key in the time before, and if so begins that time.
	Pace(ctx context.Context, key string, every time.Duration) (bool, error)
}

// Config is what a [Desk] needs. What is not marked as optional must be there.
type Config struct {
	// Issuer is the address of the server: what QR codes lead to is below it.
	Issuer  string
	Store   Store
	Clients Clients
	Brake   Brake
	Rules   *product.Rules
	// Pacer paces all processes together. Optional: without it, and while it is away, each for itself.
	Pacer Pacer
	// Now tells the time. Optional: time.Now.
	Now func() time.Time
	// Metrics counts. Optional.
	Metrics prometheus.Registerer
}

// Desk hands sign-ins over. Its methods are what handlers of other rooms call in the same process; its own
// handlers are in the files named after their routes.
type Desk struct {
	cfg     Config
	bell    *bell
	pace    *pace
	metrics *metrics
}

// New makes a Desk.
func New(cfg Config) (*Desk, error) {
	if cfg.Issuer == "" || cfg.Store == nil || cfg.Clients == nil || cfg.Brake == nil || cfg.Rules == nil {
		return nil, errors.New("handoff: issuer, store, clients, brake and rules are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Desk{cfg: cfg, bell: newBell(), pace: newPace(cfg.Pacer)}
	var err error
	d.metrics, err = newMetrics(cfg.Metrics, d.bell)
	return d, err
}

// By is a signed-in user, or a client that acts for itself, who hands over: as the guard let them in.
type By struct {
	guard.Principal

	// Address is where they come from.
	Address string
}

func (b By) origin() audit.Origin {
	actor := "user:" + string(b.User)
	if b.User == "" {
		actor = "client:" + string(b.Client)
	}
	return audit.Origin{Actor: actor, Client: b.Client, Address: b.Address}
}

func (b By) record(action string, now time.Time) *storage.AuditRecord {
	r := b.origin().Record(action, now)
	r.User, r.Session = b.User, b.Session
	return &r
}

func (d *Desk) now() time.Time { return storage.Instant(d.cfg.Now()) }

// place is what the limit of open requests counts by: an IPv4 address, or an IPv6 network of one customer.
func place(address string) string {
	const customer = 64
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(customer)
	if err != nil {
		return ""
	}
	return p.String()
}

// mayHandOver refuses a product that the app in which the user is signed in does not sign in to itself: what
// one app of a company may not do, its user cannot hand over with it. It gives the name of that app's product.
func (d *Desk) mayHandOver(ctx context.Context, by By, name string) error {
	c, err := d.cfg.Clients.Client(ctx, by.Client)
	if err != nil {
		return fmt.Errorf("read client: %w", err)
	}
	_, err = client.Product(c, name)
	return err
}
