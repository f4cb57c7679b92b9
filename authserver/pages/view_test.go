package pages_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/storage"
)

func catalogueOf(t *testing.T, language string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("files", language+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var texts map[string]string
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatalf("%s: %v", language, err)
	}
	return texts
}

var verb = regexp.MustCompile(`%[a-z]`)

func TestLanguagesHaveTheSameTexts(t *testing.T) {
	t.Parallel()
	english, chinese := catalogueOf(t, "en"), catalogueOf(t, "zh")
	for _, name := range slices.Sorted(maps.Keys(english)) {
		other, ok := chinese[name]
		if !ok || other == "" || english[name] == "" {
			t.Errorf("%s is not in both languages", name)
		}
		if a, b := fmt.Sprint(verb.FindAllString(english[name], -1)), fmt.Sprint(verb.FindAllString(other, -1)); a != b {
			t.Errorf("%s takes %s in one language and %s in the other", name, a, b)
		}
	}
	if len(chinese) != len(english) {
		t.Errorf("%d texts in Chinese, %d in English", len(chinese), len(english))
	}
}

// used finds the names of texts in templates, and the notes in the code.
var used = regexp.MustCompile(`\.T "([a-z._]+)"|"(done\.[a-z_]+)"|v\.T\("(error\.[a-z_]+)"`)

func TestEveryTextIsThereAndUsed(t *testing.T) {
	t.Parallel()
	texts, found := catalogueOf(t, "en"), map[string]bool{}
	for _, pattern := range []string{"files/*.html", "*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range used.FindAllStringSubmatch(string(raw), -1) {
				found[match[1]+match[2]+match[3]] = true
			}
		}
	}
	for name := range found {
		if texts[name] == "" {
			t.Errorf("there is no text %s", name)
		}
	}
	for name := range texts {
		kind, _, _ := strings.Cut(name, ".")
		if !found[name] && !slices.Contains([]string{"error", "ended", "terminal"}, kind) {
			t.Errorf("nobody says %s", name)
		}
	}
	for _, reason := range []storage.Reason{
		storage.Expired, storage.Superseded, storage.Kicked, storage.Evicted, storage.SignedOut, storage.PasswordChanged, storage.Banned, storage.ReuseDetected,
	} {
		if texts["ended."+string(reason)] == "" {
			t.Errorf("there is no text for the reason %s", reason)
		}
	}
	for _, terminal := range storage.Terminals() {
		if texts["terminal."+string(terminal)] == "" {
			t.Errorf("there is no text for the terminal %s", terminal)
		}
	}
}

var colour = regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`)

// palettes are the colours of the style: light and dark.
func palettes(t *testing.T) []map[string]string {
	t.Helper()
	raw, err := os.ReadFile("files/style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(raw), "prefers-color-scheme: dark")
	if !ok {
		t.Fatal("there is no dark palette")
	}
	both := make([]map[string]string, 2)
	for i, text := range []string{light, dark} {
		both[i] = map[string]string{}
		for _, match := range colour.FindAllStringSubmatch(text, -1) {
			both[i][match[1]] = match[2]
		}
	}
	return both
}

// TestContrast holds the colours to WCAG 2.2: 4.5 for text (1.4.3), 3 for the borders of fields (1.4.11).
func TestContrast(t *testing.T) {
	t.Parallel()
	const text, border = 4.5, 3.0
	for i, palette := range palettes(t) {
		for _, pair := range []struct {
			on, under string
			least     float64
		}{
			{"text", "page", text}, {"text", "card", text}, {"soft", "page", text}, {"soft", "card", text}, {"accent", "card", text},
			{"accent", "page", text}, {"accent", "tint", text}, {"text", "tint", text}, {"on-accent", "accent", text}, {"on-accent", "accent-deep", text},
			{"danger", "card", text}, {"danger", "danger-tint", text}, {"warn", "warn-tint", text}, {"field", "card", border},
		} {
			if got := contrast(t, palette[pair.on], palette[pair.under]); got < pair.least {
				t.Errorf("palette %d: %s on %s has a contrast of %.2f", i, pair.on, pair.under, got)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of a colour (WCAG 2.2).
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	digits := strings.TrimPrefix(hex, "#")
	if len(digits) == 3 {
		digits = strings.Join([]string{digits[:1], digits[:1], digits[1:2], digits[1:2], digits[2:], digits[2:]}, "")
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		if len(digits) != 6 {
			t.Fatalf("no colour: %q", hex)
		}
		n, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
