package metadata

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/web"
)

// maxAge is how long the documents and the key set may be cached.
const maxAge = 5 * time.Minute

// Keys are the public keys; [keys.Ring] is them.
type Keys interface {
	JWKS() (body []byte, etag string)
}

// Endpoints are the paths of what the server has registered, below the issuer; empty for what it has not.
type Endpoints struct {
	Token               string
	Keys                string
	Revocation          string
	Introspection       string
	DeviceAuthorization string
	UserInfo            string
	SessionEvents       string
	Live                string
}

// Config is what the documents are made of.
type Config struct {
	Issuer    string
	Endpoints Endpoints
	// Grants are the grant types that the token endpoint serves, AuthMethods the ways in which clients
	// authenticate to it.
	Grants      []string
	AuthMethods []string
	Keys        Keys
	// EncryptedPasswords says that the token endpoint takes them.
	EncryptedPasswords bool
}

// Documents serves the discovery documents and the key set.
type Documents struct {
	server, openid document
	keys           Keys
}

type document struct {
	body []byte
	etag string
}

// New makes the documents. It refuses a configuration in which something is missing.
func New(cfg Config) (*Documents, error) {
	if cfg.Keys == nil || cfg.Endpoints.Token == "" || cfg.Endpoints.Keys == "" || len(cfg.Grants) == 0 || len(cfg.AuthMethods) == 0 {
		return nil, errors.New("metadata: keys, token endpoint, grants and authentication methods are needed")
	}
	if _, err := Path(cfg.Issuer); err != nil {
		return nil, err
	}
	server, err := encode(cfg.wire())
	if err != nil {
		return nil, err
	}
	wire := cfg.wire()
	wire.SubjectTypes = []string{"public"}
	openid, err := encode(wire)
	if err != nil {
		return nil, err
	}
	return &Documents{server: server, openid: openid, keys: cfg.Keys}, nil
}

// Path returns the path of an issuer, empty if it has none. It refuses what RFC 8414 §2 does not allow
// in an issuer: anything but an http or https URL without query and fragment, and a final slash, which
// clients would not know whether to keep.
func Path(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil:
		return "", errors.New("metadata: the issuer is not a URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return "", fmt.Errorf("metadata: the issuer %q is not an absolute http or https URL", u.Redacted())
	case u.User != nil, strings.ContainsAny(issuer, "?#"):
		return "", fmt.Errorf("metadata: the issuer %q must have no user, query or fragment", u.Redacted())
	case strings.HasSuffix(issuer, "/"):
		return "", fmt.Errorf("metadata: the issuer %q must not end in a slash", issuer)
	case u.EscapedPath() != u.Path || strings.ContainsAny(u.Path, ":*") || strings.Contains(u.Path, "//"):
		return "", fmt.Errorf("metadata: the path of the issuer %q must be plain", issuer)
	}
	return u.Path, nil
}

// wire is a document in the order in which it is sent.
type wire struct {
	Issuer              string   `json:"issuer"`
	Token               string   `json:"token_endpoint"`
	Keys                string   `json:"jwks_uri"`
	Revocation          string   `json:"revocation_endpoint,omitempty"`
	Introspection       string   `json:"introspection_endpoint,omitempty"`
	DeviceAuthorization string   `json:"device_authorization_endpoint,omitempty"`
	UserInfo            string   `json:"userinfo_endpoint,omitempty"`
	ResponseTypes       []string `json:"response_types_supported"`
	Grants              []string `json:"grant_types_supported"`
	AuthMethods         []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth      []string `json:"revocation_endpoint_auth_methods_supported,omitempty"`
	IntrospectionAuth   []string `json:"introspection_endpoint_auth_methods_supported,omitempty"`
	SubjectTypes        []string `json:"subject_types_supported,omitempty"`
	// Ours: how passwords may be encrypted, for the key of use enc at jwks_uri.
	PasswordAlgorithms []string `json:"tallystick_password_encryption_alg_values_supported,omitempty"`
	PasswordEncodings  []string `json:"tallystick_password_encryption_enc_values_supported,omitempty"`
	SessionEvents      string   `json:"tallystick_session_events_endpoint,omitempty"`
	Live               string   `json:"tallystick_live_endpoint,omitempty"`
}

func (c Config) wire() wire {
	at := func(path string) string {
		if path == "" {
			return ""
		}
		return c.Issuer + path
	}
	grants := slices.Sorted(slices.Values(c.Grants))
	w := wire{
		Issuer: c.Issuer, Token: at(c.Endpoints.Token), Keys: at(c.Endpoints.Keys),
		Revocation: at(c.Endpoints.Revocation), Introspection: at(c.Endpoints.Introspection),
		DeviceAuthorization: at(c.Endpoints.DeviceAuthorization), UserInfo: at(c.Endpoints.UserInfo),
		SessionEvents: at(c.Endpoints.SessionEvents), Live: socket(at(c.Endpoints.Live)),
		ResponseTypes: []string{}, Grants: grants, AuthMethods: c.AuthMethods,
	}
	if c.EncryptedPasswords {
		w.PasswordAlgorithms, w.PasswordEncodings = []string{"ECDH-ES"}, []string{"A256GCM"}
	}
	if w.Revocation != "" {
		w.RevocationAuth = c.AuthMethods
	}
	if w.Introspection != "" {
		// Introspection tells about others' tokens; public clients do not get to ask.
		w.IntrospectionAuth = slices.DeleteFunc(slices.Clone(c.AuthMethods), func(m string) bool { return m == "none" })
	}
	return w
}

// socket is an http or https address as that of a WebSocket (RFC 6455 §3); empty stays empty.
func socket(address string) string {
	if rest, found := strings.CutPrefix(address, "http"); found {
		return "ws" + rest
	}
	return address
}

func encode(w wire) (document, error) {
	body, err := json.Marshal(w)
	if err != nil {
		return document{}, fmt.Errorf("metadata: encode: %w", err)
	}
	sum := sha256.Sum256(body)
	return document{body: body, etag: `"` + hex.EncodeToString(sum[:16]) + `"`}, nil
}

// Server serves the metadata of RFC 8414.
func (d *Documents) Server(c *gin.Context) error {
	web.Document(c, d.server.body, d.server.etag, maxAge)
	return nil
}

// OpenID serves the same for those who look where OpenID Connect keeps it.
func (d *Documents) OpenID(c *gin.Context) error {
	web.Document(c, d.openid.body, d.openid.etag, maxAge)
	return nil
}

// KeySet serves the public keys.
func (d *Documents) KeySet(c *gin.Context) error {
	body, etag := d.keys.JWKS()
	web.Document(c, body, etag, maxAge)
	return nil
}
