package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/oauth"
)

// The bounds of a JSON body, beside [MaxBody].
const (
	maxMembers = 32
	maxDepth   = 4
)

const mediaJSON = "application/json"

// ParseObject reads the JSON object of a request into the struct that v points to. Its members are the
// fields with a json name. One that is unknown, comes twice, is null or of another type ends the request
// with invalid_request, naming it and no value.
func ParseObject(r *http.Request, v any) error {
	body, err := readObject(r)
	if err != nil {
		return err
	}
	if body == "" {
		return invalid("the body is empty; it must be a JSON object")
	}
	return decodeObject([]byte(body), v)
}

// ParseOptionalObject is [ParseObject] for requests that may come without a body: then v stays as it is.
func ParseOptionalObject(r *http.Request, v any) error {
	if r.ContentLength == 0 {
		return nil
	}
	body, err := readObject(r)
	if err != nil || body == "" {
		return err
	}
	return decodeObject([]byte(body), v)
}

func readObject(r *http.Request) (string, error) {
	values := r.Header["Content-Type"]
	if len(values) != 1 {
		return "", unsupported()
	}
	media, params, err := mime.ParseMediaType(values[0])
	if charset := params["charset"]; err != nil || media != mediaJSON || (charset != "" && !strings.EqualFold(charset, "utf-8")) {
		return "", unsupported()
	}
	return readBody(r)
}

func unsupported() *oauth.Error {
	return &oauth.Error{
		Code: oauth.InvalidRequest, HTTPStatus: http.StatusUnsupportedMediaType,
		Description: "the body must be JSON in UTF-8: one Content-Type of " + mediaJSON,
	}
}

func decodeObject(body []byte, v any) error {
	switch {
	case !utf8.Valid(body):
		return invalid("the body is not valid UTF-8")
	case loneSurrogate(body):
		return invalid("the body has half of a surrogate pair, which is not Unicode")
	case tooDeep(body):
		return invalid("the body is nested too deeply")
	case !json.Valid(body):
		return invalid("the body is not JSON")
	}
	if err := checkMembers(body, membersOf(v)); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			if strings.HasPrefix(mistyped.Value, "number ") { // with the number itself, which is a number of the wrong kind
				return oauth.Wrap(oauth.InvalidRequest, mistyped.Field+": must be a whole number in range", err)
			}
			return oauth.Wrap(oauth.InvalidRequest, fmt.Sprintf("%s: must not be a JSON %s", mistyped.Field, mistyped.Value), err)
		}
		return oauth.Wrap(oauth.InvalidRequest, "a member of the body is not of the form that it must have", err)
	}
	return nil
}

// membersOf lists the names of a struct's fields in JSON.
func membersOf(v any) []string {
	t := reflect.TypeOf(v).Elem()
	var names []string
	for field := range t.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// checkMembers refuses what encoding/json would pass over: unknown names, names in other letters, names
// that come twice, and null.
func checkMembers(body []byte, names []string) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return invalid("the body must be a JSON object")
	}
	var seen []string
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok || len(seen) == maxMembers {
			return invalid(fmt.Sprintf("the body must be a JSON object of at most %d members", maxMembers))
		}
		if !slices.Contains(names, name) {
			return invalid("the member " + shown(name) + " is unknown; there are: " + listed(names))
		}
		if slices.Contains(seen, name) {
			return invalid("the member " + name + " comes twice")
		}
		seen = append(seen, name)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
			return oauth.Wrap(oauth.InvalidRequest, "the body is not JSON", err)
		}
		if string(value) == "null" {
			return invalid("the member " + name + " is null; leave it out instead")
		}
	}
	return nil
}

// tooDeep says whether brackets nest deeper than in any body of ours.
func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// loneSurrogate says whether an escape names half of a surrogate pair without the other: encoding/json
// reads all such halves as one character, so that different passwords would be the same.
func loneSurrogate(body []byte) bool {
	for i := 0; i+1 < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++
		if body[i] != 'u' {
			continue
		}
		switch half(body, i) {
		case low:
			return true
		case high:
			if i+6 >= len(body) || body[i+5] != '\\' || body[i+6] != 'u' || half(body, i+6) != low {
				return true
			}
			i += 6
		}
	}
	return false
}

// The kinds of what an escape names.
const (
	whole = iota
	high
	low
)

// half says which half of a pair the escape at i, whose u stands there, names.
func half(body []byte, i int) int {
	if i+2 >= len(body) || (body[i+1] != 'd' && body[i+1] != 'D') {
		return whole
	}
	switch c := body[i+2]; {
	case c == '8' || c == '9' || c == 'a' || c == 'b' || c == 'A' || c == 'B':
		return high
	case c >= 'c' && c <= 'f', c >= 'C' && c <= 'F':
		return low
	}
	return whole
}
