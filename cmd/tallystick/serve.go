package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/cmd/internal/serve"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/storage/redisstore"
)

func serveCommand() *cobra.Command {
	var file, as string
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run the authorization server and the wallet over MySQL and Redis",
		Long: `Run the authorization server and the wallet, or with --role one of them, over MySQL and Redis.

It refuses to start on a bad configuration, an unreachable database or a schema that is behind (see
tallystick migrate). Redis may be away: then answers are slower, and wallet writes are refused if
wallet.lock.required says so. On SIGTERM it finishes the requests in flight and stops.`,
		Example: `  tallystick serve --config /etc/tallystick/tallystick.yaml
  tallystick serve --config tallystick.yaml --role wallet`,
		Args: cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return cli.Usagef("name the configuration: --config FILE")
			}
			if err := cli.OneOf("--role", as, string(roleAll), string(roleAuth), string(roleWallet)); err != nil {
				return err
			}
			cfg, err := configs.Load(file, os.Environ())
			if err != nil {
				return err
			}
			return serveConfig(c.Context(), c, cfg, role(as))
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration `FILE`")
	c.Flags().StringVar(&as, "role", string(roleAll), "what this process is: all, auth or wallet")
	return c
}

// serveConfig opens the engines and runs a process until ctx ends.
func serveConfig(ctx context.Context, c *cobra.Command, cfg configs.Config, r role) (err error) {
	log, err := serve.OpenLog(c.OutOrStdout(), cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	store, err := openStore(ctx, cfg, "")
	if err != nil {
		return err
	}
	defer store.Close()
	redisstore.CaptureLog(log.Logger)
	registry := prometheus.NewRegistry()
	rc := redisConfig(cfg, registry)
	rc.Log = log.Logger
	redis, err := redisstore.Open(ctx, rc)
	if err != nil {
		return err
	}
	defer redis.Close()
	if err := redis.Ping(ctx); err != nil {
		log.Warn("redis does not answer; going on without it", "err", err)
	}
	p, err := newProcess(ctx, cfg, r, store, redis, log.Logger, registry)
	if err != nil {
		return err
	}
	info, _ := debug.ReadBuildInfo()
	return p.run(ctx, func(addr string) error {
		log.Info("ready", "role", string(r), "addr", addr, "issuer", cfg.Issuer, "build", buildOf(info).String())
		return nil
	})
}
