package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// maxMembers bounds the members of a header or payload.
const maxMembers = 64

// header is what of a header matters. jwk, jku, x5c and x5u are not read: a token does not choose the
// key it is verified with (RFC 8725 §3.10).
type header struct{ alg, typ, kid string }

// parseHeader reads a header. alg, typ and kid are required; extensions that must be understood (crit)
// are not (RFC 7515 §4.1.11).
func parseHeader(b []byte) (header, error) {
	var h header
	err := eachMember(b, func(name string, value []byte) (err error) {
		switch name {
		case "alg":
			h.alg, err = text(value)
		case "typ":
			h.typ, err = text(value)
		case "kid":
			h.kid, err = text(value)
		case "crit", "b64", "zip":
			err = errors.New("not supported")
		}
		return err
	})
	switch {
	case err != nil:
		return header{}, err
	case h.alg == "" || h.typ == "" || h.kid == "":
		return header{}, errors.New("alg, typ or kid is missing")
	case len(h.kid) > MaxText:
		return header{}, errors.New("kid is too long")
	}
	return h, nil
}

// claims are the claims of any kind of token while golang-jwt parses and checks them. It implements
// jwt.ClaimsValidator, and json.Unmarshaler, because encoding/json would be too forgiving.
type claims struct {
	access    Access
	notBefore time.Time // zero if there is none
	refresh   bool
	bound     bool   // a connection token
	cnid      string // of a connection token
	now       time.Time
}

// UnmarshalJSON reads the payload. Members that are not ours are ignored, names that come twice refused.
func (c *claims) UnmarshalJSON(b []byte) error {
	return eachMember(b, func(name string, value []byte) error {
		if err := c.set(name, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

func (c *claims) set(name string, value []byte) (err error) {
	a := &c.access
	switch name {
	case "iss":
		a.Issuer, err = text(value)
	case "sub":
		a.Subject, err = text(value)
	case "aud":
		a.Audience, err = texts(value)
	case "exp":
		a.Expires, err = instant(value)
	case "iat":
		a.IssuedAt, err = instant(value)
	case "nbf":
		c.notBefore, err = instant(value)
	case "jti":
		a.JTI, err = text(value)
	case "client_id":
		a.Client, err = text(value)
	case "scope":
		a.Scope, err = text(value)
	case "sid":
		a.Session, err = text(value)
	case "product":
		a.Product, err = text(value)
	case "terminal":
		a.Terminal, err = text(value)
	case "version":
		a.Version, err = integer(value)
	case "cnid":
		if c.bound { // no claim of the others
			c.cnid, err = text(value)
		}
	}
	return err
}

// Validate is called by golang-jwt after its own checks.
func (c *claims) Validate() error {
	if c.refresh {
		r := Refresh{
			Issuer: c.access.Issuer, Subject: c.access.Subject, Client: c.access.Client, JTI: c.access.JTI,
			Session: c.access.Session, IssuedAt: c.access.IssuedAt, Expires: c.access.Expires,
		}
		return r.check()
	}
	if c.bound {
		b := Connection{Access: c.access, ID: c.cnid}
		return b.check()
	}
	return c.access.check()
}

// GetExpirationTime implements jwt.Claims.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.access.Expires) }

// GetIssuedAt implements jwt.Claims.
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) { return numericDate(c.access.IssuedAt) }

// GetNotBefore implements jwt.Claims.
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return numericDate(c.notBefore) }

// GetIssuer implements jwt.Claims.
func (c *claims) GetIssuer() (string, error) { return c.access.Issuer, nil }

// GetSubject implements jwt.Claims.
func (c *claims) GetSubject() (string, error) { return c.access.Subject, nil }

// GetAudience implements jwt.Claims.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) { return c.access.Audience, nil }

func numericDate(t time.Time) (*jwt.NumericDate, error) {
	if t.IsZero() {
		return nil, nil //nolint:nilnil // the library's way to say that the claim is not there.
	}
	return &jwt.NumericDate{Time: t}, nil
}

// eachMember calls set for each member of a JSON object. It refuses what two parsers may read in two
// ways: names that come twice, names with escapes, texts that are not UTF-8, anything around the object.
func eachMember(b []byte, set func(name string, value []byte) error) error {
	if !utf8.Valid(b) || !json.Valid(b) || len(b) == 0 || b[0] != '{' {
		return errors.New("not a JSON object")
	}
	var seen [maxMembers]string
	n := 0
	for i := skipSpace(b, 1); b[i] != '}'; {
		end := skipValue(b, i)
		name := string(b[i+1 : end-1])
		if n == maxMembers {
			return fmt.Errorf("more than %d members", maxMembers)
		}
		if slices.Contains(seen[:n], name) {
			return fmt.Errorf("member %.32q comes twice", name)
		}
		seen[n] = name
		n++
		if !plain(name) {
			return fmt.Errorf("name %.32q has an escape", name)
		}
		start := skipSpace(b, skipSpace(b, end)+1) // over the colon
		end = skipValue(b, start)
		if err := set(name, b[start:end]); err != nil {
			return fmt.Errorf("member %.32q: %w", name, err)
		}
		if i = skipSpace(b, end); b[i] == ',' {
			i = skipSpace(b, i+1)
		}
	}
	return nil
}

func plain(name string) bool {
	for i := range len(name) {
		if name[i] == '\\' {
			return false
		}
	}
	return true
}

// skipSpace returns the index of the first byte from i on that is not white space. b is valid JSON, so
// that one follows wherever this is called.
func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r' {
		i++
	}
	return i
}

// skipValue returns the index behind the value that begins at i, in valid JSON. Depth is counted, not
// recursed into.
func skipValue(b []byte, i int) int {
	depth := 0
	for ; ; i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		default:
			if depth == 0 {
				return skipScalar(b, i)
			}
		}
	}
}

// skipScalar returns the index behind a number or a word.
func skipScalar(b []byte, i int) int {
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// text reads a JSON text.
func text(value []byte) (string, error) {
	if value[0] != '"' {
		return "", errors.New("not a text")
	}
	inner := value[1 : len(value)-1]
	if slices.Contains(inner, '\\') {
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	}
	return string(inner), nil
}

// texts reads a text, or a list of texts.
func texts(value []byte) ([]string, error) {
	if value[0] == '"' {
		one, err := text(value)
		return []string{one}, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(value, &list); err != nil || len(list) > MaxAudience {
		return nil, fmt.Errorf("not a text, nor a list of at most %d", MaxAudience)
	}
	all := make([]string, 0, len(list))
	for _, one := range list {
		s, err := text(one)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// integer reads a JSON number without sign, fraction and exponent, that fits.
func integer(value []byte) (int64, error) {
	n, err := strconv.ParseUint(string(value), 10, 63)
	if err != nil {
		return 0, errors.New("not a whole number in range")
	}
	return int64(n), nil
}

// instant reads seconds since 1970, up to the year 9999.
func instant(value []byte) (time.Time, error) {
	n, err := integer(value)
	if err != nil || n > maxTime {
		return time.Time{}, errors.New("not whole seconds since 1970 in range")
	}
	return time.Unix(n, 0).UTC(), nil
}
