package keys

import (
	"context"
	"errors"
	"time"
)

// The sentinels of the ring.
var (
	// ErrStale says that another process added a key in between; nothing was added. Stores return it
	// from AddKey.
	ErrStale = errors.New("the key ring changed in between")
	// ErrUnknownKey says that no published key has that identifier.
	ErrUnknownKey = errors.New("unknown key")
	// ErrUnavailable says that a key is not known and the store could not be asked for it.
	ErrUnavailable = errors.New("key store unavailable")
	// ErrEncryptionKey says that the encryption key is missing, malformed, or another than the one
	// with which the stored keys were sealed.
	ErrEncryptionKey = errors.New("encryption key")
	// ErrInUse says that a key cannot be retired without force: it signs, is about to, or its tokens
	// may live.
	ErrInUse = errors.New("key is in use")
	// ErrPending says that a key waits to sign, so that there is no need for another.
	ErrPending = errors.New("a next key is already published")
	// ErrTooMany says that as many keys are published as may be; retire old ones.
	ErrTooMany = errors.New("too many published keys")
)

// The uses of keys, as JOSE names them (RFC 7517 §4.2). A ring holds those of one use and leaves others alone.
const (
	useSignature  = "sig"
	useEncryption = "enc"
)

// Record is a key as stored: the private half sealed. Its fields are those of storage.Key, so that
// one converts to the other.
type Record struct {
	ID        string
	Use       string
	Algorithm string
	Sealed    []byte
	CreatedAt time.Time
	// ActiveAt is when it begins to sign; RetiredAt from when it is neither used nor published.
	ActiveAt  time.Time
	RetiredAt *time.Time
}

// retired says whether the key is retired at now.
func (r Record) retired(now time.Time) bool { return r.RetiredAt != nil && !now.Before(*r.RetiredAt) }

// signed says whether the key was, or may yet be, the one that signs: it was not retired before its
// time came.
func (r Record) signed() bool { return r.RetiredAt == nil || r.RetiredAt.After(r.ActiveAt) }

// Store keeps the records.
type Store interface {
	// ListKeys returns all records.
	ListKeys(ctx context.Context) ([]Record, error)
	// AddKey adds a record if the newest of its use, by CreatedAt, is the one named by after ("" for
	// none), and gives an error that is ErrStale if not.
	AddKey(ctx context.Context, r Record, after string) error
	// RetireKey sets RetiredAt.
	RetireKey(ctx context.Context, id string, at time.Time) error
}
