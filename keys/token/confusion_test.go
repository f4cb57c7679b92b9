package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/token"
)

// TestAlgorithmConfusion is about tokens that somebody without our key could make (RFC 8725 §2.1).
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	_, payload := segments(t, b.access(t, access()))
	v, err := b.ring.Verifier(b.kid)
	if err != nil {
		t.Fatal(err)
	}
	public := v.Key.(ed25519.PublicKey)
	body, _ := b.ring.JWKS()
	jwks := string(body)
	head := func(alg, more string) string {
		return `{"alg":"` + alg + `","typ":"at+jwt","kid":"` + b.kid + `"` + more + `}`
	}
	other := otherKey(t)
	jwk := `,"jwk":{"kty":"OKP","crv":"Ed25519","x":"` + base64.RawURLEncoding.EncodeToString(other.Public().(ed25519.PublicKey)) + `"}`
	unsigned := func(alg string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(head(alg, ""))) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "."
	}
	for name, raw := range map[string]string{
		"none":                         unsigned("none"),
		"None":                         unsigned("None"),
		"no signature":                 unsigned("EdDSA"),
		"none by the library":          forgeWith(t, head("none", ""), payload, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"HS256 with the public key":    forgeWith(t, head("HS256", ""), payload, jwt.SigningMethodHS256, []byte(public)),
		"HS256 with the JWKS":          forgeWith(t, head("HS256", ""), payload, jwt.SigningMethodHS256, []byte(jwks)),
		"HS256 that says EdDSA":        forgeWith(t, head("EdDSA", ""), payload, jwt.SigningMethodHS256, []byte(public)),
		"another key":                  forgeWith(t, head("EdDSA", ""), payload, jwt.SigningMethodEdDSA, other),
		"another key that it brings":   forgeWith(t, head("EdDSA", jwk), payload, jwt.SigningMethodEdDSA, other),
		"another key that it links to": forgeWith(t, head("EdDSA", `,"jku":"https://evil.example.com/jwks.json"`), payload, jwt.SigningMethodEdDSA, other),
	} {
		if _, err := b.parser.Access(raw, noon()); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyOfAnotherAlgorithm(t *testing.T) {
	t.Parallel()
	s := &rows{}
	newRing(t, keys.RS256, s)
	if _, err := newRing(t, keys.ES256, s).RotateNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	ring := newRing(t, keys.EdDSA, s)
	rsaKey, err1 := ring.SignerByID(s.all[0].ID)
	ecKey, err2 := ring.SignerByID(s.all[1].ID)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	m, p := token.NewMinter(issuer, ring), newParser(t, ring)
	raw, err := m.Access(access(), rsaKey.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Access(raw, noon()); err != nil {
		t.Fatal(err)
	}
	_, payload := segments(t, raw)
	for name, forged := range map[string]string{
		"RS256 under the name of an ES256 key": forgeWith(t, `{"alg":"RS256","typ":"at+jwt","kid":"`+ecKey.ID+`"}`, payload, rsaKey.Method, rsaKey.Key),
		"ES256 under the name of an RS256 key": forgeWith(t, `{"alg":"ES256","typ":"at+jwt","kid":"`+rsaKey.ID+`"}`, payload, ecKey.Method, ecKey.Key),
		"RS256 with the key said to be ES256":  forgeWith(t, `{"alg":"ES256","typ":"at+jwt","kid":"`+rsaKey.ID+`"}`, payload, rsaKey.Method, rsaKey.Key),
	} {
		if _, err := p.Access(forged, noon()); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	strict, err := token.NewParser(token.ParserConfig{Issuer: issuer, Audience: []string{audience}, Algorithms: []string{keys.EdDSA}, Ring: ring})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := strict.Access(raw, noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("an algorithm that is not allowed: %v", err)
	}
}

func TestKindsOfTokenExcludeEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	// An audience under which even the claims of a refresh token would pass as access.
	p, err := token.NewParser(token.ParserConfig{Issuer: issuer, Audience: []string{issuer}, Ring: b.ring})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Access(b.refresh(t, refresh()), noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("a refresh token as access token: %v", err)
	}
	a := access()
	a.Audience = []string{issuer}
	if _, err := p.Refresh(b.access(t, a), noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("an access token as refresh token: %v", err)
	}
	_, payload := segments(t, b.access(t, access()))
	if _, err := p.Refresh(b.forge(t, b.header("rt+jwt"), payload), noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("a refresh token for the audience of access tokens: %v", err)
	}
	withoutSession := `{"iss":"` + issuer + `","sub":"s","aud":"` + issuer + `","exp":1795176900,"iat":1795176000,"jti":"j","client_id":"c"}`
	if _, err := p.Refresh(b.forge(t, b.header("rt+jwt"), withoutSession), noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("a refresh token without session: %v", err)
	}
}
