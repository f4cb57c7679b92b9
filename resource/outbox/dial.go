package outbox

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errAddress says that a webhook's address is not one that may be called.
var errAddress = errors.New("the address is not public, and not in webhooks.allowed_networks")

const (
	maxURL      = 2048
	dialTimeout = 5 * time.Second
)

// special are the networks beside those that package netip knows which are not places of the public network
// (IANA's registries of special-purpose addresses), or in which another address hides.
func special() []netip.Prefix {
	names := []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
	}
	list := make([]netip.Prefix, 0, len(names))
	for _, n := range names {
		list = append(list, netip.MustParsePrefix(n))
	}
	return list
}

// reach says which addresses may be called.
type reach struct {
	http    bool
	allowed []netip.Prefix
	special []netip.Prefix
}

// admits says whether an address may be called.
func (r *reach) admits(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	if slices.ContainsFunc(r.allowed, in) {
		return true
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(r.special, in)
}

// control judges the address of a connection that is about to be made: after names were resolved, so that
// no answer of a name server is trusted for longer than it takes.
func (r *reach) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !r.admits(at.Addr()) {
		return errAddress
	}
	return nil
}

func (r *reach) dialer() *net.Dialer { return &net.Dialer{Timeout: dialTimeout, Control: r.control} }

// checkURL says what is wrong with a webhook's URL. What its name stands for is judged when it is called.
func (r *reach) checkURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case len(raw) > maxURL:
		return fmt.Errorf("is longer than %d bytes", maxURL)
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return errors.New("is not a URL such as https://shop.example.com/hooks")
	case u.User != nil:
		return errors.New("has a user or a password in it; the signature tells who calls")
	case u.Fragment != "":
		return errors.New("has a fragment, which is never sent")
	case strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c > '~' }):
		return errors.New("has characters that must be written in percent encoding")
	case u.Scheme != "https" && (u.Scheme != "http" || !r.http):
		return errors.New("must begin with https://")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !r.admits(a) {
		return errAddress
	}
	return nil
}
