package resource_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/resource/apidoc"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestTheDocumentHasTheRoutesThatAreMounted(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	r := gin.New()
	s.server.Register(r)
	var mounted, documented []string
	parameter := regexp.MustCompile(`:(\w+)`)
	for _, route := range r.Routes() {
		if route.Path != apidoc.Path && route.Path != apidoc.PagePath {
			mounted = append(mounted, route.Method+" "+parameter.ReplaceAllString(route.Path, "{$1}"))
		}
	}
	for _, o := range s.contract.operations() {
		documented = append(documented, o.method+" "+o.path)
	}
	slices.Sort(mounted)
	slices.Sort(documented)
	if diff := cmp.Diff(mounted, documented); diff != "" {
		t.Errorf("operations (-mounted +documented):\n%s", diff)
	}
}

// TestTheDocumentNamesWhoMayCall sends each operation with tokens that are good for all else.
func TestTheDocumentNamesWhoMayCall(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	tom := s.user("tom")
	const none = "nothing:else"
	tokens := map[string]func(scope string) string{
		"user": func(scope string) string { return s.signIn(tom, scope) },
		"app":  s.internal,
	}
	for _, o := range s.contract.operations() {
		may := map[string]string{}
		for _, way := range o.it["security"].([]any) {
			for who, scopes := range way.(map[string]any) {
				may[who] = scopes.([]any)[0].(string)
			}
		}
		path := strings.NewReplacer("{id}", strings.Repeat("0", 26), "{sub}", string(tom)).Replace(o.path)
		for who, token := range tokens {
			scope, allowed := may[who]
			if !allowed {
				for _, other := range may {
					scope = other
				}
			}
			with := s.do(call{o.method, path, token(scope), "", nil})
			if (with.status == http.StatusForbidden) == allowed {
				t.Errorf("%s with %s of %s: %d %s; may call: %v", o.id, scope, who, with.status, with.body, allowed)
			}
			if without := s.do(call{o.method, path, token(none), "", nil}); without.status != http.StatusForbidden {
				t.Errorf("%s without a scope, of %s: %d", o.id, who, without.status)
			}
		}
		if g := s.do(call{o.method, path, "", "", nil}); g.status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", o.id, g.status)
		}
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	g := s.do(call{method: http.MethodGet, path: "/openapi.json"})
	var doc struct{ OpenAPI string }
	if err := json.Unmarshal(g.body, &doc); err != nil || g.status != http.StatusOK || doc.OpenAPI != "3.1.1" {
		t.Fatalf("%d %.80s: %v", g.status, g.body, err)
	}
	if g.header.Get("Content-Type") != "application/json" || g.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers: %v", g.header)
	}
	if strings.Contains(g.text(), "x-refusals") {
		t.Error("a note of ours is in the document")
	}
	again := s.do(call{http.MethodGet, "/openapi.json", "", "", http.Header{"If-None-Match": {g.header.Get("ETag")}}})
	if again.status != http.StatusNotModified || len(again.body) > 0 {
		t.Errorf("asked again with its tag: %d, %d bytes", again.status, len(again.body))
	}
	if head := s.do(call{method: http.MethodHead, path: "/openapi.json"}); head.status != http.StatusOK {
		t.Errorf("HEAD: %d", head.status)
	}
}

func TestThePageNeedsNothingButItself(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t))
	g := s.do(call{method: http.MethodGet, path: "/docs"})
	page := g.text()
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if g.status != http.StatusOK || style == nil {
		t.Fatalf("%d %.200s", g.status, page)
	}
	sum := sha256.Sum256([]byte(style[1]))
	policy := g.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("policy %q does not allow the style sheet alone", policy)
	}
	for _, not := range []string{"<script", "style=\"", "src=", "http://", "https://", "url(", "<no value>"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q", not)
		}
	}
	for _, o := range s.contract.operations() {
		if !strings.Contains(page, `<article id="`+o.id+`">`) || !strings.Contains(page, "<code>"+o.path+"</code>") {
			t.Errorf("the page does not show %s", o.id)
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two elements are called %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(` href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !ids[m[1]] {
			t.Errorf("a link to %s leads nowhere", m[1])
		}
	}
}
