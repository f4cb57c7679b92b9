package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
)

// body is an object to read requests into.
type body struct {
	Name  string   `json:"name"`
	Count *int64   `json:"count"`
	Flag  bool     `json:"flag,omitempty"`
	List  []string `json:"list"`
	None  string   `json:"-"`
	Bare  string
}

func object(text string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestObjectIsRead(t *testing.T) {
	t.Parallel()
	var got body
	if err := web.ParseObject(object(` {"name": "\ud83d\ude00 \\ud800", "count": 3, "flag": true, "list": ["{[{[{[", "b"]} `), &got); err != nil {
		t.Fatal(err)
	}
	three := int64(3)
	if d := cmp.Diff(body{Name: "\U0001F600 \\ud800", Count: &three, Flag: true, List: []string{"{[{[{[", "b"}}, got); d != "" {
		t.Error(d)
	}
	r := object(`{}`)
	r.Header.Set("Content-Type", "application/json; charset=UTF-8")
	if err := web.ParseObject(r, &got); err != nil {
		t.Error(err)
	}
}

func TestObjectMayBeLeftOutWhereThatIsSaid(t *testing.T) {
	t.Parallel()
	var got body
	none := httptest.NewRequest(http.MethodPost, "/", nil)
	if err := web.ParseOptionalObject(none, &got); err != nil {
		t.Error(err)
	}
	unknownLength := object("")
	unknownLength.ContentLength = -1
	if err := web.ParseOptionalObject(unknownLength, &got); err != nil {
		t.Error(err)
	}
	if err := web.ParseOptionalObject(object(`{"name": "x"}`), &got); err != nil || got.Name != "x" {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := web.ParseOptionalObject(object(`{"nam": "x"}`), &got); err == nil {
		t.Error("an unknown member was let through")
	}
	if err := web.ParseObject(object(""), &got); err == nil {
		t.Error("no body is an object")
	}
}

func TestRefusedObjects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, says string }{
		"unknown":               {`{"x": 1}`, "the member x is unknown; there are: name, count, flag, list"},
		"of other letters":      {`{"Name": "x"}`, "the member Name is unknown"},
		"a field without a tag": {`{"Bare": "x"}`, "the member Bare is unknown"},
		"twice":                 {`{"name": "a", "name": "b"}`, "the member name comes twice"},
		"twice by escape":       {`{"name": "a", "n\u0061me": "b"}`, "the member name comes twice"},
		"null":                  {`{"name": null}`, "the member name is null"},
		"number for a text":     {`{"name": 12345}`, "name: must not be a JSON number"},
		"text for a number":     {`{"count": "3"}`, "count: must not be a JSON string"},
		"fraction":              {`{"count": 3.5}`, "count: must be a whole number"},
		"huge number":           {`{"count": 1e300}`, "count: must be a whole number"},
		"object in a list":      {`{"list": [{}]}`, "list: must not be a JSON object"},
		"text for a list":       {`{"list": "a"}`, "list: must not be a JSON string"},
		"list":                  {`[]`, "must be a JSON object"},
		"text":                  {`"name"`, "must be a JSON object"},
		"cut off":               {`{"name": "a"`, "not JSON"},
		"more behind":           {`{} {}`, "not JSON"},
		"not UTF-8":             {"{\"name\": \"\xff\"}", "not valid UTF-8"},
		"first half of a pair":  {`{"name": "\ud83d"}`, "surrogate"},
		"halves the wrong way":  {`{"name": "\ude00\ud83d"}`, "surrogate"},
		"first half twice":      {`{"name": "\uD83D\uD83D\uDE00"}`, "surrogate"},
		"half at the end":       {`{"name": "\ud83d\u`, "surrogate"},
		"deep":                  {`{"list": ` + strings.Repeat("[", 5000), "nested"},
		"many members":          {`{"name": "a"` + strings.Repeat(`, "x": 1`, 5000) + `}`, "the member x is unknown"},
		"long name":             {`{"` + strings.Repeat("x", 5000) + `": 1}`, "the member " + strings.Repeat("x", 40) + " is unknown"},
		"large":                 {`{"name": "` + strings.Repeat("x", web.MaxBody) + `"}`, "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got body
			err := web.ParseObject(object(c.body), &got)
			if _, presented := errors.AsType[*oauth.Error](err); !presented || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v", err)
			}
			shown, _ := json.Marshal(err)
			if strings.Contains(string(shown), "12345") || len(shown) > 400 {
				t.Errorf("it shows a value: %s", shown)
			}
		})
	}
}

func TestRefusedMediaTypes(t *testing.T) {
	t.Parallel()
	for _, types := range [][]string{nil, {"text/json"}, {"application/json", "application/json"}, {"application/json; charset=latin1"}, {";"}} {
		r := object(`{}`)
		r.Header["Content-Type"] = types
		err := web.ParseObject(r, &body{})
		if refused, ok := errors.AsType[*oauth.Error](err); !ok || refused.Status() != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %v", types, err)
		}
	}
}

// FuzzParseObject checks that what is let through means the same to a lenient parser, and that nothing
// makes the parser fall over.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"name":"a"}`, `{"count":1,"list":["a"]}`, `{"name":"\ud83d\ude00"}`, `{"name":"\u`, `[`, `{"list":[[[[[`, `{"n\u0061me":""}`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got body
		if web.ParseObject(object(text), &got) != nil {
			return
		}
		var lenient body
		if err := json.Unmarshal([]byte(text), &lenient); err != nil {
			t.Fatalf("%q is an object to us and none to others: %v", text, err)
		}
		if d := cmp.Diff(lenient, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
		if strings.ContainsRune(got.Name, '\uFFFD') && !strings.Contains(text, "\uFFFD") && !strings.Contains(strings.ToLower(text), `\ufffd`) {
			t.Errorf("%q: half of a pair was let through", text)
		}
	})
}

func TestQuery(t *testing.T) {
	t.Parallel()
	get := func(query string) (web.Form, error) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		return web.ParseQuery(r, "limit", "cursor")
	}
	f, err := get("limit=3&cursor=a%20b")
	if err != nil || f.Get("limit") != "3" || f.Get("cursor") != "a b" {
		t.Errorf("got %v, %v", f, err)
	}
	for _, query := range []string{"limit=1&limit=1", "limt=1", "limit=1;cursor=2", "limit=%ff", "limit=" + strings.Repeat("1", 5000)} {
		if _, err := get(query); err == nil {
			t.Errorf("%.40q was let through", query)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/?x=1", nil)
	if _, err := web.ParseQuery(r); err == nil || !strings.Contains(err.Error(), "there are: none") {
		t.Errorf("got %v", err)
	}
}
