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
	// opener and nonces take encrypted passwords; nil where none are taken.
	opener Opener
	nonces storage.Nonces
}

// Prove implements [Prover].
func (g *passwordGrant) Prove(ctx context.Context, r *Request) (Identity, error) {
	username, err := r.Needed("username", maxUsername)
	if err != nil {
		return Identity{}, err
	}
	// A password may have any characters, control characters too.
	given, sealed := r.Form.Get("password"), r.Form.Get("encrypted_password")
	switch {
	case given != "" && sealed != "":
		return Identity{}, invalid("there are password and encrypted_password: send one of them")
	case sealed != "" && g.opener == nil:
		return Identity{}, invalid("this server takes no encrypted_password")
	case given == "" && sealed == "":
		return Identity{}, invalid("the parameter password is missing")
	case len(given) > maxPassword:
		return Identity{}, invalid("the parameter password is too long")
	}
	told := secret.New(given)
	var user storage.User
	var refused error
	err = g.brake.Try(ctx, username, r.place(), func(ctx context.Context) (bool, error) {
		var err error
		if sealed != "" {
			if told, err = g.decrypt(ctx, r, sealed); err != nil {
				return false, err
			}
		}
		user, err = g.users.Verify(ctx, username, told)
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
