package keys_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
)

func TestSealedKeysOpenAgain(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{keys.EdDSA, keys.ES256, keys.RS256} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			c, s := newClock(), &table{}
			cfg := config(s, c)
			cfg.Algorithm = algorithm
			first, err := open(t, cfg).Signer(c.Now())
			if err != nil {
				t.Fatal(err)
			}
			r := open(t, cfg)
			second, err := r.Signer(c.Now())
			if err != nil {
				t.Fatal(err)
			}
			one, err := first.Method.Sign("text", first.Key)
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				again, err := second.Method.Sign("text", second.Key)
				if err != nil || !bytes.Equal(one, again) {
					t.Fatalf("signed again, another signature came out: %v", err)
				}
			}
			v, err := r.Verifier(first.ID)
			if err != nil {
				t.Fatal(err)
			}
			if v.Algorithm != algorithm || v.Method.Alg() != algorithm || first.Method.Alg() != algorithm {
				t.Errorf("algorithms are %s, %s, %s", v.Algorithm, v.Method.Alg(), first.Method.Alg())
			}
			// The library's own method verifies it: that is what other servers use.
			if err := jwt.GetSigningMethod(algorithm).Verify("text", one, v.Key); err != nil {
				t.Error(err)
			}
			if err := v.Method.Verify("Text", one, v.Key); err == nil {
				t.Error("another text verifies")
			}
			if n := len(s.rows[0].Sealed); n > 8<<10 {
				t.Errorf("sealed, the key has %d bytes", n)
			}
		})
	}
}

func TestWrongEncryptionKeySaysWhatToDo(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	r := open(t, config(s, c))
	cfg := config(s, c)
	cfg.EncryptionKey = kek(2)
	_, err := keys.Open(t.Context(), cfg)
	if !errors.Is(err, keys.ErrEncryptionKey) || !strings.Contains(err.Error(), "configure the encryption key with which") {
		t.Fatalf("opening with another encryption key: %v", err)
	}
	n, err := keys.RetireAll(t.Context(), s, c.Now())
	if n != 1 || err != nil {
		t.Fatalf("retired %d, %v", n, err)
	}
	fresh := open(t, cfg)
	if signing(t, fresh, c) == s.rows[0].ID || len(s.rows) != 2 {
		t.Error("a start over did not make a new key")
	}
	// The process that still has the old encryption key keeps what it knows, and says why.
	if _, err := r.List(t.Context()); !errors.Is(err, keys.ErrEncryptionKey) {
		t.Errorf("reading keys sealed with another encryption key: %v", err)
	}
}

func TestDamagedRowsDoNotOpen(t *testing.T) {
	t.Parallel()
	c := newClock()
	for name, spoil := range map[string]func(rows []keys.Record){
		"nothing sealed":           func(rows []keys.Record) { rows[0].Sealed = nil },
		"unknown way of sealing":   func(rows []keys.Record) { rows[0].Sealed[0]++ },
		"cut short":                func(rows []keys.Record) { rows[0].Sealed = rows[0].Sealed[:20] },
		"one bit flipped":          func(rows []keys.Record) { rows[0].Sealed[40] ^= 1 },
		"another algorithm":        func(rows []keys.Record) { rows[0].Algorithm = keys.ES256 },
		"the key of another row":   func(rows []keys.Record) { rows[0].Sealed = rows[1].Sealed },
		"the name of another key":  func(rows []keys.Record) { rows[0].ID = strings.Repeat("A", 43) },
		"an algorithm not of ours": func(rows []keys.Record) { rows[0].Algorithm = "HS256" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &table{}
			if _, err := open(t, config(s, c)).Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			spoil(s.rows)
			if _, err := keys.Open(t.Context(), config(s, c)); err == nil {
				t.Error("opened")
			}
		})
	}
}

func TestKeysOfOtherUsesAreLeftAlone(t *testing.T) {
	t.Parallel()
	c, s := newClock(), &table{}
	s.rows = []keys.Record{{ID: "else-1", Use: "else", Algorithm: "none", Sealed: []byte("?"), CreatedAt: c.Now().Add(-keep), ActiveAt: c.Now().Add(-keep)}}
	kept := s.rows[0]
	perUse := &perUse{s}
	cfg := config(perUse, c)
	r := open(t, cfg)
	if got := states(t, r); len(got) != 1 || got["else-1"] != "" {
		t.Errorf("the ring holds %v", got)
	}
	if _, err := keys.RetireAll(t.Context(), perUse, c.Now()); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(s.rows[0], kept) {
		t.Error("a key of another use was changed")
	}
}

// perUse is a table that counts "newest" per use, as the contract has it.
type perUse struct{ *table }

func (p *perUse) AddKey(ctx context.Context, r keys.Record, after string) error {
	signing := &table{rows: slices.DeleteFunc(slices.Clone(p.rows), func(k keys.Record) bool { return k.Use != r.Use })}
	if err := signing.AddKey(ctx, r, after); err != nil {
		return err
	}
	p.rows = append(p.rows, r)
	return nil
}

// TestDeriveStaysTheSame pins derived keys: another value would orphan everything made with them.
func TestDeriveStaysTheSame(t *testing.T) {
	t.Parallel()
	got, err := keys.Derive(kek(1), "client secrets", 32)
	if err != nil {
		t.Fatal(err)
	}
	const want = "07f4d160be1d75fed47608ff48af252e4fd23db1631426fc4c93c75288386f4f"
	if hex.EncodeToString(got) != want {
		t.Errorf("got %x", got)
	}
	other, err := keys.Derive(kek(1), "refresh tokens", 32)
	if err != nil || bytes.Equal(got, other) {
		t.Errorf("another purpose gives %x, %v", other, err)
	}
	if other, err = keys.Derive(kek(2), "client secrets", 32); err != nil || bytes.Equal(got, other) {
		t.Errorf("another encryption key gives %x, %v", other, err)
	}
}

func TestDeriveTakesEveryAlphabet(t *testing.T) {
	t.Parallel()
	raw := slices.Repeat([]byte{0xfb, 0xff}, 16) // has both differing characters in it
	want, err := keys.Derive(secret.New(base64.StdEncoding.EncodeToString(raw)), "p", 16)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		got, err := keys.Derive(secret.New(e.EncodeToString(raw)), "p", 16)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v", e.EncodeToString(raw), got, err)
		}
	}
}

func TestDeriveRefuses(t *testing.T) {
	t.Parallel()
	good := kek(1).Reveal()
	for name, c := range map[string]struct {
		key     string
		purpose string
		n       int
	}{
		"no key":            {"", "p", 32},
		"not base64":        {strings.Repeat("?", 44), "p", 32},
		"31 bytes":          {base64.StdEncoding.EncodeToString(make([]byte, 31)), "p", 32},
		"33 bytes":          {base64.StdEncoding.EncodeToString(make([]byte, 33)), "p", 32},
		"trailing bits":     {good[:42] + "F=", "p", 32},
		"both alphabets":    {"-/" + good[2:], "p", 32},
		"space around":      {" " + good, "p", 32},
		"line break within": {good[:8] + "\n" + good[8:], "p", 32},
		"no purpose":        {good, "", 32},
		"no bytes":          {good, "p", 0},
		"too many bytes":    {good, "p", 255*32 + 1},
	} {
		_, err := keys.Derive(secret.New(c.key), c.purpose, c.n)
		if err == nil {
			t.Errorf("%s: derived", name)
		}
		if c.key != "" && err != nil && strings.Contains(err.Error(), c.key) {
			t.Errorf("%s: the error quotes the key: %v", name, err)
		}
	}
}
