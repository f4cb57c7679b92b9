package handoff

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

const (
	// alphabet are the letters of public codes: no vowels, so that no word comes out, and no digits, so that
	// nobody takes one for a letter (RFC 8628 §6.1).
	alphabet = "BCDFGHJKLMNPQRSTVWXZ"
	// codeLength is how many there are in a code: 20^8 codes, 34 bits.
	codeLength = 8
	// maxTyped is the longest text that is looked at for a code, in bytes.
	maxTyped = 64

	prefixDevice = "tdc_"
	prefixLogin  = "tlt_"
	secretBytes  = 32
	// maxSecret is the longest text that is looked at for a device code or a login token, in bytes.
	maxSecret = 128
	// digits is how many digits the number has.
	digits = 2
)

// newCode makes a public code, as it is stored.
func newCode() string {
	var b [codeLength]byte
	for i := range b {
		b[i] = alphabet[below(len(alphabet))]
	}
	return string(b[:])
}

// newNumber makes the number of a request.
func newNumber() string {
	most := 1
	for range digits {
		most *= 10
	}
	return fmt.Sprintf("%0*d", digits, below(most))
}

// below is a random number below n, each as likely as any other.
func below(n int) int64 {
	v, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return v.Int64()
}

// shownCode is a code as people read it: in two halves.
func shownCode(code string) string {
	if len(code) != codeLength {
		return code
	}
	return code[:codeLength/2] + "-" + code[codeLength/2:]
}

// ParseCode reads a public code as it was typed: in any letters, with or without hyphens and spaces. It says
// false for what can be no code.
func ParseCode(typed string) (string, bool) {
	if len(typed) > maxTyped {
		return "", false
	}
	code := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(code) != codeLength {
		return "", false
	}
	for i := range len(code) {
		if strings.IndexByte(alphabet, code[i]) < 0 {
			return "", false
		}
	}
	return code, true
}

// newSecret makes a device code or a login token, and what is stored of it.
func newSecret(prefix string) (secret.Text, storage.HandoffHash) {
	var b [secretBytes]byte
	rand.Read(b[:])
	text := prefix + base64.RawURLEncoding.EncodeToString(b[:])
	return secret.New(text), sha256.Sum256([]byte(text))
}

// hashOf is what is stored of a secret that a stranger presents; false for what can be none.
func hashOf(prefix string, given secret.Text) (storage.HandoffHash, bool) {
	text := given.Reveal()
	if len(text) > maxSecret || !strings.HasPrefix(text, prefix) {
		return storage.HandoffHash{}, false
	}
	return sha256.Sum256([]byte(text)), true
}
