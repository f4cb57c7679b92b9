package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/tallystick/tallystick/storage"
)

// Limits of argon2 hashes made elsewhere.
const (
	maxMemory = 256 << 10 // KiB
	maxPasses = 16
	maxWork   = 1 << 20 // KiB over all passes
	maxLanes  = 16
)

// What our own hashes have.
const (
	saltLength = 16
	keyLength  = 32
)

// parameters are the costs of an argon2 hash.
type parameters struct {
	memory uint32 // KiB
	time   uint32
	lanes  uint8
}

// minimum says whether the parameters are one of the equivalents of OWASP's minimum, or above it.
func (p parameters) minimum() bool {
	for _, least := range []parameters{{47104, 1, 1}, {19456, 2, 1}, {12288, 3, 1}, {9216, 4, 1}, {7168, 5, 1}} {
		if p.memory >= least.memory && p.time >= least.time && p.lanes >= 1 {
			return true
		}
	}
	return false
}

// argon2Hash is a parsed $argon2id$ or $argon2i$.
type argon2Hash struct {
	parameters

	kind Algorithm
	salt []byte
	key  []byte
}

func (h *argon2Hash) algorithm() Algorithm { return h.kind }

func (h *argon2Hash) matches(pw []byte) bool {
	derive := argon2.IDKey
	if h.kind == Argon2i {
		derive = argon2.Key
	}
	key := derive(pw, h.salt, h.time, h.memory, h.lanes, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// upToDate says whether the hash is at least as strong as one made now with p.
func (h *argon2Hash) upToDate(p parameters) bool {
	return h.kind == Argon2id && h.memory >= p.memory && h.time >= p.time &&
		len(h.salt) >= saltLength && len(h.key) >= keyLength
}

// derive makes a hash of pw with a salt of its own.
func (p parameters) derive(pw []byte) storage.PasswordHash {
	var salt [saltLength]byte
	rand.Read(salt[:])
	key := argon2.IDKey(pw, salt[:], p.time, p.memory, p.lanes, keyLength)
	enc := base64.RawStdEncoding
	return storage.PasswordHash(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, p.memory, p.time, p.lanes, enc.EncodeToString(salt[:]), enc.EncodeToString(key)))
}

func parseArgon2(s string) (hash, error) {
	part := strings.Split(s, "$")
	if len(part) != 6 {
		return nil, fmt.Errorf("%w: argon2 has five parts: kind, version, parameters, salt, hash", ErrFormat)
	}
	h := &argon2Hash{kind: Algorithm(part[1])}
	if h.kind != Argon2id && h.kind != Argon2i {
		return nil, fmt.Errorf("%w: of argon2, only argon2id and argon2i are known", ErrFormat)
	}
	if part[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, fmt.Errorf("%w: of argon2, only version %d is known", ErrFormat, argon2.Version)
	}
	var err error
	if h.parameters, err = parseParameters(part[3]); err != nil {
		return nil, err
	}
	enc := base64.RawStdEncoding.Strict()
	if h.salt, err = enc.DecodeString(part[4]); err != nil {
		return nil, fmt.Errorf("%w: the salt is not base64 without padding", ErrFormat)
	}
	if h.key, err = enc.DecodeString(part[5]); err != nil {
		return nil, fmt.Errorf("%w: the hash is not base64 without padding", ErrFormat)
	}
	if err := sized("salt", h.salt, 8, 64); err != nil {
		return nil, err
	}
	if err := sized("hash", h.key, 16, 64); err != nil {
		return nil, err
	}
	return h, nil
}

// parseParameters reads "m=19456,t=2,p=1".
func parseParameters(s string) (parameters, error) {
	m, rest, ok1 := strings.Cut(s, ",")
	t, p, ok2 := strings.Cut(rest, ",")
	m, ok3 := strings.CutPrefix(m, "m=")
	t, ok4 := strings.CutPrefix(t, "t=")
	p, ok5 := strings.CutPrefix(p, "p=")
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return parameters{}, fmt.Errorf("%w: the parameters of argon2 are m=…,t=…,p=…", ErrFormat)
	}
	memory, err := bounded("m", m, 8, maxMemory)
	if err != nil {
		return parameters{}, err
	}
	passes, err := bounded("t", t, 1, maxPasses)
	if err != nil {
		return parameters{}, err
	}
	lanes, err := bounded("p", p, 1, maxLanes)
	if err != nil {
		return parameters{}, err
	}
	if memory*passes > maxWork {
		return parameters{}, fmt.Errorf("%w: m times t is above %d", ErrFormat, maxWork)
	}
	return parameters{memory: uint32(memory), time: uint32(passes), lanes: uint8(lanes)}, nil
}
