package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// jwk is a public key as RFC 7517 and RFC 8037 write it.
type jwk struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	Modulus   string `json:"n,omitempty"`
	Exponent  string `json:"e,omitempty"`
	ID        string `json:"kid,omitempty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
}

// newJWK writes the public key alone, without identifier and use.
func newJWK(public any) (jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := public.(type) {
	case ed25519.PublicKey:
		return jwk{Type: "OKP", Curve: "Ed25519", X: b64(k)}, nil
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil || len(point) != 65 {
			return jwk{}, fmt.Errorf("encode point: %w", err)
		}
		return jwk{Type: "EC", Curve: "P-256", X: b64(point[1:33]), Y: b64(point[33:])}, nil
	case *rsa.PublicKey:
		return jwk{Type: "RSA", Modulus: b64(k.N.Bytes()), Exponent: b64(big.NewInt(int64(k.E)).Bytes())}, nil
	}
	return jwk{}, fmt.Errorf("no JWK for a key of kind %T", public)
}

// thumbprint is the identifier of a key: SHA-256 over its required members in the order of their
// names (RFC 7638 §3, RFC 8037 §2).
func thumbprint(public any) (string, error) {
	k, err := newJWK(public)
	if err != nil {
		return "", err
	}
	var required string
	switch k.Type {
	case "OKP":
		required = `{"crv":"` + k.Curve + `","kty":"OKP","x":"` + k.X + `"}`
	case "EC":
		required = `{"crv":"` + k.Curve + `","kty":"EC","x":"` + k.X + `","y":"` + k.Y + `"}`
	case "RSA":
		required = `{"e":"` + k.Exponent + `","kty":"RSA","n":"` + k.Modulus + `"}`
	}
	sum := sha256.Sum256([]byte(required))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// publicKeys are the published keys of a use as they stand in a key set.
func publicKeys(published []Verifier, use string) ([]jwk, error) {
	list := make([]jwk, 0, len(published))
	for _, v := range published {
		k, err := newJWK(v.Key)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", v.ID, err)
		}
		k.ID, k.Use, k.Algorithm = v.ID, use, v.Algorithm
		list = append(list, k)
	}
	return list, nil
}

// keySet writes a key set, and the entity tag of what it wrote.
func keySet(list []jwk) (body []byte, etag string, err error) {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: list}
	if body, err = json.Marshal(set); err != nil {
		return nil, "", fmt.Errorf("write key set: %w", err)
	}
	sum := sha256.Sum256(body)
	return body, `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`, nil
}
