package storage

import (
	"context"
	"log/slog"
	"time"
)

// PasswordHash is a password hash with its parameters. It prints redacted.
type PasswordHash string

// String implements fmt.Stringer.
func (PasswordHash) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (PasswordHash) GoString() string { return "[redacted]" }

// LogValue implements slog.LogValuer.
func (PasswordHash) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText keeps the hash out of JSON.
func (PasswordHash) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Ban keeps a user out until a time, or for ever. The zero Ban is none.
type Ban struct {
	At     time.Time
	Until  *time.Time // nil: until lifted
	Reason string     // at most 256 bytes; for operators
}

// User is an account.
type User struct {
	ID UserID
	// Username is unique, compared as bytes; the caller has normalised it. At most 128 bytes.
	Username string
	Password PasswordHash // empty: no sign-in by password
	// Credential grows by one with each change of password (not with an upgrade of its hash).
	Credential int64
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DisabledAt *time.Time
	Ban        *Ban
}

// Barred says whether the user may not sign in at now.
func (u *User) Barred(now time.Time) bool {
	if u.DisabledAt != nil {
		return true
	}
	return u.Ban != nil && (u.Ban.Until == nil || now.Before(*u.Ban.Until))
}

// Users keeps accounts. Changes that end sessions go through [Sessions.End].
type Users interface {
	// CreateUser gives ErrExists if the ID or the username is taken.
	CreateUser(ctx context.Context, u User) error
	// User and UserByName give ErrNotFound.
	User(ctx context.Context, id UserID) (User, error)
	UserByName(ctx context.Context, username string) (User, error)
	// ListUsers returns up to limit users with usernames after the given one, in their order.
	ListUsers(ctx context.Context, after string, limit int) ([]User, error)
	// UpgradeHash replaces a hash by another of the same password. ErrStale if it is not old any more.
	UpgradeHash(ctx context.Context, id UserID, old, upgraded PasswordHash, now time.Time) error
	// Reinstate clears DisabledAt and the ban, and appends the audit record in the same transaction.
	Reinstate(ctx context.Context, id UserID, audit *AuditRecord, now time.Time) error
}

// AuditRecord says who did what, from where, when. Nothing in it is secret.
type AuditRecord struct {
	ID      string
	At      time.Time
	Action  string // "session.opened", "session.ended", "user.created", …
	Result  string // "ok" or the error code
	Actor   string // as in [End]
	User    UserID
	Client  ClientID
	Session SessionID
	Address string
	// Detail is a small flat set of words, at most 2 KiB as JSON.
	Detail map[string]string
}

// Audit is the append-only record.
type Audit interface {
	Append(ctx context.Context, r AuditRecord) error
	// ListAudit returns up to limit records with IDs after the given one, oldest first, not older than
	// since. IDs sort by time.
	ListAudit(ctx context.Context, since time.Time, after string, limit int) ([]AuditRecord, error)
}
