package authserver_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func (k *kit) get(path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, r)
	return w
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	for path, file := range map[string]string{
		"/.well-known/oauth-authorization-server": "oauth-authorization-server.json",
		"/.well-known/openid-configuration":       "openid-configuration.json",
		"/.well-known/jwks.json":                  "",
	} {
		w := k.get(path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json; charset=utf-8" || w.Header().Get("Cache-Control") != "public, max-age=300" {
			t.Fatalf("%s: %d %v", path, w.Code, w.Header())
		}
		if file != "" {
			var indented bytes.Buffer
			k.must(json.Indent(&indented, w.Body.Bytes(), "", "  "))
			golden(t, file, indented.String()+"\n")
		}
		tag := w.Header().Get("ETag")
		if again := k.get(path, "If-None-Match", `"other", W/`+tag); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s with its tag %s: %d", path, tag, again.Code)
		}
		if again := k.get(path, "If-None-Match", `"other"`); again.Code != http.StatusOK {
			t.Errorf("%s with another tag: %d", path, again.Code)
		}
		head := httptest.NewRecorder()
		k.http.ServeHTTP(head, httptest.NewRequest(http.MethodHead, path, nil))
		if head.Code != http.StatusOK {
			t.Errorf("HEAD %s: %d", path, head.Code)
		}
	}
}

func TestEverythingAdvertisedWorks(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	k := s.kit
	var advertised struct {
		Token       string   `json:"token_endpoint"`
		Keys        string   `json:"jwks_uri"`
		Grants      []string `json:"grant_types_supported"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	}
	k.must(json.Unmarshal(k.get("/.well-known/oauth-authorization-server").Body.Bytes(), &advertised))
	if w := k.get(strings.TrimPrefix(advertised.Keys, issuerURL)); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), k.ringKeys()[0]) || strings.Contains(w.Body.String(), `"d"`) {
		t.Errorf("keys: %d %s", w.Code, w.Body)
	}
	refresh := k.postAs("shop-server", "grant_type", "password", "terminal", "browser", "username", "tom", "password", tomsSecret).ok(t).Refresh
	for _, grant := range advertised.Grants {
		switch grant {
		case oauth.GrantDeviceCode:
			s.collect("tv", s.approved("tv").text("device_code")).ok(t)
		case oauth.GrantLoginToken:
			s.redeem("tv", s.issue("{}").want(t, http.StatusOK, "").text("login_token")).ok(t)
		default:
			k.postAs("shop-server", "grant_type", grant, "terminal", "browser", "username", "tom", "password", tomsSecret, "refresh_token", refresh).ok(t)
		}
	}
	if d := cmp.Diff([]string{"client_secret_basic", "client_secret_post", "none"}, advertised.AuthMethods); d != "" {
		t.Error(d)
	}
	k.post("grant_type", "client_credentials", "client_id", "billing", "client_secret", k.secrets["billing"]).ok(t)
}

func TestTheFeedIsAdvertisedWhereItIsServed(t *testing.T) {
	t.Parallel()
	for served, option := range map[bool]option{false: with(func(*authserver.Config) {}), true: withFeed(t)} {
		k := newKit(t, engine.SQLite(t), option)
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
			var advertised struct {
				Feed string `json:"tallystick_session_events_endpoint"`
			}
			k.must(json.Unmarshal(k.get(path).Body.Bytes(), &advertised))
			if (advertised.Feed != "") != served {
				t.Errorf("%s, served %v: %q is advertised", path, served, advertised.Feed)
			}
			if !served {
				continue
			}
			if w := k.get(strings.TrimPrefix(advertised.Feed, issuerURL)); w.Code != http.StatusUnauthorized {
				t.Errorf("%s without a token: %d", advertised.Feed, w.Code)
			}
		}
	}
}

func TestIssuerWithAPath(t *testing.T) {
	t.Parallel()
	const tenant = "https://id.example.com/tenants/one"
	k := newKit(t, engine.SQLite(t), with(func(cfg *authserver.Config) { cfg.Issuer = tenant }))
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/tenants/one", "/.well-known/openid-configuration/tenants/one",
		"/tenants/one/.well-known/oauth-authorization-server", "/tenants/one/.well-known/openid-configuration",
	} {
		w := k.get(path)
		var document struct {
			Issuer string `json:"issuer"`
			Token  string `json:"token_endpoint"`
		}
		k.must(json.Unmarshal(w.Body.Bytes(), &document))
		if document.Issuer != tenant || document.Token != tenant+"/oauth2/token" {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	r := tokenRequest(form(signInForm()...))
	r.URL.Path = "/tenants/one/oauth2/token"
	k.do(r).ok(t)
}

func TestMissingDependenciesStopTheStart(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*authserver.Config){
		"issuer":              func(c *authserver.Config) { c.Issuer = "" },
		"issuer with a query": func(c *authserver.Config) { c.Issuer = "https://id.example.com?x" },
		"issuer with a slash": func(c *authserver.Config) { c.Issuer = "https://id.example.com/" },
		"issuer of a file":    func(c *authserver.Config) { c.Issuer = "file:///etc" },
		"audience":            func(c *authserver.Config) { c.Audience = nil },
		"empty audience":      func(c *authserver.Config) { c.Audience = []string{""} },
		"products":            func(c *authserver.Config) { c.Products = nil },
		"sessions":            func(c *authserver.Config) { c.Sessions = nil },
		"refreshes":           func(c *authserver.Config) { c.Refreshes = nil },
		"audit":               func(c *authserver.Config) { c.Audit = nil },
		"users":               func(c *authserver.Config) { c.Users = nil },
		"checker":             func(c *authserver.Config) { c.Checker = nil },
		"manager":             func(c *authserver.Config) { c.Manager = nil },
		"guard":               func(c *authserver.Config) { c.Guard = nil },
		"clients":             func(c *authserver.Config) { c.Clients = nil },
		"passwords":           func(c *authserver.Config) { c.Passwords = nil },
		"brake":               func(c *authserver.Config) { c.Brake = nil },
		"minter":              func(c *authserver.Config) { c.Minter = nil },
		"parser":              func(c *authserver.Config) { c.Parser = nil },
		"keys":                func(c *authserver.Config) { c.Keys = nil },
		"chain key":           func(c *authserver.Config) { c.ChainKey = secret.New("short") },
		"life of tokens":      func(c *authserver.Config) { c.MachineTTL = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var faulty error
			k := &kit{t: t, engine: engine.SQLite(t), clock: newClock(), users: map[string]storage.UserID{}, secrets: map[string]string{}}
			k.change = func(c *authserver.Config) {
				spoiled := *c
				spoiled.Metrics = nil
				spoil(&spoiled)
				_, faulty = authserver.New(spoiled)
			}
			k.start()
			if faulty == nil {
				t.Fatal("the server was assembled")
			}
			if strings.Contains(faulty.Error(), "short") {
				t.Errorf("the error shows a key: %v", faulty)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	var got []string
	for _, route := range k.http.(*gin.Engine).Routes() {
		got = append(got, route.Path+" "+route.Method)
	}
	slices.Sort(got)
	want := []string{
		"/.well-known/jwks.json GET", "/.well-known/jwks.json HEAD",
		"/.well-known/oauth-authorization-server GET", "/.well-known/oauth-authorization-server HEAD",
		"/.well-known/openid-configuration GET", "/.well-known/openid-configuration HEAD",
		"/admin/v1/audit GET",
		"/admin/v1/clients GET", "/admin/v1/clients POST",
		"/admin/v1/clients/:client_id DELETE", "/admin/v1/clients/:client_id GET", "/admin/v1/clients/:client_id PATCH",
		"/admin/v1/clients/:client_id/secret POST",
		"/admin/v1/users GET", "/admin/v1/users POST", "/admin/v1/users/:sub GET",
		"/admin/v1/users/:sub/ban POST", "/admin/v1/users/:sub/kick POST", "/admin/v1/users/:sub/password POST",
		"/admin/v1/users/:sub/unban POST",
		"/admin/v1/users/:sub/wallet GET", "/admin/v1/users/:sub/wallet PATCH",
		"/oauth2/device_authorization POST",
		"/oauth2/introspect POST", "/oauth2/revoke POST", "/oauth2/token POST", "/oauth2/userinfo GET", "/oauth2/userinfo POST",
		"/sdk/tallystick.js GET", "/sdk/tallystick.js HEAD",
		"/v1/device/approve POST", "/v1/device/cancel POST", "/v1/device/deny POST", "/v1/device/events GET",
		"/v1/device/scan POST", "/v1/device/status POST",
		"/v1/login-tokens GET", "/v1/login-tokens POST", "/v1/login-tokens/:id DELETE",
		"/v1/password POST", "/v1/sessions DELETE", "/v1/sessions GET", "/v1/sessions/:sid DELETE",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
