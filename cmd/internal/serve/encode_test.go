package serve

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"time"
)

// TestPlainLinesAreThoseOfSlog holds appendRecord against the handler that it stands in for.
func TestPlainLinesAreThoseOfSlog(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 20, 8, 0, 0, 123456789, time.FixedZone("x", 3600))
	for name, c := range map[string]struct {
		message string
		level   slog.Level
		attrs   []slog.Attr
		plain   bool
	}{
		"an access record": {"request", slog.LevelInfo, []slog.Attr{
			slog.String("a", "b"), slog.Int("n", -3), slog.Duration("d", time.Second), slog.String("empty", ""), slog.String("html", "<&>"),
		}, true},
		"nothing":             {"", slog.LevelError + 1, nil, true},
		"a quote":             {"m", slog.LevelInfo, []slog.Attr{slog.String("a", `"`)}, false},
		"a backslash":         {"m", slog.LevelInfo, []slog.Attr{slog.String("a", `\`)}, false},
		"a line break":        {"m", slog.LevelInfo, []slog.Attr{slog.String("a", "x\n{}")}, false},
		"a quote in the key":  {"m", slog.LevelInfo, []slog.Attr{slog.String(`"`, "a")}, false},
		"a quote in the text": {`"`, slog.LevelInfo, nil, false},
		"other letters":       {"m", slog.LevelInfo, []slog.Attr{slog.String("a", "é\xff\u2028")}, false},
		"an error":            {"m", slog.LevelInfo, []slog.Attr{slog.Any("err", errors.New("x"))}, false},
		"a group":             {"m", slog.LevelInfo, []slog.Attr{slog.Group("g", "a", 1)}, false},
		"a fraction":          {"m", slog.LevelInfo, []slog.Attr{slog.Float64("f", 0.1)}, false},
		"no key":              {"m", slog.LevelInfo, []slog.Attr{{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := slog.NewRecord(at, c.level, c.message, 0)
			r.AddAttrs(c.attrs...)
			var want bytes.Buffer
			if err := slog.NewJSONHandler(&want, nil).Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			line, ok := appendRecord(nil, r)
			if ok != c.plain {
				t.Fatalf("taken for plain: %t", ok)
			}
			if ok && string(line) != want.String() {
				t.Errorf("got  %swant %s", line, &want)
			}
			var got bytes.Buffer
			log, err := OpenLog(&got, "debug", "json")
			if err != nil {
				t.Fatal(err)
			}
			log.Info("before")
			if err := log.Handler().Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
			if lines := bytes.SplitAfter(got.Bytes(), []byte("\n")); string(lines[1]) != want.String() {
				t.Errorf("through the log: got %swant %s", lines[1], &want)
			}
		})
	}
}
