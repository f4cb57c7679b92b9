package handoff

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCodesAreReadAsTheyAreTyped(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"BCDF-GHJK": "BCDFGHJK", "bcdf ghjk": "BCDFGHJK", " b-c-d-f-g-h-j-k ": "BCDFGHJK",
		"": "", "BCDF": "", "BCDF-GHJA": "", "BCDF-GHJ0": "", "BCDF-GHJKL": "", "BCDF–GHJK": "", strings.Repeat("-", 100) + "BCDFGHJK": "",
	} {
		if got, ok := ParseCode(typed); got != want || ok != (want != "") {
			t.Errorf("%q is read as %q, %v", typed, got, ok)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	for _, seed := range []string{"BCDF-GHJK", "bcdfghjk", "ſſſſſſſſ", "ıııııııı", "BCDF\x00GHJK", "ＢＣＤＦＧＨＪＫ", "--------"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := ParseCode(typed)
		if !ok {
			if code != "" {
				t.Errorf("%q is no code, and reads as %q", typed, code)
			}
			return
		}
		if again, ok := ParseCode(shownCode(code)); !ok || again != code || strings.Trim(code, alphabet) != "" || len(code) != codeLength {
			t.Errorf("%q reads as %q, and that as %q", typed, code, again)
		}
	})
}

func TestNewCodesAreCodes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		code := newCode()
		if got, ok := ParseCode(shownCode(code)); !ok || got != code || seen[code] {
			t.Fatalf("%q reads as %q", code, got)
		}
		seen[code] = true
		if n := newNumber(); len(n) != digits || strings.Trim(n, "0123456789") != "" {
			t.Fatalf("number %q", n)
		}
	}
	text, hash := newSecret(prefixDevice)
	if got, ok := hashOf(prefixDevice, text); !ok || got != hash || strings.Contains(text.String(), prefixDevice) {
		t.Error("a new secret is not known again, or prints")
	}
	if _, ok := hashOf(prefixLogin, text); ok {
		t.Error("a device code passes for a login token")
	}
}

func FuzzBrowser(f *testing.F) {
	f.Add("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) MicroMessenger/8.0")
	f.Add("curl/8.5.0")
	f.Add(strings.Repeat("€", 100))
	f.Fuzz(func(t *testing.T, agent string) {
		got := Browser(agent)
		if len(got) > maxBrowser+len(" on ChromeOS") || utf8.ValidString(agent) && !utf8.ValidString(got) {
			t.Errorf("%q became %q", agent, got)
		}
	})
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0":     "Edge on Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":     "Safari on macOS",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36":         "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile MicroMessenger/8.0": "WeChat on iPhone",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                    "Firefox on Linux",
		"curl/8.5.0": "curl", "": "", "okhttp/4 (Linux)": "okhttp on Linux",
	} {
		if got := Browser(agent); got != want {
			t.Errorf("%q: got %q, want %q", agent, got, want)
		}
	}
}

func TestQRRefusesWhatNobodyCouldScan(t *testing.T) {
	t.Parallel()
	if _, err := QR(strings.Repeat("x", maxQR+1)); err == nil {
		t.Error("a text that is too long was drawn")
	}
}
