package grant

import (
	"context"
	"errors"

	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// passwordGrant proves a user by name and password (RFC 6749 §4.3).
type passwordGrant struct {
	users Passwords
	brake Brake
}

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
	var user storage.User
	var refused error
	err = g.brake.Try(ctx, username, r.place(), func(ctx context.Context) (bool, error) {
		var err error
		user, err = g.users.Verify(ctx, username, secret.New(given))
		switch {
		case errors.Is(err, password.ErrWrong):
			refused = err
			return false, nil
		case errors.Is(err, password.ErrBarred): // whoever is barred has told the right password
			refused = err
			return true, nil
		}
		return err == nil, err
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return Identity{}, err
	}
	return Identity{User: user.ID, Credential: &user.Credential}, nil
}

// place is where the guesses of a request come from. A confidential client speaks for all its users
// from one address, so it is named instead.
func (r *Request) place() string {
	if r.client.Kind == storage.Confidential {
		return "client:" + string(r.client.ID)
	}
	return r.Address
}
