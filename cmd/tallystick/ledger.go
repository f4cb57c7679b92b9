package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/resource/books"
)

func ledgerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "ledger",
		Short:   "Prove, export and explain the books",
		Example: "  tallystick ledger verify --config tallystick.yaml",
	}
	c.AddCommand(ledgerVerifyCommand(), ledgerHeadCommand(), ledgerExportCommand(), ledgerExplainCommand())
	return c
}

// verified is what ledger verify prints as JSON.
type verified struct {
	OK bool `json:"ok"`
	books.Report
}

func ledgerVerifyCommand() *cobra.Command {
	var after, head string
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:   "verify",
		Short: "Recompute the ledger from its entries and say what is wrong",
		Long: `Reads the whole ledger as it is at one instant, and recomputes from the entries
alone that every journal balances, every balance equals its entries, no balance
and nothing available is or ever was below zero, every hold, reversal and recorded
answer matches its journal, and the sealed chain is unbroken. It writes nothing and
may run at any time. Exits with 1 if anything is wrong.

A chain that was rewritten to its end is found with --expect-head alone: give it a
head that ledger head printed or the log told earlier, and that you kept elsewhere.

A run without faults prints the head. --from-block takes it, and proves what came
after: journals sealed up to that block, with their answers, are taken for proven;
every balance and every hold is still recomputed from all entries.`,
		Example: `  tallystick ledger verify --config tallystick.yaml --output json
  tallystick ledger verify --config tallystick.yaml --expect-head 1204:9f86d081…
  tallystick ledger verify --config tallystick.yaml --from-block 1204:9f86d081…`,
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := verifyOptions(after, head)
			if err != nil {
				return err
			}
			return withKit(c, func(ctx context.Context, k *kit) error {
				bar := cli.NewProgress(c.ErrOrStderr(), "entries read", 0, nil)
				o.Progress = bar.Set
				report, err := books.Verify(ctx, k.Store, o)
				bar.End()
				if err != nil {
					return err
				}
				return printReport(c, report)
			})
		},
	}))
	c.Flags().StringVar(&after, "from-block", "", "go on after a block that was proven: `BLOCK:HASH`")
	c.Flags().StringVar(&head, "expect-head", "", "a block that was written down elsewhere: `BLOCK:HASH`")
	return c
}

func verifyOptions(after, head string) (o books.Options, err error) {
	for _, flag := range []struct {
		name, value string
		anchor      **books.Anchor
	}{{"from-block", after, &o.After}, {"expect-head", head, &o.ExpectHead}} {
		if flag.value == "" {
			continue
		}
		a, err := books.ParseAnchor(flag.value)
		if err != nil {
			return o, cli.Usagef("--%s: %w", flag.name, err)
		}
		*flag.anchor = &a
	}
	if o.After != nil && o.ExpectHead != nil && o.ExpectHead.Block <= o.After.Block {
		return o, cli.Usagef("--expect-head names block %d, which --from-block %d does not come to", o.ExpectHead.Block, o.After.Block)
	}
	return o, nil
}

func printReport(c *cobra.Command, report books.Report) error {
	v := verified{OK: report.OK(), Report: report}
	if v.Faults == nil {
		v.Faults = []books.Fault{}
	}
	if v.TrialBalance == nil {
		v.TrialBalance = []books.Line{}
	}
	if err := cli.Print(c, v, v.print); err != nil {
		return err
	}
	if !v.OK {
		return cli.ErrSilent
	}
	return nil
}

func (v *verified) print(w io.Writer) error {
	for _, f := range v.Faults {
		if _, err := fmt.Fprintln(w, cli.Printable(f.String())); err != nil {
			return err
		}
	}
	if more := v.FaultCount - int64(len(v.Faults)); more > 0 {
		if _, err := fmt.Fprintf(w, "and %d more\n", more); err != nil {
			return err
		}
	}
	rows := make([][]string, len(v.TrialBalance))
	for i, l := range v.TrialBalance {
		rows[i] = []string{string(l.Currency), l.Class, fmt.Sprint(l.Accounts), fmt.Sprint(l.Balance)}
	}
	if err := cli.Table(w, []string{"CURRENCY", "CLASS", "ACCOUNTS", "BALANCE"}, rows); err != nil {
		return err
	}
	if err := v.printChain(w); err != nil {
		return err
	}
	verdict := "The books are right"
	if !v.OK {
		verdict = fmt.Sprintf("The books are WRONG in %d places", v.FaultCount)
	}
	_, err := fmt.Fprintf(w, "%s: %d accounts, %d entries, %d journals, %d holds, %d answers read.\n", verdict, v.Accounts, v.Entries, v.Journals, v.Holds, v.Answers)
	return err
}

// printChain tells of the sealed chain, and of what could not be proven.
func (v *verified) printChain(w io.Writer) error {
	if v.UnknownHolds > 0 {
		if _, err := fmt.Fprintf(w, "%d accounts have holds older than the sealed chain; what was held on them is proven for now alone.\n", v.UnknownHolds); err != nil {
			return err
		}
	}
	if v.Head != nil {
		if _, err := fmt.Fprintf(w, "Head: %s\n", v.Head); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d journals in %d blocks recomputed; %d wait to be sealed, %d are not enrolled yet.\n", v.Sealed, v.Blocks, v.Waiting, v.Unenrolled)
	return err
}
