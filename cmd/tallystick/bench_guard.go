package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/bench"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/cmd/internal/devstack"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/guard/remote"
	"github.com/tallystick/tallystick/storage/redisstore"
)

// guardSettings is the first line that a guard of a bench reads. It holds a secret, so it comes in a
// pipe.
type guardSettings struct {
	Way string `json:"way"`
	// ConfigFile or DataDir say where the database is, Redis where the stream is, if not where the
	// configuration says.
	ConfigFile string `json:"config_file,omitempty"`
	DataDir    string `json:"data_dir,omitempty"`
	Redis      string `json:"redis,omitempty"`
	// Issuer, Client and Secret are for HTTP.
	Issuer   string `json:"issuer"`
	Client   string `json:"client_id"`
	Secret   string `json:"client_secret"`
	Insecure bool   `json:"insecure,omitempty"`
}

func benchGuardCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "guard",
		Short:   "Be a guard of a bench",
		Long:    "Be a guard of a bench, which starts this command itself and speaks to it over its standard input and output.",
		Example: "  tallystick bench kickout    # starts tallystick bench guard",
		Hidden:  true,
		Args:    cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			in := bufio.NewReader(c.InOrStdin())
			line, err := in.ReadBytes('\n')
			if err != nil {
				return cli.Usagef("it is started by tallystick bench kickout")
			}
			var s guardSettings
			if err := json.Unmarshal(line, &s); err != nil {
				return cli.Usagef("settings: %w", err)
			}
			g, closeGuard, err := s.open(c.Context(), slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})))
			if err != nil {
				return err
			}
			defer closeGuard()
			if err := g.Start(c.Context()); err != nil {
				return err
			}
			defer g.Stop()
			return bench.Work(c.Context(), g, in, c.OutOrStdout())
		},
	}
}

// open builds the guard, which is not started yet.
func (s *guardSettings) open(ctx context.Context, log *slog.Logger) (*guard.Guard, func(), error) {
	if s.Way == feedHTTP {
		g, err := remote.New(remote.Config{
			Issuer: s.Issuer, ClientID: s.Client, ClientSecret: secret.New(s.Secret), Audience: []string{s.Issuer}, Insecure: s.Insecure, Log: log,
		})
		return g, func() {}, err
	}
	t := target{configFile: s.ConfigFile, dataDir: s.DataDir}
	cfg, err := t.config()
	if err != nil {
		return nil, nil, err
	}
	if s.DataDir != "" {
		cfg.Issuer, cfg.Audience = s.Issuer, []string{s.Issuer}
	}
	if s.Redis != "" {
		cfg.Redis.URL = secret.New(s.Redis)
	}
	store, err := openStore(ctx, cfg, devstack.DatabasePath(s.DataDir))
	if err != nil {
		return nil, nil, err
	}
	closers := []func(){func() { _ = store.Close() }}
	closeAll := func() {
		for _, one := range slices.Backward(closers) {
			one()
		}
	}
	ring, err := openRing(ctx, cfg, store, log)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	parser, err := token.NewParser(token.ParserConfig{Issuer: cfg.Issuer, Audience: cfg.Audience, Leeway: cfg.Tokens.Leeway, Ring: ring})
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	c := guard.Config{Tokens: parser, Feed: store, Sessions: store, Poll: cfg.Guard.Poll, Log: log}
	if s.Way == feedStream {
		redis, err := redisstore.Open(ctx, redisConfig(cfg, nil))
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("stream: %w", err)
		}
		closers = append(closers, func() { _ = redis.Close() })
		c.Hurry = redis
	}
	g, err := guard.New(c)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return g, closeAll, nil
}
