package token_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/token"
)

// segments decodes header and payload.
func segments(t *testing.T, raw string) (header, payload string) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%d segments", len(parts))
	}
	h, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	p, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return string(h), string(p)
}

// TestWireShape pins every byte of a token: clients, guards elsewhere and tokens that are minted
// again all depend on it.
func TestWireShape(t *testing.T) {
	t.Parallel()
	m := token.NewMinter(issuer, newFixed(1))
	machine := access()
	machine.Session, machine.Product, machine.Terminal, machine.Version, machine.Scope = "", "", "", 0, ""
	machine.Audience = []string{"a", "b"}
	odd := machine
	odd.Subject, odd.Audience, odd.Client = `q"uo\te`, []string{"x"}, "kønig\n<&>\x01\t\b\f\r"
	for name, c := range map[string]struct {
		mint            func() (string, error)
		header, payload string
	}{
		"a user's access token": {
			func() (string, error) { return m.Access(access(), "key-1") },
			`{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}`,
			`{"iss":"https://auth.example.com","sub":"7k2m9q4x","aud":"https://api.example.com","exp":1795176900,` +
				`"iat":1795176000,"jti":"01jd4w","client_id":"shop-app","scope":"wallet:read wallet:transfer",` +
				`"sid":"01jd4v","product":"shop","terminal":"mobile","version":7}`,
		},
		"a machine's access token": {
			func() (string, error) { return m.Access(machine, "key-1") },
			`{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}`,
			`{"iss":"https://auth.example.com","sub":"7k2m9q4x","aud":["a","b"],"exp":1795176900,"iat":1795176000,` +
				`"jti":"01jd4w","client_id":"shop-app"}`,
		},
		"claims that need escapes": {
			func() (string, error) { return m.Access(odd, "key-1") },
			`{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}`,
			`{"iss":"https://auth.example.com","sub":"q\"uo\\te","aud":"x","exp":1795176900,"iat":1795176000,` +
				`"jti":"01jd4w","client_id":"kønig\n<&>\u0001\t\b\f\r"}`,
		},
		"a refresh token": {
			func() (string, error) { return m.Refresh(refresh(), "key-1") },
			`{"alg":"EdDSA","typ":"rt+jwt","kid":"key-1"}`,
			`{"iss":"https://auth.example.com","sub":"7k2m9q4x","aud":"https://auth.example.com","exp":1795780800,` +
				`"iat":1795176000,"jti":"01jd4x","client_id":"shop-app","sid":"01jd4v"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := c.mint()
			if err != nil {
				t.Fatal(err)
			}
			header, payload := segments(t, raw)
			if header != c.header {
				t.Error(cmp.Diff(c.header, header))
			}
			if payload != c.payload {
				t.Error(cmp.Diff(c.payload, payload))
			}
		})
	}
}

func TestSignatureStaysTheSame(t *testing.T) {
	t.Parallel()
	raw, err := token.NewMinter(issuer, newFixed(1)).Refresh(refresh(), "key-1")
	if err != nil {
		t.Fatal(err)
	}
	const want = "PFUleXAIIrebEvb-H27UJfBNgppnKeifDYue--Jm48PnD0XWHg0ZvRn7P2n6ZjXHpGYh0xC7tVA4kIiWKEkEBw"
	if got := raw[strings.LastIndexByte(raw, '.')+1:]; got != want {
		t.Errorf("got %s", got)
	}
}

func TestMintingAgainGivesTheSameToken(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{keys.EdDSA, keys.ES256, keys.RS256} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			s := &rows{}
			one := token.NewMinter(issuer, newRing(t, algorithm, s))
			other := token.NewMinter(issuer, newRing(t, algorithm, s)) // a process started later
			kid, err := one.KeyID(noon())
			if err != nil {
				t.Fatal(err)
			}
			first, err := one.Access(access(), kid)
			if err != nil {
				t.Fatal(err)
			}
			elsewhere := access()
			elsewhere.Issuer = "ignored"
			elsewhere.IssuedAt = noon().Add(999 * time.Millisecond).In(time.FixedZone("", 3600))
			var done sync.WaitGroup
			for range 8 {
				done.Go(func() {
					if again, err := other.Access(elsewhere, kid); err != nil || again != first {
						t.Errorf("another token came out: %v\n%s\n%s", err, first, again)
					}
					if again, err := other.Access(elsewhere, ""); err != nil || again != first {
						t.Errorf("with the key that signs, another token came out: %v", err)
					}
				})
			}
			done.Wait()
		})
	}
}

func TestMintingWithTwoKeysAtOnce(t *testing.T) {
	t.Parallel()
	s := &rows{}
	ring := newRing(t, keys.EdDSA, s)
	if _, err := newRing(t, keys.ES256, s).RotateNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, p := token.NewMinter(issuer, ring), newParser(t, ring)
	var done sync.WaitGroup
	for _, record := range s.all {
		for range 4 {
			done.Go(func() {
				for range 50 {
					raw, err := m.Access(access(), record.ID)
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := p.Access(raw, noon()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	done.Wait()
}

func TestMintRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	long := strings.Repeat("x", token.MaxText+1)
	for name, spoil := range map[string]func(*token.Access){
		"no subject":               func(a *token.Access) { a.Subject = "" },
		"no client":                func(a *token.Access) { a.Client = "" },
		"no jti":                   func(a *token.Access) { a.JTI = "" },
		"no audience":              func(a *token.Access) { a.Audience = nil },
		"an empty audience":        func(a *token.Access) { a.Audience = []string{"a", ""} },
		"too many audiences":       func(a *token.Access) { a.Audience = strings.Split(strings.Repeat("a ", token.MaxAudience)+"a", " ") },
		"long subject":             func(a *token.Access) { a.Subject = long },
		"long session":             func(a *token.Access) { a.Session = long },
		"long product":             func(a *token.Access) { a.Product = long },
		"long terminal":            func(a *token.Access) { a.Terminal = long },
		"long scope":               func(a *token.Access) { a.Scope = strings.Repeat("x", token.MaxScope+1) },
		"not UTF-8":                func(a *token.Access) { a.Client = "\xff" },
		"scope not UTF-8":          func(a *token.Access) { a.Scope = "\xff" },
		"no times":                 func(a *token.Access) { a.IssuedAt, a.Expires = time.Time{}, time.Time{} },
		"no expiry":                func(a *token.Access) { a.Expires = time.Time{} },
		"expiry with issue":        func(a *token.Access) { a.Expires = a.IssuedAt.Add(999 * time.Millisecond) },
		"the year 10000":           func(a *token.Access) { a.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"negative version":         func(a *token.Access) { a.Version = -1 },
		"a product and no session": func(a *token.Access) { a.Session = "" },
		"longer than a token may be": func(a *token.Access) {
			a.Audience = strings.Split(strings.Repeat(strings.Repeat("a", 400)+" ", 9)+"a", " ")
		},
	} {
		a := access()
		spoil(&a)
		if raw, err := b.minter.Access(a, b.kid); !errors.Is(err, token.ErrClaims) || raw != "" {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
	r := refresh()
	r.Session = ""
	if _, err := b.minter.Refresh(r, b.kid); !errors.Is(err, token.ErrClaims) {
		t.Errorf("a refresh token without session: %v", err)
	}
	_, err1 := b.minter.Access(access(), "unknown")
	_, err2 := b.minter.Refresh(refresh(), "unknown")
	_, err3 := token.NewMinter("", b.ring).Access(access(), b.kid)
	if !errors.Is(err1, keys.ErrUnknownKey) || !errors.Is(err2, keys.ErrUnknownKey) || !errors.Is(err3, token.ErrClaims) {
		t.Errorf("unknown key: %v; %v; no issuer: %v", err1, err2, err3)
	}
}
