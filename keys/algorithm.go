package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The algorithms of signing keys, as JOSE names them.
const (
	EdDSA = "EdDSA" // Ed25519
	ES256 = "ES256"
	RS256 = "RS256"
)

// ECDHES is the algorithm of keys that passwords are encrypted for: ECDH-ES over P-256 (RFC 7518 §4.6).
const ECDHES = "ECDH-ES"

// fits says whether keys of a use may be of an algorithm.
func fits(use, algorithm string) error {
	if use == useEncryption {
		if algorithm != ECDHES {
			return fmt.Errorf("algorithm %q is not ECDH-ES", algorithm)
		}
		return nil
	}
	_, err := method(algorithm)
	return err
}

// rsaBits is the size of the RSA keys that are made; smaller ones are not accepted either.
const rsaBits = 2048

// Signer is a private key with the method that signs with it. It prints redacted.
type Signer struct {
	ID        string
	Algorithm string
	// Method signs deterministically: the same text gives the same signature. Nil of a key that encrypts.
	Method jwt.SigningMethod
	// Key is what Method.Sign takes.
	Key any
}

// Format implements fmt.Formatter: whatever the verb, the key itself is not printed.
func (s Signer) Format(f fmt.State, _ rune) {
	io.WriteString(f, s.redacted()) //nolint:errcheck // fmt.State keeps its own errors.
}

// LogValue implements slog.LogValuer.
func (s Signer) LogValue() slog.Value { return slog.StringValue(s.redacted()) }

// MarshalText keeps the key out of JSON.
func (s Signer) MarshalText() ([]byte, error) { return []byte(s.redacted()), nil }

func (s Signer) redacted() string { return s.Algorithm + " key " + s.ID + " [redacted]" }

// Verifier is a public key with the method that verifies with it.
type Verifier struct {
	ID        string
	Algorithm string
	Method    jwt.SigningMethod
	// Key is what Method.Verify takes.
	Key any
}

// ed25519Key hides an Ed25519 key: the bare type is a slice, which prints in full wherever it is
// embedded. There are two pointers before it, because fmt follows one where it dislikes the verb.
type ed25519Key struct{ private *ed25519.PrivateKey }

func (k *ed25519Key) Public() crypto.PublicKey { return k.private.Public() }

func (k *ed25519Key) Sign(r io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.private.Sign(r, message, opts)
}

func (k *ed25519Key) Format(f fmt.State, _ rune) {
	io.WriteString(f, "Ed25519 key [redacted]") //nolint:errcheck // fmt.State keeps its own errors.
}

// deterministicES256 is ES256 that signs after RFC 6979.
type deterministicES256 struct{}

func (deterministicES256) Alg() string { return ES256 }

func (deterministicES256) Verify(text string, signature []byte, key any) error {
	return jwt.SigningMethodES256.Verify(text, signature, key)
}

func (deterministicES256) Sign(text string, key any) ([]byte, error) {
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, jwt.ErrInvalidKeyType
	}
	digest := sha256.Sum256([]byte(text))
	der, err := private.Sign(nil, digest[:], crypto.SHA256) // no source of chance: RFC 6979
	if err != nil {
		return nil, fmt.Errorf("sign ES256: %w", err)
	}
	var body cryptobyte.String
	var r, s []byte
	input := cryptobyte.String(der)
	if !input.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1Integer(&r) || !body.ReadASN1Integer(&s) ||
		len(r) > 32 || len(s) > 32 {
		return nil, errors.New("sign ES256: unexpected form of signature")
	}
	signature := make([]byte, 64)
	copy(signature[32-len(r):32], r)
	copy(signature[64-len(s):], s)
	return signature, nil
}

// method returns the signing method of an algorithm.
func method(algorithm string) (jwt.SigningMethod, error) {
	switch algorithm {
	case EdDSA:
		return jwt.SigningMethodEdDSA, nil
	case ES256:
		return deterministicES256{}, nil
	case RS256:
		return jwt.SigningMethodRS256, nil
	}
	return nil, fmt.Errorf("algorithm %q is not one of EdDSA, ES256, RS256", algorithm)
}

// generate makes a private key.
func generate(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case ES256, ECDHES:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	_, err := method(algorithm)
	return nil, err
}

// pair makes both halves of a parsed private key, and refuses one that is not of the algorithm.
func pair(id, algorithm string, private any) (Signer, Verifier, error) {
	if algorithm == ECDHES {
		k, ok := private.(*ecdsa.PrivateKey)
		if !ok || k.Curve != elliptic.P256() {
			return Signer{}, Verifier{}, errors.New("key is not for ECDH-ES over P-256")
		}
		return Signer{ID: id, Algorithm: algorithm, Key: k}, Verifier{ID: id, Algorithm: algorithm, Key: &k.PublicKey}, nil
	}
	m, err := method(algorithm)
	if err != nil {
		return Signer{}, Verifier{}, err
	}
	s := Signer{ID: id, Algorithm: algorithm, Method: m, Key: private}
	v := Verifier{ID: id, Algorithm: algorithm, Method: m}
	switch k := private.(type) {
	case ed25519.PrivateKey:
		s.Key, v.Key = &ed25519Key{&k}, k.Public()
		return s, v, of(algorithm, EdDSA)
	case *ecdsa.PrivateKey:
		v.Key = &k.PublicKey
		if k.Curve != elliptic.P256() {
			return Signer{}, Verifier{}, errors.New("curve is not P-256")
		}
		return s, v, of(algorithm, ES256)
	case *rsa.PrivateKey:
		v.Key = &k.PublicKey
		if k.N.BitLen() < rsaBits {
			return Signer{}, Verifier{}, fmt.Errorf("RSA key has fewer than %d bits", rsaBits)
		}
		return s, v, of(algorithm, RS256)
	}
	return Signer{}, Verifier{}, fmt.Errorf("key of unknown kind %T", private)
}

// of refuses a key whose kind is not the one its algorithm asks for.
func of(algorithm, kind string) error {
	if algorithm != kind {
		return fmt.Errorf("key is for %s and not for %s", kind, algorithm)
	}
	return nil
}
