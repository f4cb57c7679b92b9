package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
)

// tool is a small command line with one of everything.
func tool() *cobra.Command {
	root := &cobra.Command{Use: "tool"}
	group := &cobra.Command{Use: "client"}
	show := cli.WithOutput(&cobra.Command{
		Use: "show NAME", Args: cli.Args("NAME"), Example: "tool client show x",
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "fail":
				return fmt.Errorf("read client: %w", errors.New("no\nsuch thing"))
			case "silent":
				return fmt.Errorf("x: %w", cli.ErrSilent)
			}
			return cli.Print(c, map[string]string{"name": args[0]}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "name", args[0])
				return err
			})
		},
	})
	show.Flags().Int("limit", 0, "")
	password := cli.WithPasswordFile(&cobra.Command{Use: "password", RunE: func(c *cobra.Command, _ []string) error {
		pw, err := cli.Password(c)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.OutOrStdout(), "%d %s", len(pw.Reveal()), pw)
		return nil
	}})
	group.AddCommand(show)
	root.AddCommand(group, password)
	return root
}

func run(t *testing.T, stdin string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Run(t.Context(), tool(), cli.Streams{In: strings.NewReader(stdin), Out: &o, Err: &e}, args)
	return code, o.String(), e.String()
}

func TestRun(t *testing.T) {
	t.Parallel()
	const see = " (see tool client show --help)\n"
	for args, want := range map[string]struct {
		code      int
		out, errs string
	}{
		"client show x":                     {0, "name x\n", ""},
		"client show x --output json":       {0, "{\n  \"name\": \"x\"\n}\n", ""},
		"client show x -o json":             {0, "{\n  \"name\": \"x\"\n}\n", ""},
		"client show fail":                  {1, "", "tool: read client: no\ntool: such thing\n"},
		"client show silent":                {1, "", ""},
		"client show":                       {2, "", "tool: NAME is missing: tool client show NAME [flags]" + see},
		"client show x y":                   {2, "", `tool: "y" is one argument too many` + see},
		"client show x --output yaml":       {2, "", `tool: --output: "yaml" is not one of text, json` + see},
		"client show x --output jso":        {2, "", `tool: --output: "jso" is not one of text, json; did you mean json?` + see},
		"client show x --ouptut json":       {2, "", "tool: unknown flag --ouptut; did you mean --output?" + see},
		"client show x --limit many":        {2, "", `tool: invalid argument "many" for "--limit" flag: strconv.ParseInt: parsing "many": invalid syntax` + see},
		"client show x --limit":             {2, "", "tool: flag needs an argument: --limit" + see},
		"client shwo x --output json":       {2, "", `tool: unknown command "shwo" for tool client; did you mean show? (see tool client --help)` + "\n"},
		"client":                            {2, "", "tool: tool client needs a command: show (see tool client --help)\n"},
		"":                                  {2, "", "tool: tool needs a command: client, password (see tool --help)\n"},
		"clinet show x":                     {2, "", `tool: unknown command "clinet" for tool; did you mean client? (see tool --help)` + "\n"},
		"frobnicate":                        {2, "", `tool: unknown command "frobnicate" for tool (see tool --help)` + "\n"},
		"password extra":                    {2, "", `tool: "extra" is one argument too many (see tool password --help)` + "\n"},
		"password --password-file /nowhere": {1, "", "tool: read password: open /nowhere: no such file or directory\n"},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			code, out, errs := run(t, "", strings.Fields(args)...)
			if code != want.code {
				t.Errorf("exit code %d, want %d", code, want.code)
			}
			if diff := cmp.Diff(want.out, out); diff != "" {
				t.Errorf("standard output (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(want.errs, errs); diff != "" {
				t.Errorf("standard error (-want +got)\n%s", diff)
			}
		})
	}
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "client", "show", "--help")
	if code != 0 || !strings.Contains(out, "tool client show x") || errs != "" {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
}

func TestPasswordIsTheFirstLine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("four\r\nmore"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
		out   string
	}{
		{"secret\n", nil, 0, "6 [redacted]"},
		{"with space ", nil, 0, "11 [redacted]"},
		{"two\nlines\n", []string{"--password-file", "-"}, 0, "3 [redacted]"},
		{"ignored", []string{"--password-file", file}, 0, "4 [redacted]"},
		{"", nil, 2, ""},
		{"\nsecond", nil, 2, ""},
	} {
		code, out, errs := run(t, c.stdin, append([]string{"password"}, c.args...)...)
		if code != c.code || out != c.out {
			t.Errorf("%q %v: %d %q %q", c.stdin, c.args, code, out, errs)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	err := cli.Table(&b, []string{"NAME", "STATE"}, [][]string{{"a-long-name", ""}, {"b\x1b[31m\n\u202e", "ok"}})
	if err != nil {
		t.Fatal(err)
	}
	want := "NAME         STATE\na-long-name  -\nb?[31m??     ok\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestProgressInPlainLines(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	clock := time.Unix(0, 0)
	p := cli.NewProgress(&b, "entries", 100, func() time.Time { return clock })
	for i := range int64(10) {
		p.Set(i*10, 100)
		clock = clock.Add(time.Second)
	}
	p.Set(95, 0)
	p.End()
	want := "entries: 20 of 100 (20%)\nentries: 40 of 100 (40%)\nentries: 60 of 100 (60%)\nentries: 80 of 100 (80%)\nentries: 95\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
