// Package secret is a text that prints redacted.
//
// Configuration and rooms hold tokens, passwords and keys in it, so that no log line, error or dump
// of a struct can show one by accident. It imports nothing of ours and everyone may import it.
package secret

import (
	"crypto/subtle"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a secret. [Text.Reveal] is the only way to read it.
type Text struct{ s string }

// New wraps a secret.
func New(s string) Text { return Text{s} }

// Reveal returns the secret itself.
func (t Text) Reveal() string { return t.s }

// Empty says whether there is none.
func (t Text) Empty() bool { return t.s == "" }

// Equal compares in a time that does not depend on where the two differ.
func (t Text) Equal(other string) bool {
	return subtle.ConstantTimeCompare([]byte(t.s), []byte(other)) == 1
}

// String implements fmt.Stringer.
func (Text) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Text) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the secret out of JSON and YAML.
func (Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes a secret from configuration.
func (t *Text) UnmarshalText(b []byte) error {
	t.s = string(b)
	return nil
}
