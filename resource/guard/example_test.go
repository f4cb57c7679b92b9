package guard_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// A service of the company's own guards its routes. In earnest, tokens is a [token.Parser] over the key
// ring, and store the SQL store of the accounts, which is both feed and sessions.
func Example() {
	tokens, store := exampleTokens{}, &feed{}

	g, err := guard.New(guard.Config{Tokens: tokens, Feed: store, Sessions: store})
	if err != nil {
		log.Fatal(err)
	}
	if err := g.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer g.Stop()

	r := gin.New()
	r.GET("/v1/parcels", g.Require("parcels:read"), func(c *gin.Context) {
		p, _ := guard.From(c.Request.Context())
		c.String(http.StatusOK, "parcels of %s", p.User)
	})
	// What must not happen after a kick-out under any circumstances asks the store as well.
	r.POST("/v1/parcels", g.Strict("parcels:send"), func(c *gin.Context) { c.Status(http.StatusCreated) })

	send := func(method, token string) {
		request := httptest.NewRequest(method, "/v1/parcels", nil)
		request.Header.Set("Authorization", "Bearer "+token)
		answer := httptest.NewRecorder()
		r.ServeHTTP(answer, request)
		fmt.Println(answer.Code, answer.Body)
	}
	send(http.MethodGet, "token-of-tom")
	send(http.MethodPost, "token-of-tom")

	// Tom signs in on another phone; the process of that sign-in tells its own guard at once.
	g.Apply([]storage.Event{{
		Subject: storage.SubjectSession, Key: "session-of-tom",
		End: storage.End{Reason: storage.Superseded, At: exampleTime, By: &storage.Superseder{
			Terminal: storage.Mobile, DeviceName: "Tom's new phone", At: exampleTime,
		}},
		Until: time.Now().Add(time.Hour),
	}})
	send(http.MethodGet, "token-of-tom")
	send(http.MethodGet, "nonsense")

	// Output:
	// 200 parcels of tom
	// 403 {"error":"insufficient_scope","error_description":"the access token does not grant the scope that is needed","scope":"parcels:send"}
	// 401 {"error":"invalid_token","error_description":"signed in on another device","reason":"superseded","code":2,"superseded_by":{"terminal":"mobile","device_name":"Tom's new phone","at":"2026-11-20T08:00:00Z"}}
	// 401 {"error":"invalid_token","error_description":"the access token is not valid"}
}

var exampleTime = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// exampleTokens knows one token.
type exampleTokens struct{}

func (exampleTokens) Access(raw string, now time.Time) (token.Access, error) {
	if raw != "token-of-tom" {
		return token.Access{}, token.ErrInvalid
	}
	return token.Access{
		Subject: "tom", Client: "parcel-app", Session: "session-of-tom", JTI: "1", Scope: "parcels:read",
		IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Minute),
	}, nil
}
