package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tallystick/tallystick/keys/secret"
)

const (
	passwordFileFlag = "password-file"
	maxSecretLine    = 4 << 10
)

// Terminal says that a stream is a terminal.
func Terminal(stream any) bool {
	f, is := stream.(*os.File)
	return is && isatty.IsTerminal(f.Fd())
}

// WithPasswordFile gives a command the flag --password-file.
func WithPasswordFile(c *cobra.Command) *cobra.Command {
	c.Flags().String(passwordFileFlag, "", "read the password from this file; - for standard input")
	return c
}

// Password reads a password: from --password-file if it was given, else by asking twice on a terminal,
// else the first line of standard input. It is never an argument, where every user of the host could
// read it.
func Password(c *cobra.Command) (secret.Text, error) {
	in := c.InOrStdin()
	name, err := c.Flags().GetString(passwordFileFlag)
	if err != nil {
		return secret.Text{}, fmt.Errorf("password: %w", err)
	}
	switch {
	case name != "" && name != "-":
		f, err := os.Open(name)
		if err != nil {
			return secret.Text{}, fmt.Errorf("read password: %w", err)
		}
		defer f.Close()
		return firstLine(f)
	case name == "" && Terminal(in):
		return askTwice(in.(*os.File), c.ErrOrStderr())
	}
	return firstLine(in)
}

func firstLine(r io.Reader) (secret.Text, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxSecretLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Text{}, fmt.Errorf("read password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return secret.Text{}, Usagef("no password: pipe it in, or give --%s FILE", passwordFileFlag)
	}
	return secret.New(line), nil
}

func askTwice(in *os.File, prompt io.Writer) (secret.Text, error) {
	var typed [2]string
	for i, question := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(prompt, question)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(prompt)
		if err != nil {
			return secret.Text{}, fmt.Errorf("read password: %w", err)
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return secret.Text{}, Usagef("the two passwords differ; nothing was changed")
	}
	if typed[0] == "" {
		return secret.Text{}, Usagef("an empty password is none; nothing was changed")
	}
	return secret.New(typed[0]), nil
}
