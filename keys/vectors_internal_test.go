package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"testing"
)

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestThumbprintsOfTheRFCs holds identifiers against the examples of RFC 7638 §3.1 and RFC 8037 A.3.
func TestThumbprintsOfTheRFCs(t *testing.T) {
	t.Parallel()
	n := "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMst" +
		"n64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn" +
		"1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
	for want, public := range map[string]any{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": &rsa.PublicKey{N: new(big.Int).SetBytes(unbase64(t, n)), E: 65537},
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": ed25519.PublicKey(unbase64(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")),
	} {
		got, err := thumbprint(public)
		if err != nil || got != want {
			t.Errorf("%T: got %s, %v, want %s", public, got, err, want)
		}
	}
	if _, err := thumbprint("a key"); err == nil {
		t.Error("a text has a thumbprint")
	}
}

// TestES256SignsAfterRFC6979 holds a signature against the example of RFC 6979 A.2.5 for "sample".
func TestES256SignsAfterRFC6979(t *testing.T) {
	t.Parallel()
	raw, err := hex.DecodeString("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := deterministicES256{}.Sign("sample", private)
	if err != nil {
		t.Fatal(err)
	}
	const want = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716" +
		"f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
	if hex.EncodeToString(got) != want {
		t.Errorf("got %x", got)
	}
	if err := (deterministicES256{}).Verify("sample", got, &private.PublicKey); err != nil {
		t.Error(err)
	}
	if _, err := (deterministicES256{}).Sign("sample", "a text"); err == nil {
		t.Error("signed with a text")
	}
}

// TestES256PadsShortNumbers signs until both halves of a signature have come with leading zeros, which
// happens to one in 256.
func TestES256PadsShortNumbers(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), 7))
	if err != nil {
		t.Fatal(err)
	}
	var shortR, shortS bool
	for i := range 5000 {
		text := big.NewInt(int64(i)).String()
		signature, err := deterministicES256{}.Sign(text, private)
		if err != nil {
			t.Fatal(err)
		}
		if signature[0] != 0 && signature[32] != 0 {
			continue
		}
		shortR, shortS = shortR || signature[0] == 0, shortS || signature[32] == 0
		if err := (deterministicES256{}).Verify(text, signature, &private.PublicKey); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if shortR && shortS {
			return
		}
	}
	t.Error("no short number came up; take another key")
}

func TestPairRefusesWhatIsNotOfTheAlgorithm(t *testing.T) {
	t.Parallel()
	_, ed, _ := ed25519.GenerateKey(nil)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		algorithm string
		private   any
	}{
		"Ed25519 key for ES256":   {ES256, ed},
		"Ed25519 key for RS256":   {RS256, ed},
		"P-384 key":               {ES256, p384},
		"short RSA key":           {RS256, &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}}},
		"shared secret":           {"HS256", []byte("secret")},
		"no key":                  {EdDSA, nil},
		"Ed25519 key for nothing": {"none", ed},
	} {
		if _, _, err := pair("id", c.algorithm, c.private); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
