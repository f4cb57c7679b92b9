package adminapi

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// head is what every handler knows of its request before it does anything.
type head struct {
	// from says who asks, for the audit record.
	from audit.Origin
	// user and client are those that the path names; empty where it names none.
	user   storage.UserID
	client storage.ClientID
	query  web.Form
}

// reader reads the body of a request.
type reader func(*http.Request) error

// object reads the body that there must be into the struct that v points to.
func object(v any) reader { return func(r *http.Request) error { return web.ParseObject(r, v) } }

// optional is object for a body that may be left out.
func optional(v any) reader {
	return func(r *http.Request) error { return web.ParseOptionalObject(r, v) }
}

// begin reads the head of a request, and its body, where it has one. Handlers begin with it. The query
// can have these parameters and no others: where one was meant for the body, too much would be ended.
func begin(c *gin.Context, body reader, parameters ...string) (head, error) {
	p, ok := guard.From(c.Request.Context())
	if !ok || p.User != "" || p.Client == "" || !p.Has(Scope) {
		return head{}, fmt.Errorf("route %s is not behind the guard that it needs", c.FullPath())
	}
	h := head{
		from: audit.Origin{Actor: "client:" + string(p.Client), Client: p.Client, Address: c.ClientIP()},
		user: storage.UserID(c.Param(UserParam)),
		// A name that no client can have is not found like any other.
		client: storage.ClientID(c.Param(ClientParam)),
	}
	if len(h.user) > maxSub {
		return head{}, oauth.New(oauth.NotFound, "there is no such user")
	}
	var err error
	if h.query, err = web.ParseQuery(c.Request, parameters...); err != nil {
		return head{}, err
	}
	if body != nil {
		err = body(c.Request)
	}
	return h, err
}
