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
		Short:   "Prove the books",
		Example: "  tallystick ledger verify --config tallystick.yaml",
	}
	c.AddCommand(ledgerVerifyCommand())
	return c
}

// verified is what ledger verify prints as JSON.
type verified struct {
	OK bool `json:"ok"`
	books.Report
}

func ledgerVerifyCommand() *cobra.Command {
	return withTarget(cli.WithOutput(&cobra.Command{
		Use:   "verify",
		Short: "Recompute the ledger from its entries and say what is wrong",
		Long: `Reads the whole ledger as it is at one instant, and recomputes from the entries
alone that every journal balances, every balance equals its entries, no balance
is or ever was below zero, and every recorded answer matches its journal. It
writes nothing and may run at any time. Exits with 1 if anything is wrong.`,
		Example: "  tallystick ledger verify --config tallystick.yaml --output json",
		RunE: func(c *cobra.Command, _ []string) error {
			return withKit(c, func(ctx context.Context, k *kit) error {
				bar := cli.NewProgress(c.ErrOrStderr(), "entries read", 0, nil)
				report, err := books.Verify(ctx, k.Store, books.Options{Progress: bar.Set})
				bar.End()
				if err != nil {
					return err
				}
				return printReport(c, report)
			})
		},
	}))
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
	verdict := "The books are right"
	if !v.OK {
		verdict = fmt.Sprintf("The books are WRONG in %d places", v.FaultCount)
	}
	_, err := fmt.Fprintf(w, "%s: %d accounts, %d entries, %d journals, %d answers read.\n", verdict, v.Accounts, v.Entries, v.Journals, v.Answers)
	return err
}
