package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/storage"
)

func userBanCommand() *cobra.Command {
	var until, reason string
	var length time.Duration
	c := onUser("ban", "Keep a user out for a time, or until unbanned, and end all sessions",
		func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
			end, err := banEnd(until, length)
			if err != nil {
				return err
			}
			ended, err := k.Users.Ban(ctx, operator(), u.ID, end, reason)
			return printEnded(c, err, "banned", u, ended)
		})
	c.Flags().StringVar(&until, "until", "", "when the ban is over, such as 2026-11-20T08:00:00Z; without it, never")
	c.Flags().DurationVar(&length, "for", 0, "how long the ban lasts, instead of --until, such as 72h")
	c.Flags().StringVar(&reason, "reason", "", "why, for operators and the audit record")
	return c
}

// banEnd is when a ban is over, nil for one that does not end by itself.
func banEnd(until string, length time.Duration) (*time.Time, error) {
	switch {
	case until != "" && length != 0:
		return nil, cli.Usagef("--until and --for say the same in two ways; give one of them")
	case length < 0:
		return nil, cli.Usagef("--for: %s is over before it begins", length)
	case length > 0:
		end := time.Now().Add(length)
		return &end, nil
	case until == "":
		return nil, nil //nolint:nilnil // no end is an answer.
	}
	end, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return nil, cli.Usagef("--until: %q is not a time such as 2026-11-20T08:00:00Z", until)
	}
	return &end, nil
}

func userUnbanCommand() *cobra.Command {
	return onUser("unban", "Lift the ban of a user", func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
		return changed(c, k.Users.Unban(ctx, operator(), u.ID), "unbanned", u.Username, "The ban of user %s is lifted.\n")
	})
}
