package token

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tallystick/tallystick/keys"
)

// Minter mints tokens. Its methods may be called by any number of goroutines.
type Minter struct {
	issuer string
	ring   Ring
	// last holds the header segments of the key that minted last: nearly always the same.
	last atomic.Pointer[headers]
}

// headers are the encoded header segments of one key, each with the dot after it.
type headers struct {
	id, algorithm   string
	access, refresh string
	connection      string
}

// NewMinter makes a minter of tokens of one issuer.
func NewMinter(issuer string, ring Ring) *Minter { return &Minter{issuer: issuer, ring: ring} }

// KeyID returns the identifier of the key that signs at now, to be stored beside what is minted.
func (m *Minter) KeyID(now time.Time) (string, error) {
	s, err := m.ring.Signer(now)
	if err != nil {
		return "", fmt.Errorf("key that signs: %w", err)
	}
	return s.ID, nil
}

// Access mints an access token under the key kid, or, if kid is empty, under the one that signed at
// its IssuedAt. The same claims and key give the same token. The issuer is the minter's, and times are cut
// to whole seconds. [ErrClaims] if the claims break the profile.
func (m *Minter) Access(a Access, kid string) (string, error) {
	a.Issuer = m.issuer
	if err := a.check(); err != nil {
		return "", fmt.Errorf("mint access token: %w: %w", ErrClaims, err)
	}
	s, err := m.signer(kid, a.IssuedAt)
	if err != nil {
		return "", fmt.Errorf("mint access token: %w", err)
	}
	var payload [1024]byte
	t, err := sign(s, m.headers(s).access, a.appendJSON(payload[:0]))
	if err != nil {
		return "", fmt.Errorf("mint access token: %w", err)
	}
	return t, nil
}

// Refresh mints a refresh token, under the same rules as [Minter.Access].
func (m *Minter) Refresh(r Refresh, kid string) (string, error) {
	r.Issuer = m.issuer
	if err := r.check(); err != nil {
		return "", fmt.Errorf("mint refresh token: %w: %w", ErrClaims, err)
	}
	s, err := m.signer(kid, r.IssuedAt)
	if err != nil {
		return "", fmt.Errorf("mint refresh token: %w", err)
	}
	var payload [1024]byte
	t, err := sign(s, m.headers(s).refresh, r.appendJSON(payload[:0]))
	if err != nil {
		return "", fmt.Errorf("mint refresh token: %w", err)
	}
	return t, nil
}

// Connection mints a connection token, under the same rules as [Minter.Access]. Its audience is the
// minter's issuer, whatever it says.
func (m *Minter) Connection(c Connection, kid string) (string, error) {
	c.Issuer, c.Audience = m.issuer, []string{m.issuer}
	if err := c.check(); err != nil {
		return "", fmt.Errorf("mint connection token: %w: %w", ErrClaims, err)
	}
	s, err := m.signer(kid, c.IssuedAt)
	if err != nil {
		return "", fmt.Errorf("mint connection token: %w", err)
	}
	var room [1024]byte
	payload := c.appendJSON(room[:0])
	payload = append(appendText(append(payload[:len(payload)-1], `,"cnid":`...), c.ID), '}')
	t, err := sign(s, m.headers(s).connection, payload)
	if err != nil {
		return "", fmt.Errorf("mint connection token: %w", err)
	}
	return t, nil
}

func (m *Minter) signer(kid string, at time.Time) (keys.Signer, error) {
	if kid == "" {
		return m.ring.Signer(at)
	}
	s, err := m.ring.SignerByID(kid)
	if err != nil {
		return keys.Signer{}, fmt.Errorf("key %.64q: %w", kid, err)
	}
	return s, nil
}

// headers returns the header segments of a key.
func (m *Minter) headers(s keys.Signer) *headers {
	if h := m.last.Load(); h != nil && h.id == s.ID && h.algorithm == s.Algorithm {
		return h
	}
	segment := func(typ string) string {
		b := appendText([]byte(`{"alg":`), s.Algorithm)
		b = appendText(append(b, `,"typ":`...), typ)
		b = appendText(append(b, `,"kid":`...), s.ID)
		return base64.RawURLEncoding.EncodeToString(append(b, '}')) + "."
	}
	h := &headers{id: s.ID, algorithm: s.Algorithm, access: segment(TypeAccess), refresh: segment(TypeRefresh), connection: segment(TypeConnection)}
	m.last.Store(h)
	return h
}

// sign puts a token together.
func sign(s keys.Signer, header string, payload []byte) (string, error) {
	b := make([]byte, 0, MaxToken/4)
	b = append(b, header...)
	b = base64.RawURLEncoding.AppendEncode(b, payload)
	signature, err := s.Method.Sign(string(b), s.Key)
	if err != nil {
		return "", fmt.Errorf("sign with key %s: %w", s.ID, err)
	}
	b = base64.RawURLEncoding.AppendEncode(append(b, '.'), signature)
	if len(b) > MaxToken {
		return "", fmt.Errorf("%w: the token would be %d bytes long", ErrClaims, len(b))
	}
	return string(b), nil
}

// appendJSON writes the payload; the order is part of what makes tokens equal.
func (a *Access) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"iss":`...), a.Issuer)
	b = appendText(append(b, `,"sub":`...), a.Subject)
	b = appendAudience(append(b, `,"aud":`...), a.Audience)
	b = strconv.AppendInt(append(b, `,"exp":`...), a.Expires.Unix(), 10)
	b = strconv.AppendInt(append(b, `,"iat":`...), a.IssuedAt.Unix(), 10)
	b = appendText(append(b, `,"jti":`...), a.JTI)
	b = appendText(append(b, `,"client_id":`...), a.Client)
	b = appendOptional(b, `,"scope":`, a.Scope)
	b = appendOptional(b, `,"sid":`, a.Session)
	b = appendOptional(b, `,"product":`, a.Product)
	b = appendOptional(b, `,"terminal":`, a.Terminal)
	if a.Version != 0 {
		b = strconv.AppendInt(append(b, `,"version":`...), a.Version, 10)
	}
	return append(b, '}')
}

// appendJSON writes the payload of a refresh token.
func (r *Refresh) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"iss":`...), r.Issuer)
	b = appendText(append(b, `,"sub":`...), r.Subject)
	b = appendText(append(b, `,"aud":`...), r.Issuer)
	b = strconv.AppendInt(append(b, `,"exp":`...), r.Expires.Unix(), 10)
	b = strconv.AppendInt(append(b, `,"iat":`...), r.IssuedAt.Unix(), 10)
	b = appendText(append(b, `,"jti":`...), r.JTI)
	b = appendText(append(b, `,"client_id":`...), r.Client)
	b = appendText(append(b, `,"sid":`...), r.Session)
	return append(b, '}')
}

func appendAudience(b []byte, audience []string) []byte {
	if len(audience) == 1 {
		return appendText(b, audience[0])
	}
	for i, one := range audience {
		if i == 0 {
			b = append(b, '[')
		} else {
			b = append(b, ',')
		}
		b = appendText(b, one)
	}
	return append(b, ']')
}

func appendOptional(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(append(b, name...), value)
}

// appendText writes a JSON text in its shortest form, so that nothing that parses is too long to be
// minted again. s is UTF-8.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = appendEscape(append(b, s[from:i]...), c)
		from = i + 1
	}
	return append(append(b, s[from:]...), '"')
}

// appendEscape writes a character that cannot stand in a JSON text by itself.
func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}
