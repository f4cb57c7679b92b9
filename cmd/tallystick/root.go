package main

import "github.com/spf13/cobra"

// root is the whole command line.
func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "tallystick",
		Short: "OAuth 2 authorization server and wallet service",
		Long: `Tallystick is an OAuth 2 authorization server for a company's own products,
and a wallet service behind it.

To see it work, with nothing to install:   tallystick dev
To run it on MySQL and Redis:              tallystick serve --config FILE`,
		Example: "  tallystick dev",
	}
	c.AddCommand(
		devCommand(), serveCommand(), migrateCommand(), keysCommand(), clientCommand(), webhookCommand(), productCommand(),
		userCommand(), ledgerCommand(), configCommand(), benchCommand(), versionCommand(),
	)
	return c
}
