package token

import (
	"time"

	"github.com/tallystick/tallystick/keys"
)

// Access are the claims of an access token (RFC 9068 §2.2, and ours).
type Access struct {
	Issuer   string
	Subject  string
	Audience []string
	Client   string
	JTI      string
	Scope    string // space-separated
	IssuedAt time.Time
	Expires  time.Time
	// Session, Product, Terminal and Version are empty on client-credentials tokens.
	Session  string
	Product  string
	Terminal string
	Version  int64
}

// Refresh are the claims of a refresh token.
type Refresh struct {
	Issuer   string
	Subject  string
	Client   string
	JTI      string
	Session  string
	IssuedAt time.Time
	Expires  time.Time
}

// Ring is the part of the key ring that minting and parsing need; [keys.Ring] is one.
type Ring interface {
	// Signer returns the key that signs at now.
	Signer(now time.Time) (keys.Signer, error)
	// SignerByID returns a key that is still published, to mint again what it signed.
	SignerByID(id string) (keys.Signer, error)
	// Verifier returns the public half of a published key.
	Verifier(id string) (keys.Verifier, error)
}
