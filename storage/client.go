package storage

import (
	"context"
	"time"
)

// ClientKind says whether a client can keep a secret (RFC 6749 §2.1).
type ClientKind string

// The kinds of client.
const (
	Confidential ClientKind = "confidential"
	Public       ClientKind = "public"
)

// Client is an OAuth client.
type Client struct {
	ID   ClientID
	Name string
	Kind ClientKind
	// Secret is the hash of the secret in force; OldSecret that of the one before it, good until
	// OldSecretUntil. Both empty for public clients.
	Secret         PasswordHash
	OldSecret      PasswordHash
	OldSecretUntil *time.Time
	// Products the client may sign users in to; the first is its default. Empty for internal apps.
	Products []string
	// Terminals it may sign users in on; the first is its default.
	Terminals    []Terminal
	Grants       []string // grant_type values
	Scopes       []string // what it may ask for; all of it when it asks for nothing
	RedirectURIs []string
	// Version grows with each change.
	Version    int64
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DisabledAt *time.Time
	// TokensFrom is the time from which its tokens count: those issued up to it are dead; nil for none.
	// Disabling a client sets it.
	TokensFrom *time.Time
}

// Clients keeps OAuth clients.
type Clients interface {
	// CreateClient gives ErrExists.
	CreateClient(ctx context.Context, c Client, audit *AuditRecord) error
	// Client gives ErrNotFound.
	Client(ctx context.Context, id ClientID) (Client, error)
	// ListClients returns up to limit clients with IDs after the given one, in their order.
	ListClients(ctx context.Context, after ClientID, limit int) ([]Client, error)
	// UpdateClient stores everything but ID, Kind, CreatedAt, DisabledAt and TokensFrom; ErrStale if
	// c.Version is not the stored one.
	UpdateClient(ctx context.Context, c Client, audit *AuditRecord) error
	// DisableClient refuses the client from now on and ends all its tokens: those issued at now or
	// before, until at most until. Its event is written in the same transaction and returned.
	DisableClient(ctx context.Context, id ClientID, actor string, until time.Time, audit *AuditRecord, now time.Time) (Event, error)
	// EnableClient lets it in again; tokens that were ended stay so.
	EnableClient(ctx context.Context, id ClientID, audit *AuditRecord, now time.Time) error
}

// Key is a signing or encryption key as stored: the private half sealed.
type Key struct {
	ID        string
	Use       string // "sig" or "enc"
	Algorithm string
	Sealed    []byte // at most 8 KiB
	CreatedAt time.Time
	// ActiveAt is when it begins to sign; RetiredAt from when it is neither used nor published.
	ActiveAt  time.Time
	RetiredAt *time.Time
}

// Keys keeps the key ring.
type Keys interface {
	// ListKeys returns all keys, oldest ActiveAt first.
	ListKeys(ctx context.Context) ([]Key, error)
	// AddKey adds a key if the newest key of its use is the one named by after ("" for none), and gives
	// ErrStale if not: of processes that race to make the first key, or to rotate, one wins. The newest
	// is the one with the latest CreatedAt, whether retired or not; in an emergency a key can be added
	// whose ActiveAt is before that of a key that still waits to sign.
	AddKey(ctx context.Context, k Key, after string) error
	// RetireKey sets RetiredAt; ErrNotFound.
	RetireKey(ctx context.Context, id string, at time.Time) error
}
