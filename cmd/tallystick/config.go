package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/configs"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check configuration files", Example: "  tallystick config check tallystick.yaml"}
	c.AddCommand(configCheckCommand())
	return c
}

// verdict is what config check prints as JSON.
type verdict struct {
	OK       bool           `json:"ok"`
	Faults   []verdictFault `json:"faults"`
	Warnings []string       `json:"warnings"`
}

type verdictFault struct {
	Where string `json:"where"`
	Key   string `json:"key"`
	Text  string `json:"text"`
}

func configCheckCommand() *cobra.Command {
	return cli.WithOutput(&cobra.Command{
		Use:   "check FILE",
		Short: "Say everything that is wrong with a configuration file",
		Long: `Reads FILE, the TALLYSTICK_… variables of the environment and the files that
they name, exactly as serve would, and prints every fault in a line of its own.
No server is contacted.`,
		Example: "  tallystick config check /etc/tallystick/tallystick.yaml",
		Args:    cli.Args("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := configs.Load(args[0], os.Environ())
			invalid, wrong := errors.AsType[*configs.InvalidError](err)
			switch {
			case err != nil && (!wrong || !cli.JSON(c)):
				return err
			case err != nil:
				return printFaults(c, invalid.Faults)
			}
			v := verdict{OK: true, Faults: []verdictFault{}, Warnings: append([]string{}, cfg.Warnings...)}
			return cli.Print(c, v, func(w io.Writer) error {
				for _, warning := range cfg.Warnings {
					fmt.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning)
				}
				_, err := fmt.Fprintf(w, "%s is good.\n", args[0])
				return err
			})
		},
	})
}

func printFaults(c *cobra.Command, faults []configs.Fault) error {
	v := verdict{Warnings: []string{}}
	for _, f := range faults {
		v.Faults = append(v.Faults, verdictFault(f))
	}
	if err := cli.Print(c, v, func(io.Writer) error { return nil }); err != nil {
		return err
	}
	return cli.ErrSilent
}
