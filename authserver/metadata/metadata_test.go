package metadata_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/metadata"
	"github.com/tallystick/tallystick/authserver/web"
)

var update = flag.Bool("update", false, "write the golden files")

type noKeys struct{}

func (noKeys) JWKS() ([]byte, string) { return []byte(`{"keys":[]}`), `"none"` }

func full() metadata.Config {
	return metadata.Config{
		Issuer: "https://id.example.com",
		Endpoints: metadata.Endpoints{
			Token: "/oauth2/token", Keys: "/.well-known/jwks.json", Revocation: "/oauth2/revoke", Introspection: "/oauth2/introspect",
			DeviceAuthorization: "/oauth2/device_authorization", UserInfo: "/oauth2/userinfo",
			SessionEvents: "/v1/session-events", Live: "/v1/live",
		},
		Grants: []string{"password", "client_credentials"}, AuthMethods: []string{"client_secret_basic", "none"}, Keys: noKeys{},
	}
}

func TestWhatIsRegisteredIsAdvertised(t *testing.T) {
	t.Parallel()
	documents, err := metadata.New(full())
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	engine.GET("/", web.New(web.Config{}).Handle(documents.Server))
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var got bytes.Buffer
	if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	const path = "testdata/full.json"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Error(d)
	}
}

func TestMissingPartsAreRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*metadata.Config){
		"keys":         func(c *metadata.Config) { c.Keys = nil },
		"token":        func(c *metadata.Config) { c.Endpoints.Token = "" },
		"key set":      func(c *metadata.Config) { c.Endpoints.Keys = "" },
		"grants":       func(c *metadata.Config) { c.Grants = nil },
		"auth methods": func(c *metadata.Config) { c.AuthMethods = nil },
		"issuer":       func(c *metadata.Config) { c.Issuer = "" },
	} {
		cfg := full()
		spoil(&cfg)
		if _, err := metadata.New(cfg); err == nil {
			t.Errorf("without %s there are documents", name)
		}
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]string{
		"https://id.example.com": "", "http://127.0.0.1:8080": "", "https://id.example.com/a/b": "/a/b",
	} {
		if got, err := metadata.Path(issuer); err != nil || got != want {
			t.Errorf("%s: %q, %v", issuer, got, err)
		}
	}
	for _, issuer := range []string{
		"", "id.example.com", "//id.example.com", "https:id", "https://", "ftp://id.example.com", "https://id.example.com/",
		"https://id.example.com?", "https://id.example.com?x=1", "https://id.example.com#x", "https://me:secret@id.example.com",
		"https://id.example.com/:id", "https://id.example.com/*all", "https://id.example.com/a%20b", "https://id.example.com/a//b", "https://id.example.com\x7f",
	} {
		if got, err := metadata.Path(issuer); err == nil {
			t.Errorf("%q was taken, with the path %q", issuer, got)
		}
	}
}
