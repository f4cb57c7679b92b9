package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/web"
)

func request(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestFormIsDecoded(t *testing.T) {
	t.Parallel()
	f, err := web.ParseForm(request("a=1&b=x+y%2Bz&c=&d&%65=%E2%82%AC&&"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "1", "b": "x y+z", "c": "", "d": "", "e": "€", "f": ""} {
		if got := f.Get(name); got != want || f.Has(name) != (want != "") {
			t.Errorf("%s is %q, has %v; want %q", name, got, f.Has(name), want)
		}
	}
}

func TestFormPrintsNoValues(t *testing.T) {
	t.Parallel()
	f, err := web.ParseForm(request("password=hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprint(f), fmt.Sprintf("%v", &f), fmt.Sprintf("%+v", f), fmt.Sprintf("%#v", f), f.LogValue().String()} {
		if strings.Contains(printed, "hunter2") {
			t.Errorf("printed %s", printed)
		}
	}
}

func TestRefusedForms(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"repeated":             "a=1&a=1",
		"repeated and empty":   "a=&a=1",
		"repeated by escape":   "a=1&%61=2",
		"semicolon":            "a=1;b=2",
		"not UTF-8":            "a=%ff",
		"raw byte not UTF-8":   "a=\xff",
		"broken escape":        "a=%4",
		"name not UTF-8":       "%ff=a",
		"no name":              "=a",
		"long name":            strings.Repeat("n", web.MaxName+1) + "=a",
		"long value":           "a=" + strings.Repeat("v", web.MaxValue+1),
		"too many":             strings.Repeat("&", web.MaxParameters),
		"longer than the body": "a=" + strings.Repeat("%61", web.MaxBody/3),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if f, err := web.ParseForm(request(body)); err == nil {
				t.Errorf("got %v", f)
			}
		})
	}
}

func TestBoundsThemselvesAreAllowed(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"name":  strings.Repeat("n", web.MaxName) + "=a",
		"value": "a=" + strings.Repeat("v", web.MaxValue),
		"count": "a=1" + strings.Repeat("&", web.MaxParameters-1),
		"none":  "",
	} {
		if _, err := web.ParseForm(request(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBodyOfUnknownLengthIsBounded(t *testing.T) {
	t.Parallel()
	r := request("a=" + strings.Repeat("x", web.MaxBody))
	r.ContentLength = -1
	if _, err := web.ParseForm(r); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v", err)
	}
	r = request("a=" + strings.Repeat("x", 2000))
	r.ContentLength = -1
	r.Body = http.MaxBytesReader(httptest.NewRecorder(), r.Body, 1000) // a limit in front of ours
	if _, err := web.ParseForm(r); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v", err)
	}
}

// FuzzParseForm checks that whatever is let through keeps the promises of Form, and means the same to
// the standard library's parser.
func FuzzParseForm(f *testing.F) {
	for _, seed := range []string{"", "a=1", "a=1&b=2", "a=%41+b", "a=1&a=2", "a;b", "%=", "=", "&&", "a=%E2%82%AC", "a=\x00", "a==b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := web.ParseForm(request(body))
		if err != nil {
			return
		}
		values, err := url.ParseQuery(body)
		if err != nil {
			t.Fatalf("%q is a form to us and none to others: %v", body, err)
		}
		for name, all := range values {
			if len(all) != 1 || form.Get(name) != all[0] {
				t.Errorf("%q: %s is %q to us and %q to others", body, name, form.Get(name), all)
			}
			if !utf8.ValidString(all[0]) || len(all[0]) > web.MaxValue || len(name) > web.MaxName || name == "" {
				t.Errorf("%q: %q=%q was let through", body, name, all[0])
			}
		}
	})
}
