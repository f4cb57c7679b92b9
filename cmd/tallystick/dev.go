package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/cmd/internal/devstack"
	"github.com/tallystick/tallystick/cmd/internal/serve"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/redisstore/embedded"
	"github.com/tallystick/tallystick/storage/sqlite"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

type devOptions struct {
	addr, dataDir, redisAddr string
	fresh                    bool
	origins                  []string
}

func devCommand() *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process on embedded engines, with demo data",
		Long: `Run everything in one process, with no server to install: SQLite, an embedded Redis-protocol
server, the authorization server and the wallet on one listener, with demo products, clients, users
and funded wallets.

It prints curl lines that work as pasted. When it is ready it has written DATA_DIR/dev.json. State
survives a restart. It listens on loopback addresses only.`,
		Example: `  tallystick dev
  tallystick dev --addr 127.0.0.1:9000 --data-dir /tmp/tally --fresh`,
		Args: cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := devstack.CheckAddr(o.addr); err != nil {
				return cli.Usagef("%w", err)
			}
			return runDev(c.Context(), c.OutOrStdout(), c.ErrOrStderr(), o)
		},
	}
	c.Flags().StringVar(&o.addr, "addr", "127.0.0.1:8080", "loopback address to listen on, `HOST:PORT`")
	c.Flags().StringVar(&o.redisAddr, "redis-addr", "127.0.0.1:0", "loopback address of the embedded Redis-protocol server, `HOST:PORT`")
	c.Flags().StringVar(&o.dataDir, "data-dir", ".tallystick", "`folder` that keeps the state")
	c.Flags().BoolVar(&o.fresh, "fresh", false, "forget the state and start over")
	c.Flags().StringArrayVar(&o.origins, "cors-origin", nil, "`origin` of a page under development that may call, such as http://localhost:5173; may be repeated")
	return c
}

// runDev brings up the engines, the demo and the process, and runs until ctx ends.
func runDev(ctx context.Context, out, errs io.Writer, o devOptions) error {
	folder, err := devstack.Open(o.dataDir, o.fresh)
	if err != nil {
		return err
	}
	defer folder.Close()
	log, err := serve.OpenLog(errs, "warn", "text")
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	addr, err := fixedAddr(ctx, o.addr)
	if err != nil {
		return err
	}
	cfg := devstack.Config(addr, folder.EncryptionKey())
	cfg.CORS.Origins = o.origins
	wechat, err := devstack.StartWeChat(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = wechat.Stop() }()
	wechat.Config(&cfg)
	if err := cfg.Validate(); err != nil {
		return err
	}
	store, err := openDevStore(ctx, folder)
	if err != nil {
		return err
	}
	defer store.Close()
	redisstore.CaptureLog(log.Logger)
	registry := prometheus.NewRegistry()
	redis, stop, err := openDevRedis(ctx, cfg, o.redisAddr, log.Logger, registry)
	if err != nil {
		return err
	}
	defer stop()
	p, err := newProcess(ctx, cfg, roleAll, store, redis, log.Logger, registry)
	if err != nil {
		return err
	}
	demo, err := seed(ctx, folder, p)
	if err != nil {
		return err
	}
	demo.WeChat = wechat.Mint()
	return p.run(ctx, func(string) error {
		if err := folder.WriteReady(cfg.Issuer, demo); err != nil {
			return err
		}
		_, err := io.WriteString(out, folder.Greeting(cfg.Issuer, demo))
		return err
	})
}

// fixedAddr chooses the port where the address leaves it open, since the issuer names it.
func fixedAddr(ctx context.Context, addr string) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("%w (choose another --addr)", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func openDevStore(ctx context.Context, folder *devstack.Folder) (*sqlstore.DB, error) {
	c := sqlite.Config{Path: folder.DatabasePath()}
	if _, err := sqlite.Migrate(ctx, c); err != nil {
		return nil, err
	}
	return sqlite.Open(ctx, c)
}

// openDevRedis starts the embedded server and a store on it.
func openDevRedis(ctx context.Context, cfg configs.Config, addr string, log *slog.Logger, registry prometheus.Registerer) (*redisstore.Store, func(), error) {
	server, err := embedded.Start(embedded.Config{Addr: addr})
	if err != nil {
		return nil, nil, err
	}
	cfg.Redis.URL = server.URL()
	rc := redisConfig(cfg, registry)
	rc.Log = log
	store, err := redisstore.Open(ctx, rc)
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	return store, func() {
		_ = store.Close()
		server.Stop()
	}, nil
}

func seed(ctx context.Context, folder *devstack.Folder, p *process) (devstack.Demo, error) {
	k, err := newKit(ctx, p.cfg, p.store, p.redis, p.log)
	if err != nil {
		return devstack.Demo{}, err
	}
	demo, err := folder.Seed(ctx, devstack.Services{Clients: k.Clients, Users: k.Users, Wallet: p.resource.Wallet()}, p.cfg.Issuer, time.Now())
	// Hashing the demo's passwords took memory that an idle instance does not need.
	debug.FreeOSMemory()
	return demo, err
}
