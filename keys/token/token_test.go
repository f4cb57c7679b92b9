package token_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
)

const (
	issuer   = "https://auth.example.com"
	audience = "https://api.example.com"
)

// noon is the instant at which the tests take place.
func noon() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }

// rows is a key store in memory.
type rows struct {
	mu  sync.Mutex
	all []keys.Record
}

func (s *rows) ListKeys(context.Context) ([]keys.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all), nil
}

func (s *rows) AddKey(_ context.Context, r keys.Record, after string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.all); n > 0 && s.all[n-1].ID != after {
		return keys.ErrStale
	}
	s.all = append(s.all, r)
	return nil
}

func (s *rows) RetireKey(_ context.Context, id string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if s.all[i].ID == id {
			s.all[i].RetiredAt = &at
			return nil
		}
	}
	return keys.ErrUnknownKey
}

// newRing opens a real ring over a store of its own, or over s, whose first key is a minute old.
func newRing(tb testing.TB, algorithm string, s *rows) *keys.Ring {
	tb.Helper()
	now := noon().Add(-time.Minute)
	ring, err := keys.Open(tb.Context(), keys.Config{
		Store: s, Algorithm: algorithm, Keep: time.Hour, Now: func() time.Time { return now },
		EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(make([]byte, 32))),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// bench is what most tests need.
type bench struct {
	ring   *keys.Ring
	minter *token.Minter
	parser *token.Parser
	kid    string
	signer keys.Signer
}

func setup(tb testing.TB, algorithm string) bench {
	tb.Helper()
	ring := newRing(tb, algorithm, &rows{})
	b := bench{ring: ring, minter: token.NewMinter(issuer, ring), parser: newParser(tb, ring)}
	var err error
	if b.kid, err = b.minter.KeyID(noon()); err != nil {
		tb.Fatal(err)
	}
	if b.signer, err = ring.SignerByID(b.kid); err != nil {
		tb.Fatal(err)
	}
	return b
}

func newParser(tb testing.TB, ring token.Ring) *token.Parser {
	tb.Helper()
	p, err := token.NewParser(token.ParserConfig{Issuer: issuer, Audience: []string{"wallet", audience}, Ring: ring})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// access are claims with every field set.
func access() token.Access {
	return token.Access{
		Issuer: issuer, Subject: "7k2m9q4x", Audience: []string{audience}, Client: "shop-app", JTI: "01jd4w",
		Scope: "wallet:read wallet:transfer", IssuedAt: noon(), Expires: noon().Add(15 * time.Minute),
		Session: "01jd4v", Product: "shop", Terminal: "mobile", Version: 7,
	}
}

// refresh are claims with every field set.
func refresh() token.Refresh {
	return token.Refresh{
		Issuer: issuer, Subject: "7k2m9q4x", Client: "shop-app", JTI: "01jd4x", Session: "01jd4v",
		IssuedAt: noon(), Expires: noon().Add(7 * 24 * time.Hour),
	}
}

func (b bench) access(tb testing.TB, a token.Access) string {
	tb.Helper()
	raw, err := b.minter.Access(a, b.kid)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func (b bench) refresh(tb testing.TB, r token.Refresh) string {
	tb.Helper()
	raw, err := b.minter.Refresh(r, b.kid)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// forge signs any header and payload with the real key: what a token would be that got past our
// minter and no further.
func (b bench) forge(tb testing.TB, header, payload string) string {
	tb.Helper()
	return forgeWith(tb, header, payload, b.signer.Method, b.signer.Key)
}

func forgeWith(tb testing.TB, header, payload string, m jwt.SigningMethod, key any) string {
	tb.Helper()
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	signature, err := m.Sign(text, key)
	if err != nil {
		tb.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// header writes the header that the minter would write.
func (b bench) header(typ string) string {
	return `{"alg":"` + b.signer.Algorithm + `","typ":"` + typ + `","kid":"` + b.kid + `"}`
}

// fixed is a ring of one key that never changes.
type fixed struct {
	private ed25519.PrivateKey
	id      string
}

func newFixed(fill byte) fixed {
	return fixed{ed25519.NewKeyFromSeed(slices.Repeat([]byte{fill}, ed25519.SeedSize)), "key-1"}
}

func (f fixed) Signer(time.Time) (keys.Signer, error) {
	return keys.Signer{ID: f.id, Algorithm: keys.EdDSA, Method: jwt.SigningMethodEdDSA, Key: f.private}, nil
}

func (f fixed) SignerByID(id string) (keys.Signer, error) {
	if id != f.id {
		return keys.Signer{}, keys.ErrUnknownKey
	}
	return f.Signer(time.Time{})
}

func (f fixed) Verifier(id string) (keys.Verifier, error) {
	if id != f.id {
		return keys.Verifier{}, keys.ErrUnknownKey
	}
	return keys.Verifier{ID: id, Algorithm: keys.EdDSA, Method: jwt.SigningMethodEdDSA, Key: f.private.Public()}, nil
}

// otherKey is an Ed25519 key that no ring knows.
func otherKey(tb testing.TB) ed25519.PrivateKey {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return private
}
