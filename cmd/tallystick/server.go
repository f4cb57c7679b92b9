package main

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/brake"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/events"
	"github.com/tallystick/tallystick/authserver/federation"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/presence"
	"github.com/tallystick/tallystick/authserver/wechat"
	"github.com/tallystick/tallystick/cmd/internal/serve"
	"github.com/tallystick/tallystick/cmd/internal/upkeep"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/live"
	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/resource/sealer"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/resource/walletapi"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/failpoint"
	"github.com/tallystick/tallystick/storage/money"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

// role is the part of Tallystick that a process plays.
type role string

// The roles.
const (
	roleAll    role = "all"
	roleAuth   role = "auth"
	roleWallet role = "wallet"
)

func (r role) auth() bool   { return r != roleWallet }
func (r role) wallet() bool { return r != roleAuth }

// process is a running Tallystick: its rooms, and what runs in the background.
type process struct {
	cfg      configs.Config
	role     role
	log      *slog.Logger
	registry *prometheus.Registry
	store    *sqlstore.DB
	redis    *redisstore.Store
	ring     *keys.Ring
	sealing  *keys.Encryption // of a process that plays auth
	guard    *guard.Guard
	presence *presence.Book
	hub      *events.Hub // of a process that plays auth
	brake    *brake.Brake
	clients  *client.Registry
	auth     *authserver.Server
	ledger   *sqlstore.Group // of a process that plays wallet
	resource *resource.Server
	sealer   *sealer.Runner
	outbox   *outbox.Runner
	live     *live.Live
	upkeep   *upkeep.Runner
	health   *serve.Health
	server   *serve.Server
	// now is the clock of the rooms that decide by it; nil, which stands for time.Now, in every build but that of tests.
	now func() time.Time
	// stopping ends when the process begins to stop.
	stopping context.Context //nolint:containedctx // It is the process's own.
	leave    context.CancelFunc
}

// newProcess assembles the rooms over open engines. Nothing runs before start.
func newProcess(ctx context.Context, cfg configs.Config, r role, store *sqlstore.DB, redis *redisstore.Store, log *slog.Logger, registry *prometheus.Registry) (*process, error) {
	p := &process{cfg: cfg, role: r, log: log, registry: registry, store: store, redis: redis, now: failpoint.Clock()}
	p.stopping, p.leave = context.WithCancel(context.WithoutCancel(ctx))
	err := registerProcess(registry, r)
	if err != nil {
		return nil, err
	}
	if p.ring, err = openRing(ctx, cfg, store, log); err != nil {
		return nil, err
	}
	parser, err := token.NewParser(token.ParserConfig{Issuer: cfg.Issuer, Audience: cfg.Audience, Leeway: cfg.Tokens.Leeway, Ring: p.ring})
	if err != nil {
		return nil, err
	}
	if err := p.addGuard(parser); err != nil {
		return nil, err
	}
	if r.auth() {
		if p.sealing, err = openEncryption(ctx, cfg, store, log); err != nil {
			return nil, err
		}
		if err := p.addAuth(parser); err != nil {
			return nil, err
		}
	}
	if r.wallet() {
		if err := p.addWallet(); err != nil {
			return nil, err
		}
	}
	if err := p.addLive(parser); err != nil {
		return nil, err
	}
	p.upkeep, err = upkeep.New(upkeep.Config{Now: p.now, Store: store, Retention: retention(cfg.Retention), Log: log, Metrics: registry})
	if err != nil {
		return nil, err
	}
	return p, p.addServer()
}

func (p *process) addGuard(parser *token.Parser) (err error) {
	p.presence, err = presence.New(presence.Config{Sessions: p.store, Log: p.log, Metrics: p.registry})
	if err != nil {
		return err
	}
	c := guard.Config{
		Now:    p.now,
		Tokens: parser, Feed: p.store, Sessions: p.store, Hurry: hurry{p},
		CacheSize: p.cfg.Guard.CacheSize, MaxEnded: p.cfg.Guard.MaxEnded, Poll: p.cfg.Guard.Poll,
		Observe: p.observe, Log: p.log, Metrics: p.registry,
	}
	if p.role.auth() {
		if p.hub, err = events.NewHub(events.HubConfig{Now: p.now, Log: p.log, Metrics: p.registry}); err != nil {
			return err
		}
		c.Relay = relays{p.hub, liveRelay{p}}
	} else {
		c.Relay = liveRelay{p}
	}
	p.guard, err = guard.New(c)
	return err
}

func (p *process) addAuth(parser *token.Parser) error {
	passwords := passwordConfig(p.cfg.Password, p.store)
	passwords.Log, passwords.Metrics = p.log, p.registry
	checker, err := password.New(passwords)
	if err != nil {
		return err
	}
	if err := p.addBrake(); err != nil {
		return err
	}
	secretKey, err := derive(p.cfg, purposeClientSecrets)
	if err != nil {
		return err
	}
	p.clients, err = client.New(client.Config{Store: p.store, SecretKey: secretKey, Passwords: checker, Brake: p.brake})
	if err != nil {
		return err
	}
	manager, err := p.manager(secretKey, checker)
	if err != nil {
		return err
	}
	chain, err := derive(p.cfg, purposeRefreshChain)
	if err != nil {
		return err
	}
	providers, err := p.federation()
	if err != nil {
		return err
	}
	watch, err := events.New(events.Config{Hub: p.hub, Feed: p.store, Guard: p.guard})
	if err != nil {
		return err
	}
	pages, err := p.pages()
	if err != nil {
		return err
	}
	p.auth, err = authserver.New(authserver.Config{
		Now:    p.now,
		Issuer: p.cfg.Issuer, Audience: p.cfg.Audience, Products: productConfig(p.cfg),
		Sessions: p.store, Refreshes: p.store, Users: p.store, Audit: p.store, Wallets: p.store, Currencies: currencies(p.cfg), Handoffs: p.store, Pacer: p.redis, Announcer: p.redis, Ended: p.guard.Apply,
		Checker: checker, Manager: manager, Guard: p.guard,
		Clients: p.clients, Passwords: checker, Brake: p.brake, Minter: token.NewMinter(p.cfg.Issuer, p.ring), Parser: parser, Keys: keys.Published{Signing: p.ring, Encryption: p.sealing},
		Opener: p.sealing, Nonces: p.store, Events: watch, Live: true, Federation: providers, Pages: pages,
		ChainKey: secret.New(base64.RawURLEncoding.EncodeToString(chain)), MachineTTL: p.cfg.Tokens.ClientCredentialsTTL,
		ReplayWindow: p.cfg.Tokens.ReplayWindow, RequestID: serve.RequestID, Log: p.log, Metrics: p.registry,
	})
	return err
}

// pages says how people are served in a browser; nil where no client is configured for it.
func (p *process) pages() (*authserver.Pages, error) {
	if p.cfg.Pages.Client == "" {
		return nil, nil //nolint:nilnil // there are none, and that is no error.
	}
	box, err := keys.NewBox(p.cfg.Keys.EncryptionKey, purposeCookies)
	if err != nil {
		return nil, err
	}
	return &authserver.Pages{Client: storage.ClientID(p.cfg.Pages.Client), Sealer: box, Observe: p.observe}, nil
}

// federation makes the desk for sign-ins by other providers; nil where none is configured.
func (p *process) federation() (*federation.Desk, error) {
	if len(p.cfg.WeChat.Apps) == 0 {
		return nil, nil //nolint:nilnil // there is none, and that is no error.
	}
	provider, err := wechat.New(wechatConfig(p.cfg.WeChat, p.log))
	if err != nil {
		return nil, err
	}
	codes, err := derive(p.cfg, purposeCodes)
	if err != nil {
		return nil, err
	}
	box, err := keys.NewBox(p.cfg.Keys.EncryptionKey, purposeIdentities)
	if err != nil {
		return nil, err
	}
	return federation.New(federation.Config{
		Providers: []federation.Provider{provider}, Identities: p.store, Exchanges: p.store, Sealer: box, HashKey: codes,
		Brake: p.brake, Log: p.log, Metrics: p.registry,
	})
}

func (p *process) addBrake() error {
	key, err := derive(p.cfg, purposeBrakes)
	if err != nil {
		return err
	}
	trail, err := audit.New(audit.Config{Store: p.store, Log: p.log})
	if err != nil {
		return err
	}
	p.brake, err = brake.New(brake.Config{
		Store: p.redis, Key: key, Limits: brakeLimits(p.cfg.Brakes), Trail: trail, Log: p.log, Metrics: p.registry,
	})
	return err
}

func (p *process) addWallet() (err error) {
	limits := make(map[money.Currency]storage.Limits, len(p.cfg.Wallet.Limits))
	for c, l := range p.cfg.Wallet.Limits {
		limits[money.Currency(c)] = storage.Limits(l)
	}
	exponents := make(map[money.Currency]int, len(p.cfg.Wallet.Exponents))
	for c, n := range p.cfg.Wallet.Exponents {
		exponents[money.Currency(c)] = n
	}
	if p.ledger, err = sqlstore.NewGroup(p.store, sqlstore.GroupConfig{Now: p.now, Log: p.log, Metrics: p.registry}); err != nil {
		return err
	}
	if p.sealer, err = sealer.New(sealer.Config{Now: p.now, Store: p.store, Log: p.log, Metrics: p.registry}); err != nil {
		return err
	}
	sender, desk, err := openWebhooks(p.cfg, p.store, p.now)
	if err != nil {
		return err
	}
	if p.outbox, err = outbox.New(outbox.Config{
		Now: p.now, Store: p.store, Stream: p.redis, StreamLength: p.cfg.Webhooks.StreamLength,
		Hooks: sender, Parallel: p.cfg.Webhooks.Parallel, DisableAfter: p.cfg.Webhooks.DisableAfter,
		Stopping: p.stopping, Log: p.log, Metrics: p.registry,
	}); err != nil {
		return err
	}
	p.resource, err = resource.New(resource.Config{
		Wallet: wallet.Config{
			Now:    p.now,
			Ledger: p.ledger, Locker: p.redis, Currencies: currencies(p.cfg), Exponents: exponents, MaxAmount: p.cfg.Wallet.MaxAmount, Limits: limits,
			LockWait: p.cfg.Wallet.Lock.Wait, Stopping: p.stopping, LockRequired: p.cfg.Wallet.Lock.Required, Log: p.log, Metrics: p.registry,
		},
		Books: p.store, Outbox: p.outbox, Webhooks: desk, Guard: p.guard, RequestID: serve.RequestID,
	})
	return err
}

// printer prints amounts of a currency for people.
func printer(cfg configs.Config, currency money.Currency) func(minor int64) string {
	exponent := currency.Exponent()
	if _, known := currency.Known(); !known {
		if n, given := cfg.Wallet.Exponents[string(currency)]; given {
			exponent = n
		}
	}
	return func(minor int64) string { return money.Amount{Minor: minor, Currency: currency}.Text(exponent) }
}

// currencies are those that are dealt in.
func currencies(cfg configs.Config) []money.Currency {
	all := make([]money.Currency, len(cfg.Wallet.Currencies))
	for i, c := range cfg.Wallet.Currencies {
		all[i] = money.Currency(c) // of the form that the configuration checked
	}
	return all
}

func (p *process) addServer() (err error) {
	p.health, err = serve.NewHealth(map[string]serve.Check{
		"database": {Required: true, Probe: p.store.Ping},
		"redis":    {Probe: p.redis.Ping},
	}, p.log, nil)
	if err != nil {
		return err
	}
	l := p.cfg.Listen
	engine, err := serve.New(serve.Options{
		Log: p.log, Metrics: p.registry, TrustedProxies: l.TrustedProxies, RequestTimeout: l.RequestTimeout,
		HTTPS: l.TLSCertFile != "", Streams: p.streams(), CrossOrigin: p.crossOrigin(),
	})
	if err != nil {
		return err
	}
	if p.auth != nil {
		p.auth.Fallback(engine)
		p.auth.Register(engine)
	}
	if p.resource != nil {
		p.resource.Register(engine)
		p.resource.RegisterAdmin(engine)
	}
	engine.GET(p.livePath(), p.serveLive)
	operators := engine
	if l.AdminAddr != "" {
		if operators, err = serve.New(serve.Options{Log: p.log, RequestTimeout: l.RequestTimeout}); err != nil {
			return err
		}
		p.healthRoutes(engine, false)
	}
	p.healthRoutes(operators, true)
	operators.GET("/metrics", serve.Metrics(p.registry))
	p.server, err = serve.NewServer(serve.Config{
		Addr: l.Addr, AdminAddr: l.AdminAddr, TLSCertFile: l.TLSCertFile, TLSKeyFile: l.TLSKeyFile,
		ReadTimeout: l.ReadTimeout, WriteTimeout: l.WriteTimeout, IdleTimeout: l.IdleTimeout, ShutdownTimeout: l.ShutdownTimeout, Log: p.log,
	}, engine, operators)
	return err
}

// streams are the routes without a deadline.
func (p *process) streams() []serve.Stream {
	streams := []serve.Stream{{Method: http.MethodGet, Route: p.livePath()}}
	if p.auth != nil {
		for _, route := range p.auth.Streams() {
			streams = append(streams, serve.Stream{Method: http.MethodGet, Route: route})
		}
	}
	if p.resource != nil {
		for _, route := range p.resource.Downloads() {
			streams = append(streams, serve.Stream{Method: http.MethodGet, Route: route, Accept: walletapi.MediaCSV})
		}
	}
	return streams
}

// crossOrigin opens to the configured pages what a user's app calls: no administration, no
// introspection, no pages of our own.
func (p *process) crossOrigin() serve.CrossOrigin {
	o := serve.CrossOrigin{Origins: p.cfg.CORS.Origins, Paths: []string{"/v1/"}}
	if p.auth != nil {
		o.Paths = append(o.Paths, p.auth.CrossOrigin()...)
	}
	return o
}

func (p *process) healthRoutes(r gin.IRouter, details bool) {
	r.GET("/healthz", p.health.Alive)
	r.GET("/readyz", p.health.Ready(details))
}

// run starts what runs in the background, serves until ctx ends, and stops everything in order.
// ready, if not nil, is called when requests are served.
func (p *process) run(ctx context.Context, ready func(addr string) error) error {
	p.ring.Start()
	defer p.ring.Stop()
	if p.sealing != nil {
		p.sealing.Start()
		defer p.sealing.Stop()
	}
	if err := p.redis.Start(ctx); err != nil {
		return err
	}
	defer p.redis.Stop()
	if err := p.guard.Start(ctx); err != nil {
		return err
	}
	defer p.guard.Stop()
	if p.ledger != nil {
		p.sealer.Start(ctx)
		defer p.sealer.Stop()
		p.outbox.Start(ctx)
		defer p.outbox.Stop()
		p.ledger.Start()
		defer p.ledger.Stop() // after the server, whose requests wait for it
	}
	p.presence.Start()
	defer p.presence.Stop()
	p.upkeep.Start(ctx)
	defer p.upkeep.Stop()
	if err := p.server.Start(ctx); err != nil {
		return err
	}
	var err error
	if ready != nil {
		err = ready(p.server.Addr())
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-p.server.Failed():
		}
	}
	p.log.InfoContext(ctx, "stopping")
	p.health.Leave()
	p.leave()
	if serr := p.server.Stop(context.WithoutCancel(ctx)); serr != nil && err == nil {
		err = serr
	}
	return err
}

// hurry hands what Redis delivers to the guard, and drops disabled clients from the cache of clients
// on the way.
type hurry struct{ p *process }

// Follow implements guard.Hurry.
func (h hurry) Follow(ctx context.Context, deliver func(storage.Event)) error {
	return h.p.redis.Follow(ctx, func(e storage.Event) {
		if e.Subject == storage.SubjectClient && h.p.clients != nil {
			h.p.clients.Forget(storage.ClientID(e.Key))
		}
		deliver(e)
	})
}

// observe writes who called into the access record, and that their session was seen if they were let in.
func (p *process) observe(ctx context.Context, who *guard.Principal, refusal *guard.Refusal) {
	if who != nil && refusal == nil {
		p.presence.Note(who.Session, time.Now())
	}
	r := serve.RecordOf(ctx)
	if who != nil {
		r.Client, r.Subject, r.Session = string(who.Client), string(who.User), string(who.Session)
		r.Product, r.Terminal = who.Product, string(who.Terminal)
	}
	if refusal != nil {
		if r.Reason = string(refusal.Reason()); r.Reason == "" {
			r.Reason = string(refusal.Code)
		}
	}
}

func redisConfig(cfg configs.Config, metrics prometheus.Registerer) redisstore.Config {
	return redisstore.Config{URL: cfg.Redis.URL, Prefix: cfg.Redis.Prefix, LockTTL: cfg.Wallet.Lock.TTL, Metrics: metrics}
}
