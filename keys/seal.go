package keys

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tallystick/tallystick/keys/secret"
)

// encryptionKeySize is the size of the configured encryption key in bytes, before base64.
const encryptionKeySize = 32

// maxDerived is the most that HKDF with SHA-256 can give (RFC 5869 §2.3).
const maxDerived = 255 * sha256.Size

// sealVersion stands before every sealed key, so that another way of sealing can follow this one.
const sealVersion = 1

// Derive makes a key of n bytes for one purpose out of the encryption key, with HKDF-SHA256. The same
// arguments give the same key, other purposes give keys that tell nothing about each other, and
// the encryption key itself is used for nothing else.
func Derive(encryptionKey secret.Text, purpose string, n int) ([]byte, error) {
	if purpose == "" || n < 1 || n > maxDerived {
		return nil, fmt.Errorf("derive key: purpose %q, %d bytes: a purpose and 1 to %d bytes are needed", purpose, n, maxDerived)
	}
	master, err := decodeEncryptionKey(encryptionKey)
	if err != nil {
		return nil, err
	}
	k, err := hkdf.Key(sha256.New, master, nil, "tallystick "+purpose, n)
	if err != nil {
		return nil, fmt.Errorf("derive key for %s: %w", purpose, err)
	}
	return k, nil
}

// decodeEncryptionKey takes base64 in either alphabet, padded or not, and nothing else.
func decodeEncryptionKey(encryptionKey secret.Text) ([]byte, error) {
	if encryptionKey.Empty() {
		return nil, fmt.Errorf("%w: there is none; make one with: openssl rand -base64 32", ErrEncryptionKey)
	}
	text := encryptionKey.Reveal()
	encoding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if !strings.HasSuffix(text, "=") {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	k, err := encoding.Strict().DecodeString(text)
	// The decoder skips line breaks, which a secret that was pasted or read from a file may carry.
	if err != nil || len(k) != encryptionKeySize || strings.ContainsAny(text, "\r\n") {
		// The cause would quote part of the secret, so it is left out.
		return nil, fmt.Errorf("%w: it is not the base64 of %d bytes; make one with: openssl rand -base64 32",
			ErrEncryptionKey, encryptionKeySize)
	}
	return k, nil
}

// vault seals and opens private keys.
type vault struct{ aead cipher.AEAD }

func newVault(encryptionKey secret.Text) (vault, error) {
	k, err := Derive(encryptionKey, "sealing of private keys", encryptionKeySize)
	if err != nil {
		return vault{}, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return vault{}, fmt.Errorf("prepare sealing: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return vault{}, fmt.Errorf("prepare sealing: %w", err)
	}
	return vault{aead}, nil
}

// seal encrypts a private key for the row that r describes.
func (v vault) seal(r Record, private crypto.Signer) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return v.aead.Seal([]byte{sealVersion}, nil, plain, label(r)), nil //nolint:gosec // G407: this AEAD draws its nonce by itself and takes none.
}

// open decrypts and parses the private key of a row, and checks that it is the one the row names.
func (v vault) open(r Record) (Signer, Verifier, error) {
	if len(r.Sealed) == 0 || r.Sealed[0] != sealVersion {
		return Signer{}, Verifier{}, errors.New("sealed in a way that this version does not know")
	}
	if err := fits(r.Use, r.Algorithm); err != nil {
		return Signer{}, Verifier{}, err
	}
	plain, err := v.aead.Open(nil, nil, r.Sealed[1:], label(r))
	if err != nil {
		return Signer{}, Verifier{}, fmt.Errorf("%w: it does not open this key; configure the encryption key with which "+
			"the key was made, or, if that is lost, retire all keys", ErrEncryptionKey)
	}
	private, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return Signer{}, Verifier{}, errors.New("not a PKCS #8 private key") // the cause might quote it
	}
	s, p, err := pair(r.ID, r.Algorithm, private)
	if err != nil {
		return Signer{}, Verifier{}, err
	}
	if id, err := thumbprint(p.Key); err != nil || id != r.ID {
		return Signer{}, Verifier{}, errors.New("identifier is not the thumbprint of the key")
	}
	return s, p, nil
}

// label is what a sealed key is bound to: each part with its length before it, so that no two rows
// share a label.
func label(r Record) []byte { return joined([]string{r.ID, r.Use, r.Algorithm}) }
