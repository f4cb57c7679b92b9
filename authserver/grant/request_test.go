package grant

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestUserAgentIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"":                              "",
		"app/1.0":                       "app/1.0",
		"a\tb\x00c":                     "abc",
		"a\xffb":                        "a\uFFFDb",
		strings.Repeat("x", 300):        strings.Repeat("x", 256),
		"x" + strings.Repeat("€", 100):  "x" + strings.Repeat("€", 85),
		"xx" + strings.Repeat("€", 100): "xx" + strings.Repeat("€", 84),
	} {
		if d := cmp.Diff(want, userAgent(header)); d != "" {
			t.Error(d)
		}
	}
}

func FuzzUserAgent(f *testing.F) {
	for _, seed := range []string{"app/1.0", "\xff\xfe", strings.Repeat("€", 100), "a\r\nb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got := userAgent(header)
		if len(got) > maxUserAgent || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q became %q", header, got)
		}
	})
}
