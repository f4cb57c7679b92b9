package token_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tallystick/tallystick/keys"
)

// BenchmarkMint mints access tokens. Its floor, signing a text of the same length and nothing else, is
// measured in the same run: x-floor is how many times the floor minting takes.
func BenchmarkMint(b *testing.B) {
	for _, algorithm := range []string{keys.EdDSA, keys.ES256, keys.RS256} {
		b.Run(algorithm, func(b *testing.B) {
			s := setup(b, algorithm)
			a := access()
			raw := s.access(b, a)
			text := raw[:strings.LastIndexByte(raw, '.')]
			b.ReportAllocs()
			against(b, func() error {
				_, err := s.signer.Method.Sign(text, s.signer.Key)
				return err
			}, func() error {
				_, err := s.minter.Access(a, s.kid)
				return err
			})
		})
	}
}

// BenchmarkMintByLibrary mints the same claims as golang-jwt does it from a map, over the same floor.
func BenchmarkMintByLibrary(b *testing.B) {
	s := setup(b, keys.EdDSA)
	a := access()
	raw := s.access(b, a)
	text := raw[:strings.LastIndexByte(raw, '.')]
	b.ReportAllocs()
	against(b, func() error {
		_, err := s.signer.Method.Sign(text, s.signer.Key)
		return err
	}, func() error {
		t := jwt.NewWithClaims(s.signer.Method, jwt.MapClaims{
			"iss": a.Issuer, "sub": a.Subject, "aud": a.Audience, "exp": a.Expires.Unix(), "iat": a.IssuedAt.Unix(),
			"jti": a.JTI, "client_id": a.Client, "scope": a.Scope, "sid": a.Session, "product": a.Product,
			"terminal": a.Terminal, "version": a.Version,
		})
		t.Header["typ"], t.Header["kid"] = "at+jwt", s.kid
		_, err := t.SignedString(s.signer.Key)
		return err
	})
}

// BenchmarkParse parses access tokens, over the floor of verifying the signature and nothing else.
func BenchmarkParse(b *testing.B) {
	for _, algorithm := range []string{keys.EdDSA, keys.ES256, keys.RS256} {
		b.Run(algorithm, func(b *testing.B) {
			s := setup(b, algorithm)
			raw, now := s.access(b, access()), noon()
			dot := strings.LastIndexByte(raw, '.')
			text := raw[:dot]
			signature, err := s.signer.Method.Sign(text, s.signer.Key)
			if err != nil {
				b.Fatal(err)
			}
			v, err := s.ring.Verifier(s.kid)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			against(b, func() error { return v.Method.Verify(text, signature, v.Key) }, func() error {
				_, err := s.parser.Access(raw, now)
				return err
			})
		})
	}
}

// BenchmarkSign compares the ring's Ed25519 key, behind its redacting type, with the bare one.
func BenchmarkSign(b *testing.B) {
	s := setup(b, keys.EdDSA)
	bare := otherKey(b)
	text := strings.Repeat("x", 400)
	b.ReportAllocs()
	against(b, func() error {
		ed25519.Sign(bare, []byte(text))
		return nil
	}, func() error {
		_, err := s.signer.Method.Sign(text, s.signer.Key)
		return err
	})
}

// against times work, and the floor beside it in alternating rounds, so that both meet the same noise.
func against(b *testing.B, floor, work func() error) {
	b.Helper()
	var floorTime, workTime time.Duration
	timed := func(f func() error) time.Duration {
		begin := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin)
	}
	for b.Loop() {
		floorTime += timed(floor)
		workTime += timed(work)
	}
	b.ReportMetric(float64(workTime)/float64(floorTime), "x-floor")
	b.ReportMetric(float64(workTime.Nanoseconds())/float64(b.N), "ns-work/op")
}
