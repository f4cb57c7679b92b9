package token_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/token"
)

// seeds are texts that look like tokens to a fuzzer.
func seeds(f *testing.F, b bench) {
	f.Helper()
	for _, raw := range []string{b.access(f, access()), b.refresh(f, refresh())} {
		f.Add(raw, "")
		f.Add(raw[:len(raw)/2], "")
		f.Add(strings.ToUpper(raw), "")
		f.Add(strings.Replace(raw, ".", "..", 1), "")
	}
	for _, payload := range []string{
		``, `{}`, `{"exp":1e9}`, `[[[`, `{"aud":[]}`, `{"a":"\\"}`, `{"a":"\u`, "{\"a\" : {\"b\":[1 ,2]} , \"c\":nul}",
		`{"iss":"` + issuer + `","sub":"\ud800","aud":["` + issuer + `","` + audience + `"],"exp":1795176900,"iat":1795176000,"jti":"\u0000","client_id":"c","sid":"é"}`,
		`{ "iss" : "` + issuer + `","sub":"s","aud":"` + issuer + `","exp":1795176900,"iat":1795176000,"jti":"j","client_id":"c","sid":"s","x":{"}":"{"}}`,
	} {
		f.Add("", payload)
	}
}

func FuzzParseAccess(f *testing.F) {
	b := setup(f, keys.EdDSA)
	seeds(f, b)
	f.Fuzz(func(t *testing.T, raw, payload string) {
		if raw == "" {
			// A text that we signed: the fuzzer cannot, and would never see what lies behind.
			raw = b.forge(t, b.header("at+jwt"), payload)
		}
		a, err := b.parser.Access(raw, noon())
		if err != nil && !errors.Is(err, token.ErrExpired) {
			if !errors.Is(err, token.ErrInvalid) || !cmp.Equal(a, token.Access{}) {
				t.Fatalf("%v, %+v", err, a)
			}
			return
		}
		again, err := b.minter.Access(a, b.kid)
		if err != nil {
			t.Fatalf("what parses cannot be minted: %v", err)
		}
		got, err := b.parser.Access(again, noon())
		if err != nil && !errors.Is(err, token.ErrExpired) || !cmp.Equal(got, a) {
			t.Fatalf("%v: %s", err, cmp.Diff(a, got))
		}
	})
}

func FuzzParseRefresh(f *testing.F) {
	b := setup(f, keys.EdDSA)
	seeds(f, b)
	f.Fuzz(func(t *testing.T, raw, payload string) {
		if raw == "" {
			raw = b.forge(t, b.header("rt+jwt"), payload)
		}
		r, err := b.parser.Refresh(raw, noon())
		if err != nil && !errors.Is(err, token.ErrExpired) {
			if !errors.Is(err, token.ErrInvalid) || !cmp.Equal(r, token.Refresh{}) {
				t.Fatalf("%v, %+v", err, r)
			}
			return
		}
		again, err := b.minter.Refresh(r, b.kid)
		if err != nil {
			t.Fatalf("what parses cannot be minted: %v", err)
		}
		got, err := b.parser.Refresh(again, noon())
		if err != nil && !errors.Is(err, token.ErrExpired) || !cmp.Equal(got, r) {
			t.Fatalf("%v: %s", err, cmp.Diff(r, got))
		}
	})
}
