package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/resource/books"
	"github.com/tallystick/tallystick/storage"
)

func ledgerExplainCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:   "explain ID",
		Short: "Print a journal as T-accounts",
		Long: `Prints a journal of any kind as T-accounts, debit on the left and credit on the right, each with the
balance before and after; with its hold, its original, its reversals, and its place in the
sealed chain. What a wallet holds is owed to its user: credit raises it.`,
		Example: "  tallystick ledger explain 06gzr2m4qk0v3f5w1e9t8y7x6c --config tallystick.yaml",
		Args:    cli.Args("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				x, err := books.Explain(ctx, k.Store, storage.JournalID(args[0]))
				if errors.Is(err, storage.ErrNotFound) {
					return fmt.Errorf("there is no journal %.64q: give the id of a transfer, deposit, hold or other write", args[0])
				}
				if err != nil {
					return err
				}
				return cli.Print(c, x, func(w io.Writer) error {
					_, err := io.WriteString(w, tAccounts(&x, printer(k.Config, x.Currency)))
					return err
				})
			})
		},
	}))
}

// tAccounts is a journal for a bookkeeper.
func tAccounts(x *books.Explanation, amount func(minor int64) string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s %s of %s, %s", x.Kind, x.ID, amount(x.Amount), x.CreatedAt.Format(time.RFC3339Nano))
	for _, part := range []struct{ name, value string }{
		{"from", party(x.From)}, {"to", party(x.To)}, {"memo", x.Memo}, {"reference", x.Reference}, {"client", string(x.Client)},
		{"actor", string(x.Actor)}, {"session", string(x.Session)}, {"original", string(x.Original)},
	} {
		if part.value != "" {
			line("  %-10s %s", part.name, cli.Printable(part.value))
		}
	}
	b.WriteString("\n")
	for _, e := range x.Entries {
		tAccount(&b, e, amount)
	}
	if len(x.Entries) == 0 {
		line("It moves no money, and has no entries.")
	}
	explainOrigins(x, line, amount)
	if x.Seal == nil {
		line("Not sealed yet.")
		return b.String()
	}
	line("Sealed as number %d, in block %d%s.", x.Seal.Number, x.Seal.Block, at(" at ", x.SealedAt))
	line("  %-10s %s", "leaf", x.Seal.Leaf)
	return b.String()
}

// explainOrigins tells of the hold, the original and the reversals.
func explainOrigins(x *books.Explanation, line func(string, ...any), amount func(int64) string) {
	if h := x.Hold; h != nil {
		switch h.State {
		case storage.HoldOpen:
			line("Hold %s: %s held since %s, until %s.", h.ID, amount(h.Amount), h.CreatedAt.Format(time.RFC3339), h.ExpiresAt.Format(time.RFC3339))
		case storage.HoldCaptured:
			line("Hold %s: %s of %s captured by %s%s.", h.ID, amount(h.Captured), amount(h.Amount), h.ClosedBy, at(" at ", h.ClosedAt))
		case storage.HoldVoided, storage.HoldExpired:
			line("Hold %s: %s let go of, %s by %s%s.", h.ID, amount(h.Amount), h.State, h.ClosedBy, at(" at ", h.ClosedAt))
		}
	}
	if o := x.Undoes; o != nil {
		line("Moves back %s of %s %s of %s.", amount(x.Amount), o.Kind, o.ID, amount(o.Amount))
	}
	for _, r := range x.Reversals {
		line("Reversed by %s: %s, %s in all.", r.ID, amount(r.Amount), amount(r.Total))
	}
}

// tAccount draws one account. Debit lowers what is owed to the owner, and is on the left.
func tAccount(b *strings.Builder, e books.ExportedEntry, amount func(int64) string) {
	const side = 34
	rows := [][2]string{{"Debit", "Credit"}, {"", "before " + amount(e.BalanceAfter-e.Amount)}, {"", ""}, {"", "after " + amount(e.BalanceAfter)}}
	if e.Amount < 0 {
		rows[2][0] = amount(-e.Amount)
	} else {
		rows[2][1] = amount(e.Amount)
	}
	title := fmt.Sprintf("%s, entry %d", e.Account, e.Sequence)
	fmt.Fprintf(b, "  %s\n  %s\n", cli.Printable(title), strings.Repeat("─", side)+"┬"+strings.Repeat("─", side))
	for _, r := range rows {
		b.WriteString(strings.TrimRight("  "+pad(r[0], side-1)+" │ "+pad(r[1], side-1), " ") + "\n")
	}
	b.WriteString("\n")
}

// pad sets a text to the right of so many columns.
func pad(s string, columns int) string {
	return strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(s))) + s
}

func party(id storage.UserID) string {
	if id == "" {
		return "(outside)"
	}
	return string(id)
}

func at(before string, t *time.Time) string {
	if t == nil {
		return ""
	}
	return before + t.Format(time.RFC3339Nano)
}
