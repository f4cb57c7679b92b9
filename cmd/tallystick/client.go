package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

func clientCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "client",
		Short:   "Create and manage OAuth clients",
		Example: "  tallystick client create billing --grant client_credentials --scope wallet:deposit --config tallystick.yaml",
	}
	c.AddCommand(
		clientCreateCommand(), clientListCommand(), clientShowCommand(), clientRotateCommand(),
		clientDisableCommand(), clientEnableCommand(),
	)
	return c
}

// shownClient is a client as it is printed.
type shownClient struct {
	ID             string     `json:"client_id"`
	Secret         string     `json:"client_secret,omitempty"`
	Name           string     `json:"name"`
	Type           string     `json:"type"`
	Grants         []string   `json:"grants"`
	Products       []string   `json:"products"`
	Terminals      []string   `json:"terminals"`
	Scopes         []string   `json:"scopes"`
	RedirectURIs   []string   `json:"redirect_uris"`
	CreatedAt      time.Time  `json:"created_at"`
	UpdatedAt      time.Time  `json:"updated_at"`
	DisabledAt     *time.Time `json:"disabled_at,omitempty"`
	OldSecretUntil *time.Time `json:"old_secret_until,omitempty"`
}

func shown(c storage.Client) shownClient {
	s := shownClient{
		ID: string(c.ID), Name: c.Name, Type: string(c.Kind),
		Grants: append([]string{}, c.Grants...), Products: append([]string{}, c.Products...), Terminals: []string{},
		Scopes: append([]string{}, c.Scopes...), RedirectURIs: append([]string{}, c.RedirectURIs...),
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, DisabledAt: c.DisabledAt, OldSecretUntil: c.OldSecretUntil,
	}
	for _, t := range c.Terminals {
		s.Terminals = append(s.Terminals, string(t))
	}
	return s
}

func (s *shownClient) print(w io.Writer) error {
	for _, line := range [][2]string{
		{"client_id", s.ID},
		{"client_secret", s.Secret},
		{"name", s.Name},
		{"type", s.Type},
		{"grants", strings.Join(s.Grants, " ")},
		{"products", strings.Join(s.Products, " ")},
		{"terminals", strings.Join(s.Terminals, " ")},
		{"scopes", strings.Join(s.Scopes, " ")},
		{"redirect_uris", strings.Join(s.RedirectURIs, " ")},
		{"created_at", when(&s.CreatedAt)},
		{"updated_at", when(&s.UpdatedAt)},
		{"old secret until", when(s.OldSecretUntil)},
		{"disabled_at", when(s.DisabledAt)},
	} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-17s %s\n", line[0], cli.Printable(line[1])); err != nil {
			return err
		}
	}
	return nil
}

// showSecret prints a client with its new secret, which is not kept anywhere.
func showSecret(c *cobra.Command, made storage.Client, value secret.Text) error {
	s := shown(made)
	s.Secret = value.Reveal()
	if err := cli.Print(c, s, s.print); err != nil {
		return err
	}
	if s.Secret != "" && !cli.JSON(c) {
		fmt.Fprintln(c.ErrOrStderr(), "Keep the secret now: it is not stored and cannot be shown again.")
	}
	return nil
}

// grantNames are the short names of grants whose own are URNs.
func grantNames() map[string]string {
	return map[string]string{
		"device_code": oauth.GrantDeviceCode, "login_token": oauth.GrantLoginToken, "wechat": oauth.GrantWeChat,
	}
}

func clientCreateCommand() *cobra.Command {
	var d client.Draft
	var kind string
	var grants, terminals []string
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:   "create CLIENT_ID",
		Short: "Create a client; its secret is generated and shown once",
		Example: `  tallystick client create billing --grant client_credentials --scope wallet:deposit,wallet:read_any --config tallystick.yaml
  tallystick client create shop-app --type public --grant password,refresh_token --product shop --terminal mobile --config tallystick.yaml`,
		Args: cli.Args("CLIENT_ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.OneOf("--type", kind, string(storage.Confidential), string(storage.Public)); err != nil {
				return err
			}
			d.ID, d.Kind = storage.ClientID(args[0]), storage.ClientKind(kind)
			for _, g := range grants {
				if long, short := grantNames()[g]; short {
					g = long
				}
				d.Grants = append(d.Grants, g)
			}
			for _, t := range terminals {
				d.Terminals = append(d.Terminals, storage.Terminal(t))
			}
			return withKit(c, func(ctx context.Context, k *kit) error {
				made, value, err := k.Clients.Create(ctx, operator(), d)
				if err != nil {
					return clientError(err, args[0])
				}
				return showSecret(c, made, value)
			})
		},
	}))
	f := c.Flags()
	f.StringVar(&kind, "type", string(storage.Confidential), "confidential or public (an app that cannot keep a secret)")
	f.StringVar(&d.Name, "name", "", "name for people (default the CLIENT_ID)")
	f.StringSliceVar(&grants, "grant", nil, "grants: client_credentials, password, refresh_token, device_code, login_token, wechat")
	f.StringSliceVar(&d.Products, "product", nil, "products to sign users in to, the default first")
	f.StringSliceVar(&terminals, "terminal", nil, "terminals to sign users in on, the default first: mobile, browser, api")
	f.StringSliceVar(&d.Scopes, "scope", nil, "scopes it may ask for")
	f.StringSliceVar(&d.RedirectURIs, "redirect-uri", nil, "redirect URIs, compared exactly")
	return c
}

// clientError words an error of the manager of clients for the operator.
func clientError(err error, id string) error {
	id = cli.Printable(id)
	if invalid, is := errors.AsType[*client.InvalidError](err); is {
		return cli.Usagef("%s", strings.Join(invalid.Faults, "\n"))
	}
	return oneOfThese(err, map[error]string{
		storage.ErrExists:   fmt.Sprintf("there is a client %s already: choose another name, or see tallystick client show %[1]s", id),
		storage.ErrNotFound: fmt.Sprintf("there is no client %s: see tallystick client list", id),
		client.ErrPublic:    fmt.Sprintf("the client %s is public and has no secret", id),
		storage.ErrStale:    fmt.Sprintf("somebody else changed the client %s at the same time: try again", id),
	})
}

func clientListCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     "list",
		Short:   "List all clients",
		Example: "  tallystick client list --config tallystick.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				all, err := allClients(ctx, k)
				if err != nil {
					return err
				}
				list := make([]shownClient, len(all))
				rows := make([][]string, len(all))
				for i, one := range all {
					list[i] = shown(one)
					state := "enabled"
					if one.DisabledAt != nil {
						state = "disabled"
					}
					rows[i] = []string{string(one.ID), string(one.Kind), state, strings.Join(one.Products, " "), words(one.Terminals), strings.Join(one.Scopes, " ")}
				}
				return cli.Print(c, map[string]any{"clients": list}, func(w io.Writer) error {
					return cli.Table(w, []string{"CLIENT", "TYPE", "STATE", "PRODUCTS", "TERMINALS", "SCOPES"}, rows)
				})
			})
		},
	}))
}

// allClients reads every page. Clients are made by hand, so they fit into memory.
func allClients(ctx context.Context, k *kit) ([]storage.Client, error) {
	var all []storage.Client
	for after := storage.ClientID(""); ; {
		page, err := k.Clients.List(ctx, after, client.MaxPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < client.MaxPage {
			return all, nil
		}
		after = page[len(page)-1].ID
	}
}

func clientShowCommand() *cobra.Command {
	return onClient("show", "Show a client", "", func(ctx context.Context, c *cobra.Command, k *kit, id storage.ClientID) error {
		one, err := k.Clients.Show(ctx, id)
		if err != nil {
			return err
		}
		s := shown(one)
		return cli.Print(c, s, s.print)
	})
}

func clientRotateCommand() *cobra.Command {
	var overlap time.Duration
	c := onClient("rotate-secret", "Give a client a new secret, shown once",
		"The secret before it stays good for the time of --overlap, so that the client can be changed over.",
		func(ctx context.Context, c *cobra.Command, k *kit, id storage.ClientID) error {
			if overlap < 0 || overlap > client.MaxOverlap {
				return cli.Usagef("--overlap: %s is not between 0 and %s", overlap, client.MaxOverlap)
			}
			made, value, err := k.Clients.RotateSecret(ctx, operator(), id, overlap)
			if err != nil {
				return err
			}
			return showSecret(c, made, value)
		})
	c.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the old secret stays good; 0 to end it now")
	return c
}

func clientDisableCommand() *cobra.Command {
	return onClient("disable", "Refuse a client from now on and end all its tokens", "",
		func(ctx context.Context, c *cobra.Command, k *kit, id storage.ClientID) error {
			return changed(c, k.Clients.Disable(ctx, operator(), id), "disabled", string(id), "The client %s is disabled and its tokens are dead.\n")
		})
}

func clientEnableCommand() *cobra.Command {
	return onClient("enable", "Let a disabled client in again", "Tokens that disabling ended stay ended.",
		func(ctx context.Context, c *cobra.Command, k *kit, id storage.ClientID) error {
			return changed(c, k.Clients.Enable(ctx, operator(), id), "enabled", string(id), "The client %s is enabled.\n")
		})
}

// changed prints what was done to which thing, unless err says that it was not.
func changed(c *cobra.Command, err error, what, id, sentence string) error {
	if err != nil {
		return err
	}
	return cli.Print(c, map[string]string{what: id}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, sentence, cli.Printable(id))
		return err
	})
}

// onClient is a command about one client.
func onClient(verb, short, long string, do func(context.Context, *cobra.Command, *kit, storage.ClientID) error) *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     verb + " CLIENT_ID",
		Short:   short,
		Long:    long,
		Example: "  tallystick client " + verb + " billing --config tallystick.yaml",
		Args:    cli.Args("CLIENT_ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				if err := do(ctx, c, k, storage.ClientID(args[0])); err != nil {
					return clientError(err, args[0])
				}
				return nil
			})
		},
	}))
}
