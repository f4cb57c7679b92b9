package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/cmd/internal/cli"
	"github.com/tallystick/tallystick/cmd/internal/devstack"
	"github.com/tallystick/tallystick/configs"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/resource/outbox"
	"github.com/tallystick/tallystick/storage/sqlstore"
)

// target says which instance a verb means. Exactly one of its fields is set.
type target struct{ configFile, dataDir string }

// kit is what the verbs work with.
type kit struct {
	Store   *sqlstore.DB
	Users   *admin.Users
	Clients *client.Manager
	Ring    *keys.Ring
	// Encryption holds the keys that passwords are encrypted for.
	Encryption *keys.Encryption
	Webhooks   *outbox.Desk
	Config     configs.Config
}

const (
	configFlag  = "config"
	dataDirFlag = "data-dir"
)

// withTarget gives a command the flags --config and --data-dir.
func withTarget(c *cobra.Command) *cobra.Command {
	c.Flags().String(configFlag, "", "configuration `FILE` of the instance")
	c.Flags().String(dataDirFlag, "", "data `FOLDER` of an instance of tallystick dev, running or not")
	return c
}

// targetOf reads the flags of [withTarget].
func targetOf(c *cobra.Command) (target, error) {
	t := target{c.Flag(configFlag).Value.String(), c.Flag(dataDirFlag).Value.String()}
	switch {
	case t.configFile == "" && t.dataDir == "":
		return target{}, cli.Usagef("say which instance: --config FILE, or --data-dir FOLDER for one of tallystick dev")
	case t.configFile != "" && t.dataDir != "":
		return target{}, cli.Usagef("--config and --data-dir name two instances; give one of them")
	case t.configFile != "":
		return t, nil
	}
	// Opening a database that is not there would make one.
	if _, err := os.Stat(devstack.DatabasePath(t.dataDir)); err != nil {
		return target{}, fmt.Errorf("there is no instance in %s: start one with tallystick dev --data-dir %[1]s", t.dataDir)
	}
	return t, nil
}

// withKit opens the kit of the command's target, and closes it after use.
func withKit(c *cobra.Command, use func(ctx context.Context, k *kit) error) error {
	t, err := targetOf(c)
	if err != nil {
		return err
	}
	k, closeKit, err := openKit(c.Context(), t)
	if err != nil {
		return err
	}
	defer closeKit()
	return use(c.Context(), k)
}

// operator is who sits at the command line, for the audit record.
func operator() audit.Origin {
	for _, name := range []string{os.Getenv("SUDO_USER"), currentUser()} {
		if name != "" {
			return audit.Operator(name)
		}
	}
	return audit.Operator(strconv.Itoa(os.Getuid()))
}

func currentUser() string {
	u, err := user.Current()
	if err != nil {
		return "" // no entry for this user, as in a container
	}
	return u.Username
}

// oneOfThese words an error of a room for the operator: where it is one of the given sentinels, the
// text that goes with it.
func oneOfThese(err error, texts map[error]string) error {
	for sentinel, text := range texts {
		if errors.Is(err, sentinel) {
			return errors.New(text)
		}
	}
	return err
}

// when prints a time for people.
func when(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func words[S ~string](list []S) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return strings.Join(out, " ")
}
