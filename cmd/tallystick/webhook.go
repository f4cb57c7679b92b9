package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/storage"
)

func webhookCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "webhook",
		Short:   "Manage webhooks, which are told of ledger events",
		Example: "  tallystick webhook create https://shop.example.com/hooks --event journal.posted --config tallystick.yaml",
	}
	c.AddCommand(
		webhookCreateCommand(), webhookListCommand(), webhookShowCommand(), webhookAbleCommand("disable", true), webhookAbleCommand("enable", false),
		webhookRotateCommand(), webhookDeadCommand(), webhookReplayCommand(), webhookTestCommand(), webhookDeleteCommand(),
	)
	return c
}

// shownWebhook is a webhook as it is printed.
type shownWebhook struct {
	ID           string     `json:"id"`
	Secret       string     `json:"secret,omitempty"`
	URL          string     `json:"url"`
	Description  string     `json:"description"`
	Events       []string   `json:"events"`
	Number       int64      `json:"number"`
	Waiting      int64      `json:"waiting"`
	Dead         int64      `json:"dead"`
	FailingSince *time.Time `json:"failing_since,omitempty"`
	DisabledAt   *time.Time `json:"disabled_at,omitempty"`
	DisabledWhy  string     `json:"disabled_why,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
}

func shownHook(s *outbox.Standing, key secret.Text) shownWebhook {
	return shownWebhook{
		ID: string(s.ID), Secret: key.Reveal(), URL: s.URL, Description: s.Description, Events: append([]string{}, s.Events...),
		Number: s.State.Number, Waiting: s.State.Waiting, Dead: s.State.Dead, FailingSince: s.State.FailingAt,
		DisabledAt: s.DisabledAt, DisabledWhy: s.DisabledWhy, CreatedAt: s.CreatedAt,
	}
}

func (s shownWebhook) state() string {
	switch {
	case s.DisabledAt != nil:
		return "disabled (" + s.DisabledWhy + ")"
	case s.FailingSince != nil:
		return "failing since " + when(s.FailingSince)
	}
	return "enabled"
}

func (s shownWebhook) print(w io.Writer) error {
	rows := [][]string{
		{"id", s.ID}, {"url", s.URL}, {"description", s.Description}, {"events", orAll(s.Events)}, {"state", s.state()},
		{"number", strconv.FormatInt(s.Number, 10)}, {"waiting", strconv.FormatInt(s.Waiting, 10)}, {"dead", strconv.FormatInt(s.Dead, 10)},
	}
	if s.Secret != "" {
		rows = append(rows, []string{"secret", s.Secret + "  (shown this once)"})
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", row[0], cli.Printable(row[1])); err != nil {
			return err
		}
	}
	return nil
}

func orAll(events []string) string {
	if len(events) == 0 {
		return "all"
	}
	return strings.Join(events, " ")
}

// webhookOrigin is the operator, for the audit record.
func webhookOrigin() outbox.Origin { return outbox.Origin{Actor: operator().Actor} }

// webhookError words an error of the desk for the operator.
func webhookError(err error, id string) error {
	id = cli.Printable(id)
	if invalid, is := errors.AsType[*outbox.InvalidError](err); is {
		return cli.Usagef("%s", invalid.Error())
	}
	return oneOfThese(err, map[error]string{
		storage.ErrNotFound: fmt.Sprintf("there is no webhook %s, or no such dead event: see tallystick webhook list", id),
		storage.ErrStale:    fmt.Sprintf("somebody else changed the webhook %s at the same time: try again", id),
		storage.ErrLimit:    fmt.Sprintf("there are %d webhooks, or %d events that wait for this one; let some go first", storage.MaxWebhooks, storage.MaxWaiting),
	})
}

// onWebhook is a command about one webhook.
func onWebhook(verb, short string, do func(context.Context, *cobra.Command, *kit, storage.Destination) error) *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     verb + " WEBHOOK_ID",
		Short:   short,
		Example: "  tallystick webhook " + verb + " wh_06gzrrttmm1znj3zka8xey61cm --config tallystick.yaml",
		Args:    cli.Args("WEBHOOK_ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				if err := do(ctx, c, k, storage.Destination(args[0])); err != nil {
					return webhookError(err, args[0])
				}
				return nil
			})
		},
	}))
}

// printWebhook prints a webhook as it is now.
func printWebhook(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination, key secret.Text) error {
	s, err := k.Webhooks.Show(ctx, id)
	if err != nil {
		return err
	}
	shown := shownHook(&s, key)
	return cli.Print(c, shown, shown.print)
}

func webhookCreateCommand() *cobra.Command {
	var d outbox.Draft
	var after int64
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:     "create URL",
		Short:   "Create a webhook; its secret is shown once",
		Example: "  tallystick webhook create https://shop.example.com/hooks --event hold.captured --config tallystick.yaml",
		Args:    cli.Args("URL"),
		RunE: func(c *cobra.Command, args []string) error {
			d.URL = args[0]
			if c.Flags().Changed("after") {
				d.After = &after
			}
			return withKit(c, func(ctx context.Context, k *kit) error {
				w, key, err := k.Webhooks.Create(ctx, webhookOrigin(), d)
				if err != nil {
					return webhookError(err, args[0])
				}
				return printWebhook(ctx, c, k, w.ID, key)
			})
		},
	}))
	c.Flags().StringVar(&d.Description, "description", "", "what it is, for people")
	c.Flags().StringSliceVar(&d.Events, "event", nil, "types of events that it wants (default all): "+strings.Join(outbox.Types(), ", "))
	c.Flags().Int64Var(&after, "after", 0, "`NUMBER` in the sealed chain after which it begins; 0 for all there ever was (default the end of the chain)")
	return c
}

func webhookListCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:     "list",
		Short:   "List all webhooks, and where they stand",
		Example: "  tallystick webhook list --config tallystick.yaml",
		Args:    cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				all, err := k.Webhooks.List(ctx)
				if err != nil {
					return err
				}
				list, rows := make([]shownWebhook, len(all)), make([][]string, len(all))
				for i := range all {
					s := shownHook(&all[i], secret.Text{})
					list[i] = s
					rows[i] = []string{s.ID, s.state(), strconv.FormatInt(s.Number, 10), strconv.FormatInt(s.Waiting, 10), strconv.FormatInt(s.Dead, 10), s.URL}
				}
				return cli.Print(c, map[string]any{"webhooks": list}, func(w io.Writer) error {
					return cli.Table(w, []string{"WEBHOOK", "STATE", "NUMBER", "WAITING", "DEAD", "URL"}, rows)
				})
			})
		},
	}))
}

func webhookShowCommand() *cobra.Command {
	return onWebhook("show", "Show a webhook", func(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination) error {
		return printWebhook(ctx, c, k, id, secret.Text{})
	})
}

func webhookAbleCommand(verb string, disabled bool) *cobra.Command {
	short := "Let a webhook go on from where it was"
	if disabled {
		short = "Deliver nothing to a webhook; its place is kept"
	}
	return onWebhook(verb, short, func(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination) error {
		if err := k.Webhooks.Update(ctx, webhookOrigin(), id, outbox.Change{Disabled: &disabled}); err != nil {
			return err
		}
		return printWebhook(ctx, c, k, id, secret.Text{})
	})
}

func webhookRotateCommand() *cobra.Command {
	var overlap time.Duration
	c := onWebhook("rotate-secret", "Give a webhook a new secret, shown once", func(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination) error {
		key, err := k.Webhooks.Rotate(ctx, webhookOrigin(), id, overlap)
		if err != nil {
			return err
		}
		return printWebhook(ctx, c, k, id, key)
	})
	c.Flags().DurationVar(&overlap, "overlap", outbox.DefaultOverlap, "how long the old secret signs too; 0 to end it now")
	return c
}

func webhookDeadCommand() *cobra.Command {
	var after int64
	c := onWebhook("dead", "List events that a webhook did not take in all tries", func(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination) error {
		list, err := k.Webhooks.Dead(ctx, id, after, storage.MaxDeadPage)
		if err != nil {
			return err
		}
		type shown struct {
			Number   int64      `json:"number"`
			Event    string     `json:"event_id"`
			Attempts int        `json:"attempts"`
			Fault    string     `json:"last_fault"`
			DeadAt   *time.Time `json:"dead_at"`
		}
		all, rows := make([]shown, len(list)), make([][]string, len(list))
		for i, d := range list {
			all[i] = shown{d.Number, outbox.EventID(d.Journal), d.Attempts, d.Fault, d.DeadAt}
			rows[i] = []string{strconv.FormatInt(d.Number, 10), all[i].Event, strconv.Itoa(d.Attempts), when(d.DeadAt), d.Fault}
		}
		return cli.Print(c, map[string]any{"dead": all}, func(w io.Writer) error {
			return cli.Table(w, []string{"NUMBER", "EVENT", "TRIES", "GIVEN UP", "FAULT"}, rows)
		})
	})
	c.Flags().Int64Var(&after, "after", 0, "`NUMBER` after which to begin")
	return c
}

func webhookReplayCommand() *cobra.Command {
	var number int64
	c := onWebhook("replay", "Deliver dead events after all: all of them, or one", func(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination) error {
		if c.Flags().Changed("number") && number < 1 {
			return cli.Usagef("--number: %d is not the number of an event", number)
		}
		n, err := k.Webhooks.Replay(ctx, webhookOrigin(), id, number)
		if err != nil {
			return err
		}
		return cli.Print(c, map[string]int{"replayed": n}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%d events wait again.\n", n)
			return err
		})
	})
	c.Flags().Int64Var(&number, "number", 0, "`NUMBER` of the one event (default all)")
	return c
}

func webhookTestCommand() *cobra.Command {
	return onWebhook("test", "Send a webhook a test event now", func(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination) error {
		trial, err := k.Webhooks.Test(ctx, id)
		if err != nil {
			return err
		}
		if !trial.Taken {
			return fmt.Errorf("the webhook did not take it: %s", cli.Printable(trial.Fault))
		}
		return cli.Print(c, map[string]int{"status": trial.Status}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "The webhook took it: status %d.\n", trial.Status)
			return err
		})
	})
}

func webhookDeleteCommand() *cobra.Command {
	return onWebhook("delete", "Delete a webhook with all that waits for it", func(ctx context.Context, c *cobra.Command, k *kit, id storage.Destination) error {
		return changed(c, k.Webhooks.Delete(ctx, webhookOrigin(), id), "deleted", string(id), "The webhook %s is deleted.\n")
	})
}
