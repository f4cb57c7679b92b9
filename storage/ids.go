package storage

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"time"
)

// Identifiers of different things are different types, so that they cannot be swapped.
type (
	// UserID is the opaque subject identifier of a user: the sub of tokens. It says nothing about the
	// user and is not derived from anything.
	UserID string
	// ClientID names an OAuth client; chosen by whoever created the client.
	ClientID string
	// SessionID names one sign-in: the sid of tokens. Not a secret.
	SessionID string
	// FamilyID names one member of a session: the refresh tokens that descend from one sign-in.
	FamilyID string
	// JournalID names a journal: the id of a transfer, a deposit and so on.
	JournalID string
	// AccountID names a ledger account. See [WalletAccount] and [WorldAccount].
	AccountID string
	// EventID names an event of the feed.
	EventID string
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// IDLength is the length of every identifier that [NewID] and [NewUserID] make.
const IDLength = 26

// NewID makes an identifier that sorts by time: 48 bits of milliseconds at now, then 80 random
// bits, as 26 characters of lower-case base32 (the alphabet of Crockford).
func NewID(now time.Time) string {
	var b [16]byte
	rand.Read(b[:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	return idEncoding.EncodeToString(b[:])
}

// IDTime reads the time out of an identifier that [NewID] made, to the millisecond; false for a text
// that is none.
func IDTime(id string) (time.Time, bool) {
	b, err := idEncoding.DecodeString(id)
	if err != nil || len(id) != IDLength {
		return time.Time{}, false
	}
	var ms [8]byte
	copy(ms[2:], b[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:]))).UTC(), true
}

// FirstID is the smallest identifier that [NewID] can make at t, to the millisecond.
func FirstID(t time.Time) string {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(t.UnixMilli(), 0)))
	var b [16]byte
	copy(b[:6], ms[2:])
	return idEncoding.EncodeToString(b[:])
}

// NewUserID makes a subject identifier: 128 random bits, so that it does not tell when the user came.
func NewUserID() UserID {
	var b [16]byte
	rand.Read(b[:])
	return UserID(idEncoding.EncodeToString(b[:]))
}

// Instant is t as the stores keep it: UTC, truncated to the microsecond.
func Instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
