package client

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Limits of a client.
const (
	MaxName         = 128 // bytes
	MaxProducts     = 64
	MaxRedirectURIs = 32
	MaxRedirectURI  = 1024 // bytes
)

// Draft is a client to be made.
type Draft struct {
	ID           storage.ClientID
	Name         string // "" means the ID
	Kind         storage.ClientKind
	Grants       []string
	Products     []string // the first is the default
	Terminals    []storage.Terminal
	Scopes       []string
	RedirectURIs []string
	// Secret is a secret that somebody chose; nil for a generated one, which is better.
	Secret *secret.Text
}

// InvalidError lists every fault of a draft.
type InvalidError struct{ Faults []string }

// Error implements error.
func (e *InvalidError) Error() string { return "invalid client: " + strings.Join(e.Faults, "; ") }

// Grants lists the grants a client may be given.
func Grants() []string {
	return []string{
		oauth.GrantClientCredentials, oauth.GrantPassword, oauth.GrantRefreshToken,
		oauth.GrantDeviceCode, oauth.GrantLoginToken, oauth.GrantWeChat,
	}
}

// faults collects what is wrong.
type faults []string

func (f *faults) add(bad bool, format string, args ...any) {
	if bad {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

// validate returns an [*InvalidError] with every fault; products are those of the configuration, nil
// if any will do.
func (d Draft) validate(products []string) error {
	var f faults
	f.add(!validID(string(d.ID)), "id: %.80q is not 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit", d.ID)
	f.add(len(d.Name) > MaxName || !utf8.ValidString(d.Name), "name: longer than %d bytes, or not UTF-8", MaxName)
	f.add(d.Kind != storage.Confidential && d.Kind != storage.Public, "type: %.20q is not confidential or public", d.Kind)
	d.secretFaults(&f)
	d.grantFaults(&f)
	d.signInFaults(&f, products)
	d.scopeFaults(&f)
	d.redirectFaults(&f)
	if len(f) > 0 {
		return &InvalidError{Faults: f}
	}
	return nil
}

func (d Draft) secretFaults(f *faults) {
	if d.Secret == nil {
		return
	}
	n := len(d.Secret.Reveal())
	f.add(d.Kind == storage.Public, "secret: a public client has none")
	f.add(n < minChosenSecret || n > maxSecret, "secret: a chosen secret has between %d and %d bytes", minChosenSecret, maxSecret)
}

func (d Draft) grantFaults(f *faults) {
	f.add(len(d.Grants) == 0, "grants: a client without any can do nothing")
	repeated(f, "grants", d.Grants)
	for _, g := range d.Grants {
		f.add(!slices.Contains(Grants(), g), "grants: %.80q is not one of %s", g, strings.Join(Grants(), ", "))
	}
	f.add(d.Kind == storage.Public && slices.Contains(d.Grants, oauth.GrantClientCredentials),
		"grants: a public client has no credentials, so not client_credentials either")
	f.add(slices.Contains(d.Grants, oauth.GrantRefreshToken) && !d.signsIn(),
		"grants: refresh_token needs a grant that signs users in")
}

// signsIn says whether a grant of the draft makes sessions.
func (d Draft) signsIn() bool {
	return slices.ContainsFunc(d.Grants, func(g string) bool {
		return g != oauth.GrantClientCredentials && g != oauth.GrantRefreshToken
	})
}

func (d Draft) signInFaults(f *faults, products []string) {
	f.add(d.signsIn() && len(d.Products) == 0, "products: a client that signs users in has at least one")
	f.add(d.signsIn() && len(d.Terminals) == 0, "terminals: a client that signs users in has at least one of mobile, browser, api")
	f.add(len(d.Products) > MaxProducts, "products: more than %d", MaxProducts)
	repeated(f, "products", d.Products)
	for _, p := range d.Products {
		if products == nil {
			f.add(!validID(p), "products: %.80q is not the name of a product", p)
		} else {
			f.add(!slices.Contains(products, p), "products: %.80q is not one of %s", p, strings.Join(products, ", "))
		}
	}
	repeated(f, "terminals", d.Terminals)
	for _, t := range d.Terminals {
		f.add(!slices.Contains(storage.Terminals(), t), "terminals: %.20q is not one of mobile, browser, api", t)
	}
}

func (d Draft) scopeFaults(f *faults) {
	repeated(f, "scopes", d.Scopes)
	for _, s := range d.Scopes {
		f.add(strings.Contains(s, " ") || !validScope(s), "scopes: %.80q is not a scope (RFC 6749 section 3.3)", s)
	}
	f.add(len(strings.Join(d.Scopes, " ")) > MaxScope, "scopes: more than %d bytes together", MaxScope)
}

func (d Draft) redirectFaults(f *faults) {
	f.add(len(d.RedirectURIs) > MaxRedirectURIs, "redirect_uris: more than %d", MaxRedirectURIs)
	repeated(f, "redirect_uris", d.RedirectURIs)
	for _, u := range d.RedirectURIs {
		if fault := redirectFault(u); fault != "" {
			f.add(true, "redirect_uris: %.120q %s", u, fault)
		}
	}
}

// redirectFault says what is wrong with a redirect URI, "" if nothing. They are compared as strings
// later (RFC 9700 §2.1), so that what is allowed here is what will be redirected to.
func redirectFault(raw string) string {
	if len(raw) > MaxRedirectURI {
		return fmt.Sprintf("is longer than %d bytes", MaxRedirectURI)
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] > '~' || strings.IndexByte(`"\<>*^{}|`+"`", raw[i]) >= 0 {
			return "has a character that URIs have not; there are no wildcards"
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return "is not a URI"
	case strings.Contains(raw, "#"):
		return "has a fragment"
	case u.User != nil:
		return "names a user"
	case u.Hostname() == "" || u.Opaque != "":
		return "names no host"
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return ""
	}
	return "is not https, nor http to a loopback address"
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

func repeated[T ~string](f *faults, field string, values []T) {
	seen := make(map[T]struct{}, len(values))
	for _, v := range values {
		_, twice := seen[v]
		f.add(twice, "%s: %.80q is named twice", field, string(v))
		seen[v] = struct{}{}
	}
}
