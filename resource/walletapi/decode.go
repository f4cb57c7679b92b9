package walletapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/resource/problem"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage/money"
)

const (
	// MaxBody is the size of a request's body.
	MaxBody = 64 << 10

	maxDepth   = 8  // of nesting: deeper than any body here, and shallow enough to refuse by
	maxFields  = 32 // in one object
	maxShown   = 40 // bytes of a stranger's text told back
	maxTypo    = 2  // edits between an unknown field and the one that was perhaps meant
	utf8Escape = `\ufffd`
)

// field is one field that a body may have: set takes its raw value.
type field struct {
	name     string
	required bool
	set      func(raw json.RawMessage) error
}

// text is a field that holds a JSON string.
func text(name string, required bool, into *string) field {
	return field{name, required, func(raw json.RawMessage) error {
		if raw[0] != '"' {
			return fmt.Errorf("must be a string, not %s", kind(raw))
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return errors.New("is not a readable string")
		}
		if unpaired(raw, s) {
			return errors.New("has half of a surrogate pair, which is not Unicode")
		}
		*into = s
		return nil
	}}
}

// minor is a field that holds an amount: an integer literal of minor units.
func minor(name string, into *int64) field {
	return field{name, true, func(raw json.RawMessage) error {
		if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
			return fmt.Errorf("must be an integer of minor units such as 1250, not %s", kind(raw))
		}
		n, err := money.ParseMinor(string(raw))
		switch {
		case errors.Is(err, money.ErrRange):
			return problem.New(problem.AmountOutOfRange, fmt.Sprintf("%s: beyond %d", name, money.Max))
		case err != nil:
			return errors.New("must be an integer of minor units such as 1250, without fraction or exponent")
		}
		*into = n
		return nil
	}}
}

// part is an amount that may be left out, for all there is. Zero is none of the two.
func part(name string, into *int64) field {
	f := minor(name, into)
	f.required = false
	set := f.set
	f.set = func(raw json.RawMessage) error {
		if err := set(raw); err != nil {
			return err
		}
		if *into < 1 {
			return problem.New(problem.AmountOutOfRange, fmt.Sprintf("%s: %d is not between 1 and %d", name, *into, money.Max))
		}
		return nil
	}
	return f
}

// labels is a field that holds a flat object of strings; it may be left out.
func labels(name string, into *map[string]string) field {
	return field{name, false, func(raw json.RawMessage) error {
		if raw[0] != '{' {
			return fmt.Errorf("must be an object of strings, not %s", kind(raw))
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		if _, err := dec.Token(); err != nil {
			return errors.New("is not a readable object")
		}
		all := map[string]string{}
		for dec.More() {
			if err := oneText(dec, all); err != nil {
				return err
			}
		}
		*into = all
		return nil
	}}
}

// oneText reads a member of an object of strings, as long as there are not too many.
func oneText(dec *json.Decoder, into map[string]string) error {
	tok, err := dec.Token()
	name, ok := tok.(string)
	if err != nil || !ok {
		return errors.New("is not a readable object")
	}
	// The raw text of a name is not to be had from the decoder; one that is not Unicode has U+FFFD in it, or is written so.
	if strings.Contains(name, "\uFFFD") {
		return errors.New("has a key with U+FFFD in it, which stands for what is not Unicode")
	}
	if _, twice := into[name]; twice {
		return fmt.Errorf("%q is there twice", shown(name))
	}
	if len(into) == wallet.MaxMetadataKeys {
		return fmt.Errorf("has more than %d keys", wallet.MaxMetadataKeys)
	}
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return errors.New("is not a readable object")
	}
	var value string
	if err := text(name, false, &value).set(raw); err != nil {
		return fmt.Errorf("%q %w", shown(name), err)
	}
	into[name] = value
	return nil
}

// seconds is a length of time that may be left out: an integer of at least one second.
func seconds(name string, into *time.Duration) field {
	return field{name, false, func(raw json.RawMessage) error {
		n, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil || n < 1 || raw[0] == '0' {
			return errors.New("must be a number of seconds such as 3600")
		}
		*into = time.Duration(n) * time.Second
		return nil
	}}
}

// readOptionalBody is readBody where every field may be left out, and so the body with them.
func readOptionalBody(w http.ResponseWriter, r *http.Request, fields ...field) error {
	if r.ContentLength == 0 {
		return nil
	}
	return readBody(w, r, fields...)
}

// readBody reads a JSON object into fields, or says which part of it cannot be understood.
func readBody(w http.ResponseWriter, r *http.Request, fields ...field) error {
	if err := checkMedia(r.Header); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return problem.New(problem.BodyTooLarge, fmt.Sprintf("the body is larger than %d bytes", MaxBody))
		}
		return invalidCause(err, "the body could not be read to its end")
	}
	return decode(body, fields)
}

func checkMedia(h http.Header) error {
	media, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || media != "application/json" || len(h.Values("Content-Type")) != 1 ||
		(charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return problem.New(problem.UnsupportedMediaType, "the body must be JSON: Content-Type: application/json")
	}
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return problem.New(problem.UnsupportedMediaType, "the body must not be compressed: leave Content-Encoding out")
	}
	return nil
}

// decode reads one JSON object with exactly the fields given, each at most once.
func decode(body []byte, fields []field) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return invalid("the body is empty; it must be a JSON object")
	case !utf8.Valid(body):
		return invalid("the body is not valid UTF-8")
	case depth(body) > maxDepth:
		return invalid("the body is nested too deeply")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := openObject(dec); err != nil {
		return err
	}
	seen := make(map[string]bool, len(fields))
	for dec.More() {
		if err := readField(dec, fields, seen); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return syntax(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("there is something after the JSON object")
	}
	for _, f := range fields {
		if f.required && !seen[f.name] {
			return invalid("%s: is missing", f.name)
		}
	}
	return nil
}

func openObject(dec *json.Decoder) error {
	tok, err := dec.Token()
	if err != nil {
		return syntax(err)
	}
	if tok != json.Delim('{') {
		return invalid("the body must be a JSON object")
	}
	return nil
}

func readField(dec *json.Decoder, fields []field, seen map[string]bool) error {
	tok, err := dec.Token()
	if err != nil {
		return syntax(err)
	}
	name, ok := tok.(string)
	if !ok || len(seen) >= maxFields {
		return invalid("the body is not a JSON object of the fields %s", names(fields))
	}
	f, known := find(fields, name)
	switch {
	case !known:
		return unknown(name, fields)
	case seen[name]:
		return invalid("%s: is there twice", name)
	}
	seen[name] = true
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return syntax(err)
	}
	err = f.set(raw)
	if _, presented := errors.AsType[*problem.Problem](err); err == nil || presented {
		return err
	}
	return invalid("%s: %s", name, err.Error())
}

func find(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

func unknown(name string, fields []field) error {
	best, edits := "", maxTypo+1
	for _, f := range fields {
		if d := distance(strings.ToLower(shown(name)), f.name); d < edits {
			best, edits = f.name, d
		}
	}
	if best != "" {
		return invalid("%q: unknown field; did you mean %q?", shown(name), best)
	}
	return invalid("%q: unknown field; there are %s", shown(name), names(fields))
}

func names(fields []field) string {
	if len(fields) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, f := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f.name)
	}
	return b.String()
}

// shown cuts a stranger's text to what is worth telling back.
func shown(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}

// kind names the type of a JSON value.
func kind(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// unpaired says whether decoding put U+FFFD where the text had none: for an escaped half of a
// surrogate pair.
func unpaired(raw json.RawMessage, s string) bool {
	got := strings.Count(s, "\uFFFD")
	return got > 0 && got > bytes.Count(raw, []byte("\uFFFD"))+bytes.Count(bytes.ToLower(raw), []byte(utf8Escape))
}

// depth is how deeply a text nests, if it is JSON.
func depth(body []byte) int {
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			now++
			deepest = max(deepest, now)
		case b == '}' || b == ']':
			now--
		}
	}
	return deepest
}

// distance counts the edits (Levenshtein) between two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
			row[j+1] = min(row[j+1], row[j]+1)
		}
	}
	return row[len(b)]
}

func syntax(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return invalidCause(err, "the JSON ends too early")
	}
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		return invalidCause(err, fmt.Sprintf("the body is not JSON: wrong at byte %d", bad.Offset))
	}
	return invalidCause(err, "the body is not JSON")
}

func invalid(format string, args ...any) error {
	return problem.New(problem.InvalidRequest, fmt.Sprintf(format, args...))
}

func invalidCause(cause error, detail string) error {
	return &problem.Problem{Code: problem.InvalidRequest, Detail: detail, Cause: cause}
}
