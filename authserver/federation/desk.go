package federation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

// MaxAsking bounds the questions that a process has open at providers.
const MaxAsking = 64

// Sealer seals what providers give; a [keys.Box] does.
type Sealer interface {
	Seal(plain []byte, label ...string) []byte
	Open(sealed []byte, label ...string) ([]byte, error)
}

// Brake holds back who presents one bad code after the other; the brake of package brake does.
type Brake interface {
	TryCode(ctx context.Context, client storage.ClientID, address string, prove func(context.Context) (right bool, err error)) error
}

// Config is what a [Desk] needs.
type Config struct {
	Providers  []Provider
	Identities storage.Identities
	Exchanges  storage.Exchanges
	// Sealer seals, and HashKey (32 bytes) hashes codes.
	Sealer  Sealer
	HashKey []byte
	Brake   Brake
	// Now tells the time; nil for time.Now.
	Now func() time.Time
	Log *slog.Logger // nil: discards
	// Metrics counts exchanges; nil for not.
	Metrics prometheus.Registerer
}

// Desk lets users in by what providers say of them.
type Desk struct {
	cfg       Config
	providers map[string]Provider // by name
	grants    map[string]Provider // by grant type
	flights   singleflight.Group
	asking    chan struct{}
	metrics   *metrics
}

// hashKeyLength is that of [Config.HashKey].
const hashKeyLength = 32

// New makes a desk. It refuses a configuration in which something is missing, and two providers of one name
// or grant.
func New(cfg Config) (*Desk, error) {
	if len(cfg.Providers) == 0 || cfg.Identities == nil || cfg.Exchanges == nil || cfg.Sealer == nil || cfg.Brake == nil {
		return nil, errors.New("federation: providers, identities, exchanges, sealer and brake are needed")
	}
	if len(cfg.HashKey) != hashKeyLength {
		return nil, fmt.Errorf("federation: the key of hashes must have %d bytes", hashKeyLength)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Desk{cfg: cfg, providers: map[string]Provider{}, grants: map[string]Provider{}, asking: make(chan struct{}, MaxAsking)}
	for _, p := range cfg.Providers {
		if d.providers[p.Name()] != nil || d.grants[p.Grant()] != nil {
			return nil, fmt.Errorf("federation: there are two providers %s, or of the grant %s", p.Name(), p.Grant())
		}
		d.providers[p.Name()], d.grants[p.Grant()] = p, p
	}
	var err error
	d.metrics, err = newMetrics(cfg.Metrics, cfg.Providers)
	return d, err
}

// Grants lists the grant types of the providers.
func (d *Desk) Grants() []string {
	list := make([]string, len(d.cfg.Providers))
	for i, p := range d.cfg.Providers {
		list[i] = p.Grant()
	}
	return list
}

// SignIn is a sign-in by a provider.
type SignIn struct {
	// Grant is its grant type, of those that [Desk.Grants] lists.
	Grant  string
	Client storage.Client
	Code   string
	// Address is where the request comes from.
	Address string
	Now     time.Time
}

// SignIn returns the user whom the provider vouches for, and makes one for an identity that comes for the
// first time. Its refusals are of the type [oauth.Error]: unauthorized_client if the client has no app at the
// provider, slow_down if too many codes from there were bad, and those of [Provider.Exchange].
func (d *Desk) SignIn(ctx context.Context, s SignIn) (storage.UserID, error) {
	p, ok := d.grants[s.Grant]
	if !ok {
		return "", fmt.Errorf("federation: no provider of the grant %s", s.Grant)
	}
	app, err := d.app(p, s.Client.ID)
	if err != nil {
		return "", err
	}
	q := question{provider: p, app: app, client: s.Client.ID, code: s.Code}
	v, err := d.braked(ctx, q, s.Client.Kind, s.Address)
	if err != nil {
		return "", err
	}
	from := audit.Origin{Actor: "client:" + string(s.Client.ID), Client: s.Client.ID, Address: s.Address}
	now := storage.Instant(s.Now)
	a := d.arrival(q, v, from, now)
	id := storage.NewUserID()
	a.Newcomer = storage.User{ID: id, Username: "user-" + string(storage.NewUserID()), Credential: 1, CreatedAt: now, UpdatedAt: now}
	created := from.Record(audit.UserCreated, now)
	created.Detail = audit.Detail("username", a.Newcomer.Username, "provider", p.Name())
	a.Created = &created
	admitted, err := d.cfg.Identities.AdmitIdentity(ctx, a)
	if err != nil {
		return "", fmt.Errorf("sign in by %s: %w", p.Name(), err)
	}
	return admitted.User, nil
}

// app is the app of a provider that a client signs in with.
func (d *Desk) app(p Provider, client storage.ClientID) (App, error) {
	app, ok := p.App(client)
	if !ok {
		return App{}, oauth.New(oauth.UnauthorizedClient, "no app of "+p.Name()+" is configured for this client")
	}
	return app, nil
}

// braked asks, unless too many codes from an address were bad. A confidential client speaks for all its users
// from one address and answers for what it sends.
func (d *Desk) braked(ctx context.Context, q question, kind storage.ClientKind, address string) (v Voucher, err error) {
	if kind == storage.Confidential {
		return d.voucher(ctx, q)
	}
	var refused error
	err = d.cfg.Brake.TryCode(ctx, q.client, address, func(ctx context.Context) (bool, error) {
		var err error
		v, err = d.voucher(ctx, q)
		if final(err) {
			refused = err
			return false, nil
		}
		return err == nil, err
	})
	if err == nil {
		err = refused
	}
	return v, err
}

func (d *Desk) arrival(q question, v Voucher, from audit.Origin, now time.Time) storage.Arrival {
	name := q.provider.Name()
	id := storage.Identity{
		ID: storage.IdentityID(storage.NewID(now)), Provider: name, App: q.app.ID, Subject: v.Subject,
		Sealed:    d.cfg.Sealer.Seal([]byte(v.Secret.Reveal()), "identity", name, q.app.ID, v.Subject),
		CreatedAt: now, UsedAt: now,
	}
	if v.Union != "" {
		id.Union, id.Realm = v.Union, q.app.Realm
	}
	linked := from.Record(audit.IdentityLinked, now)
	linked.Detail = audit.Detail("provider", name, "app", q.app.ID, "identity", id.ID)
	return storage.Arrival{Identity: id, Linked: &linked, Now: now}
}
