package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tallystick/tallystick/keys"
)

// The bounds of a parser's leeway.
const (
	// DefaultLeeway is how far in the future a token may have been issued: two machines that keep time
	// at all are closer than that.
	DefaultLeeway = 5 * time.Second
	// MaxLeeway is the most that can be configured.
	MaxLeeway = time.Minute
)

// ParserConfig says which tokens are ours.
type ParserConfig struct {
	// Issuer is the iss that tokens must have. Required.
	Issuer string
	// Audience are the names under which the caller accepts access tokens; the aud of a token must
	// contain one of them. At least one.
	Audience []string
	// Algorithms are those that are accepted; nil means EdDSA, ES256 and RS256, and others cannot be
	// allowed.
	Algorithms []string
	// Leeway is for clocks ahead of ours: how far in the future iat and nbf may be; DefaultLeeway if
	// zero, at most MaxLeeway. There is none for exp.
	Leeway time.Duration
	// Ring gives the keys. Required.
	Ring Ring
}

// Parser parses tokens. Its methods may be called by any number of goroutines.
type Parser struct {
	issuer     string
	audience   []string
	algorithms []string
	leeway     time.Duration
	ring       Ring
	// access and refresh are the checks of golang-jwt for each kind of token, all but the clock.
	access, refresh []jwt.ParserOption
}

// NewParser makes a parser. Nothing is checked less because it was left out: without issuer, audience
// or ring there is none.
func NewParser(c ParserConfig) (*Parser, error) {
	if c.Algorithms == nil {
		c.Algorithms = []string{keys.EdDSA, keys.ES256, keys.RS256}
	}
	if c.Leeway == 0 {
		c.Leeway = DefaultLeeway
	}
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("token parser: %w", err)
	}
	p := &Parser{
		issuer: c.Issuer, audience: slices.Clone(c.Audience), algorithms: slices.Clone(c.Algorithms),
		leeway: c.Leeway, ring: c.Ring,
	}
	p.access, p.refresh = p.options(p.audience...), p.options(p.issuer)
	return p, nil
}

func (c *ParserConfig) validate() error {
	var faults []error
	if c.Issuer == "" {
		faults = append(faults, errors.New("issuer: there is none"))
	}
	if len(c.Audience) == 0 || slices.Contains(c.Audience, "") {
		faults = append(faults, errors.New("audience: there is none, or an empty one"))
	}
	if len(c.Algorithms) == 0 {
		faults = append(faults, errors.New("algorithms: none is allowed"))
	}
	for _, a := range c.Algorithms {
		if a != keys.EdDSA && a != keys.ES256 && a != keys.RS256 {
			faults = append(faults, fmt.Errorf("algorithm %q is not one of EdDSA, ES256, RS256", a))
		}
	}
	if c.Leeway < 0 || c.Leeway > MaxLeeway {
		faults = append(faults, fmt.Errorf("leeway %v is not between 0 and %v", c.Leeway, MaxLeeway))
	}
	if c.Ring == nil {
		faults = append(faults, errors.New("key ring: there is none"))
	}
	return errors.Join(faults...)
}

// options turns on every check that golang-jwt has.
func (p *Parser) options(audience ...string) []jwt.ParserOption {
	return []jwt.ParserOption{
		jwt.WithValidMethods(p.algorithms),
		jwt.WithStrictDecoding(),
		jwt.WithIssuer(p.issuer),
		jwt.WithAudience(audience...),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(p.leeway),
	}
}

// Access parses an access token as seen at now.
//
// [ErrInvalid] if it is not a good access token of ours, with [ErrSource] if it is a connection token; [ErrExpired], with the claims, if nothing is
// wrong but that its time is past. Any other error says that there is no telling, because its key
// is not known and the key store did not answer.
func (p *Parser) Access(raw string, now time.Time) (Access, error) {
	c := claims{now: now}
	err := p.parse(raw, TypeAccess, &c, p.access)
	if errors.Is(err, errType) {
		return Access{}, p.elsewhere(raw, now, err)
	}
	if err != nil && !errors.Is(err, ErrExpired) {
		return Access{}, err
	}
	return c.access, err
}

// elsewhere tells a connection token of ours from what is no token of ours at all.
func (p *Parser) elsewhere(raw string, now time.Time, otherwise error) error {
	_, err := p.Connection(raw, now)
	switch {
	case err == nil || errors.Is(err, ErrExpired):
		return fmt.Errorf("%w: %w", ErrInvalid, ErrSource)
	case errors.Is(err, ErrInvalid):
		return otherwise
	}
	return err // no telling
}

// Connection parses a connection token as seen at now, under the rules of [Parser.Access]. Whether it is
// good on the connection on which it came is for the caller to see: it compares the ID.
func (p *Parser) Connection(raw string, now time.Time) (Connection, error) {
	c := claims{now: now, bound: true}
	err := p.parse(raw, TypeConnection, &c, p.refresh)
	if err != nil && !errors.Is(err, ErrExpired) {
		return Connection{}, err
	}
	return Connection{Access: c.access, ID: c.cnid}, err
}

// Refresh parses a refresh token as seen at now, under the rules of [Parser.Access].
func (p *Parser) Refresh(raw string, now time.Time) (Refresh, error) {
	c := claims{now: now, refresh: true}
	err := p.parse(raw, TypeRefresh, &c, p.refresh)
	if err != nil && !errors.Is(err, ErrExpired) {
		return Refresh{}, err
	}
	a := &c.access
	return Refresh{
		Issuer: a.Issuer, Subject: a.Subject, Client: a.Client, JTI: a.JTI, Session: a.Session,
		IssuedAt: a.IssuedAt, Expires: a.Expires,
	}, err
}

// parse checks header, key, signature and claims, in this order.
func (p *Parser) parse(raw, typ string, c *claims, checks []jwt.ParserOption) error {
	key, err := p.key(raw, typ)
	if err != nil {
		return err
	}
	parser := jwt.NewParser(append(slices.Clip(checks), jwt.WithTimeFunc(func() time.Time { return c.now }))...)
	_, err = parser.ParseWithClaims(raw, c, func(t *jwt.Token) (any, error) {
		// The library reads the header by itself; the key is only for the algorithm it was made for.
		if t.Method.Alg() != key.Algorithm {
			return nil, errors.New("alg is not that of the key")
		}
		return key.Key, nil
	})
	switch {
	case err == nil && c.now.Before(c.access.Expires):
		return nil
	case err == nil || onlyExpired(err):
		// The leeway that the library gives to exp as well is not for it: see the package's notes.
		return fmt.Errorf("%w at %s", ErrExpired, c.access.Expires.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// errType says that a token is of another kind, as far as its header says.
var errType = errors.New("typ of the token")

// key reads the header and returns the key that it names.
func (p *Parser) key(raw, typ string) (keys.Verifier, error) {
	if len(raw) > MaxToken {
		return keys.Verifier{}, fmt.Errorf("%w: longer than %d bytes", ErrInvalid, MaxToken)
	}
	if strings.ContainsAny(raw, "\r\n") {
		// The decoder skips line breaks, strict or not; a token has one spelling.
		return keys.Verifier{}, fmt.Errorf("%w: line break", ErrInvalid)
	}
	segment, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		return keys.Verifier{}, fmt.Errorf("%w: header is not base64url", ErrInvalid)
	}
	h, err := parseHeader(decoded)
	if err != nil {
		return keys.Verifier{}, fmt.Errorf("%w: header: %w", ErrInvalid, err)
	}
	// RFC 7515 §4.1.9: the media type prefix may be written out; types compare without case.
	if t := strings.ToLower(h.typ); t != typ && t != "application/"+typ {
		return keys.Verifier{}, fmt.Errorf("%w: %w: %.32q and not %q", ErrInvalid, errType, h.typ, typ)
	}
	if !slices.Contains(p.algorithms, h.alg) {
		return keys.Verifier{}, fmt.Errorf("%w: alg %.32q is not allowed", ErrInvalid, h.alg)
	}
	v, err := p.ring.Verifier(h.kid)
	switch {
	case errors.Is(err, keys.ErrUnknownKey):
		return keys.Verifier{}, fmt.Errorf("%w: kid %.64q: %w", ErrInvalid, h.kid, err)
	case err != nil:
		return keys.Verifier{}, fmt.Errorf("key of token: %w", err)
	case v.Algorithm != h.alg:
		return keys.Verifier{}, fmt.Errorf("%w: alg %s, but key %s is for %s", ErrInvalid, h.alg, v.ID, v.Algorithm)
	}
	return v, nil
}

// onlyExpired says whether expiry is all that an error of golang-jwt complains about. Everything in
// the tree of the error has to be known, so that a new complaint is never taken for expiry.
func onlyExpired(err error) bool {
	if tree, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range tree.Unwrap() {
			if !onlyExpired(one) && one != jwt.ErrTokenInvalidClaims { //nolint:errorlint // a leaf.
				return false
			}
		}
		return errors.Is(err, jwt.ErrTokenExpired)
	}
	return err == jwt.ErrTokenExpired //nolint:errorlint // a leaf.
}
