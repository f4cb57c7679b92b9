package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/cmd/internal/devstack"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/storage"
)

func keysCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "keys",
		Short: "List, rotate and retire keys",
		Long: `A rotated key is published before it signs (keys.publish in the configuration),
so that everybody who checks tokens has it by then. The key before it stays
published while tokens of it may live, and can be retired after that.

Beside the keys that sign (use sig) there are those that passwords may be
encrypted for (use enc). They live the same way; the key set names the one to
encrypt for, and the one before it opens what was encrypted for it until it is
retired.`,
		Example: "  tallystick keys rotate --config tallystick.yaml",
	}
	c.AddCommand(keysListCommand(), keysRotateCommand(), keysRetireCommand())
	return c
}

func keysListCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     "list",
		Short:   "List the keys and what they are doing",
		Example: "  tallystick keys list --config tallystick.yaml --output json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				all, err := k.Ring.List(ctx)
				if err != nil {
					return err
				}
				encrypting, err := k.Encryption.List(ctx)
				if err != nil {
					return err
				}
				all = append(all, encrypting...)
				return cli.Print(c, map[string]any{"keys": all}, func(w io.Writer) error { return printKeys(w, all) })
			})
		},
	}))
}

func printKeys(w io.Writer, all []keys.Info) error {
	rows := make([][]string, len(all))
	for i, k := range all {
		rows[i] = []string{k.ID, k.Algorithm, string(k.State), k.Use, when(&k.ActiveAt), when(k.StopsAt), when(k.RetirableAt), when(k.RetiredAt)}
	}
	return cli.Table(w, []string{"KEY", "ALGORITHM", "STATE", "USE", "FROM", "UNTIL", "RETIRABLE", "RETIRED"}, rows)
}

func keysRotateCommand() *cobra.Command {
	now, use := false, ""
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:     "rotate",
		Short:   "Make the next key",
		Example: "  tallystick keys rotate --config tallystick.yaml\n  tallystick keys rotate --use enc --config tallystick.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			if use != useSign && use != useEncrypt {
				return cli.Usagef("--use is %s or %s", useSign, useEncrypt)
			}
			return withKit(c, func(ctx context.Context, k *kit) error {
				ring := k.rotating(use)
				rotate := ring.Rotate
				if now {
					rotate = ring.RotateNow
				}
				made, err := rotate(ctx)
				if err != nil {
					return oneOfThese(err, map[error]string{
						keys.ErrPending: "a next key is published already: wait until it signs, or use --now if the key that signs may be known to others",
						keys.ErrStale:   "somebody else rotated at the same time: see tallystick keys list",
						keys.ErrTooMany: "too many keys are published: retire old ones first, see tallystick keys list",
					})
				}
				if err := recordKey(ctx, k.Store, audit.KeyAdded, made.ID); err != nil {
					return err
				}
				return cli.Print(c, made, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "%s %s from %s on.\n", made.ID, map[string]string{useSign: "signs", useEncrypt: "is encrypted for"}[use],
						made.ActiveAt.UTC().Format(time.RFC3339))
					return err
				})
			})
		},
	}))
	c.Flags().StringVar(&use, "use", useSign, "what the key is for: `sig` or enc")
	c.Flags().BoolVar(&now, "now", false, "let the new key sign at once, when the key that signs may be known to others")
	return c
}

// The uses of keys, as in the key set.
const (
	useSign    = "sig"
	useEncrypt = "enc"
)

// keyRing is what the rings of all uses do.
type keyRing interface {
	Rotate(ctx context.Context) (keys.Info, error)
	RotateNow(ctx context.Context) (keys.Info, error)
	Retire(ctx context.Context, id string, force bool) error
}

// rotating is the ring of a use.
func (k *kit) rotating(use string) keyRing {
	if use == useEncrypt {
		return k.Encryption
	}
	return k.Ring
}

func keysRetireCommand() *cobra.Command {
	force, all := false, false
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:   "retire KEY",
		Short: "Withdraw a key: what it signed, or was encrypted for it, is refused from now on",
		Long: `Refuses a key that signs, or whose tokens may live. With --force it withdraws
that too, and everybody who holds such a token has to sign in again.

With --all --force, and without KEY, it withdraws every key without opening any,
for the day on which the encryption key is lost or replaced: the next start
makes a new key, and everybody has to sign in again.`,
		Example: `  tallystick keys retire NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --config tallystick.yaml
  tallystick keys retire --all --force --config tallystick.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if all {
				return cli.Args()(c, args)
			}
			return cli.Args("KEY")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case all && !force:
				return cli.Usagef("--all ends every token there is: say so with --force")
			case all:
				return retireAll(c)
			}
			return withKit(c, func(ctx context.Context, k *kit) error { return retireOne(ctx, c, k, args[0], force) })
		},
	}))
	c.Flags().BoolVar(&force, "force", false, "also if tokens of it may live, which are refused from then on")
	c.Flags().BoolVar(&all, "all", false, "every key; with --force")
	return c
}

func retireOne(ctx context.Context, c *cobra.Command, k *kit, id string, force bool) error {
	err := k.Ring.Retire(ctx, id, force)
	if errors.Is(err, keys.ErrUnknownKey) {
		err = k.Encryption.Retire(ctx, id, force)
	}
	if err != nil {
		return oneOfThese(err, map[error]string{
			keys.ErrUnknownKey: fmt.Sprintf("there is no key %s: see tallystick keys list", cli.Printable(id)),
			keys.ErrInUse:      "the key signs, or tokens of it may live: wait until it is retirable (tallystick keys list), or use --force and end those tokens",
		})
	}
	return changed(c, recordKey(ctx, k.Store, audit.KeyRetired, id), "retired", id, "The key %s is retired.\n")
}

// retireAll needs the store alone: the keys may be such that nobody can open them any more.
func retireAll(c *cobra.Command) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	cfg, err := t.config()
	if err != nil {
		return err
	}
	store, err := openStore(c.Context(), cfg, devstack.DatabasePath(t.dataDir))
	if err != nil {
		return err
	}
	defer store.Close()
	n, err := keys.RetireAll(c.Context(), keyStore{store}, time.Now())
	if err != nil {
		return err
	}
	if err := recordKey(c.Context(), store, audit.KeyRetired, "all"); err != nil {
		return err
	}
	return cli.Print(c, map[string]int{"retired": n}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d keys are retired; the next start makes a new one. Restart every server now.\n", n)
		return err
	})
}

// recordKey leaves the audit record of a change of keys, which the ring, that knows no operators, does
// not.
func recordKey(ctx context.Context, store storage.Audit, action, id string) error {
	record := operator().Record(action, time.Now())
	record.Detail = audit.Detail("key", id)
	if err := store.Append(ctx, record); err != nil {
		return fmt.Errorf("the change is made, but not in the audit record: %w", err)
	}
	return nil
}
