package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/keys"
)

func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "List, rotate and retire signing keys",
		Long: `A rotated key is published before it signs (keys.publish in the configuration),
so that everybody who checks tokens has it by then. The key before it stays
published while tokens of it may live, and can be retired after that.`,
		Example: "  tallystick keys rotate --config tallystick.yaml",
	}
	c.AddCommand(keysListCommand(), keysRotateCommand(), keysRetireCommand())
	return c
}

func keysListCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     "list",
		Short:   "List the signing keys and what they are doing",
		Example: "  tallystick keys list --config tallystick.yaml --output json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				all, err := k.Ring.List(ctx)
				if err != nil {
					return err
				}
				return cli.Print(c, map[string]any{"keys": all}, func(w io.Writer) error { return printKeys(w, all) })
			})
		},
	}))
}

func printKeys(w io.Writer, all []keys.Info) error {
	rows := make([][]string, len(all))
	for i, k := range all {
		rows[i] = []string{k.ID, k.Algorithm, string(k.State), when(&k.ActiveAt), when(k.StopsAt), when(k.RetirableAt), when(k.RetiredAt)}
	}
	return cli.Table(w, []string{"KEY", "ALGORITHM", "STATE", "SIGNS FROM", "UNTIL", "RETIRABLE", "RETIRED"}, rows)
}

func keysRotateCommand() *cobra.Command {
	now := false
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:     "rotate",
		Short:   "Make the next signing key",
		Example: "  tallystick keys rotate --config tallystick.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				rotate := k.Ring.Rotate
				if now {
					rotate = k.Ring.RotateNow
				}
				made, err := rotate(ctx)
				if err != nil {
					return oneOfThese(err, map[error]string{
						keys.ErrPending: "a next key is published already: wait until it signs, or use --now if the key that signs may be known to others",
						keys.ErrStale:   "somebody else rotated at the same time: see tallystick keys list",
						keys.ErrTooMany: "too many keys are published: retire old ones first, see tallystick keys list",
					})
				}
				return cli.Print(c, made, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s signs from %s on.\n", made.ID, made.ActiveAt.UTC().Format(time.RFC3339))
					return err
				})
			})
		},
	}))
	c.Flags().BoolVar(&now, "now", false, "let the new key sign at once, when the key that signs may be known to others")
	return c
}

func keysRetireCommand() *cobra.Command {
	force := false
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:   "retire KEY",
		Short: "Withdraw a signing key: what it signed is refused from now on",
		Long: `Refuses a key that signs, or whose tokens may live. With --force it withdraws
that too, and everybody who holds such a token has to sign in again.`,
		Example: "  tallystick keys retire NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --config tallystick.yaml",
		Args:    cli.Args("KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				if err := k.Ring.Retire(ctx, args[0], force); err != nil {
					return oneOfThese(err, map[error]string{
						keys.ErrUnknownKey: fmt.Sprintf("there is no key %s: see tallystick keys list", cli.Printable(args[0])),
						keys.ErrInUse:      "the key signs, or tokens of it may live: wait until it is retirable (tallystick keys list), or use --force and end those tokens",
					})
				}
				return cli.Print(c, map[string]string{"retired": args[0]}, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s is retired.\n", args[0])
					return err
				})
			})
		},
	}))
	c.Flags().BoolVar(&force, "force", false, "also if tokens of it may live, which are refused from then on")
	return c
}
