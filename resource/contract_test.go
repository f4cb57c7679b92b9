package resource_test

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tallystick/tallystick/resource/apidoc"
)

const documentURL = "memory:///openapi.json"

// contract is the document, and what of it has been seen.
type contract struct {
	*document

	mu   sync.Mutex
	seen map[string]bool // "createTransfer 422 same_wallet"
}

// document holds requests and answers against the OpenAPI document.
type document struct {
	root map[string]any

	mu       sync.Mutex
	compiler *jsonschema.Compiler
}

// operation is an operation of the document, with where it stands there.
type operation struct {
	id, pointer  string
	method, path string
	it           map[string]any
	values       map[string]string // of the parameters in its path
}

var theDocument = sync.OnceValues(func() (*document, error) {
	served, err := apidoc.New()
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(served.JSON()))
	if err != nil {
		return nil, err
	}
	d := &document{root: root.(map[string]any), compiler: jsonschema.NewCompiler()}
	// The document lets an answer have more fields one day; today it has none that are not told.
	for _, schema := range d.at("components", "schemas").(map[string]any) {
		closeObjects(schema)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	return d, d.compiler.AddResource(documentURL, root)
})

func closeObjects(schema any) {
	s, ok := schema.(map[string]any)
	if !ok {
		return
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		s["additionalProperties"] = false
		for _, p := range properties {
			closeObjects(p)
		}
	}
}

func newContract(t testing.TB) *contract {
	t.Helper()
	d, err := theDocument()
	must(t, err)
	return &contract{document: d, seen: map[string]bool{}}
}

// at is what stands at a place in the document; nil if there is nothing.
func (d *document) at(steps ...string) any {
	var v any = d.root
	for _, step := range steps {
		m, _ := v.(map[string]any)
		v = m[step]
	}
	return v
}

// resolve follows a reference; pointer is where what it names stands.
func (d *document) resolve(v any, pointer string) (map[string]any, string) {
	m, _ := v.(map[string]any)
	if to, ok := m["$ref"].(string); ok {
		return d.at(strings.Split(strings.TrimPrefix(to, "#/"), "/")...).(map[string]any), strings.TrimPrefix(to, "#")
	}
	return m, pointer
}

// operations are all of the document.
func (d *document) operations() []operation {
	var all []operation
	for path, item := range d.at("paths").(map[string]any) {
		for method, it := range item.(map[string]any) {
			o := operation{method: strings.ToUpper(method), path: path, it: it.(map[string]any)}
			o.id = o.it["operationId"].(string)
			o.pointer = "/paths/" + escape(path) + "/" + method
			all = append(all, o)
		}
	}
	return all
}

// find is the operation of a request.
func (d *document) find(method, path string) (operation, bool) {
	steps := strings.Split(path, "/")
next:
	for _, o := range d.operations() {
		template := strings.Split(o.path, "/")
		if o.method != method || len(template) != len(steps) {
			continue
		}
		o.values = map[string]string{}
		for i, step := range template {
			switch {
			case strings.HasPrefix(step, "{"):
				o.values[strings.Trim(step, "{}")] = steps[i]
			case step != steps[i]:
				continue next
			}
		}
		return o, true
	}
	return operation{}, false
}

func escape(step string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
}

// valid holds a value against the schema at a place.
func (d *document) valid(pointer string, value any) error {
	d.mu.Lock()
	schema, err := d.compiler.Compile(documentURL + "#" + strings.ReplaceAll(strings.ReplaceAll(pointer, "{", "%7B"), "}", "%7D"))
	d.mu.Unlock()
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// check holds a request and its answer against the document. What the document does not allow must have
// been refused; the other way round is for the tests of refusals.
func (c *contract) check(t testing.TB, r *http.Request, body string, g got) {
	t.Helper()
	o, found := c.find(r.Method, r.URL.Path)
	if !found {
		return
	}
	where := fmt.Sprintf("%s %s, %d", o.method, o.path, g.status)
	code, err := c.answer(o, g)
	if err != nil {
		t.Errorf("%s: the answer is not as documented: %v\n%s", where, err, g.body)
	}
	if g.status < http.StatusBadRequest {
		if err := c.request(o, r, body); err != nil {
			t.Errorf("%s: the request is not as documented, and was answered: %v\n%s", where, err, body)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[strings.TrimSpace(fmt.Sprintf("%s %d %s", o.id, g.status, code))] = true
}

// answer checks an answer, and returns the code of a problem.
func (c *contract) answer(o operation, g got) (code string, err error) {
	status := strconv.Itoa(g.status)
	responses := o.it["responses"].(map[string]any)
	r, pointer := c.resolve(responses[status], o.pointer+"/responses/"+status)
	if r == nil {
		return "", fmt.Errorf("no such status")
	}
	media, _, err := mime.ParseMediaType(g.header.Get("Content-Type"))
	if err != nil {
		return "", err
	}
	content, _ := r["content"].(map[string]any)
	if content[media] == nil {
		return "", fmt.Errorf("no content of type %s", media)
	}
	for name := range asMap(r["headers"]) {
		v := g.header.Get(name)
		if v == "" {
			continue
		}
		header, at := c.resolve(asMap(r["headers"])[name], pointer+"/headers/"+name)
		if err := c.valid(at+"/schema", typed(v, header)); err != nil {
			return "", fmt.Errorf("header %s: %w", name, err)
		}
	}
	if media == "text/csv" {
		return "", nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(g.body))
	if err != nil {
		return "", err
	}
	if media == "application/problem+json" {
		code = g.code()
	}
	return code, c.valid(pointer+"/content/"+escape(media)+"/schema", value)
}

// request checks the parameters and the body of a request.
func (c *contract) request(o operation, r *http.Request, body string) error {
	told := map[string]bool{}
	list, _ := o.it["parameters"].([]any)
	for i, p := range list {
		p, pointer := c.resolve(p, fmt.Sprintf("%s/parameters/%d", o.pointer, i))
		name := p["name"].(string)
		var values []string
		switch p["in"] {
		case "path":
			values = []string{o.values[name]}
		case "header":
			values = r.Header.Values(name)
		case "query":
			told[name] = true
			values = r.URL.Query()[name]
		}
		if p["required"] == true && len(values) == 0 {
			return fmt.Errorf("%s is missing", name)
		}
		schema := asMap(p["schema"])
		if schema["type"] == "array" && len(values) > 0 {
			items := make([]any, len(values))
			for i, v := range values {
				items[i] = v
			}
			if err := c.valid(pointer+"/schema", items); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			continue
		}
		for _, v := range values {
			if v == "" && p["in"] == "query" {
				continue // as if it were not there
			}
			if err := c.valid(pointer+"/schema", typed(v, p)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for name := range r.URL.Query() {
		if !told[name] {
			return fmt.Errorf("the parameter %s is not in the document", name)
		}
	}
	return c.requestBody(o, body)
}

func (c *contract) requestBody(o operation, body string) error {
	documented := asMap(o.it["requestBody"])
	switch {
	case documented == nil && body != "":
		return fmt.Errorf("no body is documented")
	case documented == nil, body == "" && documented["required"] != true:
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return err
	}
	return c.valid(o.pointer+"/requestBody/content/application~1json/schema", value)
}

// typed is the text of a parameter as the value that its schema speaks of.
func typed(v string, parameter map[string]any) any {
	if asMap(parameter["schema"])["type"] == "integer" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	return v
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
