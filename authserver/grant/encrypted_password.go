package grant

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Opener opens what clients encrypted for the server; [keys.Encryption] does.
type Opener interface {
	Open(compact string) ([]byte, error)
}

const (
	// nonceLife is how far the iat of an encrypted password may be from now, before or after.
	nonceLife = 60 * time.Second
	minNonce  = 16
	maxNonce  = 128
)

// The answers about encrypted passwords. What does not open and what holds nonsense is one answer: it tells
// nobody how far their guess at a text came.
const (
	badForm   = "encrypted_password must be a compact JWE with alg ECDH-ES, enc A256GCM and a kid, without zip and crit, of at most 8192 bytes"
	badKey    = "encrypted_password is for a key that is not published any more: read the key set at jwks_uri again"
	badSealed = "encrypted_password cannot be read: it must hold password, nonce (16 to 128 bytes) and iat (seconds since 1970) as JSON, encrypted for the key of use enc at jwks_uri"
	badTime   = "the iat of encrypted_password is more than 60 seconds from server_time"
	badNonce  = "the nonce of encrypted_password was used before: encrypt again, with a new one"
)

// sealedPassword is what an encrypted password holds.
type sealedPassword struct {
	Password secret.Text `json:"password"`
	Nonce    string      `json:"nonce"`
	IssuedAt int64       `json:"iat"`
}

// decrypt returns the password of a request that sent it encrypted, and uses its nonce up.
//
// A request is opened once: if the pipeline proves it again, the nonce is its own.
func (g *passwordGrant) decrypt(ctx context.Context, r *Request, compact string) (secret.Text, error) {
	if !r.opened.Empty() {
		return r.opened, nil
	}
	plain, err := g.opener.Open(compact)
	switch {
	case errors.Is(err, keys.ErrForm):
		return secret.Text{}, oauth.Wrap(oauth.InvalidRequest, badForm, err)
	case errors.Is(err, keys.ErrUnknownKey):
		return secret.Text{}, oauth.Wrap(oauth.InvalidRequest, badKey, err)
	case errors.Is(err, keys.ErrUnavailable):
		return secret.Text{}, oauth.Unavailable(err)
	case err != nil:
		return secret.Text{}, oauth.Wrap(oauth.InvalidRequest, badSealed, err)
	}
	sealed, ok := parseSealed(plain)
	if !ok {
		return secret.Text{}, oauth.New(oauth.InvalidRequest, badSealed)
	}
	issued := time.Unix(sealed.IssuedAt, 0)
	if age := r.now.Sub(issued); age > nonceLife || age < -nonceLife {
		skewed := oauth.New(oauth.InvalidRequest, badTime)
		at := r.now.UTC().Truncate(time.Second)
		skewed.ServerTime = &at
		return secret.Text{}, skewed
	}
	// The nonce is used up in the database before the password is looked at: losing Redis must not make it
	// good again. Beyond this time its iat is too old.
	until := storage.Instant(issued.Add(nonceLife))
	err = g.nonces.UseNonce(ctx, sha256.Sum256([]byte("encrypted password "+sealed.Nonce)), until)
	switch {
	case errors.Is(err, storage.ErrConsumed):
		return secret.Text{}, oauth.Wrap(oauth.InvalidGrant, badNonce, err)
	case err != nil:
		return secret.Text{}, fmt.Errorf("use nonce: %w", err)
	}
	r.opened = sealed.Password
	return r.opened, nil
}

// parseSealed reads what was encrypted. Nothing else may be in it, so that nobody believes that it counts.
func parseSealed(plain []byte) (sealedPassword, bool) {
	var s sealedPassword
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.DisallowUnknownFields()
	if dec.Decode(&s) != nil {
		return sealedPassword{}, false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return sealedPassword{}, false
	}
	n, length := len(s.Password.Reveal()), len(s.Nonce)
	return s, n > 0 && n <= maxPassword && length >= minNonce && length <= maxNonce
}
