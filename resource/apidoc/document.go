package apidoc

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"

	"go.yaml.in/yaml/v3"
)

//go:embed openapi.yaml
var source []byte

// Document is the document as it is served. It does not change.
type Document struct {
	json, page      []byte
	jsonTag, policy string
	pageTag         string
}

// New builds the document and its page. Its errors are faults of the embedded files.
func New() (*Document, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(source, &file); err != nil {
		return nil, fmt.Errorf("apidoc: %w", err)
	}
	root := file.Content[0]
	if err := expand(root); err != nil {
		return nil, fmt.Errorf("apidoc: %w", err)
	}
	d := &Document{}
	var err error
	if d.json, err = renderJSON(root); err != nil {
		return nil, fmt.Errorf("apidoc: %w", err)
	}
	if d.page, d.policy, err = renderPage(root); err != nil {
		return nil, fmt.Errorf("apidoc: page: %w", err)
	}
	d.jsonTag, d.pageTag = tag(d.json), tag(d.page)
	return d, nil
}

// JSON is the document. The caller must not change it.
func (d *Document) JSON() []byte { return d.json }

// tag is a strong entity tag (RFC 9110 §8.8.3).
func tag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:16]) + `"`
}
