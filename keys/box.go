package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/keys/secret"
)

// Box seals small secrets under a key that is derived from the encryption key for one purpose:
// AES-256-GCM with a random nonce. What is sealed with a label opens with that label only, so that it
// cannot be moved to another row. A Box prints redacted.
type Box struct{ aead cipher.AEAD }

// NewBox makes the box of a purpose. The same arguments open what was sealed before.
func NewBox(encryptionKey secret.Text, purpose string) (*Box, error) {
	k, err := Derive(encryptionKey, purpose, encryptionKeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, fmt.Errorf("prepare sealing: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("prepare sealing: %w", err)
	}
	return &Box{aead}, nil
}

// Seal seals a text under a label of any number of parts. It adds 29 bytes.
func (b *Box) Seal(plain []byte, label ...string) []byte {
	return b.aead.Seal([]byte{sealVersion}, nil, plain, joined(label)) //nolint:gosec // G407: this AEAD draws its nonce by itself and takes none.
}

// Open opens what Seal sealed under the same label.
func (b *Box) Open(sealed []byte, label ...string) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, errors.New("sealed in a way that this version does not know")
	}
	plain, err := b.aead.Open(nil, nil, sealed[1:], joined(label))
	if err != nil {
		return nil, errors.New("not sealed with this key under this label")
	}
	return plain, nil
}

// joined is each part with its length before it, so that no two lists of parts are the same.
func joined(parts []string) []byte {
	var b []byte
	for _, part := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// String implements fmt.Stringer.
func (*Box) String() string { return "box [redacted]" }
