package brake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"

	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
)

const (
	// digestLength is how much of a digest is kept, in bytes.
	digestLength = 16
	// customer is how many bits of an IPv6 address name a customer.
	customer = 64
)

// digester makes the names under which tries are counted.
type digester struct{ key []byte }

// user names a try on the password of an account.
func (d digester) user(account, address string) storage.Try {
	// However a name is written, it is one account. One that nobody can have counts as it stands.
	if name, err := password.NormalizeUsername(account); err == nil {
		account = name
	}
	place, limited := network(address)
	t := storage.Try{Account: d.sum("account", account), Pair: d.sum("pair", account, place)}
	if limited {
		t.Address = d.sum("address", place)
	}
	return t
}

// client names a try on the secret of a client.
func (d digester) client(client storage.ClientID, address string) storage.Try {
	place, limited := network(address)
	t := storage.Try{Pair: d.sum("client pair", string(client), place)}
	if limited {
		t.Address = d.sum("client address", place)
	}
	return t
}

// userCode names a try of a user to name the code of a device.
func (d digester) userCode(user storage.UserID, address string) storage.Try {
	place, limited := network(address)
	t := storage.Try{Account: d.sum("code account", string(user)), Pair: d.sum("code pair", string(user), place)}
	if limited {
		t.Address = d.sum("code address", place)
	}
	return t
}

// sum is the digest of some words, each with its length, so that no two lists of them are alike.
func (d digester) sum(words ...string) string {
	mac := hmac.New(sha256.New, d.key)
	var length [4]byte
	for _, word := range words {
		binary.BigEndian.PutUint32(length[:], uint32(len(word)))
		mac.Write(length[:])
		mac.Write([]byte(word))
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:digestLength])
}

// network is what of an address names a customer, and whether it is an IP address at all.
func network(address string) (string, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address, false
	}
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String(), true
	}
	prefix, err := a.Prefix(customer)
	if err != nil {
		return address, false // cannot be: every IPv6 address has such a prefix
	}
	return prefix.String(), true
}
