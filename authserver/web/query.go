package web

import (
	"net/http"
	"slices"
	"strings"
)

// maxQuery is the longest query of an address, in bytes.
const maxQuery = 4 << 10

// ParseQuery reads the query of an address by the rules of [ParseForm]. A parameter that is not one of
// names is refused: one that is misspelt must not widen what a request does.
func ParseQuery(r *http.Request, names ...string) (Form, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return Form{}, invalid("the query of the address is too long")
	}
	form, err := parse(r.URL.RawQuery)
	if err != nil {
		return Form{}, err
	}
	for _, f := range form.fields {
		if !slices.Contains(names, f.name) {
			return Form{}, invalid("the parameter " + shown(f.name) + " is unknown; there are: " + listed(names))
		}
	}
	return form, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// maxShown is how much of a stranger's text is told back, in bytes.
const maxShown = 40

func shown(s string) string { return s[:min(len(s), maxShown)] }
