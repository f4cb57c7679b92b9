package client

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	gohash "hash"
	"strings"
	"sync"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// SecretPrefix begins every generated secret, so that scanners of source code find a leaked one.
const SecretPrefix = "tss_"

// SecretKeyLength is the length of the key under which generated secrets are hashed.
const SecretKeyLength = 32

const (
	fastPrefix      = "hmac-sha256$"
	maxSecret       = 256 // bytes; longer ones are wrong
	minChosenSecret = 16  // bytes; of a secret that somebody chose
)

// Passwords makes and verifies slow hashes, for secrets that somebody chose. The checker of
// authserver/password is one.
type Passwords interface {
	Hash(ctx context.Context, pw secret.Text) (storage.PasswordHash, error)
	Matches(ctx context.Context, h storage.PasswordHash, pw secret.Text) (bool, error)
}

// mac is the keyed hash of a secret.
type mac [sha256.Size]byte

// hasher computes keyed hashes. Its states are reused: setting up a key costs as much as hashing.
type hasher struct{ states sync.Pool }

func newHasher(key []byte) *hasher {
	key = append([]byte(nil), key...)
	return &hasher{states: sync.Pool{New: func() any { return &state{mac: hmac.New(sha256.New, key)} }}}
}

type state struct {
	mac gohash.Hash
	buf []byte
}

// sum hashes a secret together with the client it is of.
func (h *hasher) sum(id storage.ClientID, s string) mac {
	st := h.states.Get().(*state)
	st.mac.Reset()
	st.buf = append(st.buf[:0], id...)
	st.buf = append(st.buf, 0)
	st.buf = append(st.buf, s...)
	st.mac.Write(st.buf)
	clear(st.buf)
	var m mac
	copy(m[:], st.mac.Sum(st.buf[:0]))
	h.states.Put(st)
	return m
}

// encode gives a keyed hash the form in which it is stored.
func (m mac) encode() storage.PasswordHash {
	return storage.PasswordHash(fastPrefix + base64.RawURLEncoding.EncodeToString(m[:]))
}

// decodeMAC reads what [mac.encode] wrote; false for a slow hash.
func decodeMAC(h storage.PasswordHash) (mac, bool) {
	text, ok := strings.CutPrefix(string(h), fastPrefix)
	if !ok {
		return mac{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != len(mac{}) {
		return mac{}, false
	}
	return mac(b), true
}

// generate makes a secret of 256 random bits.
func generate() secret.Text {
	var b [32]byte
	rand.Read(b[:])
	return secret.New(SecretPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
}

func checkKey(key []byte) error {
	if len(key) != SecretKeyLength {
		return fmt.Errorf("client: the secret key has %d bytes and must have %d", len(key), SecretKeyLength)
	}
	for _, b := range key {
		if b != 0 {
			return nil
		}
	}
	return errors.New("client: the secret key is all zeros")
}
