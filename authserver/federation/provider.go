package federation

import (
	"context"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Provider vouches for users.
type Provider interface {
	// Name names the provider in requests, answers and the store: 1 to 32 of a-z, 0-9 and hyphen. It never
	// changes.
	Name() string
	// Grant is the grant type under which its codes are presented at the token endpoint.
	Grant() string
	// App says with which app of the provider a client signs users in; false if with none.
	App(client storage.ClientID) (App, bool)
	// Exchange asks the provider who brought a code. It gives an [oauth.Error]: invalid_grant or
	// access_denied where the provider has decided about the code for good, and anything else where it may be
	// otherwise in a moment or is not the caller's fault. No secret and no code is in its errors.
	// It returns before ctx ends, and within 12 seconds.
	Exchange(ctx context.Context, app App, code string) (Voucher, error)
}

// App is an app that is registered at a provider.
type App struct {
	// ID is what the provider calls it; at most 64 bytes.
	ID string
	// Realm is what names a person over several apps of it; at most 64 bytes.
	Realm string
}

// Voucher is what a provider says of a user.
type Voucher struct {
	// Subject is the user at this app, Union the person over all apps of the realm (empty if not told); at
	// most 128 bytes each.
	Subject string
	Union   string
	// Secret is what else it gave, to be kept sealed; at most 256 bytes.
	Secret secret.Text
}

// The limits of a voucher, in bytes.
const (
	MaxSubject = 128
	MaxSecret  = 256
)
