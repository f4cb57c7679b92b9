package issue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

// The defaults of a [Config].
const (
	// DefaultWindow is how long a used refresh token still gets the same answer.
	DefaultWindow = 10 * time.Second
	// DefaultMachineTTL is how long an access token of client credentials lives.
	DefaultMachineTTL = time.Hour
	// MaxMachineTTL bounds how long guards must remember a revoked one.
	MaxMachineTTL = 24 * time.Hour
	// MinChainKey is the least length of the chain key in bytes.
	MinChainKey = 32
)

// Minter signs tokens; [token.Minter] is one.
type Minter interface {
	Access(a token.Access, kid string) (string, error)
	Refresh(r token.Refresh, kid string) (string, error)
	Connection(c token.Connection, kid string) (string, error)
	KeyID(now time.Time) (string, error)
}

// Parser verifies refresh tokens; [token.Parser] is one.
type Parser interface {
	Refresh(raw string, now time.Time) (token.Refresh, error)
}

// Sessions is what continuing a session takes; the Book of package session is one.
type Sessions interface {
	Session(ctx context.Context, id storage.SessionID) (storage.Session, error)
	Continue(ctx context.Context, r storage.Rotation, address string) (storage.Rotated, error)
}

// Refreshes reads refresh tokens by their hash; [storage.Refreshes] is one.
type Refreshes interface {
	Refresh(ctx context.Context, hash storage.RefreshHash) (storage.Refresh, error)
}

// Config is what an [Issuer] needs.
type Config struct {
	Minter    Minter
	Parser    Parser
	Sessions  Sessions
	Refreshes Refreshes
	Rules     *product.Rules
	// Audience is the aud of access tokens.
	Audience []string
	// ChainKey makes the jti of a refresh token out of that of the one before; at least [MinChainKey].
	ChainKey secret.Text
	// MachineTTL is how long client credentials' tokens live; 0 for [DefaultMachineTTL].
	MachineTTL time.Duration
	// Window is how long a used refresh token gets the same answer; 0 for [DefaultWindow], below zero
	// for not at all.
	Window time.Duration
}

// Issuer makes token pairs.
type Issuer struct{ cfg Config }

// New makes an Issuer. It refuses a configuration in which something is missing.
func New(cfg Config) (*Issuer, error) {
	if cfg.Minter == nil || cfg.Parser == nil || cfg.Sessions == nil || cfg.Refreshes == nil || cfg.Rules == nil {
		return nil, errors.New("issue: minter, parser, sessions, refreshes and rules are needed")
	}
	if len(cfg.Audience) == 0 || slices.Contains(cfg.Audience, "") {
		return nil, errors.New("issue: an audience is needed, or every resource would have to accept any token")
	}
	if len(cfg.ChainKey.Reveal()) < MinChainKey {
		return nil, fmt.Errorf("issue: the chain key must have at least %d bytes", MinChainKey)
	}
	if cfg.MachineTTL == 0 {
		cfg.MachineTTL = DefaultMachineTTL
	}
	if cfg.MachineTTL < time.Second || cfg.MachineTTL > MaxMachineTTL || cfg.MachineTTL%time.Second != 0 {
		return nil, fmt.Errorf("issue: the life of client credentials' tokens must be whole seconds up to %s", MaxMachineTTL)
	}
	switch {
	case cfg.Window == 0:
		cfg.Window = DefaultWindow
	case cfg.Window < 0:
		cfg.Window = 0
	}
	cfg.Audience = slices.Clone(cfg.Audience)
	return &Issuer{cfg: cfg}, nil
}

// Pair is what a client gets.
type Pair struct {
	// Access is the access token; of a sign-in on a connection the connection token.
	Access        secret.Text
	AccessExpires time.Time
	// Refresh is empty where the client gets none.
	Refresh        secret.Text
	RefreshExpires time.Time
	// Scope is that of the access token.
	Scope string
	// Session is the session as committed; nil for client credentials.
	Session *storage.Session
}

// Draft is what a sign-in proposes to the store before there is a session.
type Draft struct {
	Access storage.Stamp
	// Refresh is the first refresh token; nil if none was asked for.
	Refresh *storage.Refresh

	jti string // of Refresh; never stored
}

// Draft proposes the tokens of a session that is opened at now.
func (i *Issuer) Draft(client storage.ClientID, scope string, rule product.Rule, refresh bool, now time.Time) (Draft, error) {
	kid, err := i.cfg.Minter.KeyID(now)
	if err != nil {
		return Draft{}, fmt.Errorf("draft tokens: %w", err)
	}
	times := rule.Opened(now)
	d := Draft{Access: storage.Stamp{JTI: randomText(accessBytes), KeyID: kid, IssuedAt: times.IssuedAt, ExpiresAt: times.AccessEnd}}
	if refresh {
		d.jti = randomText(refreshBytes)
		d.Refresh = &storage.Refresh{
			Hash: hash(d.jti), Family: storage.FamilyID(storage.NewID(now)), Client: client, Scope: scope,
			KeyID: kid, IssuedAt: times.IssuedAt, ExpiresAt: times.IdleEnd, Access: d.Access,
		}
	}
	return d, nil
}

// Pair mints the tokens of a session that was opened or joined with a draft, by a client with a
// scope.
func (i *Issuer) Pair(opened storage.Opened, d Draft, client storage.ClientID, scope string, now time.Time) (Pair, error) {
	pair, err := i.access(opened.Session, opened.Session.Access, client, scope, now)
	if err != nil {
		return Pair{}, err
	}
	if opened.Refresh == nil {
		return pair, nil
	}
	return pair, i.refresh(&pair, *opened.Refresh, d.jti, now)
}

// Bound mints the token of a session that was opened or joined on a connection: it is good on that
// connection alone, and there is no refresh token beside it. It lives as long as the session does if
// nobody refreshes that; what ends the session earlier ends the connection.
func (i *Issuer) Bound(opened storage.Opened, client storage.ClientID, scope, connection string, now time.Time) (Pair, error) {
	s := opened.Session
	expires := s.ExpiresAt
	if s.IdleAt.Before(expires) {
		expires = s.IdleAt
	}
	claims := token.Connection{ID: connection, Access: token.Access{
		Subject: string(s.User), Client: string(client), JTI: randomText(accessBytes), Scope: scope,
		IssuedAt: now.UTC().Truncate(time.Second), Expires: expires,
		Session: string(s.ID), Product: s.Product, Terminal: string(s.Terminal), Version: s.Version,
	}}
	raw, err := i.cfg.Minter.Connection(claims, "")
	if err != nil {
		return Pair{}, fmt.Errorf("mint connection token: %w", noTelling(err))
	}
	return Pair{Access: secret.New(raw), AccessExpires: expires, Scope: scope, Session: &s}, nil
}

// Machine mints the access token of a client for itself. Nothing is stored.
func (i *Issuer) Machine(client storage.ClientID, scope string, now time.Time) (Pair, error) {
	kid, err := i.cfg.Minter.KeyID(now)
	if err != nil {
		return Pair{}, fmt.Errorf("mint token: %w", err)
	}
	iat := now.UTC().Truncate(time.Second)
	exp := iat.Add(i.cfg.MachineTTL)
	raw, err := i.cfg.Minter.Access(token.Access{
		Subject: string(client), Audience: i.cfg.Audience, Client: string(client), JTI: randomText(accessBytes),
		Scope: scope, IssuedAt: iat, Expires: exp,
	}, kid)
	if err != nil {
		return Pair{}, fmt.Errorf("mint token: %w", err)
	}
	return Pair{Access: secret.New(raw), AccessExpires: exp, Scope: scope}, nil
}

func (i *Issuer) access(s storage.Session, stamp storage.Stamp, client storage.ClientID, scope string, now time.Time) (Pair, error) {
	claims := token.Access{
		Subject: string(s.User), Audience: i.cfg.Audience, Client: string(client), JTI: stamp.JTI, Scope: scope,
		IssuedAt: stamp.IssuedAt, Expires: stamp.ExpiresAt,
		Session: string(s.ID), Product: s.Product, Terminal: string(s.Terminal), Version: s.Version,
	}
	if client != s.Client || scope != s.Scope {
		claims.JTI = derived(stamp.JTI, client, scope)
	}
	raw, err := i.signed(stamp.KeyID, now, func(kid string) (string, error) { return i.cfg.Minter.Access(claims, kid) })
	if err != nil {
		return Pair{}, fmt.Errorf("mint access token: %w", err)
	}
	return Pair{Access: secret.New(raw), AccessExpires: stamp.ExpiresAt, Scope: scope, Session: &s}, nil
}

func (i *Issuer) refresh(p *Pair, row storage.Refresh, jti string, now time.Time) error {
	claims := token.Refresh{
		Subject: string(p.Session.User), Client: string(row.Client), JTI: jti, Session: string(row.Session),
		IssuedAt: row.IssuedAt, Expires: row.ExpiresAt,
	}
	raw, err := i.signed(row.KeyID, now, func(kid string) (string, error) { return i.cfg.Minter.Refresh(claims, kid) })
	if err != nil {
		return fmt.Errorf("mint refresh token: %w", err)
	}
	p.Refresh, p.RefreshExpires = secret.New(raw), row.ExpiresAt
	return nil
}

// signed mints with the key of the stamp, or with the present one if that has been retired.
func (i *Issuer) signed(kid string, now time.Time, mint func(kid string) (string, error)) (string, error) {
	raw, err := mint(kid)
	if !errors.Is(err, keys.ErrUnknownKey) {
		return raw, noTelling(err)
	}
	present, err := i.cfg.Minter.KeyID(now)
	if err != nil {
		return "", err
	}
	return mint(present)
}

// noTelling makes a key store that is away a passing fault in the terms of the stores.
func noTelling(err error) error {
	if errors.Is(err, keys.ErrUnavailable) {
		return errors.Join(storage.ErrUnavailable, err)
	}
	return err
}

// Lengths of identifiers of tokens, in bytes before encoding.
const (
	accessBytes  = 16
	refreshBytes = 32
)

func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func hash(jti string) storage.RefreshHash { return sha256.Sum256([]byte(jti)) }

func derived(jti string, client storage.ClientID, scope string) string {
	sum := sha256.Sum256([]byte("tallystick access token\x00" + jti + "\x00" + string(client) + "\x00" + scope))
	return base64.RawURLEncoding.EncodeToString(sum[:accessBytes])
}
