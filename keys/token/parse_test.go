package token_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/token"
)

func TestParseGivesWhatWasMinted(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{keys.EdDSA, keys.ES256, keys.RS256} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			b := setup(t, algorithm)
			machine := access()
			machine.Session, machine.Product, machine.Terminal, machine.Version, machine.Scope = "", "", "", 0, ""
			machine.Audience = []string{"elsewhere", audience}
			odd := access()
			odd.Client, odd.Subject = "q\"\\\u2028<é", "日本 😀"
			for _, want := range []token.Access{access(), machine, odd} {
				got, err := b.parser.Access(b.access(t, want), noon())
				if err != nil || !cmp.Equal(got, want) {
					t.Error(err, cmp.Diff(want, got))
				}
			}
			got, err := b.parser.Refresh(b.refresh(t, refresh()), noon())
			if err != nil || !cmp.Equal(got, refresh()) {
				t.Error(err, cmp.Diff(refresh(), got))
			}
		})
	}
}

func TestExpiryIsToldApart(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	a := access()
	raw := b.access(t, a)
	for _, at := range []time.Duration{0, time.Nanosecond, token.DefaultLeeway - 1, token.DefaultLeeway, 24 * time.Hour} {
		got, err := b.parser.Access(raw, a.Expires.Add(at))
		if !errors.Is(err, token.ErrExpired) || errors.Is(err, token.ErrInvalid) || !cmp.Equal(got, a) {
			t.Errorf("%v after expiry: %v, %s", at, err, cmp.Diff(a, got))
		}
	}
	if _, err := b.parser.Access(raw, a.Expires.Add(-time.Nanosecond)); err != nil {
		t.Errorf("just before expiry: %v", err)
	}
	r := refresh()
	got, err := b.parser.Refresh(b.refresh(t, r), r.Expires)
	if !errors.Is(err, token.ErrExpired) || !cmp.Equal(got, r) {
		t.Errorf("an expired refresh token: %v, %+v", err, got)
	}
}

func TestExpiredAndOtherwiseWrongIsInvalid(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	good := `{"iss":"` + issuer + `","sub":"s","aud":"` + audience + `","exp":1795176900,"iat":1795176000,"jti":"j","client_id":"c"}`
	late := noon().Add(time.Hour)
	if _, err := b.parser.Access(b.forge(t, b.header("at+jwt"), good), late); !errors.Is(err, token.ErrExpired) {
		t.Fatalf("the token that is only expired: %v", err)
	}
	for name, payload := range map[string]string{
		"wrong issuer":   strings.Replace(good, issuer, "https://evil.example.com", 1),
		"wrong audience": strings.Replace(good, audience, "other", 1),
		"no subject":     strings.Replace(good, `"sub":"s",`, "", 1),
		"no jti":         strings.Replace(good, `"jti":"j",`, "", 1),
		"no client":      strings.Replace(good, `,"client_id":"c"`, "", 1),
		"not yet valid":  strings.Replace(good, `"jti"`, `"nbf":1795190000,"jti"`, 1),
		"iat after exp":  strings.Replace(good, `"iat":1795176000`, `"iat":1795176901`, 1),
		"iat in future":  strings.Replace(good, `"iat":1795176000`, `"iat":1795190000`, 1),
	} {
		got, err := b.parser.Access(b.forge(t, b.header("at+jwt"), payload), late)
		if !errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrExpired) || !cmp.Equal(got, token.Access{}) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	raw := []byte(b.access(t, access()))
	raw[len(raw)-10] ^= 1 // one bit of the signature
	if _, err := b.parser.Access(string(raw), late); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("expired, with a bad signature: %v", err)
	}
}

func TestParseRefusesPayloads(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	good := `{"iss":"` + issuer + `","sub":"s","aud":"` + audience + `","exp":1795176900,"iat":1795176000,"jti":"j","client_id":"c"}`
	cases := map[string]string{
		"no exp":                      strings.Replace(good, `"exp":1795176900,`, "", 1),
		"no iat":                      strings.Replace(good, `"iat":1795176000,`, "", 1),
		"no iss":                      strings.Replace(good, `"iss":"`+issuer+`",`, "", 1),
		"no aud":                      strings.Replace(good, `"aud":"`+audience+`",`, "", 1),
		"empty subject":               strings.Replace(good, `"sub":"s"`, `"sub":""`, 1),
		"exp in another case":         strings.Replace(good, `"exp"`, `"EXP"`, 1),
		"exp with an escape":          strings.Replace(good, `"exp"`, `"\u0065xp"`, 1),
		"exp twice":                   strings.Replace(good, `"iat"`, `"exp":9999999999,"iat"`, 1),
		"exp twice, once escaped":     strings.Replace(good, `"iat"`, `"\u0065xp":9999999999,"iat"`, 1),
		"an unknown name twice":       strings.Replace(good, `"iat"`, `"x":1,"x":1,"iat"`, 1),
		"exp as text":                 strings.Replace(good, `1795176900`, `"1795176900"`, 1),
		"exp with a fraction":         strings.Replace(good, `1795176900`, `1795176900.5`, 1),
		"exp with an exponent":        strings.Replace(good, `1795176900`, `1e300`, 1),
		"exp out of range":            strings.Replace(good, `1795176900`, `253402300800`, 1),
		"exp out of all range":        strings.Replace(good, `1795176900`, `99999999999999999999999`, 1),
		"negative iat":                strings.Replace(good, `1795176000`, `-1`, 1),
		"exp null":                    strings.Replace(good, `1795176900`, `null`, 1),
		"sub as number":               strings.Replace(good, `"sub":"s"`, `"sub":5`, 1),
		"sub null":                    strings.Replace(good, `"sub":"s"`, `"sub":null`, 1),
		"aud as object":               strings.Replace(good, `"`+audience+`"`, `{"a":"`+audience+`"}`, 1),
		"aud null":                    strings.Replace(good, `"`+audience+`"`, `null`, 1),
		"aud of numbers":              strings.Replace(good, `"`+audience+`"`, `["`+audience+`",5]`, 1),
		"aud with an empty one":       strings.Replace(good, `"`+audience+`"`, `["`+audience+`",""]`, 1),
		"aud of seventeen":            strings.Replace(good, `"`+audience+`"`, `["`+audience+`"`+strings.Repeat(`,"a"`, 16)+`]`, 1),
		"part of an audience":         strings.Replace(good, audience, audience[:10], 1),
		"issuer with a slash":         strings.Replace(good, issuer, issuer+"/", 1),
		"long subject":                strings.Replace(good, `"sub":"s"`, `"sub":"`+strings.Repeat("s", token.MaxText+1)+`"`, 1),
		"version as float":            strings.Replace(good, `"iat"`, `"sid":"x","version":1.0,"iat"`, 1),
		"version without session":     strings.Replace(good, `"iat"`, `"version":1,"iat"`, 1),
		"not UTF-8":                   strings.Replace(good, `"sub":"s"`, "\"sub\":\"\xff\"", 1),
		"a list":                      `[` + good + `]`,
		"null":                        `null`,
		"a text":                      `"a"`,
		"nothing":                     ``,
		"two objects":                 good + good,
		"cut off":                     good[:len(good)-1],
		"sixty-five members":          strings.Replace(good, `"iat"`, members(58)+`"iat"`, 1),
		"deeper than anything can be": strings.Replace(good, `"iat"`, `"x":`+strings.Repeat("[", 2500)+`,"iat"`, 1),
	}
	for name, payload := range cases {
		if payload == good {
			t.Fatalf("%s: the case changes nothing", name)
		}
		got, err := b.parser.Access(b.forge(t, b.header("at+jwt"), payload), noon())
		if !errors.Is(err, token.ErrInvalid) || !cmp.Equal(got, token.Access{}) {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	for name, payload := range map[string]string{
		"the plain one":     good,
		"unknown claims":    strings.Replace(good, `"iat"`, `"x":{"exp":1,"x":[1,{"y":"}\""}]},"y":null,"z":-1.5e3,"iat"`, 1),
		"white space":       strings.ReplaceAll(strings.ReplaceAll(good, `,"`, " ,\n\t\""), `":`, "\" :\r "),
		"nbf passed":        strings.Replace(good, `"iat"`, `"nbf":1795176000,"iat"`, 1),
		"sixty-four of all": strings.Replace(good, `"iat"`, members(57)+`"iat"`, 1),
	} {
		if _, err := b.parser.Access(b.forge(t, b.header("at+jwt"), payload), noon()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// members writes n members of no meaning.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":%d,`, i, i)
	}
	return b.String()
}

func TestParseRefusesHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	_, payload := segments(t, b.access(t, access()))
	kid := `"kid":"` + b.kid + `"`
	for name, header := range map[string]string{
		"no typ":                 `{"alg":"EdDSA",` + kid + `}`,
		"typ JWT":                `{"alg":"EdDSA","typ":"JWT",` + kid + `}`,
		"typ of a refresh token": b.header("rt+jwt"),
		"typ as list":            `{"alg":"EdDSA","typ":["at+jwt"],` + kid + `}`,
		"another media type":     b.header("text/at+jwt"),
		"no kid":                 `{"alg":"EdDSA","typ":"at+jwt"}`,
		"empty kid":              `{"alg":"EdDSA","typ":"at+jwt","kid":""}`,
		"unknown kid":            `{"alg":"EdDSA","typ":"at+jwt","kid":"` + strings.Repeat("A", 43) + `"}`,
		"long kid":               `{"alg":"EdDSA","typ":"at+jwt","kid":"` + strings.Repeat("A", token.MaxText+1) + `"}`,
		"kid as number":          `{"alg":"EdDSA","typ":"at+jwt","kid":5}`,
		"no alg":                 `{"typ":"at+jwt",` + kid + `}`,
		"alg twice":              `{"alg":"none","alg":"EdDSA","typ":"at+jwt",` + kid + `}`,
		"alg with an escape":     `{"\u0061lg":"EdDSA","typ":"at+jwt",` + kid + `}`,
		"alg in another case":    `{"ALG":"EdDSA","typ":"at+jwt",` + kid + `}`,
		"alg of another case":    `{"alg":"eddsa","typ":"at+jwt",` + kid + `}`,
		"alg of another key":     `{"alg":"ES256","typ":"at+jwt",` + kid + `}`,
		"alg that is not ours":   `{"alg":"ES384","typ":"at+jwt",` + kid + `}`,
		"crit":                   `{"alg":"EdDSA","typ":"at+jwt",` + kid + `,"crit":["exp"],"exp":1}`,
		"empty crit":             `{"alg":"EdDSA","typ":"at+jwt",` + kid + `,"crit":[]}`,
		"unencoded payload":      `{"alg":"EdDSA","typ":"at+jwt",` + kid + `,"b64":false}`,
		"compressed":             `{"alg":"EdDSA","typ":"at+jwt",` + kid + `,"zip":"DEF"}`,
		"not an object":          `"EdDSA"`,
		"nothing":                ``,
	} {
		if _, err := b.parser.Access(b.forge(t, header, payload), noon()); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, header := range map[string]string{
		"the plain one":         b.header("at+jwt"),
		"upper case":            b.header("AT+JWT"),
		"media type":            b.header("application/at+jwt"),
		"media type, any case":  b.header("Application/AT+jwt"),
		"parameters not for us": `{"x5t":"abc","alg":"EdDSA","typ":"at+jwt",` + kid + `}`,
	} {
		if _, err := b.parser.Access(b.forge(t, header, payload), noon()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClocksAhead(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	a := access()
	raw := b.access(t, a)
	if _, err := b.parser.Access(raw, a.IssuedAt.Add(-token.DefaultLeeway)); err != nil {
		t.Errorf("issued in the future within the leeway: %v", err)
	}
	if _, err := b.parser.Access(raw, a.IssuedAt.Add(-token.DefaultLeeway-time.Nanosecond)); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("issued in the future beyond the leeway: %v", err)
	}
}

func TestOnlyOneSpellingOfAToken(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	raw := b.access(t, access())
	last := strings.LastIndexByte(raw, '.')
	for name, other := range map[string]string{
		"nothing":               "",
		"dots":                  "..",
		"two segments":          raw[:last],
		"four segments":         raw + ".",
		"five segments":         raw + ".." + raw,
		"padding":               raw + "==",
		"line break":            raw + "\n",
		"line break within":     raw[:10] + "\n" + raw[10:],
		"break in the payload":  raw[:last-4] + "\r\n" + raw[last-4:],
		"space before":          " " + raw,
		"the other alphabet":    strings.NewReplacer("-", "+", "_", "/").Replace(raw) + "+",
		"spare bits of the end": raw[:len(raw)-1] + spare(raw[len(raw)-1]),
		"two signatures":        raw + raw[last+1:],
		"far too long":          raw + strings.Repeat("A", token.MaxToken),
	} {
		if other == raw {
			t.Fatalf("%s: the case changes nothing", name)
		}
		if _, err := b.parser.Access(other, noon()); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range len(raw) {
		if _, err := b.parser.Access(raw[:n], noon()); !errors.Is(err, token.ErrInvalid) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// spare returns a character that decodes to the same byte where only its first two bits count.
func spare(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func TestNoBitCanBeFlipped(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{keys.EdDSA, keys.ES256} {
		b := setup(t, algorithm)
		raw := b.access(t, access())
		for i := range len(raw) {
			flipped := []byte(raw)
			flipped[i] ^= 1 << (i % 8)
			if got, err := b.parser.Access(string(flipped), noon()); !errors.Is(err, token.ErrInvalid) || !cmp.Equal(got, token.Access{}) {
				t.Fatalf("%s with byte %d changed from %c to %c: %v", algorithm, i, raw[i], flipped[i], err)
			}
		}
	}
}

func TestRetiredKey(t *testing.T) {
	t.Parallel()
	b := setup(t, keys.EdDSA)
	raw := b.access(t, access())
	if err := b.ring.Retire(t.Context(), b.kid, true); err != nil {
		t.Fatal(err)
	}
	if _, err := b.parser.Access(raw, noon()); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("parsing a token of a retired key: %v", err)
	}
	if _, err := b.minter.Access(access(), b.kid); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("minting with a retired key: %v", err)
	}
}

// blind is a ring that cannot tell.
type blind struct{ fixed }

func (blind) Verifier(string) (keys.Verifier, error) {
	return keys.Verifier{}, fmt.Errorf("%w: connection refused", keys.ErrUnavailable)
}

func TestKeyStoreDownIsNotInvalid(t *testing.T) {
	t.Parallel()
	raw, err := token.NewMinter(issuer, newFixed(1)).Access(access(), "key-1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = newParser(t, blind{}).Access(raw, noon())
	if !errors.Is(err, keys.ErrUnavailable) || errors.Is(err, token.ErrInvalid) || errors.Is(err, token.ErrExpired) {
		t.Errorf("got %v", err)
	}
}

func TestNewParserRefuses(t *testing.T) {
	t.Parallel()
	good := token.ParserConfig{Issuer: issuer, Audience: []string{audience}, Ring: newFixed(1)}
	if _, err := token.NewParser(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*token.ParserConfig){
		"no issuer":         func(c *token.ParserConfig) { c.Issuer = "" },
		"no audience":       func(c *token.ParserConfig) { c.Audience = nil },
		"an empty audience": func(c *token.ParserConfig) { c.Audience = []string{audience, ""} },
		"no ring":           func(c *token.ParserConfig) { c.Ring = nil },
		"no algorithm":      func(c *token.ParserConfig) { c.Algorithms = []string{} },
		"none":              func(c *token.ParserConfig) { c.Algorithms = []string{"none"} },
		"HS256":             func(c *token.ParserConfig) { c.Algorithms = []string{keys.EdDSA, "HS256"} },
		"negative leeway":   func(c *token.ParserConfig) { c.Leeway = -1 },
		"too much leeway":   func(c *token.ParserConfig) { c.Leeway = token.MaxLeeway + 1 },
	} {
		c := good
		spoil(&c)
		if _, err := token.NewParser(c); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}
