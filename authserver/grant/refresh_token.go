package grant

import (
	"context"
	"slices"

	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/oauth"
)

// refreshToken is the flow of a client that continues a session (RFC 6749 §6).
func (e *Endpoint) refreshToken(ctx context.Context, r *Request) (issue.Pair, error) {
	if err := offConnection(r); err != nil {
		return issue.Pair{}, err // its successor would have to be handed out as well
	}
	raw := r.Form.Get("refresh_token")
	switch {
	case raw == "":
		return issue.Pair{}, invalid("the parameter refresh_token is missing")
	case len(raw) > maxToken:
		return issue.Pair{}, oauth.New(oauth.InvalidGrant, invalidRefresh)
	}
	asked := ""
	if r.Form.Has("scope") {
		var err error
		if asked, err = scope(r); err != nil {
			return issue.Pair{}, err
		}
	}
	return e.cfg.Issuer.Renew(ctx, issue.Renewal{
		Raw: raw, Client: r.client.ID, Scope: asked, Address: r.Address, Now: r.now,
		// A scope that was taken from the client since the sign-in is not renewed.
		Allowed: func(scope string) bool { return slices.Contains(r.client.Scopes, scope) },
	})
}
