package configs

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxFile  = 1 << 20 // bytes of a configuration file
	maxDepth = 8       // levels of nesting; the deepest key of ours has five
)

// leaf is a value as it was written.
type leaf struct {
	where string
	text  string
	items []string // of a list
	kind  leafKind
}

type leafKind int

const (
	scalar leafKind = iota
	listing
	section // an empty section
	nothing // a key without a value
)

// tree is a file as a map from path to value.
type tree struct {
	file   string
	leaves map[string]leaf
	order  []string          // the paths, as they come in the file
	lines  map[string]string // file:line of every path, sections included
	faults faults
}

// grow reads a file into a tree. Its faults are those of form: what is known and what is meant is for
// the caller to say.
func grow(file string, data []byte) *tree {
	t := &tree{file: file, leaves: map[string]leaf{}, lines: map[string]string{}}
	if len(data) > maxFile {
		t.faults.add(file, "", "is longer than %d bytes; that is no configuration file", maxFile)
		return t
	}
	var doc yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return t // an empty file: everything may come from the environment
	}
	if err != nil {
		t.syntax(err)
		return t
	}
	if again := decoder.Decode(new(yaml.Node)); !errors.Is(again, io.EOF) {
		t.faults.add(file, "", "has more than one YAML document; keep one")
		return t
	}
	if len(doc.Content) > 0 {
		t.walk("", doc.Content[0], 0)
	}
	return t
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntax reports an error of the parser, whose text names a line and quotes nothing of the file.
func (t *tree) syntax(err error) {
	text, where := err.Error(), t.file
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		where, text = t.file+":"+m[1], m[2]
	}
	if _, rest, found := strings.Cut(text, "yaml: "); found {
		text = rest
	}
	t.faults.add(where, "", "is not YAML: %s", strings.ReplaceAll(text, "\n", " "))
}

func (t *tree) at(n *yaml.Node) string { return t.file + ":" + strconv.Itoa(n.Line) }

func (t *tree) walk(path string, n *yaml.Node, depth int) {
	where := t.at(n)
	switch {
	case n.Anchor != "" || n.Kind == yaml.AliasNode:
		t.faults.add(where, path, "anchors and aliases are not read; write the value out")
	case depth > maxDepth:
		t.faults.add(where, path, "is nested too deeply")
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		t.walkSection(path, n, depth)
	case n.Kind == yaml.MappingNode:
		t.add(path, leaf{where: where, kind: section})
	case n.Kind == yaml.SequenceNode:
		t.walkList(path, n)
	case n.Tag == "!!null":
		t.add(path, leaf{where: where, kind: nothing})
	default:
		t.add(path, leaf{where: where, text: n.Value})
	}
}

func (t *tree) walkSection(path string, n *yaml.Node, depth int) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		full := name.Value
		if path != "" {
			full = path + "." + name.Value
		}
		first, twice := t.lines[full]
		switch {
		case name.Kind != yaml.ScalarNode || name.Tag == "!!merge":
			t.faults.add(t.at(name), path, "a key must be a plain name")
		case name.Value == "" || strings.ContainsAny(name.Value, ". \t\n"):
			t.faults.add(t.at(name), path, "%q is no name of a key; write sections as nested keys", name.Value)
		case twice:
			t.faults.add(t.at(name), full, "is set twice; it was set before at %s", first)
		default:
			t.lines[full] = t.at(name)
			t.walk(full, value, depth+1)
		}
	}
}

func (t *tree) walkList(path string, n *yaml.Node) {
	l := leaf{where: t.at(n), kind: listing, items: []string{}}
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" || item.Anchor != "" {
			t.faults.add(t.at(item), path, "a list here holds plain values only")
			return
		}
		l.items = append(l.items, item.Value)
	}
	t.add(path, l)
}

func (t *tree) add(path string, l leaf) {
	if path == "" {
		if l.kind == scalar || l.kind == listing {
			t.faults.add(l.where, "", "the file must be a set of keys, such as issuer: https://auth.example.com")
		}
		return
	}
	t.leaves[path] = l
	t.order = append(t.order, path)
}
