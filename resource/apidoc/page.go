package apidoc

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// page is the document as it is read.
type page struct {
	Title, Version, Summary string
	About                   []template.HTML
	Style                   template.CSS
	Groups                  []group
	Schemas                 []namedSchema
}

type group struct {
	Name, ID string
	About    template.HTML
	Calls    []call
}

// call is an operation.
type call struct {
	ID, Method, Path, Summary string
	About                     []template.HTML
	Access                    []access
	Parameters                []parameter
	Body                      *body
	Answers                   []answer
}

type access struct{ Who, Scope string }

type parameter struct {
	Name, In string
	Required bool
	About    template.HTML
	Type     template.HTML
}

type body struct {
	Required bool
	Type     template.HTML
	Example  string
}

type answer struct {
	Status, Word string
	Good         bool
	About        template.HTML
	Types        []template.HTML
}

type namedSchema struct {
	Name, ID string
	About    template.HTML
	Type     template.HTML
	Fields   []field
}

type field struct {
	Name     string
	Required bool
	About    template.HTML
	Type     template.HTML
}

// renderPage writes the page, and the policy that it needs.
func renderPage(root *yaml.Node) (html []byte, policy string, err error) {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return nil, "", err
	}
	// The policy names the hash of what stands between the tags, so the template adds nothing to it.
	style := strings.TrimSpace(pageStyle)
	sum := sha256.Sum256([]byte(style))
	policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	p, err := reader{root}.page()
	if err != nil {
		return nil, "", err
	}
	p.Style = template.CSS(style) //nolint:gosec // our own file
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, "", err
	}
	return b.Bytes(), policy, nil
}

// reader reads what the page shows out of the document.
type reader struct{ root *yaml.Node }

func (r reader) page() (*page, error) {
	info := find(r.root, "info")
	p := &page{
		Title: text(info, "title"), Version: text(info, "version"), Summary: text(info, "summary"),
		About: paragraphs(text(info, "description")),
	}
	for _, tag := range find(r.root, "tags").Content {
		g := group{Name: text(tag, "name"), About: inline(text(tag, "description"))}
		g.ID = strings.ToLower(strings.ReplaceAll(g.Name, " ", "-"))
		for path, item := range members(find(r.root, "paths")) {
			for method, operation := range members(item) {
				if find(operation, "tags").Content[0].Value != g.Name {
					continue
				}
				c, err := r.call(method, path, operation)
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", method, path, err)
				}
				g.Calls = append(g.Calls, c)
			}
		}
		p.Groups = append(p.Groups, g)
	}
	for name, schema := range members(find(find(r.root, "components"), "schemas")) {
		p.Schemas = append(p.Schemas, r.schema(name, schema))
	}
	return p, nil
}

func (r reader) call(method, path string, operation *yaml.Node) (call, error) {
	c := call{
		ID: text(operation, "operationId"), Method: strings.ToUpper(method), Path: path,
		Summary: text(operation, "summary"), About: paragraphs(text(operation, "description")),
	}
	for _, way := range find(operation, "security").Content {
		for who, scopes := range members(way) {
			c.Access = append(c.Access, access{who, scopes.Content[0].Value})
		}
	}
	if list := find(operation, "parameters"); list != nil {
		for _, n := range list.Content {
			n = r.resolve(n)
			c.Parameters = append(c.Parameters, parameter{
				Name: text(n, "name"), In: text(n, "in"), Required: text(n, "required") == "true",
				About: inline(text(n, "description")), Type: describe(find(n, "schema")),
			})
		}
	}
	if n := find(operation, "requestBody"); n != nil {
		media := find(find(n, "content"), mediaJSON)
		c.Body = &body{Required: text(n, "required") == "true", Type: describe(find(media, "schema"))}
		if example := find(media, "example"); example != nil {
			raw, err := renderJSON(example)
			if err != nil {
				return c, err
			}
			c.Body.Example = strings.TrimSpace(string(raw))
		}
	}
	for status, n := range members(find(operation, "responses")) {
		code, err := strconv.Atoi(status)
		if err != nil {
			return c, err
		}
		a := answer{
			Status: status, Word: http.StatusText(code), Good: code < http.StatusBadRequest, About: inline(text(n, "description")),
		}
		for _, media := range members(find(n, "content")) {
			a.Types = append(a.Types, describe(find(media, "schema")))
		}
		c.Answers = append(c.Answers, a)
	}
	return c, nil
}

func (r reader) schema(name string, n *yaml.Node) namedSchema {
	s := namedSchema{Name: name, ID: anchor(name), About: inline(text(n, "description")), Type: describe(n)}
	required := map[string]bool{}
	if list := find(n, "required"); list != nil {
		for _, item := range list.Content {
			required[item.Value] = true
		}
	}
	for name1, value := range members(find(n, "properties")) {
		s.Fields = append(s.Fields, field{
			Name: name1, Required: required[name1], About: inline(text(value, "description")), Type: describe(value),
		})
	}
	return s
}

// resolve follows a reference within the document.
func (r reader) resolve(n *yaml.Node) *yaml.Node {
	to := text(n, "$ref")
	if to == "" {
		return n
	}
	n = r.root
	for step := range strings.SplitSeq(strings.TrimPrefix(to, "#/"), "/") {
		n = find(n, step)
	}
	return n
}

// describe says in a few words what values a schema takes, with a link to those that have a name.
func describe(n *yaml.Node) template.HTML {
	if either := find(n, "oneOf"); either != nil {
		names := make([]string, 0, len(either.Content))
		for _, one := range either.Content {
			names = append(names, string(describe(one)))
		}
		return template.HTML(strings.Join(names, " or ")) //nolint:gosec // of escaped parts
	}
	if all := find(n, "allOf"); all != nil {
		return describe(all.Content[0])
	}
	if to := text(n, "$ref"); to != "" {
		name := to[strings.LastIndexByte(to, '/')+1:]
		return template.HTML(`<a href="#` + anchor(name) + `">` + template.HTMLEscapeString(name) + `</a>`) //nolint:gosec // escaped
	}
	var parts []string
	switch kind := find(n, "type"); {
	case kind == nil:
	case kind.Kind == yaml.SequenceNode:
		var either []string
		for _, k := range kind.Content {
			either = append(either, k.Value)
		}
		parts = append(parts, strings.Join(either, " or "))
	case kind.Value == "array":
		return "list of " + describe(find(n, "items"))
	default:
		parts = append(parts, kind.Value)
	}
	if format := text(n, "format"); format != "" {
		parts = append(parts, format)
	}
	if c := text(n, "const"); c != "" {
		parts = append(parts, "always "+c)
	}
	if list := find(n, "enum"); list != nil {
		var values []string
		for _, v := range list.Content {
			values = append(values, v.Value)
		}
		parts = append(parts, strings.Join(values, " · "))
	}
	parts = append(parts, bounds(n)...)
	return template.HTML(template.HTMLEscapeString(strings.Join(parts, ", "))) //nolint:gosec // escaped
}

// bounds says how large or long a value may be, and what it is when it is left out.
func bounds(n *yaml.Node) []string {
	var parts []string
	between := func(least, most, unit string) {
		switch {
		case least != "" && least == most:
			parts = append(parts, least+unit)
		case least != "" && most != "":
			parts = append(parts, least+" to "+most+unit)
		case least != "":
			parts = append(parts, "at least "+least+unit)
		case most != "":
			parts = append(parts, "at most "+most+unit)
		}
	}
	between(text(n, "minimum"), text(n, "maximum"), "")
	between(text(n, "minLength"), text(n, "maxLength"), " characters")
	if pattern := text(n, "pattern"); pattern != "" {
		parts = append(parts, "like "+pattern)
	}
	if def := text(n, "default"); def != "" {
		parts = append(parts, "default "+def)
	}
	return parts
}

func anchor(name string) string { return "schema-" + name }

// text is the text of a scalar member, empty if there is none.
func text(n *yaml.Node, key string) string {
	v := find(n, key)
	if v == nil || v.Kind != yaml.ScalarNode {
		return ""
	}
	return v.Value
}

// paragraphs are what is parted by empty lines.
func paragraphs(s string) []template.HTML {
	var out []template.HTML
	for p := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		if p != "" {
			out = append(out, inline(p))
		}
	}
	return out
}

// inline escapes a text, and shows what stands between backquotes as code.
func inline(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		if i%2 == 1 {
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
			continue
		}
		b.WriteString(template.HTMLEscapeString(part))
	}
	return template.HTML(b.String()) //nolint:gosec // escaped
}
