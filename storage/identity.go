package storage

import (
	"context"
	"time"
)

// IdentityID names an identity. Not a secret.
type IdentityID string

// MaxIdentities is how many identities a user may link; those that come by a common person (see
// [Identity.Union]) are not counted against it.
const MaxIdentities = 20

// Identity is a way in by another provider: what that provider calls the user.
type Identity struct {
	ID IdentityID
	// Provider, App and Subject are unique together: who says so, for which app of theirs, and the name
	// that it gives. At most 32, 64 and 128 bytes.
	Provider string
	App      string
	Subject  string
	// Union is the name of the person over all apps of a Realm; both empty where the provider tells none.
	// At most 128 and 64 bytes.
	Union string
	Realm string
	User  UserID
	// Sealed is what the provider gave for this identity and only the server may read; at most 512 bytes.
	Sealed    []byte
	CreatedAt time.Time
	UsedAt    time.Time
}

// Arrival is an identity that a provider has vouched for.
type Arrival struct {
	// Identity is it. ID and CreatedAt count if it is new; User is whom to link it to, for LinkIdentity.
	Identity Identity
	// Newcomer is the user to be made by AdmitIdentity where nobody is known yet.
	Newcomer User
	// Created and Linked are the records of a user and of an identity that are made; the store fills in
	// whose. Nil for none.
	Created, Linked *AuditRecord
	Now             time.Time
}

// Identities keeps ways in by other providers.
type Identities interface {
	// AdmitIdentity returns the identity with its user, and Sealed and UsedAt as they came. One that is not
	// known is linked to the user of its Union, or else to Newcomer, which is made then. One that is known
	// stays with its user, also where its Union belongs to another; a Union that is nobody's becomes its
	// user's. All of it is one transaction: of several arrivals of one identity, or of identities of
	// one union, at once, one makes the user and all return it.
	AdmitIdentity(ctx context.Context, a Arrival) (Identity, error)

	// LinkIdentity gives an identity to a user who is there; ErrNotFound if not. It gives ErrExists if the
	// identity or its Union belongs to somebody else, and ErrFull beyond [MaxIdentities]. One that the user
	// has already is returned, and made is false.
	LinkIdentity(ctx context.Context, a Arrival) (id Identity, made bool, err error)

	// ListIdentities returns those of a user, oldest first.
	ListIdentities(ctx context.Context, user UserID) ([]Identity, error)

	// UnlinkIdentity takes an identity from its user, and with the last of a Union the Union, and appends
	// the record in the same transaction. It gives ErrNotFound if the user has no such identity, and
	// ErrLastWay if the user has no password and no other: then nobody could get in any more. Of two that
	// take the last two ways at once, one gets ErrLastWay.
	UnlinkIdentity(ctx context.Context, user UserID, id IdentityID, audit *AuditRecord, now time.Time) error
}

// CodeHash is the stored side of a code that another provider gave out: what it stands for cannot be
// made of it.
type CodeHash [32]byte

// Exchange is how far the exchange of a code is.
type Exchange struct {
	// Mine says that the caller has it now and has to finish or drop it.
	Mine bool
	// Outcome is what became of it; nil while somebody else has it.
	Outcome []byte
}

// Exchanges remembers what became of single-use codes of other providers, so that a caller whose answer
// was lost gets it again instead of "used already".
type Exchanges interface {
	// BeginExchange claims a code for a holder (at most 64 bytes) if nobody has it: if it was never seen, if
	// what became of it is forgotten (its time has passed), or if who had it began before stale. Of several
	// who ask at once, one gets it.
	BeginExchange(ctx context.Context, code CodeHash, holder string, stale, until, now time.Time) (Exchange, error)
	// FinishExchange remembers the outcome (1 to 1024 bytes) until a time. It gives ErrStale if the holder
	// does not have the code any more.
	FinishExchange(ctx context.Context, code CodeHash, holder string, outcome []byte, until time.Time) error
	// DropExchange gives a code up as if it had never been seen; nothing if the holder does not have it.
	DropExchange(ctx context.Context, code CodeHash, holder string) error
}

// NonceHash is the stored side of a nonce.
type NonceHash [32]byte

// Nonces keeps what is good once.
type Nonces interface {
	// UseNonce uses a nonce up. It gives ErrConsumed if it was used before. It is durable before it
	// returns, and remembered at least until a time, after which the caller refuses the nonce by itself.
	UseNonce(ctx context.Context, nonce NonceHash, until time.Time) error
}
