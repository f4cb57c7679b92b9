package outbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

const (
	// secretPrefix begins a secret as it is shown.
	secretPrefix = "whsec_"
	// secretLength is that of the key in bytes.
	secretLength = 32
)

// Box seals secrets for rest; keys.Box is one.
type Box interface {
	Seal(plain []byte, label ...string) []byte
	Open(sealed []byte, label ...string) ([]byte, error)
}

// sealLabel is what a secret is bound to: it opens for its webhook alone.
func sealLabel(id storage.Destination) []string { return []string{"webhook", string(id)} }

func newSecret() []byte {
	key := make([]byte, secretLength)
	rand.Read(key)
	return key
}

// written is a key in the form of Standard Webhooks.
func written(key []byte) secret.Text {
	return secret.New(secretPrefix + base64.StdEncoding.EncodeToString(key))
}

// signature is the value of webhook-signature: one signature for each key.
func signature(keys [][]byte, id string, at time.Time, body []byte) string {
	all := make([]string, 0, len(keys))
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}
