package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/authserver/web"
)

func TestParametersThatComeByAnotherRoad(t *testing.T) {
	t.Parallel()
	var form web.Form
	for _, p := range [][2]string{{"a", "1"}, {"empty", ""}, {strings.Repeat("n", web.MaxName), strings.Repeat("v", web.MaxValue)}} {
		grown, err := form.With(p[0], p[1])
		if err != nil {
			t.Fatal(err)
		}
		if grown.Get(p[0]) != p[1] || form.Has(p[0]) {
			t.Errorf("%.20s: the new form has %.20q, the old one %.20q", p[0], grown.Get(p[0]), form.Get(p[0]))
		}
		form = grown
	}
	one, err1 := form.With("b", "one")
	other, err2 := form.With("b", "other")
	if err1 != nil || err2 != nil || one.Get("b") != "one" || other.Get("b") != "other" {
		t.Errorf("two forms out of one: %v %v, %v %v", one.Get("b"), other.Get("b"), err1, err2)
	}
	for name, p := range map[string][2]string{
		"repeated":           {"a", "2"},
		"repeated and empty": {"empty", "1"},
		"no name":            {"", "1"},
		"long name":          {strings.Repeat("n", web.MaxName+1), "1"},
		"long value":         {"c", strings.Repeat("v", web.MaxValue+1)},
		"not UTF-8":          {"c", "\xff"},
	} {
		if f, err := form.With(p[0], p[1]); err == nil || len(f.String()) > len("form of []")+2 || strings.Contains(err.Error(), p[1]) && len(p[1]) > 1 {
			t.Errorf("%s: %v %v", name, f, err)
		}
	}
	for i := 0; ; i++ {
		grown, err := form.With(fmt.Sprintf("p%d", i), "x")
		if err != nil {
			if want := web.MaxParameters - 3; i != want {
				t.Errorf("%d more parameters were taken, want %d", i, want)
			}
			break
		}
		form = grown
	}
}

// TestWithHasTheBoundsOfForms: what may not come in a body may not come by With either, and the other way round.
func TestWithHasTheBoundsOfForms(t *testing.T) {
	t.Parallel()
	for _, p := range [][2]string{{"a", "b"}, {"a", "€"}, {strings.Repeat("n", web.MaxName), "b"}, {strings.Repeat("n", web.MaxName+1), "b"}} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(p[0]+"="+p[1]))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, parsed := web.ParseForm(r)
		_, grown := web.Form{}.With(p[0], p[1])
		if (parsed == nil) != (grown == nil) {
			t.Errorf("%.20s: parsing says %v, With says %v", p[0], parsed, grown)
		}
	}
}
