package remote

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tallystick/tallystick/keys"
)

const (
	// minRSABits and maxRSABits bound the modulus: weak keys are refused, and keys that take long.
	minRSABits = 2048
	maxRSABits = 8192
	// maxExponent bounds the public exponent; all that are in use are far below.
	maxExponent = 1<<31 - 1
)

// jwk is a public key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	Y         string `json:"y"`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// verifier reads the key. It must say for which algorithm it is, and be of its kind.
func (k *jwk) verifier() (keys.Verifier, error) {
	if len(k.ID) != keyIDLength || k.Use != "sig" {
		return keys.Verifier{}, errors.New("not a signing key of the issuer's")
	}
	v := keys.Verifier{ID: k.ID, Algorithm: k.Algorithm}
	var err error
	switch {
	case k.Algorithm == keys.EdDSA && k.Type == "OKP" && k.Curve == "Ed25519":
		v.Method = jwt.SigningMethodEdDSA
		v.Key, err = k.ed25519()
	case k.Algorithm == keys.ES256 && k.Type == "EC" && k.Curve == "P-256":
		v.Method = jwt.SigningMethodES256
		v.Key, err = k.ecdsa()
	case k.Algorithm == keys.RS256 && k.Type == "RSA":
		v.Method = jwt.SigningMethodRS256
		v.Key, err = k.rsa()
	default:
		err = fmt.Errorf("kty %.16q and alg %.16q are not of those known", k.Type, k.Algorithm)
	}
	return v, err
}

func (k *jwk) ed25519() (ed25519.PublicKey, error) {
	b, err := base64.RawURLEncoding.DecodeString(k.X)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, errors.New("x is not a key")
	}
	return b, nil
}

func (k *jwk) ecdsa() (*ecdsa.PublicKey, error) {
	const size = 32
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil, errors.New("x and y are not a point")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
}

func (k *jwk) rsa() (*rsa.PublicKey, error) {
	n, errN := base64.RawURLEncoding.DecodeString(k.Modulus)
	e, errE := base64.RawURLEncoding.DecodeString(k.Exponent)
	if errN != nil || errE != nil || len(n) > maxRSABits/8 || len(e) > 4 {
		return nil, errors.New("n and e are not a key")
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e).Int64()
	if modulus.BitLen() < minRSABits || exponent < 3 || exponent%2 == 0 || exponent > maxExponent {
		return nil, errors.New("n or e is out of range")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent)}, nil
}
