package grant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// The longest values of parameters, in bytes.
const (
	maxUsername    = 256
	maxPassword    = 1024
	maxProduct     = 64
	maxTerminal    = 16
	maxDevice      = 128
	maxScope       = 1024
	maxToken       = 4096
	maxSessionData = 4 << 10
	maxUserAgent   = 256
)

// Request is a token request, parsed.
type Request struct {
	Form web.Form
	// Basic is the value of the Authorization header, empty if there is none.
	Basic string
	// Address and UserAgent say where the request comes from.
	Address   string
	UserAgent string

	// Connection, if not empty, names the connection on which the request came. Then only sign-ins are
	// answered, with a token that is good on that connection alone and no refresh token.
	Connection string

	// grant is the grant type; client who sent the request, authenticated; now when it came. The
	// pipeline sets them.
	grant  string
	client storage.Client
	now    time.Time

	// opened is the password that came encrypted, once it was opened.
	opened secret.Text
	// terms are those of the hand-off that is collected, nil for other grants; loginData comes with them.
	terms     *handoff.Terms
	loginData json.RawMessage
}

// Grant returns the grant type.
func (r *Request) Grant() string { return r.grant }

// Client returns the authenticated client.
func (r *Request) Client() storage.Client { return r.client }

// Now returns the time at which the request is decided.
func (r *Request) Now() time.Time { return r.now }

// Text returns a parameter, empty if it was not given. One that is too long or has control
// characters is refused.
func (r *Request) Text(name string, limit int) (string, error) {
	value := r.Form.Get(name)
	if len(value) > limit {
		return "", invalid(fmt.Sprintf("the parameter %s is longer than %d bytes", name, limit))
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return "", invalid("the parameter " + name + " has control characters")
	}
	return value, nil
}

// Needed is [Request.Text] for a parameter that must be there.
func (r *Request) Needed(name string, limit int) (string, error) {
	value, err := r.Text(name, limit)
	if err == nil && value == "" {
		err = invalid("the parameter " + name + " is missing")
	}
	return value, err
}

// offConnection refuses, on a connection, a grant that signs nobody in.
func offConnection(r *Request) error {
	if r.Connection == "" {
		return nil
	}
	return oauth.New(oauth.UnsupportedGrantType, "on a connection only grants that sign a user in are served; use the token endpoint")
}

func invalid(description string) *oauth.Error { return oauth.New(oauth.InvalidRequest, description) }

// credentials returns what the client authenticates with.
func (r *Request) credentials() (client.Credentials, error) {
	if r.Form.Has("client_assertion") || r.Form.Has("client_assertion_type") {
		return client.Credentials{}, oauth.New(oauth.InvalidClient, "this server does not take client assertions")
	}
	credentials := client.Credentials{Basic: r.Basic, ID: r.Form.Get("client_id"), Address: r.Address}
	if given := r.Form.Get("client_secret"); given != "" {
		text := secret.New(given)
		credentials.Secret = &text
	}
	return credentials, nil
}

// device returns what the sign-in says about its device.
func (r *Request) device() (storage.Device, error) {
	if r.terms != nil && r.terms.Device != nil {
		return *r.terms.Device, nil // what was approved is what is signed in
	}
	id, err := r.Text("device_id", maxDevice)
	if err != nil {
		return storage.Device{}, err
	}
	name, err := r.Text("device_name", maxDevice)
	if err != nil {
		return storage.Device{}, err
	}
	return storage.Device{ID: id, Name: name, Address: r.Address, UserAgent: userAgent(r.UserAgent)}, nil
}

// userAgent makes a header that a stranger chose fit to be stored and shown: valid UTF-8 without
// control characters, cut between characters.
func userAgent(header string) string {
	header = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(header, "\uFFFD"))
	if len(header) <= maxUserAgent {
		return header
	}
	end := maxUserAgent
	for !utf8.RuneStart(header[end]) {
		end--
	}
	return header[:end]
}

// sessionData returns the session_data of the sign-in, nil if there is none.
func (r *Request) sessionData() (json.RawMessage, error) {
	data := r.Form.Get("session_data")
	switch {
	case data == "":
		return nil, nil
	case r.client.Kind != storage.Confidential:
		return nil, invalid("session_data is for confidential clients: whoever holds a public client could write into it")
	case len(data) > maxSessionData:
		return nil, invalid(fmt.Sprintf("the parameter session_data is longer than %d bytes", maxSessionData))
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(data)); err != nil {
		return nil, invalid("the parameter session_data is not JSON")
	}
	return compact.Bytes(), nil
}
