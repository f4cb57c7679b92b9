package serve_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/cmd/internal/serve"
)

const shop = "https://shop.example.com"

func crossEngine(t *testing.T, origins ...string) *gin.Engine {
	t.Helper()
	e, _ := engine(t, func(o *serve.Options) {
		o.CrossOrigin = serve.CrossOrigin{Origins: origins, Paths: []string{"/oauth2/token", "/v1/"}}
	})
	ok := func(c *gin.Context) { c.String(http.StatusOK, "read me") }
	e.POST("/oauth2/token", ok)
	e.GET("/v1/wallet", ok)
	e.GET("/admin/v1/users", ok)
	e.GET("/v1/panic", func(*gin.Context) { panic("boom") })
	return e
}

func ask(method, path, origin string, preflight bool) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	if preflight {
		r.Header.Set("Access-Control-Request-Method", http.MethodPost)
		r.Header.Set("Access-Control-Request-Headers", "authorization")
	}
	return r
}

func TestPagesOfNamedOriginsMayCall(t *testing.T) {
	t.Parallel()
	e := crossEngine(t, shop, "http://localhost:5173")
	for _, origin := range []string{shop, "http://localhost:5173"} {
		w := send(e, ask(http.MethodOptions, "/oauth2/token", origin, true))
		h := w.Header()
		if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != origin || h.Get("Access-Control-Max-Age") != "7200" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") {
			t.Errorf("preflight of %s: %d %v", origin, w.Code, h)
		}
		for _, r := range []*http.Request{
			ask(http.MethodPost, "/oauth2/token", origin, false), ask(http.MethodGet, "/v1/wallet", origin, false),
			ask(http.MethodGet, "/v1/nothing", origin, false), ask(http.MethodGet, "/v1/panic", origin, false), // refusals can be read as well
		} {
			h := send(e, r).Header()
			if h.Get("Access-Control-Allow-Origin") != origin || h.Get("Vary") != "Origin" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Retry-After") {
				t.Errorf("%s %s: %v", r.Method, r.URL, h)
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: credentials are allowed", r.Method, r.URL)
			}
		}
	}
}

func TestOtherPagesMayNot(t *testing.T) {
	t.Parallel()
	named, none := crossEngine(t, shop), crossEngine(t)
	for name, c := range map[string]struct {
		engine       *gin.Engine
		path, origin string
	}{
		"another origin":    {named, "/v1/wallet", "https://evil.example.com"},
		"a longer name":     {named, "/v1/wallet", shop + ".evil.example"},
		"another port":      {named, "/v1/wallet", shop + ":444"},
		"another scheme":    {named, "/v1/wallet", "http://shop.example.com"},
		"no origin at all":  {named, "/v1/wallet", "null"},
		"administration":    {named, "/admin/v1/users", shop},
		"a path like one":   {named, "/oauth2/token/x", shop},
		"without a setting": {none, "/v1/wallet", shop},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, preflight := range []bool{true, false} {
				method := http.MethodGet
				if preflight {
					method = http.MethodOptions
				}
				w := send(c.engine, ask(method, c.path, c.origin, preflight))
				for header := range w.Header() {
					if strings.HasPrefix(header, "Access-Control-") {
						t.Errorf("%s: %s: %s", method, header, w.Header().Get(header))
					}
				}
				if preflight && w.Code < http.StatusBadRequest {
					t.Errorf("preflight: %d", w.Code)
				}
			}
		})
	}
	// A cache that has the answer to one origin must not give it to another.
	if h := send(named, ask(http.MethodGet, "/v1/wallet", "", false)).Header(); h.Get("Vary") != "Origin" {
		t.Errorf("%v", h)
	}
}
