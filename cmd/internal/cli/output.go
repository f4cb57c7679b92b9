package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

const outputFlag = "output"

// WithOutput gives a command the flag --output.
func WithOutput(c *cobra.Command) *cobra.Command {
	c.Flags().StringP(outputFlag, "o", "text", "text or json")
	next := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if err := OneOf("--"+outputFlag, c.Flag(outputFlag).Value.String(), "text", "json"); err != nil {
			return err
		}
		if next == nil {
			return nil
		}
		return next(c, args)
	}
	return c
}

// JSON says that --output json was given.
func JSON(c *cobra.Command) bool {
	f := c.Flag(outputFlag)
	return f != nil && f.Value.String() == "json"
}

// Print prints value as JSON if --output json was given, and what text writes if not.
func Print(c *cobra.Command, value any, text func(w io.Writer) error) error {
	if !JSON(c) {
		return text(c.OutOrStdout())
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Table prints rows under a header, in columns. An empty cell is printed as "-", so that columns can be
// cut by scripts; control characters are printed as "?", so that a name cannot drive the terminal.
func Table(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Printable(cell)
			if cell == "" {
				cells[i] = "-"
			}
		}
		if _, err := fmt.Fprintln(t, strings.Join(cells, "\t")); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Printable replaces control characters.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return '?'
		}
		return r
	}, s)
}
