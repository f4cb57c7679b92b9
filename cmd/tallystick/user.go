package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

func userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "user",
		Short:   "Create, import and manage users",
		Example: "  tallystick user create tom --config tallystick.yaml",
	}
	c.AddCommand(
		userCreateCommand(), userListCommand(), userImportCommand(), userDisableCommand(), userEnableCommand(), userKickCommand(),
		userBanCommand(), userUnbanCommand(), userWalletCommand(), userFreezeCommand(), userUnfreezeCommand(),
	)
	return c
}

// shownUser is a user as it is printed.
type shownUser struct {
	Sub        string     `json:"sub"`
	Username   string     `json:"username"`
	CreatedAt  time.Time  `json:"created_at"`
	DisabledAt *time.Time `json:"disabled_at,omitempty"`
	Ban        *shownBan  `json:"ban,omitempty"`
}

type shownBan struct {
	At     time.Time  `json:"at"`
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

func shownUserOf(u storage.User) shownUser {
	s := shownUser{Sub: string(u.ID), Username: u.Username, CreatedAt: u.CreatedAt, DisabledAt: u.DisabledAt}
	if u.Ban != nil {
		s.Ban = &shownBan{At: u.Ban.At, Until: u.Ban.Until, Reason: u.Ban.Reason}
	}
	return s
}

func (s *shownUser) state() string {
	switch {
	case s.DisabledAt != nil:
		return "disabled"
	case s.Ban != nil && s.Ban.Until != nil:
		return "banned until " + when(s.Ban.Until)
	case s.Ban != nil:
		return "banned"
	}
	return "enabled"
}

func userCreateCommand() *cobra.Command {
	without := false
	c := cli.WithPasswordFile(withTarget(cli.WithOutput(&cobra.Command{
		Use:   "create USERNAME",
		Short: "Create a user",
		Long: `The password is asked for on a terminal, or read from standard input or from
--password-file. It is never an argument, where everyone on this host could
read it.`,
		Example: `  tallystick user create tom --config tallystick.yaml
  tallystick user create tom --password-file /run/secrets/tom --config tallystick.yaml`,
		Args: cli.Args("USERNAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := targetOf(c); err != nil {
				return err // before a password is asked for
			}
			var pw *secret.Text
			if !without {
				typed, err := cli.Password(c)
				if err != nil {
					return err
				}
				pw = &typed
			}
			return withKit(c, func(ctx context.Context, k *kit) error {
				made, err := k.Users.Create(ctx, operator(), args[0], pw)
				if err != nil {
					return userError(err, args[0])
				}
				return cli.Print(c, shownUserOf(made), func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "The user %s is created; sub %s.\n", cli.Printable(made.Username), made.ID)
					return err
				})
			})
		},
	})))
	c.Flags().BoolVar(&without, "no-password", false, "create a user who cannot sign in by password")
	return c
}

// userError words an error of the service of users for the operator.
func userError(err error, name string) error {
	name = cli.Printable(name)
	if policy, is := errors.AsType[*password.PolicyError](err); is {
		return cli.Usagef("%s", policy.Text)
	}
	if input, is := errors.AsType[*admin.InputError](err); is {
		return cli.Usagef("%s", input.Text)
	}
	if errors.Is(err, password.ErrUsername) && !errors.Is(err, storage.ErrNotFound) {
		return cli.Usagef("%q cannot be a user name: no spaces or control characters, at most %d bytes", name, password.MaxUsername)
	}
	return oneOfThese(err, map[error]string{
		storage.ErrExists:   fmt.Sprintf("there is a user %s already", name),
		storage.ErrNotFound: fmt.Sprintf("there is no user %s: see tallystick user list", name),
		storage.ErrStale:    fmt.Sprintf("somebody else changed the user %s at the same time: try again", name),
	})
}

func userListCommand() *cobra.Command {
	after, limit := "", 0
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:     "list",
		Short:   "List users in the order of their names",
		Example: "  tallystick user list --after tom --limit 100 --config tallystick.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 || limit > admin.MaxPage {
				return cli.Usagef("--limit: %d is not between 1 and %d", limit, admin.MaxPage)
			}
			return withKit(c, func(ctx context.Context, k *kit) error {
				page, err := k.Users.List(ctx, after, limit)
				if err != nil {
					return err
				}
				return printUsers(c, page, len(page) == limit)
			})
		},
	}))
	c.Flags().StringVar(&after, "after", "", "begin after this user name")
	c.Flags().IntVar(&limit, "limit", 100, fmt.Sprintf("how many, at most %d", admin.MaxPage))
	return c
}

// printUsers prints a page; more says that there may be another behind it.
func printUsers(c *cobra.Command, page []storage.User, more bool) error {
	list := make([]shownUser, len(page))
	rows := make([][]string, len(page))
	for i, u := range page {
		list[i] = shownUserOf(u)
		rows[i] = []string{u.Username, string(u.ID), list[i].state(), when(&u.CreatedAt)}
	}
	out := map[string]any{"users": list}
	if more {
		out["next_after"] = list[len(list)-1].Username
	}
	err := cli.Print(c, out, func(w io.Writer) error {
		return cli.Table(w, []string{"USERNAME", "SUB", "STATE", "CREATED"}, rows)
	})
	if err == nil && more && !cli.JSON(c) {
		fmt.Fprintf(c.ErrOrStderr(), "There may be more: --after %s\n", cli.Printable(list[len(list)-1].Username))
	}
	return err
}

func userDisableCommand() *cobra.Command {
	return onUser("disable", "Keep a user out and end all sessions", func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
		ended, err := k.Users.Disable(ctx, operator(), u.ID)
		return printEnded(c, err, "disabled", u, ended)
	})
}

func userEnableCommand() *cobra.Command {
	return onUser("enable", "Let a disabled or banned user in again", func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
		return changed(c, k.Users.Enable(ctx, operator(), u.ID), "enabled", u.Username, "The user %s is enabled.\n")
	})
}

func userKickCommand() *cobra.Command {
	var name, terminal string
	c := onUser("kick", "End the sessions of a user, all or some", func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
		if terminal != "" {
			if err := cli.OneOf("--terminal", terminal, string(storage.Mobile), string(storage.Browser), string(storage.API)); err != nil {
				return err
			}
		}
		if _, configured := k.Config.Products[name]; name != "" && !configured {
			return cli.Usagef("--product: there is no product %q: see tallystick product list", name)
		}
		ended, err := k.Users.Kick(ctx, operator(), u.ID, name, storage.Terminal(terminal))
		return printEnded(c, err, "kicked", u, ended)
	})
	c.Flags().StringVar(&name, "product", "", "only the sessions of this product")
	c.Flags().StringVar(&terminal, "terminal", "", "only the sessions on this terminal: mobile, browser or api")
	return c
}

// printEnded tells what was done to a user, and how many sessions that ended.
func printEnded(c *cobra.Command, err error, what string, u storage.User, ended []storage.Event) error {
	if err != nil {
		return err
	}
	sessions := make([]string, len(ended))
	for i, e := range ended {
		sessions[i] = e.Key
	}
	out := map[string]any{what: u.Username, "sub": u.ID, "ended_sessions": sessions}
	return cli.Print(c, out, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "The user %s is %s; sessions ended: %d.\n", cli.Printable(u.Username), what, len(ended))
		return err
	})
}

// onUser is a command about one user, named by user name or by --sub.
func onUser(verb, short string, do func(context.Context, *cobra.Command, *kit, storage.User) error) *cobra.Command {
	sub := ""
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:   verb + " USERNAME",
		Short: short,
		Example: "  tallystick user " + verb + " tom --config tallystick.yaml\n" +
			"  tallystick user " + verb + " --sub 7zqk9… --config tallystick.yaml",
		Args: func(c *cobra.Command, args []string) error {
			if sub != "" {
				return cli.Args()(c, args)
			}
			return cli.Args("USERNAME")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				named := sub
				find := func() (storage.User, error) { return k.Users.User(ctx, storage.UserID(sub)) }
				if sub == "" {
					named = args[0]
					find = func() (storage.User, error) { return k.Users.ByName(ctx, args[0]) }
				}
				u, err := find()
				if err == nil {
					err = do(ctx, c, k, u)
				}
				if err != nil {
					return userError(err, named)
				}
				return nil
			})
		},
	}))
	c.Flags().StringVar(&sub, "sub", "", "the user by identifier instead of by name")
	return c
}
