package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/cmd/internal/devstack"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/storage/mysql"
	"github.com/tallystick/tallystick/storage/sqlite"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

func migrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of the database up to date",
		Long: `Migrations are safe to run twice, from two hosts at once, and again after they
were cut off. serve refuses to start on a schema that is behind.`,
		Example: "  tallystick migrate up --config tallystick.yaml",
	}
	c.AddCommand(migrateUpCommand(), migrateStatusCommand())
	return c
}

// appliedStep and knownStep are what the two commands print as JSON.
type appliedStep struct {
	Version int64   `json:"version"`
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

type knownStep struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
}

type schemaStatus struct {
	Current    int64       `json:"current"`
	Target     int64       `json:"target"`
	Behind     bool        `json:"behind"`
	Migrations []knownStep `json:"migrations"`
}

func migrateUpCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     "up",
		Short:   "Apply the migrations that are missing",
		Example: "  tallystick migrate up --config tallystick.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			applied, err := onSchema(c, mysql.Migrate, sqlite.Migrate)
			if err != nil {
				return err
			}
			steps := make([]appliedStep, len(applied))
			for i, a := range applied {
				steps[i] = appliedStep{a.Version, a.Name, a.Took.Seconds()}
			}
			return cli.Print(c, map[string]any{"applied": steps}, func(w io.Writer) error { return printSteps(w, steps) })
		},
	}))
}

func printSteps(w io.Writer, steps []appliedStep) error {
	for _, s := range steps {
		if _, err := fmt.Fprintf(w, "applied %s in %.2f s\n", s.Name, s.Seconds); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, "The schema is up to date.")
	return err
}

func migrateStatusCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     "status",
		Short:   "Say which migrations have been applied",
		Long:    "Exits with 1 if migrations are missing.",
		Example: "  tallystick migrate status --config tallystick.yaml --output json",
		RunE: func(c *cobra.Command, _ []string) error {
			status, err := onSchema(c, mysql.Status, sqlite.Status)
			if err != nil {
				return err
			}
			return printStatus(c, status)
		},
	}))
}

func printStatus(c *cobra.Command, status sqlstore.Status) error {
	out := schemaStatus{Current: status.Current, Target: status.Target, Behind: status.Current < status.Target}
	rows := make([][]string, 0, len(status.Migrations))
	for _, m := range status.Migrations {
		out.Migrations = append(out.Migrations, knownStep{m.Version, m.Name, m.Applied})
		state := "missing"
		if m.Applied {
			state = "applied"
		}
		rows = append(rows, []string{fmt.Sprint(m.Version), m.Name, state})
	}
	err := cli.Print(c, out, func(w io.Writer) error { return cli.Table(w, []string{"VERSION", "NAME", "STATE"}, rows) })
	switch {
	case err != nil:
		return err
	case status.Current < status.Target:
		return errors.New("the schema is behind: run tallystick migrate up")
	case status.Current > status.Target:
		return errors.New("the schema is newer than this program: update the program")
	}
	return nil
}

// onSchema calls the function of the engine that the target has. A schema that is behind is no
// obstacle here, so it does not open a kit.
func onSchema[T any](
	c *cobra.Command, onMySQL func(context.Context, mysql.Config) (T, error), onSQLite func(context.Context, sqlite.Config) (T, error),
) (T, error) {
	var none T
	t, err := targetOf(c)
	if err != nil {
		return none, err
	}
	cfg, err := t.config()
	if err != nil {
		return none, err
	}
	if !cfg.Embedded {
		return onMySQL(c.Context(), mysqlConfig(cfg))
	}
	return onSQLite(c.Context(), sqlite.Config{Path: devstack.DatabasePath(t.dataDir)})
}

func mysqlConfig(c configs.Config) mysql.Config {
	m := c.MySQL
	return mysql.Config{
		DSN: m.DSN, MaxOpen: m.MaxOpenConns, MaxIdle: m.MaxIdleConns,
		ConnMaxLifetime: m.ConnMaxLifetime, ConnMaxIdleTime: m.ConnMaxIdleTime,
	}
}
