package grant

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
)

// Origin says on which connection a sign-in came, and from where.
type Origin struct{ Connection, Address, UserAgent string }

// sessionData is the one parameter that may be given as any JSON value, not only as text.
const sessionData = "session_data"

// Bound is the answer to a sign-in on a connection.
type Bound struct {
	Token     string `json:"connection_token"`
	ExpiresIn int64  `json:"expires_in"`
	Scope     string `json:"scope,omitempty"`
	SessionID string `json:"session_id"`
	Product   string `json:"product"`
	Terminal  string `json:"terminal"`
	Version   int64  `json:"version"`

	LoginData json.RawMessage `json:"login_data,omitempty"`
}

// SignIn answers a sign-in on a connection. body is a JSON object of the parameters of the token
// endpoint, each a text; session_data may be any value. It takes the same road as a request to the token
// endpoint; its refusals are of the type [oauth.Error].
func (e *Endpoint) SignIn(ctx context.Context, body json.RawMessage, from Origin) (Bound, error) {
	form, err := parameters(body)
	if err != nil {
		return Bound{}, err
	}
	answer, err := e.Redeem(ctx, &Request{Form: form, Address: from.Address, UserAgent: from.UserAgent, Connection: from.Connection})
	if err != nil {
		return Bound{}, err
	}
	w := answer.wire()
	return Bound{
		Token: w.AccessToken, ExpiresIn: w.ExpiresIn, Scope: w.Scope,
		SessionID: w.SessionID, Product: w.Product, Terminal: w.Terminal, Version: w.Version, LoginData: w.LoginData,
	}, nil
}

// parameters reads the parameters of a grant out of a JSON object. The caller has seen to it that no
// member comes twice.
func parameters(body json.RawMessage) (web.Form, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return web.Form{}, oauth.Wrap(oauth.InvalidRequest, "the parameters are not a JSON object", err)
	}
	var form web.Form
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value, err := parameter(name, members[name])
		if err == nil {
			form, err = form.With(name, value)
		}
		if err != nil {
			return web.Form{}, err
		}
	}
	return form, nil
}

func parameter(name string, raw json.RawMessage) (string, error) {
	if raw[0] != '"' && name == sessionData {
		return string(raw), nil
	}
	var value string
	if raw[0] != '"' || json.Unmarshal(raw, &value) != nil {
		return "", invalid("the parameter " + name + " must be a text")
	}
	return value, nil
}
