package web

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/oauth"
)

// The bounds of a form. Names and values are measured decoded.
const (
	MaxBody       = 64 << 10
	MaxParameters = 64
	MaxName       = 128
	MaxValue      = 16 << 10
)

// firstRead is the first buffer for a body that does not announce its length.
const firstRead = 512

const contentForm = "application/x-www-form-urlencoded"

// Form is a form of a request, checked: each parameter at most once. One without a value counts as
// not given. It prints without values, which may be secret.
type Form struct{ fields []field }

type field struct{ name, value string }

// Get returns a parameter, empty if it was not given.
func (f Form) Get(name string) string {
	for i := range f.fields {
		if f.fields[i].name == name {
			return f.fields[i].value
		}
	}
	return ""
}

// Has says whether a parameter was given with a value.
func (f Form) Has(name string) bool { return f.Get(name) != "" }

// With returns a form with one parameter more, within the bounds of [ParseForm]: for parameters that come by
// another road. A parameter that was given before is refused.
func (f Form) With(name, value string) (Form, error) {
	switch {
	case len(f.fields) >= MaxParameters:
		return Form{}, invalid(fmt.Sprintf("more than %d parameters", MaxParameters))
	case name == "" || len(name) > MaxName:
		return Form{}, invalid("the name of a parameter is empty or too long")
	case f.sent(name):
		return Form{}, invalid("the parameter " + name + " is repeated")
	case len(value) > MaxValue || !utf8.ValidString(value):
		return Form{}, invalid("the parameter " + name + " is too long or badly encoded")
	}
	return Form{fields: append(slices.Clip(f.fields), field{name, value})}, nil
}

// String implements fmt.Stringer.
func (f Form) String() string {
	names := make([]string, len(f.fields))
	for i := range f.fields {
		names[i] = f.fields[i].name
	}
	return fmt.Sprintf("form of %q", names)
}

// GoString implements fmt.GoStringer.
func (f Form) GoString() string { return f.String() }

// LogValue implements slog.LogValuer.
func (f Form) LogValue() slog.Value { return slog.StringValue(f.String()) }

// sent says whether a parameter was sent, with or without a value.
func (f Form) sent(name string) bool {
	return slices.ContainsFunc(f.fields, func(have field) bool { return have.name == name })
}

// ParseForm reads the form of a POST request. Whatever is wrong with it comes back as an
// [oauth.Error] of the code invalid_request that names the fault and no value.
func ParseForm(r *http.Request) (Form, error) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return Form{}, invalid("parameters belong in the body, not in the query of the address")
	}
	if err := checkContentType(r.Header); err != nil {
		return Form{}, err
	}
	body, err := readBody(r)
	if err != nil {
		return Form{}, err
	}
	return parse(body)
}

func checkContentType(h http.Header) error {
	values := h["Content-Type"]
	if len(values) != 1 {
		return invalid("one Content-Type of " + contentForm + " is needed")
	}
	if values[0] == contentForm {
		return nil
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil || kind != contentForm {
		return invalid("the Content-Type must be " + contentForm)
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return invalid("the charset of the form must be UTF-8")
	}
	return nil
}

func readBody(r *http.Request) (string, error) {
	if r.ContentLength > MaxBody {
		return "", tooLarge(nil)
	}
	// One byte more than announced, so that the end is seen without growing.
	b := make([]byte, 0, max(r.ContentLength+1, firstRead))
	for {
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > MaxBody:
			return "", tooLarge(nil)
		case errors.Is(err, io.EOF):
			return string(b), nil
		case err != nil:
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return "", tooLarge(err)
			}
			return "", oauth.Wrap(oauth.InvalidRequest, "the body ended too early", err)
		case len(b) == cap(b):
			b = slices.Grow(b, min(len(b), MaxBody+1-len(b)))
		}
	}
}

func parse(body string) (Form, error) {
	var form Form
	if body == "" {
		return form, nil
	}
	count := strings.Count(body, "&") + 1
	if count > MaxParameters {
		return form, invalid(fmt.Sprintf("more than %d parameters", MaxParameters))
	}
	form.fields = make([]field, 0, count)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := decode(rawName, MaxName)
		if err != nil || name == "" {
			return Form{}, invalid("the name of a parameter is empty, too long or badly encoded")
		}
		if form.sent(name) {
			return Form{}, invalid("the parameter " + name + " is repeated")
		}
		value, err := decode(rawValue, MaxValue)
		if err != nil {
			return Form{}, invalid("the parameter " + name + " is too long or badly encoded")
		}
		form.fields = append(form.fields, field{name, value})
	}
	return form, nil
}

var errEncoding = errors.New("not a form encoding of valid UTF-8 within bounds")

func decode(raw string, limit int) (string, error) {
	if strings.IndexByte(raw, ';') >= 0 {
		return "", errEncoding
	}
	s, err := url.QueryUnescape(raw)
	if err != nil || len(s) > limit || !utf8.ValidString(s) {
		return "", errEncoding
	}
	return s, nil
}

func invalid(description string) *oauth.Error { return oauth.New(oauth.InvalidRequest, description) }

func tooLarge(cause error) *oauth.Error {
	return &oauth.Error{
		Code: oauth.InvalidRequest, HTTPStatus: http.StatusRequestEntityTooLarge, Cause: cause,
		Description: fmt.Sprintf("the body is larger than %d bytes", MaxBody),
	}
}
