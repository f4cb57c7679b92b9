package remote_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/guard/remote"
)

// A service of the company's own guards its routes. In earnest, the issuer is https://accounts.example, and
// the secret is read from a file; its client was made with
//
//	tallystick client create parcels --type confidential --grant client_credentials --scope sessions:watch --product shop --terminal api
func Example() {
	issuer := newExampleIssuer()
	defer issuer.Close()

	g, err := remote.New(remote.Config{
		Issuer:       issuer.URL,
		ClientID:     "parcels",
		ClientSecret: secret.New("the secret that was shown when the client was created"),
		Audience:     []string{"https://parcels.example"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := g.Start(context.Background()); err != nil {
		log.Print(err) // go on blind, and start it again later; or give up
	}
	defer g.Stop()

	routes := http.NewServeMux()
	list := func(w http.ResponseWriter, r *http.Request) {
		p, _ := guard.From(r.Context())
		fmt.Fprintf(w, "parcels of %s", p.User)
	}
	routes.Handle("GET /v1/parcels", g.Handler(http.HandlerFunc(list), guard.Need{
		Scopes: []string{"parcels:read"}, Holder: guard.UserToken,
	}))
	// What must not happen after a kick-out under any circumstances asks the issuer each time.
	send := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }
	routes.Handle("POST /v1/parcels", g.Handler(http.HandlerFunc(send), guard.Need{
		Scopes: []string{"parcels:send"}, Holder: guard.UserToken, Strict: true,
	}))

	try := func(raw string) {
		request := httptest.NewRequest(http.MethodGet, "/v1/parcels", nil)
		request.Header.Set("Authorization", "Bearer "+raw)
		answer := httptest.NewRecorder()
		routes.ServeHTTP(answer, request)
		var refusal struct {
			Reason string `json:"reason"`
			Code   int    `json:"code"`
			By     struct {
				DeviceName string `json:"device_name"`
			} `json:"superseded_by"`
		}
		if answer.Code == http.StatusOK {
			fmt.Println(answer.Body)
		} else if err := json.Unmarshal(answer.Body.Bytes(), &refusal); err == nil {
			fmt.Println(answer.Code, refusal.Reason, refusal.Code, "by", refusal.By.DeviceName)
		}
	}
	try(issuer.token("session-on-toms-phone"))
	try(issuer.token("session-on-toms-old-phone"))

	// Output:
	// parcels of tom
	// 401 superseded 2 by Tom's new phone
}

// exampleIssuer is as much of an issuer as the example needs.
type exampleIssuer struct{ *httptest.Server }

func newExampleIssuer() *exampleIssuer {
	i := &exampleIssuer{}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":"%[1]s/token","jwks_uri":"%[1]s/keys","introspection_endpoint":"%[1]s/introspect"}`, i.URL)
	})
	routes.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(signed.jwks) })
	routes.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token":"its own","token_type":"Bearer","expires_in":3600}`)
	})
	routes.HandleFunc("GET /v1/session-events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: begin\ndata: {\"v\":1,\"mode\":\"snapshot\",\"s\":0}\n\n")
		fmt.Fprintf(w, "event: ended\ndata: {\"sid\":\"session-on-toms-old-phone\",\"reason\":\"superseded\",\"code\":2,"+
			"\"superseded_by\":{\"terminal\":\"mobile\",\"device_name\":\"Tom's new phone\",\"at\":\"2026-11-20T08:00:00Z\"},"+
			"\"ended_at\":%q,\"until\":%q}\n\n", time.Now().UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		fmt.Fprint(w, "event: heard\ndata: {\"s\":0,\"age\":0}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	i.Server = httptest.NewServer(routes)
	return i
}

func (i *exampleIssuer) token(session string) string {
	now := time.Now()
	raw, err := token.NewMinter(i.URL, signed.ring).Access(token.Access{
		Subject: "tom", Audience: []string{"https://parcels.example"}, Client: "parcel-app", JTI: session, Scope: "parcels:read",
		Session: session, Product: "shop", Terminal: "mobile", Version: 1, IssuedAt: now, Expires: now.Add(time.Minute),
	}, "")
	if err != nil {
		log.Fatal(err)
	}
	return raw
}
