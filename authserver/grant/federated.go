package grant

import (
	"context"

	"github.com/tallystick/tallystick/authserver/federation"
	"github.com/tallystick/tallystick/storage"
)

// Federation proves users by what other providers say of them; [federation.Desk] does.
type Federation interface {
	// Grants lists the grant types that it serves.
	Grants() []string
	SignIn(ctx context.Context, s federation.SignIn) (storage.UserID, error)
}

// federatedGrant proves a user by a code of another provider.
type federatedGrant struct{ desk Federation }

// Prove implements [Prover].
func (g *federatedGrant) Prove(ctx context.Context, r *Request) (Identity, error) {
	code, err := r.Needed("code", federation.MaxCode)
	if err != nil {
		return Identity{}, err
	}
	user, err := g.desk.SignIn(ctx, federation.SignIn{Grant: r.grant, Client: r.client, Code: code, Address: r.Address, Now: r.now})
	return Identity{User: user}, err
}
