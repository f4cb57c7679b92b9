package keys_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys"
)

func TestJWKSPublishesPublicHalves(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	cfg := config(s, c)
	open(t, cfg)
	c.Turn(1)
	cfg.Algorithm = keys.ES256
	if _, err := open(t, cfg).RotateNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Turn(keys.DefaultPublish)
	cfg.Algorithm = keys.RS256
	r := open(t, cfg)
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	body, etag := r.JWKS()
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	members := map[string][]string{
		keys.EdDSA: {"alg", "crv", "kid", "kty", "use", "x"},
		keys.ES256: {"alg", "crv", "kid", "kty", "use", "x", "y"},
		keys.RS256: {"alg", "e", "kid", "kty", "n", "use"},
	}
	if len(set.Keys) != 3 {
		t.Fatalf("%d keys are published: %s", len(set.Keys), body)
	}
	for i, k := range set.Keys {
		var names []string
		for name := range k {
			names = append(names, name)
		}
		slices.Sort(names)
		if want := members[s.rows[i].Algorithm]; !cmp.Equal(names, want) {
			t.Errorf("key %d: %s", i, cmp.Diff(want, names))
		}
		if k["kid"] != s.rows[i].ID || k["alg"] != s.rows[i].Algorithm || k["use"] != "sig" {
			t.Errorf("key %d is %v", i, k)
		}
	}
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) || len(etag) != 45 {
		t.Errorf("entity tag is %s", etag)
	}
}

func TestJWKSIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r, other := open(t, config(s, c)), open(t, config(s, c))
	body, etag := r.JWKS()
	if again, tag := other.JWKS(); string(again) != string(body) || tag != etag {
		t.Errorf("two processes publish %s %s and %s %s", body, etag, again, tag)
	}
	body[0] = '!'
	if again, _ := r.JWKS(); again[0] != '{' {
		t.Error("a caller can change the published set")
	}
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, tag := r.JWKS(); tag == etag {
		t.Error("the entity tag of another set is the same")
	}
	if err := r.Retire(t.Context(), signing(t, r, c), true); err != nil {
		t.Fatal(err)
	}
	if body, _ := r.JWKS(); strings.Contains(string(body), s.rows[0].ID) {
		t.Errorf("a retired key is published: %s", body)
	}
}

func TestJWKSVerifiesWhatIsSigned(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := open(t, config(&table{}, c))
	k, err := r.Signer(c.Now())
	if err != nil {
		t.Fatal(err)
	}
	signature, err := k.Method.Sign("text", k.Key)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := r.JWKS()
	var set struct {
		Keys []struct{ Kty, Crv, X string }
	}
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	x, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	if err != nil {
		t.Fatal(err)
	}
	if set.Keys[0].Kty != "OKP" || set.Keys[0].Crv != "Ed25519" || !ed25519.Verify(x, []byte("text"), signature) {
		t.Errorf("a stranger with the JWKS cannot verify: %s", body)
	}
}
