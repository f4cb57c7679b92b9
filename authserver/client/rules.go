package client

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

// MaxScope is the longest scope parameter, in bytes: what its columns hold.
const MaxScope = 1024

// MayGrant gives unauthorized_client unless the client may use a grant.
func MayGrant(c storage.Client, grant string) error {
	if slices.Contains(c.Grants, grant) {
		return nil
	}
	return oauth.New(oauth.UnauthorizedClient, "this client may not use this grant; it may use: "+list(c.Grants))
}

// Scope says what is granted to a client that asks for requested: what it asks for, in alphabetical
// order and each once, or everything it may ask for if it asks for nothing. It gives invalid_scope
// for what is not a list of scopes (RFC 6749 §3.3) and for what the client may not have, naming it.
func Scope(c storage.Client, requested string) (string, error) {
	if requested == "" {
		return join(c.Scopes), nil
	}
	if len(requested) > MaxScope {
		return "", oauth.New(oauth.InvalidScope, "scope is longer than 1024 bytes")
	}
	if !validScope(requested) {
		return "", oauth.New(oauth.InvalidScope, "scope is a list of names with single spaces between them")
	}
	if !strings.Contains(requested, " ") && slices.Contains(c.Scopes, requested) {
		return requested, nil
	}
	asked := strings.Split(requested, " ")
	var denied []string
	for _, s := range asked {
		if !slices.Contains(c.Scopes, s) {
			denied = append(denied, s)
		}
	}
	if len(denied) > 0 {
		return "", oauth.New(oauth.InvalidScope, "this client may not ask for: "+list(denied))
	}
	return join(asked), nil
}

// Product says for which product a client signs a user in: the requested one, or its first.
func Product(c storage.Client, requested string) (string, error) {
	switch {
	case len(c.Products) == 0:
		return "", oauth.New(oauth.UnauthorizedClient, "this client signs no users in")
	case requested == "":
		return c.Products[0], nil
	case slices.Contains(c.Products, requested):
		return requested, nil
	}
	return "", oauth.New(oauth.InvalidRequest, "product is not one of this client's: "+list(c.Products))
}

// Terminal says on which terminal a client signs a user in: the requested one, or its first.
func Terminal(c storage.Client, requested string) (storage.Terminal, error) {
	switch {
	case len(c.Terminals) == 0:
		return "", oauth.New(oauth.UnauthorizedClient, "this client signs no users in")
	case requested == "":
		return c.Terminals[0], nil
	case slices.Contains(c.Terminals, storage.Terminal(requested)):
		return storage.Terminal(requested), nil
	}
	names := make([]string, len(c.Terminals))
	for i, t := range c.Terminals {
		names[i] = string(t)
	}
	return "", oauth.New(oauth.InvalidRequest, "terminal is not one of this client's: "+list(names))
}

// join gives scopes their canonical form: sorted, each once, a space between. Those of a stored
// client are in that form already.
func join(scopes []string) string {
	for i := 1; i < len(scopes); i++ {
		if scopes[i-1] >= scopes[i] {
			scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
			break
		}
	}
	return strings.Join(scopes, " ")
}

// validScope checks scope-token *( SP scope-token ).
func validScope(s string) bool {
	before := byte(' ')
	for i := range len(s) {
		b := s[i]
		if b == ' ' && before == ' ' {
			return false
		}
		if b != ' ' && !scopeByte(b) {
			return false
		}
		before = b
	}
	return before != ' '
}

// scopeByte is NQCHAR of RFC 6749 appendix A: printable, and none of space, " and \.
func scopeByte(b byte) bool { return b > ' ' && b <= '~' && b != '"' && b != '\\' }

// list prints names for a description, at most so many.
func list(names []string) string {
	const most, longest = 16, 300
	if len(names) == 0 {
		return "none"
	}
	text := strings.Join(names[:min(most, len(names))], ", ")
	if len(text) > longest {
		return text[:longest] + "..."
	}
	if len(names) > most {
		return text + ", ..."
	}
	return text
}
