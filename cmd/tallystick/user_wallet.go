package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

// shownWallet is a wallet as it is printed.
type shownWallet struct {
	Username string         `json:"username"`
	Sub      storage.UserID `json:"sub"`
	Frozen   bool           `json:"frozen"`
	FrozenAt *time.Time     `json:"frozen_at,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Accounts []shownAccount `json:"accounts"`
}

type shownAccount struct {
	Currency  money.Currency `json:"currency"`
	Available int64          `json:"available"`
	Held      int64          `json:"held"`
	Total     int64          `json:"total"`
	Limits    struct {
		Single *int64 `json:"single"`
		Daily  *int64 `json:"daily"`
	} `json:"limits"`
}

func userWalletCommand() *cobra.Command {
	return onUser("wallet", "Show what a user has, whether it is frozen, and its limits",
		func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
			state, err := k.Users.Wallet(ctx, u.ID)
			if err != nil {
				return err
			}
			return printWallet(c, k.Config, u, state)
		})
}

func userFreezeCommand() *cobra.Command {
	reason := ""
	c := onUser("freeze", "Let nothing leave a user's wallet until it is unfrozen",
		func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
			frozen := true
			_, err := k.Users.ChangeWallet(ctx, operator(), u.ID, storage.WalletChange{Frozen: &frozen, Reason: reason})
			return changed(c, err, "frozen", u.Username, "The wallet of user %s is frozen; money still comes in.\n")
		})
	c.Flags().StringVar(&reason, "reason", "", "why, for operators and the audit record")
	return c
}

func userUnfreezeCommand() *cobra.Command {
	return onUser("unfreeze", "Let money leave a user's wallet again",
		func(ctx context.Context, c *cobra.Command, k *kit, u storage.User) error {
			frozen := false
			_, err := k.Users.ChangeWallet(ctx, operator(), u.ID, storage.WalletChange{Frozen: &frozen})
			return changed(c, err, "unfrozen", u.Username, "The wallet of user %s is not frozen any more.\n")
		})
}

func printWallet(c *cobra.Command, cfg configs.Config, u storage.User, w storage.WalletState) error {
	out := shownWallet{
		Username: u.Username, Sub: u.ID, Frozen: w.FrozenAt != nil, FrozenAt: w.FrozenAt, Reason: w.Reason,
		Accounts: make([]shownAccount, len(w.Accounts)),
	}
	rows := make([][]string, len(w.Accounts))
	for i := range w.Accounts {
		a := &w.Accounts[i]
		s := shownAccount{Currency: a.Currency, Available: a.Available(), Held: a.Held, Total: a.Balance}
		s.Limits.Single, s.Limits.Daily = a.Limits.Single, a.Limits.Daily
		out.Accounts[i] = s
		amount := printer(cfg, a.Currency)
		limit := func(n *int64) string {
			if n == nil {
				return "as configured"
			}
			return amount(*n)
		}
		rows[i] = []string{amount(s.Available), amount(s.Held), amount(s.Total), limit(s.Limits.Single), limit(s.Limits.Daily)}
	}
	return cli.Print(c, out, func(to io.Writer) error {
		state := "not frozen"
		if out.Frozen {
			state = "frozen since " + when(out.FrozenAt)
			if out.Reason != "" {
				state += ": " + cli.Printable(out.Reason)
			}
		}
		if _, err := fmt.Fprintf(to, "The wallet of user %s is %s.\n", cli.Printable(u.Username), state); err != nil {
			return err
		}
		return cli.Table(to, []string{"AVAILABLE", "HELD", "TOTAL", "SINGLE LIMIT", "DAILY LIMIT"}, rows)
	})
}
