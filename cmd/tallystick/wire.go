package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/authserver/session"
	"github.com/tallystick/tallystick/authserver/wechat"
	"github.com/tallystick/tallystick/cmd/internal/devstack"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/mysql"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/sqlite"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

// config loads what describes the target.
func (t target) config() (configs.Config, error) {
	if t.configFile != "" {
		return configs.Load(t.configFile, os.Environ())
	}
	key, err := devstack.EncryptionKey(t.dataDir)
	if err != nil {
		return configs.Config{}, err
	}
	return devstack.Config("127.0.0.1:0", key), nil
}

// openStore opens the database of a configuration; path is the SQLite file of an embedded one.
func openStore(ctx context.Context, cfg configs.Config, path string) (*sqlstore.DB, error) {
	if cfg.Embedded {
		return sqlite.Open(ctx, sqlite.Config{Path: path})
	}
	return mysql.Open(ctx, mysqlConfig(cfg))
}

// openKit opens what the commands of an operator need. The function that it returns closes it.
func openKit(ctx context.Context, t target) (*kit, func(), error) {
	cfg, err := t.config()
	if err != nil {
		return nil, nil, err
	}
	var path string
	if cfg.Embedded {
		path = devstack.DatabasePath(t.dataDir)
	}
	store, err := openStore(ctx, cfg, path)
	if err != nil {
		return nil, nil, err
	}
	closers := []func(){func() { _ = store.Close() }}
	closeAll := func() {
		for _, c := range slices.Backward(closers) {
			c()
		}
	}
	var announcer storage.Announcer
	if !cfg.Embedded {
		redis, err := redisstore.Open(ctx, redisConfig(cfg, nil))
		if err == nil {
			err = redis.Start(ctx)
		}
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		closers = append(closers, func() { _ = redis.Close() })
		announcer = redis
	}
	k, err := newKit(ctx, cfg, store, announcer, slog.New(slog.DiscardHandler))
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return k, closeAll, nil
}

// newKit builds the services of an operator over a store.
func newKit(ctx context.Context, cfg configs.Config, store *sqlstore.DB, announcer storage.Announcer, log *slog.Logger) (*kit, error) {
	ring, err := openRing(ctx, cfg, store, log)
	if err != nil {
		return nil, err
	}
	encryption, err := openEncryption(ctx, cfg, store, log)
	if err != nil {
		return nil, err
	}
	trail, err := audit.New(audit.Config{Store: store, Log: log})
	if err != nil {
		return nil, err
	}
	book, err := session.New(session.Config{Sessions: store, Refreshes: store, Announcer: announcer, Trail: trail})
	if err != nil {
		return nil, err
	}
	passwords, err := password.New(passwordConfig(cfg.Password, store))
	if err != nil {
		return nil, err
	}
	users, err := admin.New(admin.Config{Users: store, Sessions: book, Passwords: passwords, Wallets: store, Trail: trail, Log: log})
	if err != nil {
		return nil, err
	}
	secretKey, err := derive(cfg, purposeClientSecrets)
	if err != nil {
		return nil, err
	}
	rules, err := product.New(productConfig(cfg))
	if err != nil {
		return nil, err
	}
	clients, err := client.NewManager(client.ManagerConfig{
		Store: store, SecretKey: secretKey, Passwords: passwords, Products: rules.Products(), LongestAccess: longestAccess(cfg),
		Ended: func(ctx context.Context, events []storage.Event) {
			if announcer != nil {
				announcer.Announce(ctx, events)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	_, hooks, err := openWebhooks(cfg, store, nil)
	if err != nil {
		return nil, err
	}
	return &kit{Config: cfg, Store: store, Users: users, Clients: clients, Ring: ring, Encryption: encryption, Webhooks: hooks}, nil
}

// openWebhooks makes what calls webhooks, and the desk where they are managed; now may be nil for the clock.
func openWebhooks(cfg configs.Config, store *sqlstore.DB, now func() time.Time) (*outbox.Sender, *outbox.Desk, error) {
	box, err := keys.NewBox(cfg.Keys.EncryptionKey, purposeWebhooks)
	if err != nil {
		return nil, nil, err
	}
	c := outbox.SenderConfig{Box: box, Timeout: cfg.Webhooks.Timeout, AllowHTTP: cfg.Webhooks.AllowHTTP}
	for _, n := range cfg.Webhooks.AllowedNetworks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, nil, fmt.Errorf("webhooks.allowed_networks: %w", err)
		}
		c.Allowed = append(c.Allowed, p)
	}
	sender, err := outbox.NewSender(c)
	if err != nil {
		return nil, nil, err
	}
	desk, err := outbox.NewDesk(outbox.DeskConfig{Store: store, Box: box, Sender: sender, Now: now})
	return sender, desk, err
}

// The purposes for which keys are derived from the encryption key. Changing one invalidates what was
// made with it.
const (
	purposeClientSecrets = "tallystick client secrets"
	purposeRefreshChain  = "tallystick refresh chain"
	purposeBrakes        = "tallystick brakes"
	purposeCodes         = "tallystick codes of providers"
	purposeIdentities    = "tallystick secrets of providers"
	purposeCookies       = "tallystick cookies of pages"
	purposeWebhooks      = "tallystick secrets of webhooks"
)

const derivedLength = 32

func derive(cfg configs.Config, purpose string) ([]byte, error) {
	return keys.Derive(cfg.Keys.EncryptionKey, purpose, derivedLength)
}

// encryptionKeep is how long clients may go on with an encryption key that they have read.
const encryptionKeep = 24 * time.Hour

func openEncryption(ctx context.Context, cfg configs.Config, store storage.Keys, log *slog.Logger) (*keys.Encryption, error) {
	return keys.OpenEncryption(ctx, keys.Config{
		Store: keyStore{store}, EncryptionKey: cfg.Keys.EncryptionKey, Publish: cfg.Keys.Publish, Keep: encryptionKeep, Log: log,
	})
}

func openRing(ctx context.Context, cfg configs.Config, store storage.Keys, log *slog.Logger) (*keys.Ring, error) {
	return keys.Open(ctx, keys.Config{
		Store: keyStore{store}, EncryptionKey: cfg.Keys.EncryptionKey, Algorithm: cfg.Keys.Algorithm, Publish: cfg.Keys.Publish,
		Keep: longestToken(cfg), Log: log,
	})
}

// keyStore lets the key ring keep its records in the store.
type keyStore struct{ storage.Keys }

// ListKeys implements keys.Store.
func (s keyStore) ListKeys(ctx context.Context) ([]keys.Record, error) {
	stored, err := s.Keys.ListKeys(ctx)
	records := make([]keys.Record, len(stored))
	for i, k := range stored {
		records[i] = keys.Record(k)
	}
	return records, err
}

// AddKey implements keys.Store.
func (s keyStore) AddKey(ctx context.Context, r keys.Record, after string) error {
	err := s.Keys.AddKey(ctx, storage.Key(r), after)
	if errors.Is(err, storage.ErrStale) {
		return errors.Join(keys.ErrStale, err)
	}
	return err
}

// longestAccess is the longest life of an access token, longestToken that of any token.
func longestAccess(cfg configs.Config) time.Duration {
	longest := cfg.Tokens.ClientCredentialsTTL
	for _, p := range cfg.Products {
		for _, t := range p.Terminals {
			longest = max(longest, t.AccessTTL)
		}
	}
	return longest
}

func longestToken(cfg configs.Config) time.Duration {
	longest := longestAccess(cfg)
	for _, p := range cfg.Products {
		for _, t := range p.Terminals {
			longest = max(longest, t.SessionTTL)
		}
	}
	return longest
}

func productConfig(cfg configs.Config) product.Config {
	products := make(product.Config, len(cfg.Products))
	for name, p := range cfg.Products {
		products[name] = make(map[storage.Terminal]product.Setting, len(p.Terminals))
		for terminal, t := range p.Terminals {
			products[name][storage.Terminal(terminal)] = product.Setting{
				Mode: storage.Mode(t.Mode), AccessTTL: t.AccessTTL, SessionTTL: t.SessionTTL, IdleTTL: t.IdleTTL, MaxSessions: t.MaxSessions,
			}
		}
	}
	return products
}

func wechatConfig(c configs.WeChat, log *slog.Logger) wechat.Config {
	w := wechat.Config{BaseURL: c.BaseURL, Timeout: c.Timeout, Log: log}
	for _, name := range slices.Sorted(maps.Keys(c.Apps)) {
		a := c.Apps[name]
		app := wechat.App{ID: a.AppID, Secret: a.Secret, Platform: a.Platform}
		for _, client := range a.Clients {
			app.Clients = append(app.Clients, storage.ClientID(client))
		}
		w.Apps = append(w.Apps, app)
	}
	return w
}

func passwordConfig(c configs.Password, users storage.Users) password.Config {
	legacy := make(map[string]secret.Text, len(c.HMACKeys))
	for id, k := range c.HMACKeys {
		legacy[id] = k.Secret
	}
	return password.Config{
		Users: users, Memory: uint32(c.MemoryKiB), Time: uint32(c.Time), Threads: uint8(c.Threads),
		Workers: c.Workers, Queue: c.Queue, Wait: c.Wait, MinLength: c.MinLength, Keys: legacy,
	}
}

func brakeLimits(c configs.Brakes) storage.BrakeLimits {
	return storage.BrakeLimits{
		AccountFailures: c.AccountFailures, PairFailures: c.KnownFailures, Delay: c.Delay, MaxDelay: c.MaxDelay,
		MostFailures: c.MostFailures, Lock: c.Lock, Window: c.Window, Known: c.Known,
		AddressFailures: c.AddressFailures, AddressWindow: c.AddressWindow,
	}
}

// clockSlack is how long what is remembered until a time is kept beyond it: room for clocks that differ.
const clockSlack = 10 * time.Minute

func retention(c configs.Retention) map[storage.TrimKind]time.Duration {
	return map[storage.TrimKind]time.Duration{
		storage.TrimSessions: c.Sessions, storage.TrimRefreshes: c.RefreshTokens, storage.TrimEvents: c.Events,
		storage.TrimRevoked: c.RevokedTokens, storage.TrimAnswers: c.Answers, storage.TrimAudit: c.Audit,
		storage.TrimNonces: clockSlack, storage.TrimExchanges: clockSlack,
		storage.TrimDevices: c.Handoffs, storage.TrimLogins: c.Handoffs, storage.TrimStarts: c.Sessions, storage.TrimDead: c.DeadDeliveries,
	}
}
