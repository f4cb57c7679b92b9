package password

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/storage"
)

// MaxHash is the longest hash, in bytes: what its column holds.
const MaxHash = 512

// ErrFormat says that a text is not a password hash of a form this package verifies, or one with
// parameters beyond its limits. The error around it says which, and never shows the hash.
var ErrFormat = errors.New("not a usable password hash")

// Algorithm is the family of a hash.
type Algorithm string

// The families. See the package's doc for their forms.
const (
	Argon2id Algorithm = "argon2id"
	Argon2i  Algorithm = "argon2i"
	Bcrypt   Algorithm = "bcrypt"
	PBKDF2   Algorithm = "pbkdf2"
	MD5      Algorithm = "md5"
	SHA1     Algorithm = "sha1"
	SHA256   Algorithm = "sha256"
	HMACSHA1 Algorithm = "hmac-sha1"
)

// hash is a stored hash, parsed and within limits.
type hash interface {
	algorithm() Algorithm
	// matches hashes pw in the way of the stored hash and compares in constant time.
	matches(pw []byte) bool
}

// Recognise says of which family a hash is, or gives [ErrFormat]: for text of no known form, for
// parameters beyond the limits, and for a keyed hash whose key is not configured.
func (c *Checker) Recognise(h storage.PasswordHash) (Algorithm, error) {
	parsed, err := c.parse(h)
	if err != nil {
		return "", err
	}
	return parsed.algorithm(), nil
}

// parse reads a stored hash by its prefix.
func (c *Checker) parse(h storage.PasswordHash) (hash, error) {
	s := string(h)
	if len(s) > MaxHash {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrFormat, MaxHash)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return nil, fmt.Errorf("%w: a character that is not printable ASCII", ErrFormat)
		}
	}
	switch {
	case strings.HasPrefix(s, "$argon2"):
		return parseArgon2(s)
	case strings.HasPrefix(s, "$2"):
		return parseBcrypt(s)
	case strings.HasPrefix(s, "pbkdf2_"):
		return parseDjango(s)
	case strings.HasPrefix(s, "$pbkdf2"):
		return parsePasslib(s)
	case strings.HasPrefix(s, "{hmac-sha1}"):
		return parseKeyed(s, c.keys)
	case strings.HasPrefix(s, "{"):
		return parseDigest(s)
	}
	return nil, fmt.Errorf("%w: unknown form", ErrFormat)
}

// bounded reads a decimal parameter between low and high.
func bounded(name, s string, low, high uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s is not a number", ErrFormat, name)
	}
	if n < low || n > high {
		return 0, fmt.Errorf("%w: %s is not between %d and %d", ErrFormat, name, low, high)
	}
	return n, nil
}

// sized checks the length of a decoded part.
func sized(name string, b []byte, low, high int) error {
	if len(b) < low || len(b) > high {
		return fmt.Errorf("%w: the %s is not of %d to %d bytes", ErrFormat, name, low, high)
	}
	return nil
}
