package token

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/keys"
)

// The types of token, as their header says.
const (
	TypeAccess  = "at+jwt"
	TypeRefresh = "rt+jwt"
	// TypeConnection is that of tokens that are good on one connection alone.
	TypeConnection = "ct+jwt"
)

// The bounds of a token. They hold for minting and for parsing.
const (
	// MaxToken is the length of the longest token in bytes.
	MaxToken = 4096
	// MaxText is the length of the longest single claim but the scope, in bytes.
	MaxText = 512
	// MaxScope is the length of the longest scope in bytes.
	MaxScope = 1500
	// MaxAudience is the number of audiences.
	MaxAudience = 16
	// maxTime is the last second of the year 9999.
	maxTime = 253402300799
)

// The sentinels of parsing. What a caller may tell a stranger is in the sentinel, what is worth logging
// in the cause around it.
var (
	// ErrInvalid says that the token is not one of ours, whatever the cause. Nothing more should be
	// told to whoever presented it.
	ErrInvalid = errors.New("invalid token")
	// ErrExpired says that the token is past its time and otherwise good.
	ErrExpired = errors.New("token expired")
	// ErrSource says that the token is ours and good on one connection alone, which is not where it was
	// presented. It comes together with [ErrInvalid].
	ErrSource = errors.New("the token is bound to a connection")
	// ErrClaims says that claims cannot be minted: one is missing or too long.
	ErrClaims = errors.New("claims cannot be minted")
)

// Access are the claims of an access token (RFC 9068 §2.2, and ours).
type Access struct {
	// Issuer is set by the minter.
	Issuer   string
	Subject  string
	Audience []string
	Client   string
	JTI      string
	Scope    string // space-separated; may be empty
	IssuedAt time.Time
	Expires  time.Time
	// Session, Product, Terminal and Version are empty on client-credentials tokens.
	Session  string
	Product  string
	Terminal string
	Version  int64
}

// Refresh are the claims of a refresh token. Its audience is its issuer.
type Refresh struct {
	// Issuer is set by the minter.
	Issuer   string
	Subject  string
	Client   string
	JTI      string
	Session  string
	IssuedAt time.Time
	Expires  time.Time
}

// Connection are the claims of a connection token: those of an access token of a session, and the one
// connection on which it is good. Its audience is its issuer, as that of a refresh token.
type Connection struct {
	Access

	// ID names the connection (the claim cnid).
	ID string
}

// Ring is the part of the key ring that minting and parsing need; [keys.Ring] is one.
type Ring interface {
	// Signer returns the key that signs at now.
	Signer(now time.Time) (keys.Signer, error)
	// SignerByID returns a key that is still published, to mint again what it signed.
	SignerByID(id string) (keys.Signer, error)
	// Verifier returns the public half of a published key: keys.ErrUnknownKey if there is none of that
	// identifier, another error if there is no telling.
	Verifier(id string) (keys.Verifier, error)
}

// check refuses claims that break the profile of access tokens.
func (a *Access) check() error {
	if len(a.Audience) == 0 || len(a.Audience) > MaxAudience {
		return fmt.Errorf("%d audiences", len(a.Audience))
	}
	for _, one := range a.Audience {
		if err := required("aud", one); err != nil {
			return err
		}
	}
	if len(a.Scope) > MaxScope || !utf8.ValidString(a.Scope) {
		return errors.New("scope is too long or not UTF-8")
	}
	if err := optional("product", a.Product); err != nil {
		return err
	}
	if err := optional("terminal", a.Terminal); err != nil {
		return err
	}
	if a.Version < 0 {
		return errors.New("version is negative")
	}
	if a.Session == "" && (a.Product != "" || a.Terminal != "" || a.Version != 0) {
		return errors.New("product, terminal or version without a session")
	}
	return common(a.Issuer, a.Subject, a.Client, a.JTI, a.Session, a.IssuedAt, a.Expires)
}

// check refuses claims that break the profile of refresh tokens.
func (r *Refresh) check() error {
	if err := required("sid", r.Session); err != nil {
		return err
	}
	return common(r.Issuer, r.Subject, r.Client, r.JTI, r.Session, r.IssuedAt, r.Expires)
}

// check refuses claims that break the profile of connection tokens.
func (c *Connection) check() error {
	if err := required("sid", c.Session); err != nil {
		return err
	}
	if err := required("cnid", c.ID); err != nil {
		return err
	}
	return c.Access.check()
}

// common checks what all kinds of token have.
func common(issuer, subject, client, jti, session string, issued, expires time.Time) error {
	for _, c := range [...]struct{ name, value string }{
		{"iss", issuer}, {"sub", subject}, {"client_id", client}, {"jti", jti},
	} {
		if err := required(c.name, c.value); err != nil {
			return err
		}
	}
	if err := optional("sid", session); err != nil {
		return err
	}
	if issued.Unix() < 0 || expires.Unix() > maxTime || issued.Unix() >= expires.Unix() {
		return errors.New("exp is not after iat, or one is out of range")
	}
	return nil
}

func required(name, value string) error {
	if value == "" {
		return fmt.Errorf("%s is missing", name)
	}
	return optional(name, value)
}

func optional(name, value string) error {
	if len(value) > MaxText || !utf8.ValidString(value) {
		return fmt.Errorf("%s is too long or not UTF-8", name)
	}
	return nil
}
