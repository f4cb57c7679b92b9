package keys_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/tallystick/tallystick/keys"
)

// openEncryption opens a ring to encrypt for, and returns the key as it is published.
func openEncryption(t testing.TB, s keys.Store, c *clock) (*keys.Encryption, jose.JSONWebKey) {
	t.Helper()
	cfg := config(s, c)
	e, err := keys.OpenEncryption(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := keys.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	body, etag := keys.Published{Signing: signing, Encryption: e}.JWKS()
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) != 2 || etag == "" {
		t.Fatalf("%v in %s", err, body)
	}
	if own, _ := signing.JWKS(); strings.Contains(string(own), `"enc"`) {
		t.Errorf("the ring that signs publishes %s", own)
	}
	return e, set.Keys[1]
}

func seal(t testing.TB, key jose.JSONWebKey, plain string) string {
	t.Helper()
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := encrypter.Encrypt([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	compact, err := sealed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func TestWhatIsEncryptedOpens(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &perUse{&table{}}
	e, key := openEncryption(t, s, c)
	got, err := e.Open(seal(t, key, "hunter2"))
	if err != nil || string(got) != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
	again, _ := openEncryption(t, s, c) // another process
	if got, err := again.Open(seal(t, key, "hunter2")); err != nil || string(got) != "hunter2" {
		t.Errorf("elsewhere: %q, %v", got, err)
	}
	all, err := e.List(t.Context())
	if err != nil || len(all) != 1 || all[0].State != keys.Encrypting || all[0].Use != "enc" || all[0].ID != key.KeyID {
		t.Errorf("%+v, %v", all, err)
	}
	if n, err := keys.RetireAll(t.Context(), s, c.Now()); n != 2 || err != nil {
		t.Errorf("retired %d, %v", n, err)
	}
}

// FuzzOpen opens whatever strangers send: it may be refused, and must not panic, nor open unless it was sealed.
func FuzzOpen(f *testing.F) {
	e, key := openEncryption(f, &perUse{&table{}}, newClock())
	good := seal(f, key, "hunter2")
	for _, seed := range []string{good, "", "....", good + ".", strings.Replace(good, ".", "..", 1), "eyJ6aXAiOiJERUYifQ....", good[:len(good)-1]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, compact string) {
		plain, err := e.Open(compact)
		switch {
		case err == nil && compact != good && string(plain) != "hunter2":
			t.Errorf("%q opens to %q", compact, plain)
		case err != nil && !errors.Is(err, keys.ErrForm) && !errors.Is(err, keys.ErrSealed) && !errors.Is(err, keys.ErrUnknownKey):
			t.Errorf("%q: %v", compact, err)
		}
	})
}

func TestBoxOpensWithItsLabelOnly(t *testing.T) {
	t.Parallel()
	box, err := keys.NewBox(kek(1), "a purpose")
	if err != nil {
		t.Fatal(err)
	}
	sealed := box.Seal([]byte("hunter2"), "a", "bc")
	if got, err := box.Open(sealed, "a", "bc"); err != nil || string(got) != "hunter2" {
		t.Errorf("%q, %v", got, err)
	}
	other, err := keys.NewBox(kek(1), "another purpose")
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"other label":   func() ([]byte, error) { return box.Open(sealed, "ab", "c") },
		"other purpose": func() ([]byte, error) { return other.Open(sealed, "a", "bc") },
		"cut":           func() ([]byte, error) { return box.Open(sealed[:len(sealed)-1], "a", "bc") },
		"nothing":       func() ([]byte, error) { return box.Open(nil, "a", "bc") },
		"other way":     func() ([]byte, error) { return box.Open(append([]byte{9}, sealed[1:]...), "a", "bc") },
	} {
		if got, err := open(); err == nil {
			t.Errorf("%s: opened to %q", name, got)
		}
	}
}
