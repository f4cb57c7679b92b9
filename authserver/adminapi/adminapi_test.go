package adminapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/admin"
	"github.com/tallystick/tallystick/authserver/adminapi"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/session"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// All that administration does is tested through the routes of the server; here is what happens when a
// route is mounted without its guard.

func TestWithoutAGuardNothingIsDone(t *testing.T) {
	t.Parallel()
	db := engine.SQLite(t).Open(t)
	trail, err := audit.New(audit.Config{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	book, err := session.New(session.Config{Sessions: db, Refreshes: db, Trail: trail})
	if err != nil {
		t.Fatal(err)
	}
	api, err := adminapi.New(adminapi.Config{Users: &admin.Users{}, Clients: &client.Manager{}, Sessions: book, Records: db, Products: []string{"shop"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]guard.Principal{
		"nobody":                   {},
		"a user":                   {User: "tom", Client: "app", Scope: adminapi.Scope},
		"a client without a scope": {Client: "app"},
	} {
		for route, h := range map[string]func(*gin.Context) error{
			"users": api.Users, "create user": api.CreateUser, "user": api.User, "kick": api.Kick, "ban": api.Ban, "unban": api.Unban,
			"password": api.SetPassword, "wallet": api.Wallet, "change wallet": api.ChangeWallet,
			"clients": api.Clients, "create client": api.CreateClient, "client": api.Client,
			"update client": api.UpdateClient, "disable client": api.DisableClient, "rotate": api.RotateSecret, "audit": api.Audit,
		} {
			e := gin.New()
			e.POST("/", web.New(web.Config{}).Handle(h))
			r := httptest.NewRequestWithContext(guard.NewContext(t.Context(), p), http.MethodPost, "/", strings.NewReader("{}"))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != http.StatusInternalServerError {
				t.Errorf("%s by %s: %d %s", route, name, w.Code, w.Body)
			}
		}
	}
}

func TestMissingServicesStopTheStart(t *testing.T) {
	t.Parallel()
	if _, err := adminapi.New(adminapi.Config{}); err == nil {
		t.Error("administration was made of nothing")
	}
}
