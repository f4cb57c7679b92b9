package password

import (
	"errors"
	"fmt"

	"golang.org/x/text/secure/precis"
)

// MaxUsername is the longest user name, in bytes of its normalised form.
const MaxUsername = 128

// maxRounds is how often the rules are applied before a name counts as having no last form (RFC 8264
// §7 asks for the same after three).
const maxRounds = 4

// ErrUsername says that a text cannot be a user name.
var ErrUsername = errors.New("not a user name")

// NormalizeUsername gives the one form in which a user name is stored and looked up: lower case,
// NFC, wide characters narrowed (RFC 8265 §3.3, UsernameCaseMapped). It gives [ErrUsername] for what
// has no such form: the empty text, spaces and control characters, names of mixed direction, and
// anything over [MaxUsername] bytes. The normalised form is its own normalised form.
func NormalizeUsername(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("%w: it is empty", ErrUsername)
	}
	if len(s) > MaxUsername {
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrUsername, MaxUsername)
	}
	for range maxRounds {
		name, err := precis.UsernameCaseMapped.String(s)
		if err != nil {
			return "", fmt.Errorf("%w: it may hold letters, digits and the marks of the keyboard, but no spaces: %w", ErrUsername, err)
		}
		if len(name) > MaxUsername {
			return "", fmt.Errorf("%w: it is longer than %d bytes", ErrUsername, MaxUsername)
		}
		if name == s {
			return name, nil
		}
		s = name
	}
	return "", fmt.Errorf("%w: it has no form that stays the same", ErrUsername)
}
