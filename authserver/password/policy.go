package password

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/keys/secret"
)

// MaxLength is the longest password, in bytes; longer ones are refused when chosen and wrong when
// presented.
const MaxLength = 256

//go:embed worst.txt
var worstList string

// PolicyError says why a password may not be chosen. Its text is for the user who chose it.
type PolicyError struct{ Text string }

// Error implements error.
func (e *PolicyError) Error() string { return e.Text }

// Acceptable gives a [*PolicyError] unless the user may choose the password. username may be empty.
func (c *Checker) Acceptable(username string, pw secret.Text) error {
	s := pw.Reveal()
	switch {
	case !utf8.ValidString(s):
		return &PolicyError{"the password is not valid UTF-8"}
	case utf8.RuneCountInString(s) < c.minLength:
		return &PolicyError{fmt.Sprintf("the password is shorter than %d characters", c.minLength)}
	case len(s) > MaxLength:
		return &PolicyError{fmt.Sprintf("the password is longer than %d bytes", MaxLength)}
	case username != "" && strings.EqualFold(s, username):
		return &PolicyError{"the password is the user name"}
	}
	if _, bad := c.worst[strings.ToLower(s)]; bad || oneCharacter(s) {
		return &PolicyError{"the password is one of the most used ones, which are guessed first"}
	}
	return nil
}

// oneCharacter says whether s is one character over and over.
func oneCharacter(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return strings.TrimLeft(s, string(first)) == ""
}

func worst() map[string]struct{} {
	set := make(map[string]struct{})
	for line := range strings.Lines(worstList) {
		set[strings.TrimSpace(line)] = struct{}{}
	}
	delete(set, "")
	return set
}
