package grant

import (
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/authserver/issue"
)

// Answer is the answer to a token request. The tokens in it print redacted.
type Answer struct {
	issue.Pair

	// LoginData is what whoever issued a login token gives to whoever redeems it; nil for none. It is their
	// word, not the server's.
	LoginData json.RawMessage
	// At is when it was decided: what is left of the tokens is counted from here.
	At time.Time
}

// wire is the answer as it is sent, in this order (RFC 6749 §5.1, and ours).
type wire struct {
	AccessToken      string `json:"access_token"`
	TokenType        string `json:"token_type"`
	ExpiresIn        int64  `json:"expires_in"`
	RefreshToken     string `json:"refresh_token,omitempty"`
	RefreshExpiresIn int64  `json:"refresh_token_expires_in,omitempty"`
	Scope            string `json:"scope,omitempty"`
	SessionID        string `json:"session_id,omitempty"`
	Product          string `json:"product,omitempty"`
	Terminal         string `json:"terminal,omitempty"`
	Version          int64  `json:"version,omitempty"`

	LoginData json.RawMessage `json:"login_data,omitempty"`
}

func (a Answer) wire() wire {
	w := wire{
		AccessToken: a.Access.Reveal(), TokenType: "Bearer", ExpiresIn: left(a.AccessExpires, a.At),
		RefreshToken: a.Refresh.Reveal(), Scope: a.Scope, LoginData: a.LoginData,
	}
	if w.RefreshToken != "" {
		w.RefreshExpiresIn = left(a.RefreshExpires, a.At)
	}
	if s := a.Session; s != nil {
		w.SessionID, w.Product, w.Terminal, w.Version = string(s.ID), s.Product, string(s.Terminal), s.Version
	}
	return w
}

// left is what is left until a time, in whole seconds, counted from the second in which the answer
// was decided: the iat of a token that is new.
func left(until, now time.Time) int64 {
	return max(0, int64(until.Sub(now.Truncate(time.Second))/time.Second))
}
