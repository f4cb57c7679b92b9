package remote

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func isUnknown(err error) bool { return errors.Is(err, keys.ErrUnknownKey) }

type memoryKeys struct {
	mu   sync.Mutex
	keys []keys.Record
}

func (m *memoryKeys) ListKeys(context.Context) ([]keys.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys, nil
}

func (m *memoryKeys) AddKey(_ context.Context, r keys.Record, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = append(m.keys, r)
	return nil
}

func (m *memoryKeys) RetireKey(context.Context, string, time.Time) error { return nil }

// TestKeysOfEveryAlgorithmAreRead verifies with what the ring publishes what the ring has signed.
func TestKeysOfEveryAlgorithmAreRead(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{keys.EdDSA, keys.ES256, keys.RS256} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			kek := make([]byte, 32)
			rand.Read(kek)
			ring, err := keys.Open(t.Context(), keys.Config{
				Store: &memoryKeys{}, EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(kek)), Algorithm: algorithm, Keep: time.Hour,
			})
			must(t, err)
			body, _ := ring.JWKS()
			known, err := parseKeys(body)
			must(t, err)
			signer, err := ring.Signer(time.Now())
			must(t, err)
			signature, err := signer.Method.Sign("text", signer.Key)
			must(t, err)
			v := known[signer.ID]
			if v.Algorithm != algorithm {
				t.Fatalf("%+v in %s", v, body)
			}
			if err := v.Method.Verify("text", signature, v.Key); err != nil {
				t.Error(err)
			}
			if err := v.Method.Verify("another", signature, v.Key); err == nil {
				t.Error("another text verifies")
			}
		})
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("k", keyIDLength)
	good := map[string]any{"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id, "x": strings.Repeat("A", 43)}
	change := func(pairs ...string) string {
		k := maps.Clone(good)
		for i := 0; i < len(pairs); i += 2 {
			k[pairs[i]] = pairs[i+1]
		}
		b, err := json.Marshal(k)
		must(t, err)
		return string(b)
	}
	long := strings.Repeat("_", 400)
	for name, k := range map[string]string{
		"no JSON": `1`, "another use": change("use", "enc"), "no use": change("use", ""), "another kind": change("kty", "oct"),
		"another curve": change("crv", "X25519"), "another algorithm": change("alg", "ES256"), "none": change("alg", "none"), "a symmetric one": change("alg", "HS256"),
		"a short name": change("kid", "k"), "no name": change("kid", ""), "a short key": change("x", "AAAA"), "no key": change("x", ""), "padding": change("x", strings.Repeat("A", 43)+"="),
		"a point off the curve": change("kty", "EC", "crv", "P-256", "alg", "ES256", "y", strings.Repeat("A", 43)),
		"a weak modulus":        change("kty", "RSA", "alg", "RS256", "n", "AQAB", "e", "AQAB"),
		"an even exponent":      change("kty", "RSA", "alg", "RS256", "n", long, "e", "AAAC"),
		"exponent one":          change("kty", "RSA", "alg", "RS256", "n", long, "e", "AQ"),
		"a huge modulus":        change("kty", "RSA", "alg", "RS256", "n", strings.Repeat("_", 4000), "e", "AQAB"),
		"a huge exponent":       change("kty", "RSA", "alg", "RS256", "n", long, "e", strings.Repeat("_", 20)),
	} {
		if known, err := parseKeys([]byte(`{"keys":[` + k + `]}`)); err == nil {
			t.Errorf("%s: %v", name, known)
		}
		known, err := parseKeys([]byte(`{"keys":[` + k + `,` + change("x", strings.Repeat("B", 42)+"A") + `]}`))
		if err != nil || len(known) != 1 {
			t.Errorf("%s beside a good one: %v, %v", name, known, err)
		}
	}
	if _, err := parseKeys([]byte(`{"keys":[` + change() + `,` + change() + `]}`)); err == nil {
		t.Error("two keys under one name")
	}
	if _, err := parseKeys([]byte(`{"keys":[` + strings.Repeat(change()+",", maxKeys) + change() + `]}`)); err == nil {
		t.Error("too many keys")
	}
	if known, err := parseKeys([]byte(`{"keys":[` + change("kty", "RSA", "alg", "RS256", "n", long, "e", "AQAB") + `]}`)); err != nil || len(known) != 1 {
		t.Errorf("a good RSA key: %v", err)
	}
}
