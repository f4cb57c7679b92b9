package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/cmd/internal/cli"
)

// faultsShown is how many faults of an import are printed as text; JSON has all that the report names.
const faultsShown = 20

// shownImport is the outcome of an import as it is printed.
type shownImport struct {
	Line     int               `json:"line"`
	Created  int               `json:"created"`
	Existing int               `json:"existing"`
	Faulty   int               `json:"faulty"`
	DryRun   bool              `json:"dry_run"`
	Faults   []shownImportFlaw `json:"faults"`
}

type shownImportFlaw struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

func userImportCommand() *cobra.Command {
	var o admin.ImportOptions
	format := ""
	c := withTarget(cli.WithOutput(&cobra.Command{
		Use:   "import FILE",
		Short: "Import users with the password hashes they have",
		Long: `FILE is CSV with a header, or JSON lines; - is standard input. Hashes are bcrypt,
argon2, PBKDF2, salted MD5, SHA-1 and SHA-256, and keyed HMAC-SHA1; each is
replaced by a strong one at its user's first sign-in.

An import that was cut off is resumed by running it again: who is there already
is passed over. Lines with a fault are reported and passed over; then the exit
code is 1.`,
		Example: `  tallystick user import users.csv --dry-run --config tallystick.yaml
  tallystick user import users.csv --hash-column pw --config tallystick.yaml`,
		Args: cli.Args("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if o.Format, err = importFormat(format, args[0]); err != nil {
				return err
			}
			if o.From < 1 {
				return cli.Usagef("--from: lines are counted from 1")
			}
			in, size, err := openImport(c, args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			return withKit(c, func(ctx context.Context, k *kit) error { return importUsers(ctx, c, k, in, size, o) })
		},
	}))
	f := c.Flags()
	f.StringVar(&format, "format", "", "csv or jsonl (default by the extension of FILE)")
	f.StringVar(&o.Columns.Username, "username-column", "username", "column of the user name")
	f.StringVar(&o.Columns.PasswordHash, "hash-column", "password_hash", "column of the password hash")
	f.StringVar(&o.Columns.Sub, "sub-column", "sub", "column of the identifier, if there is one")
	f.StringVar(&o.Columns.Disabled, "disabled-column", "disabled", "column that says whether the user is disabled, if there is one")
	f.BoolVar(&o.Strict, "strict", false, "stop at the first line with a fault")
	f.BoolVar(&o.DryRun, "dry-run", false, "look for faults in FILE and change nothing")
	f.IntVar(&o.From, "from", 1, "line to begin with")
	return c
}

func importFormat(format, file string) (admin.Format, error) {
	if format == "" {
		if file == "-" {
			return "", cli.Usagef("say what standard input is: --format csv or --format jsonl")
		}
		f, err := admin.FormatOf(file)
		if err != nil {
			return "", cli.Usagef("%w", err)
		}
		return f, nil
	}
	return admin.Format(format), cli.OneOf("--format", format, string(admin.CSV), string(admin.JSONLines))
}

// openImport opens the file; its size is 0 where it has none to tell.
func openImport(c *cobra.Command, name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(c.InOrStdin()), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if info.IsDir() {
		return nil, 0, errors.Join(cli.Usagef("%s is a folder", name), f.Close())
	}
	return f, info.Size(), nil
}

func importUsers(ctx context.Context, c *cobra.Command, k *kit, in io.Reader, size int64, o admin.ImportOptions) error {
	bar := cli.NewProgress(c.ErrOrStderr(), "bytes read", size, nil)
	o.Progress = func(p admin.Progress) { bar.Set(p.Bytes, size) }
	report, err := k.Users.Import(ctx, operator(), in, o)
	bar.End()
	out := shownImport{
		Line: report.Line, Created: report.Created, Existing: report.Existing, Faulty: report.Faulty, DryRun: o.DryRun,
		Faults: []shownImportFlaw{},
	}
	for _, f := range report.Faults {
		out.Faults = append(out.Faults, shownImportFlaw(f))
	}
	if perr := cli.Print(c, out, func(w io.Writer) error { return out.print(w, c.ErrOrStderr()) }); perr != nil && err == nil {
		err = perr
	}
	if input, is := errors.AsType[*admin.InputError](err); is {
		return errors.New(input.Text)
	}
	switch {
	case err != nil && report.Line > 0:
		return fmt.Errorf("stopped behind line %d; run it again to go on: %w", report.Line, err)
	case err != nil:
		return err
	case report.Faulty > 0:
		return cli.ErrSilent
	}
	return nil
}

func (s *shownImport) print(w, faults io.Writer) error {
	for i, f := range s.Faults {
		if i == faultsShown {
			fmt.Fprintf(faults, "and %d more; --output json lists them\n", s.Faulty-faultsShown)
			break
		}
		fmt.Fprintf(faults, "line %d: %s\n", f.Line, cli.Printable(f.Text))
	}
	verb := "created"
	if s.DryRun {
		verb = "could be created"
	}
	_, err := fmt.Fprintf(w, "%d %s, %d there already, %d with faults.\n", s.Created, verb, s.Existing, s.Faulty)
	return err
}
