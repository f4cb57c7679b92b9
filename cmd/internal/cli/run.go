package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 2
)

// Streams are what a command reads and writes.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// UsageError says that a command was called in a way that cannot work.
type UsageError struct{ err error }

// Error implements error.
func (e *UsageError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.err }

// Usagef makes a [UsageError].
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// ErrSilent ends a command with [ExitFailure] when all there is to say has been said on standard output.
var ErrSilent = errors.New("failed")

// Run runs the command that args name and returns the exit code of the process.
func Run(ctx context.Context, root *cobra.Command, s Streams, args []string) int {
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetArgs(args)
	prepare(root)
	called, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, ErrSilent):
		return ExitFailure
	}
	code, hint := ExitFailure, ""
	if _, usage := errors.AsType[*UsageError](err); usage {
		code, hint = ExitUsage, " (see "+called.CommandPath()+" --help)"
	}
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		fmt.Fprintf(s.Err, "%s: %s%s\n", root.Name(), strings.TrimSpace(line), hint)
	}
	return code
}

// prepare gives a command, and all below it, the behaviour of the house.
func prepare(c *cobra.Command) {
	c.SilenceErrors, c.SilenceUsage = true, true
	c.CompletionOptions.HiddenDefaultCmd = true
	c.SetFlagErrorFunc(flagError)
	switch {
	case c.HasSubCommands() && !c.Runnable():
		group(c)
	case c.Args == nil:
		c.Args = Args()
	}
	for _, sub := range c.Commands() {
		prepare(sub)
	}
}

// group makes a command that only holds others answer a missing or unknown name.
func group(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs
	c.FParseErrWhitelist.UnknownFlags = true // they belong to the command that was mistyped
	c.RunE = func(c *cobra.Command, args []string) error {
		names := make([]string, 0, len(c.Commands()))
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		if len(args) == 0 {
			return Usagef("%s needs a command: %s", c.CommandPath(), strings.Join(names, ", "))
		}
		return Usagef("unknown command %q for %s%s", args[0], c.CommandPath(), didYouMean(args[0], names, ""))
	}
}

// flagError names the nearest flag to an unknown one.
func flagError(c *cobra.Command, err error) error {
	unknown, is := errors.AsType[*pflag.NotExistError](err)
	if !is {
		return &UsageError{err}
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return Usagef("unknown flag --%s%s", unknown.GetSpecifiedName(), didYouMean(unknown.GetSpecifiedName(), names, "--"))
}

// Args returns a check that a command is given exactly these arguments, by the names that its usage
// line has for them.
func Args(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return Usagef("%s is missing: %s", names[len(args)], c.UseLine())
		case len(args) > len(names):
			return Usagef("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// OneOf gives a [UsageError] unless the value is among those allowed. name is what the user calls it:
// --role.
func OneOf(name, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return Usagef("%s: %q is not one of %s%s", name, value, strings.Join(allowed, ", "), didYouMean(value, allowed, ""))
}

// didYouMean returns "; did you mean PREFIXNAME?" for the nearest name, or "" if none is near.
func didYouMean(typed string, names []string, prefix string) string {
	best, at := "", len(typed)/2+1
	for _, n := range names {
		if d := distance(typed, n); d < at || d == at && best == "" && strings.HasPrefix(n, typed) {
			best, at = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + prefix + best + "?"
}

// distance is the number of letters to insert, remove, replace or swap with their neighbour.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
