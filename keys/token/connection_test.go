package token_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/token"
)

func connection() token.Connection { return token.Connection{ID: "CONNECTION", Access: access()} }

func (b bench) connection(t *testing.T, c token.Connection) string {
	t.Helper()
	raw, err := b.minter.Connection(c, "")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestConnectionTokenGivesWhatWasMinted(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{keys.EdDSA, keys.ES256} {
		b := setup(t, algorithm)
		raw := b.connection(t, connection())
		want := connection()
		want.Issuer, want.Audience = issuer, []string{issuer} // whatever the caller says
		got, err := b.parser.Connection(raw, noon())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", algorithm, d)
		}
		header, payload := segments(t, raw)
		if !strings.Contains(header, `"typ":"ct+jwt"`) || !strings.Contains(payload, `"cnid":"CONNECTION"`) {
			t.Errorf("%s: %s %s", algorithm, header, payload)
		}
		if again := b.connection(t, connection()); algorithm == keys.EdDSA && again != raw {
			t.Error("the same claims give another token")
		}
	}
}

func TestExpiredConnectionTokenStillSaysWhose(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	raw := b.connection(t, connection())
	got, err := b.parser.Connection(raw, connection().Expires.Add(time.Hour))
	if !errors.Is(err, token.ErrExpired) || got.ID != "CONNECTION" || got.Session != connection().Session {
		t.Errorf("%+v %v", got, err)
	}
}

// TestConnectionTokenIsOfNoOtherKind: it is told to come from elsewhere as an access token, and it is nothing at all as a refresh token; the others
// are no connection tokens.
func TestConnectionTokenIsOfNoOtherKind(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	raw := b.connection(t, connection())
	for when, now := range map[string]time.Time{"alive": noon(), "expired": connection().Expires.Add(time.Hour)} {
		if _, err := b.parser.Access(raw, now); !errors.Is(err, token.ErrInvalid) || !errors.Is(err, token.ErrSource) {
			t.Errorf("%s, as an access token: %v", when, err)
		}
		if _, err := b.parser.Refresh(raw, now); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s, as a refresh token: %v", when, err)
		}
	}
	if _, err := b.parser.Connection(b.access(t, access()), noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("an access token as a connection token: %v", err)
	}
	// Whoever renames the type breaks the signature; whoever breaks the signature is told nothing of where it came from.
	parts := strings.Split(raw, ".")
	header, _ := segments(t, raw)
	renamed := base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(header, "ct+jwt", "at+jwt", 1)))
	if _, err := b.parser.Access(strings.Join([]string{renamed, parts[1], parts[2]}, "."), noon()); !errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrSource) {
		t.Errorf("renamed: %v", err)
	}
	if _, err := b.parser.Connection(parts[0]+"."+parts[1]+"."+strings.Repeat("A", len(parts[2])), noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("another signature: %v", err)
	}
}

func TestConnectionTokenNeedsAConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	for name, change := range map[string]func(*token.Connection){
		"no connection": func(c *token.Connection) { c.ID = "" },
		"no session":    func(c *token.Connection) { c.Session = "" },
		"no subject":    func(c *token.Connection) { c.Subject = "" },
		"no expiry":     func(c *token.Connection) { c.Expires = time.Time{} },
	} {
		c := connection()
		change(&c)
		if raw, err := b.minter.Connection(c, ""); !errors.Is(err, token.ErrClaims) || raw != "" {
			t.Errorf("%s: minted %q, %v", name, raw, err)
		}
	}
	for name, payload := range map[string]func(string) string{
		"no cnid":     func(p string) string { return strings.Replace(p, `,"cnid":"CONNECTION"`, "", 1) },
		"empty cnid":  func(p string) string { return strings.Replace(p, `"CONNECTION"`, `""`, 1) },
		"cnid number": func(p string) string { return strings.Replace(p, `"CONNECTION"`, `7`, 1) },
		"for an API":  func(p string) string { return strings.Replace(p, `"aud":"`+issuer+`"`, `"aud":"`+audience+`"`, 1) },
	} {
		header, good := segments(t, b.connection(t, connection()))
		bad := payload(good)
		if bad == good {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		if _, err := b.parser.Connection(b.forge(t, header, bad), noon()); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
