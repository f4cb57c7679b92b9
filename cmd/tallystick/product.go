package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/storage"
)

func productCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "product",
		Short:   "Show products, terminals and run modes as configured",
		Example: "  tallystick product list --config tallystick.yaml",
	}
	c.AddCommand(productListCommand(), productCheckCommand())
	return c
}

// shownTerminal is a terminal of a product as it is printed. Times are in seconds, as in tokens.
type shownTerminal struct {
	Terminal    string `json:"terminal"`
	Mode        string `json:"mode"`
	AccessTTL   int64  `json:"access_ttl"`
	SessionTTL  int64  `json:"session_ttl"`
	IdleTTL     int64  `json:"idle_ttl"`
	MaxSessions int    `json:"max_sessions,omitempty"`
}

type shownProduct struct {
	Product   string          `json:"product"`
	Terminals []shownTerminal `json:"terminals"`
}

func productListCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     "list",
		Short:   "List the products with their terminals and run modes",
		Example: "  tallystick product list --config tallystick.yaml --output json",
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := targetOf(c)
			if err != nil {
				return err
			}
			cfg, err := t.config()
			if err != nil {
				return err
			}
			list, rows, err := shownProducts(cfg)
			if err != nil {
				return err
			}
			return cli.Print(c, map[string]any{"products": list}, func(w io.Writer) error {
				return cli.Table(w, []string{"PRODUCT", "TERMINAL", "MODE", "ACCESS", "SESSION", "IDLE", "SESSIONS"}, rows)
			})
		},
	}))
}

func shownProducts(cfg configs.Config) (list []shownProduct, rows [][]string, err error) {
	rules, err := product.New(productConfig(cfg))
	if err != nil {
		return nil, nil, err
	}
	for _, name := range rules.Products() {
		p := shownProduct{Product: name}
		for _, r := range rules.Rules(name) {
			t := shownTerminal{
				Terminal: string(r.Terminal), Mode: string(r.Mode), AccessTTL: int64(r.AccessTTL / time.Second),
				SessionTTL: int64(r.SessionTTL / time.Second), IdleTTL: int64(r.IdleTTL / time.Second),
			}
			idle, sessions := "", ""
			if r.IdleTTL > 0 {
				idle = lasting(r.IdleTTL)
			}
			if r.Mode == storage.Concurrent {
				t.MaxSessions, sessions = r.MaxSessions, fmt.Sprint(r.MaxSessions)
			}
			p.Terminals = append(p.Terminals, t)
			rows = append(rows, []string{name, t.Terminal, t.Mode, lasting(r.AccessTTL), lasting(r.SessionTTL), idle, sessions})
		}
		list = append(list, p)
	}
	return list, rows, nil
}

// lasting prints a duration as one writes it in the configuration: 15m, 2d.
func lasting(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		letter string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= unit.length && d%unit.length == 0 {
			return fmt.Sprintf("%d%s", d/unit.length, unit.letter)
		}
	}
	return d.String()
}

func productCheckCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:   "check",
		Short: "Compare the products as configured with the clients that use them",
		Long: `Finds clients that may sign users in to a product or on a terminal that is not
configured, and products that no client signs users in to. Exits with 1 if a
client's default would be refused.`,
		Example: "  tallystick product check --config tallystick.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				all, err := allClients(ctx, k)
				if err != nil {
					return err
				}
				found := compare(k.Config.Products, all)
				if err := cli.Print(c, found, found.print); err != nil {
					return err
				}
				if len(found.Faults) > 0 {
					return cli.ErrSilent
				}
				return nil
			})
		},
	}))
}

// comparison is what product check prints.
type comparison struct {
	OK       bool     `json:"ok"`
	Faults   []string `json:"faults"`
	Warnings []string `json:"warnings"`
}

func (v *comparison) print(w io.Writer) error {
	lines := []string{}
	for _, f := range v.Faults {
		lines = append(lines, "fault: "+f)
	}
	for _, f := range v.Warnings {
		lines = append(lines, "warning: "+f)
	}
	if len(lines) == 0 {
		lines = append(lines, "Products and clients fit.")
	}
	for _, l := range lines {
		if _, err := fmt.Fprintln(w, cli.Printable(l)); err != nil {
			return err
		}
	}
	return nil
}

func compare(products map[string]configs.Product, clients []storage.Client) *comparison {
	v := &comparison{Faults: []string{}, Warnings: []string{}}
	used := map[string]bool{}
	for _, c := range clients {
		if c.DisabledAt != nil {
			continue
		}
		for i, name := range c.Products {
			used[name] = true
			p, configured := products[name]
			switch {
			case !configured && i == 0:
				v.Faults = append(v.Faults, fmt.Sprintf("client %s signs users in to %s, which is not configured", c.ID, name))
			case !configured:
				v.Warnings = append(v.Warnings, fmt.Sprintf("client %s may sign users in to %s, which is not configured", c.ID, name))
			default:
				v.terminals(c, name, p)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(products)) {
		if !used[name] {
			v.Warnings = append(v.Warnings, fmt.Sprintf("no client signs users in to %s", name))
		}
	}
	v.OK = len(v.Faults) == 0
	return v
}

func (v *comparison) terminals(c storage.Client, name string, p configs.Product) {
	for i, t := range c.Terminals {
		if _, configured := p.Terminals[string(t)]; configured {
			continue
		}
		if i == 0 {
			v.Faults = append(v.Faults, fmt.Sprintf("client %s signs users in on %s, which %s does not have", c.ID, t, name))
		} else {
			v.Warnings = append(v.Warnings, fmt.Sprintf("client %s may sign users in on %s, which %s does not have", c.ID, t, name))
		}
	}
}
