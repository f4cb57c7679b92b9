package guard

import (
	"context"
	"strings"
	"time"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

// Principal is who calls, as far as a verified access token tells.
type Principal struct {
	// User is the subject of a user's token; empty for client credentials.
	User   storage.UserID
	Client storage.ClientID
	// Session, Product, Terminal and Version are empty for client credentials.
	Session  storage.SessionID
	Product  string
	Terminal storage.Terminal
	Version  int64
	// Scope is what the token grants, space-separated. Ask with [Principal.Has].
	Scope     string
	JTI       string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Has says whether the token grants a scope.
func (p *Principal) Has(scope string) bool {
	for rest := p.Scope; rest != ""; {
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		if word == scope {
			return true
		}
	}
	return scope == ""
}

// Bearer is what a strict check needs to know of the token.
func (p *Principal) Bearer() storage.Bearer {
	return storage.Bearer{Session: p.Session, Client: p.Client, JTI: p.JTI, IssuedAt: p.IssuedAt}
}

// lacks says what a principal lacks of what is asked for. The scope comes first: it is what a client
// can be told to ask for.
func (p *Principal) lacks(need *Need) *Refusal {
	scopes := need.Scopes
	if p.User == "" && len(need.ClientScopes) > 0 {
		scopes = need.ClientScopes
	}
	missing := p.missing(scopes)
	switch {
	case missing != "":
		return refuseScope(missing)
	case need.Holder == UserToken && p.User == "":
		return refuseHolder("this resource needs the access token of a signed-in user")
	case need.Holder == ClientToken && p.User != "":
		return refuseHolder("this resource needs an access token of client credentials")
	}
	return nil
}

// missing returns those of the scopes that the token does not grant, space-separated.
func (p *Principal) missing(scopes []string) string {
	var lacking []string
	for _, scope := range scopes {
		if !p.Has(scope) {
			lacking = append(lacking, scope)
		}
	}
	return strings.Join(lacking, " ")
}

// PrincipalOf translates the claims of a token that verified. A token that names no session is one of client credentials, whose
// subject is the client itself (RFC 9068 §2.2) and no user.
func PrincipalOf(a *token.Access) Principal {
	p := Principal{
		Client:    storage.ClientID(a.Client),
		Session:   storage.SessionID(a.Session),
		Product:   a.Product,
		Terminal:  storage.Terminal(a.Terminal),
		Version:   a.Version,
		Scope:     a.Scope,
		JTI:       a.JTI,
		IssuedAt:  a.IssuedAt,
		ExpiresAt: a.Expires,
	}
	if a.Session != "" {
		p.User = storage.UserID(a.Subject)
	}
	return p
}

type contextKey struct{}

// admitted is what a guard leaves in the context of a request that it let in.
type admitted struct {
	principal *Principal
	realm     string
}

// From returns the principal of a request that a guard let in.
func From(ctx context.Context) (Principal, bool) {
	a, ok := ctx.Value(contextKey{}).(*admitted)
	if !ok || a.principal == nil {
		return Principal{}, false
	}
	return *a.principal, true
}

// NewContext returns a context that carries a principal, as [Guard.Require] makes it: for tests of
// handlers, and for connections that are guarded once and live long.
func NewContext(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, contextKey{}, &admitted{principal: &p})
}

func realmFrom(ctx context.Context) string {
	if a, ok := ctx.Value(contextKey{}).(*admitted); ok {
		return a.realm
	}
	return ""
}
