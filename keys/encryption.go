package keys

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The sentinels of decryption.
var (
	// ErrForm says that a text is not encrypted in the one way that is taken; the text of the error says which.
	ErrForm = errors.New("not a compact JWE with alg ECDH-ES, enc A256GCM and a kid, without zip and crit")
	// ErrSealed says that a text does not open. It does not say why.
	ErrSealed = errors.New("the text does not open")
)

const (
	// MaxSealed is the longest encrypted text that is looked at, in bytes.
	MaxSealed = 8 << 10
	// maxHeader is the longest protected header, encoded.
	maxHeader = 1 << 10
	// compactParts are those of a compact JWE (RFC 7516 §7.1).
	compactParts = 5
)

// Encryption is the ring of the keys that clients encrypt for. It lives as a [Ring] does: a new key is made
// and sealed, takes over after Config.Publish, and what was encrypted for the one before opens until that is
// retired. Its methods may be called by any number of goroutines.
type Encryption struct{ ring *Ring }

// OpenEncryption reads the ring, and makes a first key when there is none. Config.Algorithm is of no concern;
// Config.Keep is how long clients may go on with a key that they have read.
func OpenEncryption(ctx context.Context, c Config) (*Encryption, error) {
	c.use, c.Algorithm = useEncryption, ECDHES
	r, err := openRing(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("encryption: %w", err)
	}
	return &Encryption{r}, nil
}

// Start begins to read the store again every Config.Refresh, and Stop ends that; see [Ring.Start].
func (e *Encryption) Start() { e.ring.Start() }

// Stop ends what Start began.
func (e *Encryption) Stop() { e.ring.Stop() }

// List is [Ring.List].
func (e *Encryption) List(ctx context.Context) ([]Info, error) {
	all, err := e.ring.List(ctx)
	for i := range all {
		all[i] = encrypting(all[i])
	}
	return all, err
}

// Rotate is [Ring.Rotate].
func (e *Encryption) Rotate(ctx context.Context) (Info, error) {
	made, err := e.ring.Rotate(ctx)
	return encrypting(made), err
}

// RotateNow is [Ring.RotateNow].
func (e *Encryption) RotateNow(ctx context.Context) (Info, error) {
	made, err := e.ring.RotateNow(ctx)
	return encrypting(made), err
}

// Retire is [Ring.Retire].
func (e *Encryption) Retire(ctx context.Context, id string, force bool) error {
	return e.ring.Retire(ctx, id, force)
}

// encrypting puts the states into words that are right for such keys.
func encrypting(k Info) Info {
	switch k.State {
	case Signing:
		k.State = Encrypting
	case Verifying:
		k.State = Decrypting
	case Next, Retired, Encrypting, Decrypting:
	}
	return k
}

// Open decrypts a compact JWE (RFC 7516) for one of the keys. It gives [ErrForm] before any work is done,
// [ErrUnknownKey] and [ErrUnavailable] as [Ring.Verifier] does, and [ErrSealed] for all else. None of them
// tells anything of what is in it.
func (e *Encryption) Open(compact string) ([]byte, error) {
	id, err := protected(compact)
	if err != nil {
		return nil, err
	}
	sealed, err := jose.ParseEncryptedCompact(compact, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, ErrForm // the cause might quote it
	}
	k, err := e.ring.published(id)
	if err != nil {
		return nil, err
	}
	private, ok := k.signer.Key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, ErrSealed // cannot be: the ring holds no others
	}
	plain, err := sealed.Decrypt(private)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// protected reads the header of a compact JWE, and returns the identifier of the key. What could make work
// (compression, unknown extensions, length) is refused here.
func protected(compact string) (string, error) {
	if len(compact) > MaxSealed || strings.Count(compact, ".") != compactParts-1 {
		return "", ErrForm
	}
	encoded, _, _ := strings.Cut(compact, ".")
	if len(encoded) > maxHeader {
		return "", ErrForm
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "", ErrForm
	}
	var header map[string]json.RawMessage
	if json.Unmarshal(raw, &header) != nil {
		return "", ErrForm
	}
	for _, refused := range []string{"zip", "crit"} {
		if _, there := header[refused]; there {
			return "", ErrForm
		}
	}
	text := func(name string) (s string) {
		_ = json.Unmarshal(header[name], &s) // what is no text is none
		return s
	}
	if text("alg") != ECDHES || text("enc") != string(jose.A256GCM) || text("kid") == "" {
		return "", ErrForm
	}
	return text("kid"), nil
}

// current is the key that clients are to encrypt for at now.
func (e *Encryption) current(now time.Time) (jwk, bool) {
	s := e.ring.now.Load()
	k, ok := s.signing(now)
	for i := range s.published {
		if ok && s.published[i].record.ID == k.record.ID {
			return s.public[i], true
		}
	}
	return jwk{}, false
}

// Published is the key set of a server: all keys that sign or have signed, and the one key to encrypt for.
type Published struct {
	Signing    *Ring
	Encryption *Encryption
}

// JWKS returns the set as a JSON Web Key Set, and its entity tag.
func (p Published) JWKS() (body []byte, etag string) {
	signing := p.Signing.now.Load()
	k, ok := p.Encryption.current(p.Encryption.ring.config.Now())
	if !ok {
		return p.Signing.JWKS()
	}
	list := append(make([]jwk, 0, len(signing.public)+1), signing.public...)
	body, etag, err := keySet(append(list, k))
	if err != nil { // cannot be: they are texts, and each set was written before
		return p.Signing.JWKS()
	}
	return body, etag
}
