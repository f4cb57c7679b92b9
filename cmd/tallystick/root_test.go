package main

import (
	"bytes"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/cmd/internal/cli"
)

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	t.Parallel()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if !strings.Contains(c.Example, c.CommandPath()) || c.Short == "" {
			t.Errorf("%s has no sentence or no example of its own", c.CommandPath())
		}
		path := strings.Fields(c.CommandPath())[1:]
		var out, errs bytes.Buffer
		code := cli.Run(t.Context(), root(), cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, append(path, "--help"))
		if code != 0 || errs.Len() > 0 || !strings.Contains(out.String(), "Examples:") {
			t.Errorf("%s --help: %d, %s%s", c.CommandPath(), code, &out, &errs)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root())
}

// TestTheContractsCommandsAreThere names what users were promised.
func TestTheContractsCommandsAreThere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"dev", "serve", "migrate up", "migrate status", "keys list", "keys rotate", "keys retire",
		"client create", "client list", "client show", "client rotate-secret", "client disable", "product list", "product check",
		"user create", "user list", "user import", "user disable", "user enable", "user kick", "user ban", "user unban", "ledger verify", "config check", "version",
	} {
		c, rest, err := root().Find(strings.Fields(name))
		if err != nil || len(rest) > 0 || c.CommandPath() != "tallystick "+name {
			t.Errorf("there is no command %s", name)
			continue
		}
		for _, s := range []string{"list", "show", "status", "check", "verify", "version", "create"} {
			if c.Name() == s && c.Flag("output") == nil {
				t.Errorf("%s prints data and has no --output", name)
			}
		}
	}
}

func TestBuild(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-20T08:00:00Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	if got := buildOf(info).String(); !strings.HasPrefix(got, "tallystick v1.2.3, revision abc with changes of 2026-11-20T08:00:00Z, go") {
		t.Errorf("got %s", got)
	}
	if got := buildOf(nil).String(); !strings.HasPrefix(got, "tallystick unknown, go") {
		t.Errorf("got %s", got)
	}
}
