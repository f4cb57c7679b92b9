package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/keys/secret"
)

// word is a secret that no output may contain, in any of the forms in which verbs print texts.
const word = "hunter2hunter2"

func leaks(out string) bool {
	forms := []string{word, fmt.Sprintf("%x", word), fmt.Sprintf("%X", word), fmt.Sprintf("%v", []byte(word))}
	for _, form := range forms {
		if strings.Contains(out, form) {
			return true
		}
	}
	return false
}

func TestTextPrintsRedacted(t *testing.T) {
	t.Parallel()
	text := secret.New(word)
	type open struct{ Password secret.Text }
	type closed struct{ password secret.Text }
	values := map[string]any{
		"itself":           text,
		"pointer":          &text,
		"exported field":   open{text},
		"unexported field": closed{text},
		"pointer to both":  &struct{ o, c any }{open{text}, closed{text}},
		"list":             []secret.Text{text},
		"map":              map[string]secret.Text{"k": text},
		"key of a map":     map[secret.Text]int{text: 1},
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			if out := fmt.Sprintf(verb, v); leaks(out) {
				t.Errorf("%s printed with %s leaks: %s", name, verb, out)
			}
		}
	}
}

func TestTextLogsRedacted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	text := secret.New(word)
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("sign-in", "password", text, "all", struct{ P secret.Text }{text}, "hidden", struct{ p secret.Text }{text})
	}
	if leaks(out.String()) || !strings.Contains(out.String(), "[redacted]") {
		t.Errorf("log leaks, or does not say that it redacts: %s", out.String())
	}
}

func TestTextInJSON(t *testing.T) {
	t.Parallel()
	var in struct{ Password secret.Text }
	if err := json.Unmarshal([]byte(`{"Password":"`+word+`"}`), &in); err != nil {
		t.Fatal(err)
	}
	if in.Password.Reveal() != word {
		t.Error("a secret read from JSON is not the one that was written there")
	}
	out, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"Password":"[redacted]"}`; string(out) != want {
		t.Errorf("got %s, want %s", out, want)
	}
}

func TestTextIsEmptyOrEqual(t *testing.T) {
	t.Parallel()
	var zero secret.Text
	if !zero.Empty() || !secret.New("").Empty() || zero.Reveal() != "" || !zero.Equal("") {
		t.Error("a secret of nothing is not empty")
	}
	text := secret.New(word)
	if text.Empty() || !text.Equal(word) {
		t.Error("a secret does not equal itself")
	}
	for _, other := range []string{"", word[:1], word + "x", strings.ToUpper(word)} {
		if text.Equal(other) {
			t.Errorf("equals %q", other)
		}
	}
	if err := text.UnmarshalText(nil); err != nil || !text.Empty() {
		t.Error("a secret set to nothing is not empty")
	}
}
