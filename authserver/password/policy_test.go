package password

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tallystick/tallystick/keys/secret"
)

func TestAcceptable(t *testing.T) {
	t.Parallel()
	c := cheap(t, nil)
	for pw, want := range map[string]string{
		"":                                 "shorter than 8",
		"short":                            "shorter than 8",
		"1234567":                          "shorter than 8",
		"ééééééé":                          "shorter than 8", // 14 bytes, 7 characters
		"\xff\xff\xff\xff\xff\xff\xff\xff": "UTF-8",
		strings.Repeat("long", 65):         "longer than 256",
		"Tom.Sawyer":                       "the user name",
		"password":                         "guessed first",
		"PassWord123":                      "guessed first",
		"woaini1314":                       "guessed first",
		"88888888":                         "guessed first",
		"éééééééééé":                       "guessed first",
		"correct horse":                    "",
		"kaffee und kuchen":                "",
		"一二三四五六七八":                         "",
		"        x":                        "",
		strings.Repeat("ab", 128):          "",
	} {
		err := c.Acceptable("tom.sawyer", secret.New(pw))
		if want == "" {
			if err != nil {
				t.Errorf("%q is refused: %v", pw, err)
			}
			continue
		}
		if _, ok := errors.AsType[*PolicyError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", pw, err, want)
		}
	}
}

func TestWorstListIsUsable(t *testing.T) {
	t.Parallel()
	list := worst()
	if len(list) < 200 {
		t.Errorf("only %d entries", len(list))
	}
	for pw := range list {
		if pw != strings.ToLower(pw) || utf8.RuneCountInString(pw) < DefaultMinLength {
			t.Errorf("%q can never be looked up, or is too short to be chosen", pw)
		}
	}
}

func TestNormalizeUsername(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"tom": "tom", "Tom": "tom", "tom@example.com": "tom@example.com", "a-b_c.d+e": "a-b_c.d+e",
		"Ｔｏｍ": "tom", "JOSÉ": "josé", "jose\u0301": "josé", "小明": "小明", "Ärger": "ärger",
		strings.Repeat("x", MaxUsername): strings.Repeat("x", MaxUsername),
	} {
		if got, err := NormalizeUsername(in); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", " ", "to m", "tom\n", "tom\x00", "\xff", "tom\u200b", "😀", "a\u05d0", strings.Repeat("x", MaxUsername+1)} {
		if got, err := NormalizeUsername(in); !errors.Is(err, ErrUsername) || got != "" {
			t.Errorf("%q: %q, %v; want a refusal", in, got, err)
		}
	}
}

func FuzzNormalizeUsername(f *testing.F) {
	for _, s := range []string{"tom", "JOSÉ", "Ｔｏｍ", "a\u05d0", "İ", "ß", "ﬁ", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := NormalizeUsername(s)
		if err != nil {
			return
		}
		if name == "" || len(name) > MaxUsername || !utf8.ValidString(name) {
			t.Fatalf("%q became %q", s, name)
		}
		if again, err := NormalizeUsername(name); err != nil || again != name {
			t.Fatalf("%q became %q, and that %q (%v)", s, name, again, err)
		}
	})
}
