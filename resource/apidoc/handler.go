package apidoc

import (
	"bytes"
	"net/http"
	"time"
)

// The paths at which the document and its page are served.
const (
	Path     = "/openapi.json"
	PagePath = "/docs"
)

// revalidate lets caches keep a copy that they ask about each time: a server is exchanged under its address.
const revalidate = "public, no-cache"

// ServeJSON answers GET and HEAD of [Path]. Pages of every origin may read it: tools are.
func (d *Document) ServeJSON(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("ETag", d.jsonTag)
	h.Set("Cache-Control", revalidate)
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.json))
}

// ServePage answers GET and HEAD of [PagePath].
func (d *Document) ServePage(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("ETag", d.pageTag)
	h.Set("Cache-Control", revalidate)
	h.Set("Content-Security-Policy", d.policy)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.page))
}
