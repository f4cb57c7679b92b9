package serve

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// CrossOrigin says which pages of other origins may call, and what (the CORS protocol of the Fetch
// standard). The zero value lets none call.
type CrossOrigin struct {
	// Origins are compared as they are, such as https://shop.example.com. There is no wildcard.
	Origins []string
	// Paths are what they may call; one that ends in a slash stands for all below it.
	Paths []string
}

// What preflights are told. Answers are cached by browsers for up to two hours, which is the longest
// that Chromium keeps them.
const (
	crossMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	crossHeaders = "Authorization, Content-Type, Accept, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, X-Device-Code"
	crossExposed = "ETag, Idempotent-Replayed, Location, Retry-After, WWW-Authenticate, X-Request-Id"
	crossMaxAge  = "7200"
)

// crossOrigin lets pages of the named origins read answers. It never allows credentials: a page
// calls with the token it holds, and the cookies of our own pages are not for others.
func crossOrigin(o CrossOrigin) gin.HandlerFunc {
	if len(o.Origins) == 0 || len(o.Paths) == 0 {
		return func(c *gin.Context) { c.Next() }
	}
	known := make(map[string]bool, len(o.Origins))
	for _, origin := range o.Origins {
		known[origin] = true
	}
	return func(c *gin.Context) {
		if !o.covers(c.Request.URL.Path) {
			c.Next()
			return
		}
		h := c.Writer.Header()
		h.Add("Vary", "Origin") // also where there is none: a cache keeps one answer for all
		origin := c.GetHeader("Origin")
		if !known[origin] {
			c.Next() // the browser keeps the answer from the page; a preflight finds no route
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		if c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", crossMethods)
			h.Set("Access-Control-Allow-Headers", crossHeaders)
			h.Set("Access-Control-Max-Age", crossMaxAge)
			c.AbortWithStatus(http.StatusNoContent)
			return
		}
		h.Set("Access-Control-Expose-Headers", crossExposed)
		c.Next()
	}
}

func (o CrossOrigin) covers(path string) bool {
	for _, p := range o.Paths {
		if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}
