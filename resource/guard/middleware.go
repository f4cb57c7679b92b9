package guard

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// Holder says on whose behalf a token must speak.
type Holder int

// The holders.
const (
	// AnyToken lets in users and clients.
	AnyToken Holder = iota
	// UserToken lets in tokens of a signed-in user only.
	UserToken
	// ClientToken lets in tokens of client credentials only.
	ClientToken
)

// Need is what a route asks of a token.
type Need struct {
	// Scopes must all be granted.
	Scopes []string
	// ClientScopes, if there are any, are asked of tokens of client credentials in place of Scopes.
	ClientScopes []string
	Holder       Holder
	// Strict asks the store as well, so that a sign-in answered before the request is always seen.
	Strict bool
}

// Require guards a Gin route locally: the token must verify, not have ended, and grant all scopes.
func (g *Guard) Require(scopes ...string) gin.HandlerFunc { return g.Admit(Need{Scopes: scopes}) }

// Strict guards a Gin route that must not be passed by a superseded session under any circumstances.
// It costs one read of the store. A wallet's posting checks once more, in its transaction.
func (g *Guard) Strict(scopes ...string) gin.HandlerFunc {
	return g.Admit(Need{Scopes: scopes, Strict: true})
}

// Admit guards a Gin route with everything that can be asked for.
func (g *Guard) Admit(need Need) gin.HandlerFunc {
	return func(c *gin.Context) {
		r, refusal := g.admit(c.Request, &need)
		if refusal != nil {
			Refuse(c.Writer, c.Request, refusal)
			c.Abort()
			return
		}
		c.Request = r
		c.Next()
	}
}

// Handler guards a net/http handler.
func (g *Guard) Handler(next http.Handler, need Need) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded, refusal := g.admit(r, &need)
		if refusal != nil {
			Refuse(w, r, refusal)
			return
		}
		next.ServeHTTP(w, guarded)
	})
}

// admit returns the request with its principal in the context, or the refusal.
func (g *Guard) admit(r *http.Request, need *Need) (*http.Request, *Refusal) {
	ctx := r.Context()
	p, refusal := g.judge(ctx, r, need)
	if g.observe != nil {
		g.observe(ctx, p, refusal)
	}
	if refusal != nil {
		refusal.Realm = g.realm
		g.count(refusal)
		return nil, refusal
	}
	return r.WithContext(context.WithValue(ctx, contextKey{}, &admitted{principal: p, realm: g.realm})), nil
}

func (g *Guard) judge(ctx context.Context, r *http.Request, need *Need) (*Principal, *Refusal) {
	raw, refusal := bearer(r)
	if refusal != nil {
		return nil, refusal
	}
	p, refusal := g.check(ctx, raw, need.Strict)
	if refusal != nil {
		return p, refusal
	}
	return p, p.lacks(need)
}

// bearer takes the token from the Authorization header, the only place where it is accepted (RFC
// 6750 §2.1): tokens in a query end up in logs and histories, and forms are not read here.
func bearer(r *http.Request) (string, *Refusal) {
	headers := r.Header["Authorization"]
	if len(headers) == 0 {
		return "", refuseMissing()
	}
	if len(headers) > 1 {
		return "", refuseRequest("more than one Authorization header")
	}
	scheme, raw, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", refuseMissing()
	}
	raw = strings.Trim(raw, " ")
	if raw == "" || strings.ContainsAny(raw, " \t,") {
		return "", refuseRequest("the Authorization header must hold one bearer token")
	}
	if strings.Contains(r.URL.RawQuery, "access_token=") && r.URL.Query().Has("access_token") {
		return "", refuseRequest("a token was sent in more than one way")
	}
	return raw, nil
}
