package password

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // G501: to verify hashes that others made with it
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // G505: to verify hashes that others made with it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	gohash "hash"
	"strings"

	"golang.org/x/crypto/bcrypt"

	"github.com/tallystick/tallystick/keys/secret"
)

// Limits of hashes made elsewhere.
const (
	maxBcryptCost = 14
	maxIterations = 4_000_000
	maxSalt       = 256 // bytes
)

type bcryptHash struct{ encoded []byte }

func parseBcrypt(s string) (hash, error) {
	if len(s) != 60 || s[3] != '$' || s[6] != '$' || strings.IndexByte("aby", s[2]) < 0 {
		return nil, fmt.Errorf("%w: bcrypt is $2a$, $2b$ or $2y$, a cost of two digits, and 53 characters", ErrFormat)
	}
	if _, err := bounded("the cost of bcrypt", s[4:6], uint64(bcrypt.MinCost), maxBcryptCost); err != nil {
		return nil, err
	}
	const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	if strings.Trim(s[7:], alphabet) != "" {
		return nil, fmt.Errorf("%w: a character that bcrypt does not use", ErrFormat)
	}
	return &bcryptHash{encoded: []byte(s)}, nil
}

func (*bcryptHash) algorithm() Algorithm { return Bcrypt }

func (h *bcryptHash) matches(pw []byte) bool {
	return bcrypt.CompareHashAndPassword(h.encoded, pw) == nil
}

type pbkdf2Hash struct {
	digest     func() gohash.Hash
	iterations int
	salt       []byte
	key        []byte
}

func (*pbkdf2Hash) algorithm() Algorithm { return PBKDF2 }

func (h *pbkdf2Hash) matches(pw []byte) bool {
	key, err := pbkdf2.Key(h.digest, string(pw), h.salt, h.iterations, len(h.key))
	return err == nil && subtle.ConstantTimeCompare(key, h.key) == 1
}

// parseDjango reads pbkdf2_sha256$ITERATIONS$SALT$HASH: the salt is text, the hash base64.
func parseDjango(s string) (hash, error) {
	part := strings.Split(s, "$")
	if len(part) != 4 {
		return nil, fmt.Errorf("%w: pbkdf2_… has four parts: digest, iterations, salt, hash", ErrFormat)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(part[3])
	if err != nil {
		return nil, fmt.Errorf("%w: the hash is not base64", ErrFormat)
	}
	return newPBKDF2(strings.TrimPrefix(part[0], "pbkdf2_"), part[1], []byte(part[2]), key)
}

// parsePasslib reads $pbkdf2-sha256$ITERATIONS$SALT$HASH: both in base64 with . for + and no padding.
func parsePasslib(s string) (hash, error) {
	part := strings.Split(s, "$")
	if len(part) != 5 {
		return nil, fmt.Errorf("%w: $pbkdf2… has four parts: digest, iterations, salt, hash", ErrFormat)
	}
	digest := strings.TrimPrefix(part[1], "pbkdf2-")
	if part[1] == "pbkdf2" {
		digest = "sha1"
	}
	enc := base64.RawStdEncoding.Strict()
	salt, err := enc.DecodeString(strings.ReplaceAll(part[3], ".", "+"))
	if err != nil {
		return nil, fmt.Errorf("%w: the salt is not base64 without padding", ErrFormat)
	}
	key, err := enc.DecodeString(strings.ReplaceAll(part[4], ".", "+"))
	if err != nil {
		return nil, fmt.Errorf("%w: the hash is not base64 without padding", ErrFormat)
	}
	return newPBKDF2(digest, part[2], salt, key)
}

func newPBKDF2(digest, iterations string, salt, key []byte) (hash, error) {
	h := &pbkdf2Hash{salt: salt, key: key}
	switch digest {
	case "sha1":
		h.digest = sha1.New
	case "sha256":
		h.digest = sha256.New
	case "sha512":
		h.digest = sha512.New
	default:
		return nil, fmt.Errorf("%w: of PBKDF2, only SHA-1, SHA-256 and SHA-512 are known", ErrFormat)
	}
	n, err := bounded("the number of iterations", iterations, 1, maxIterations)
	if err != nil {
		return nil, err
	}
	h.iterations = int(n)
	if err := sized("salt", salt, 1, maxSalt); err != nil {
		return nil, err
	}
	// A key longer than one digest would multiply the work.
	if err := sized("hash", key, 16, h.digest().Size()); err != nil {
		return nil, err
	}
	return h, nil
}

// digestHash is a salted digest, in one of three orders.
type digestHash struct {
	kind   Algorithm
	digest func() gohash.Hash
	order  string // prefix, suffix or nested
	salt   []byte
	sum    []byte
}

func (h *digestHash) algorithm() Algorithm { return h.kind }

func (h *digestHash) matches(pw []byte) bool {
	d := h.digest()
	switch h.order {
	case "prefix":
		d.Write(h.salt)
		d.Write(pw)
	case "suffix":
		d.Write(pw)
		d.Write(h.salt)
	case "nested":
		inner := h.digest()
		inner.Write(pw)
		d.Write([]byte(hex.EncodeToString(inner.Sum(nil))))
		d.Write(h.salt)
	}
	return subtle.ConstantTimeCompare(d.Sum(nil), h.sum) == 1
}

// parseDigest reads {md5}HEX$SALT$ORDER.
func parseDigest(s string) (hash, error) {
	name, rest, _ := strings.Cut(s[1:], "}")
	h := &digestHash{kind: Algorithm(name)}
	switch h.kind {
	case MD5:
		h.digest = md5.New
	case SHA1:
		h.digest = sha1.New
	case SHA256:
		h.digest = sha256.New
	default:
		return nil, fmt.Errorf("%w: between braces, only md5, sha1, sha256 and hmac-sha1 are known", ErrFormat)
	}
	first, last := strings.IndexByte(rest, '$'), strings.LastIndexByte(rest, '$')
	if first < 0 || first == last {
		return nil, fmt.Errorf("%w: a salted digest is {%s}HEX$SALT$ORDER", ErrFormat, name)
	}
	var err error
	if h.sum, err = hex.DecodeString(rest[:first]); err != nil || len(h.sum) != h.digest().Size() {
		return nil, fmt.Errorf("%w: the digest is not %d hexadecimal digits", ErrFormat, 2*h.digest().Size())
	}
	order, inHex := strings.CutSuffix(rest[last+1:], "-hex")
	if h.order = order; order != "prefix" && order != "suffix" && order != "nested" {
		return nil, fmt.Errorf("%w: the order of a salted digest is prefix, suffix or nested", ErrFormat)
	}
	h.salt = []byte(rest[first+1 : last])
	if inHex {
		if h.salt, err = hex.DecodeString(rest[first+1 : last]); err != nil {
			return nil, fmt.Errorf("%w: the salt is not hexadecimal", ErrFormat)
		}
	}
	if err := sized("salt", h.salt, 0, maxSalt); err != nil {
		return nil, err
	}
	return h, nil
}

// keyedHash is HMAC-SHA1 of the password under a key that is not stored beside it.
type keyedHash struct {
	key secret.Text
	sum []byte
}

func (*keyedHash) algorithm() Algorithm { return HMACSHA1 }

func (h *keyedHash) matches(pw []byte) bool {
	mac := hmac.New(sha1.New, []byte(h.key.Reveal()))
	mac.Write(pw)
	return hmac.Equal(mac.Sum(nil), h.sum)
}

// parseKeyed reads {hmac-sha1}HEX$KEYID.
func parseKeyed(s string, keys map[string]secret.Text) (hash, error) {
	digits, id, _ := strings.Cut(strings.TrimPrefix(s, "{hmac-sha1}"), "$")
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha1.Size {
		return nil, fmt.Errorf("%w: the digest is not %d hexadecimal digits", ErrFormat, 2*sha1.Size)
	}
	key, ok := keys[id]
	if !ok {
		return nil, fmt.Errorf("%w: there is no key of that name in the configuration", ErrFormat)
	}
	return &keyedHash{key: key, sum: sum}, nil
}
