package secret

import (
	"crypto/subtle"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a secret. [Text.Reveal] is the only way to read it.
type Text struct{ s *string }

// New wraps a secret.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{&s}
}

// Reveal returns the secret itself.
func (t Text) Reveal() string {
	if t.s == nil {
		return ""
	}
	return *t.s
}

// Empty says whether there is none.
func (t Text) Empty() bool { return t.s == nil }

// Equal compares in a time that does not depend on where the two differ.
func (t Text) Equal(other string) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other)) == 1
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
	*t = New(string(b))
	return nil
}
