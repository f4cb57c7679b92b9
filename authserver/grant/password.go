package grant

import (
	"context"

	"github.com/tallystick/tallystick/keys/secret"
)

// passwordGrant proves a user by name and password (RFC 6749 §4.3).
type passwordGrant struct{ users Passwords }

// Prove implements [Prover].
func (g *passwordGrant) Prove(ctx context.Context, r *Request) (Identity, error) {
	username, err := r.Needed("username", maxUsername)
	if err != nil {
		return Identity{}, err
	}
	// A password may have any characters, control characters too.
	given := r.Form.Get("password")
	switch {
	case given == "":
		return Identity{}, invalid("the parameter password is missing")
	case len(given) > maxPassword:
		return Identity{}, invalid("the parameter password is too long")
	}
	user, err := g.users.Verify(ctx, username, secret.New(given))
	if err != nil {
		return Identity{}, err
	}
	return Identity{User: user.ID, Credential: &user.Credential}, nil
}
