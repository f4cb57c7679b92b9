package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// forms are the ways in which a private key would show.
func forms(t *testing.T, key any) []string {
	t.Helper()
	switch k := key.(type) {
	case *ed25519Key:
		seed := k.private.Seed()
		return []string{hex.EncodeToString(seed), strings.ToUpper(hex.EncodeToString(seed)), strings.Trim(fmt.Sprint(string(seed)), "[]"), string(seed)}
	case *ecdsa.PrivateKey:
		return []string{k.D.String(), k.D.Text(16)} //nolint:staticcheck // printed is what D would be.
	case *rsa.PrivateKey:
		return []string{k.D.String(), k.D.Text(16), k.Primes[0].String(), k.Primes[0].Text(16)}
	}
	t.Fatalf("a private key of kind %T", key)
	return nil
}

func TestPrivateKeysPrintRedacted(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{EdDSA, ES256, RS256} {
		private, err := generate(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		s, v, err := pair("some-id", algorithm, private)
		if err != nil {
			t.Fatal(err)
		}
		r := &Ring{}
		r.now.Store(&snapshot{published: []entry{{Record{}, s, v}}, byID: map[string]entry{s.ID: {Record{}, s, v}}})

		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "signer", s, "ring", r, "entry", r.now.Load().published)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "signer", s, "list", []Signer{s})
		text, err := json.Marshal(map[string]any{"signer": s})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
			for _, value := range []any{s, &s, r, *r.now.Load(), []Signer{s}, map[string]any{"k": s}, struct{ hidden Signer }{s}} {
				fmt.Fprintf(&out, verb+"\n", value)
			}
		}
		for _, form := range forms(t, s.Key) {
			if strings.Contains(out.String(), form) {
				t.Errorf("%s key printed as %s", algorithm, form)
			}
		}
		if !strings.Contains(out.String(), algorithm+" key some-id [redacted]") {
			t.Errorf("%s key does not say that it is redacted", algorithm)
		}
	}
}
