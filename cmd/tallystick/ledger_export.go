package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/resource/books"
)

type exportOptions struct{ format, since, until, out string }

func ledgerExportCommand() *cobra.Command {
	var o exportOptions
	c := withTarget(&cobra.Command{
		Use:   "export",
		Short: "Write journals as CSV or JSON lines",
		Long: `Writes journals in the order of their identifiers, as the ledger is at one instant: as CSV
with a line for each entry, or as JSON lines with an object for each journal that has all
that its hash in the sealed chain is made of. Times bound when journals were made, since
inclusive and until exclusive.

In CSV, a memo, reference or client name that a spreadsheet would run as a formula is
written with an apostrophe before it.`,
		Example: `  tallystick ledger export --config tallystick.yaml --format csv --since 2026-11-01 --until 2026-12-01 --out november.csv
  tallystick ledger export --data-dir .tallystick --format jsonl | head`,
		Args: cli.Args(),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.OneOf("--format", o.format, string(books.CSV), string(books.JSONLines)); err != nil {
				return err
			}
			r, err := o.period()
			if err != nil {
				return err
			}
			return withKit(c, func(ctx context.Context, k *kit) error { return runExport(ctx, c, k, o, r) })
		},
	})
	c.Flags().StringVar(&o.format, "format", "csv", "csv or jsonl")
	c.Flags().StringVar(&o.since, "since", "", "first `TIME`: 2026-11-01 or RFC 3339")
	c.Flags().StringVar(&o.until, "until", "", "`TIME` before which to end")
	c.Flags().StringVar(&o.out, "out", "", "`FILE` to write, which must not be there; standard output if left out")
	return c
}

func (o exportOptions) period() (r books.Range, err error) {
	for _, bound := range []struct {
		flag, value string
		to          *time.Time
	}{{"since", o.since, &r.Since}, {"until", o.until, &r.Until}} {
		if bound.value == "" {
			continue
		}
		if *bound.to, err = time.Parse(time.DateOnly, bound.value); err == nil {
			continue
		}
		if *bound.to, err = time.Parse(time.RFC3339, bound.value); err != nil {
			return r, cli.Usagef("--%s: %.40q is neither a day like 2026-11-01 nor a time like 2026-11-01T08:00:00Z", bound.flag, bound.value)
		}
	}
	if !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until) {
		return r, cli.Usagef("--until must be after --since")
	}
	return r, nil
}

// runExport writes to the file or to standard output. A file that could not be written whole is removed, so that nobody
// takes it for all there is.
func runExport(ctx context.Context, c *cobra.Command, k *kit, o exportOptions, r books.Range) (err error) {
	if o.out == "" {
		return writeExport(ctx, c, k, c.OutOrStdout(), o, r)
	}
	file, err := os.OpenFile(o.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already: choose another --out", o.out)
	}
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if cerr := file.Close(); whole && cerr == nil {
			return
		}
		_ = os.Remove(o.out) // the error is told
	}()
	if err := writeExport(ctx, c, k, file, o, r); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", o.out, err)
	}
	whole = true
	return nil
}

func writeExport(ctx context.Context, c *cobra.Command, k *kit, to io.Writer, o exportOptions, r books.Range) error {
	w := bufio.NewWriterSize(to, 1<<16)
	bar := cli.NewProgress(c.ErrOrStderr(), "journals written", 0, nil)
	n, err := books.Export(ctx, k.Store, w, books.Format(o.format), r, func(done int64) { bar.Set(done, 0) })
	bar.End()
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.ErrOrStderr(), "%d journals written.\n", n)
	return err
}
