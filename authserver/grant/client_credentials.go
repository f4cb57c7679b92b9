package grant

import (
	"context"

	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

// clientCredentials is the flow of a client that acts for itself (RFC 6749 §4.4). It asks no store:
// the client is known by now, and the token stands for itself.
func (e *Endpoint) clientCredentials(_ context.Context, r *Request) (issue.Pair, error) {
	if err := offConnection(r); err != nil {
		return issue.Pair{}, err
	}
	if r.client.Kind != storage.Confidential {
		return issue.Pair{}, oauth.New(oauth.UnauthorizedClient, "only a client with a secret can act for itself")
	}
	granted, err := scope(r)
	if err != nil {
		return issue.Pair{}, err
	}
	return e.cfg.Issuer.Machine(r.client.ID, granted, r.now)
}
