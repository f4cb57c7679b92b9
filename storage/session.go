package storage

import (
	"context"
	"encoding/json"
	"time"
)

// Terminal is the type of a device.
type Terminal string

// The terminals.
const (
	Mobile  Terminal = "mobile"
	Browser Terminal = "browser"
	API     Terminal = "api"
)

// Terminals lists them in the order of the documentation.
func Terminals() []Terminal { return []Terminal{Mobile, Browser, API} }

// Mode says what a further sign-in on a slot does to the session that lives there.
type Mode string

// The run modes.
const (
	// Kickout: the new sign-in ends the session before it (superseded).
	Kickout Mode = "kickout"
	// Shared: the new sign-in joins the session that lives there.
	Shared Mode = "shared"
	// Concurrent: each sign-in is its own session, up to a limit; the least recently used is evicted.
	Concurrent Mode = "concurrent"
)

// Reason says why a session ended.
type Reason string

// The reasons. See [Reason.Code].
const (
	Expired         Reason = "expired"
	Superseded      Reason = "superseded"
	Kicked          Reason = "kicked"
	Evicted         Reason = "evicted"
	SignedOut       Reason = "signed_out"
	PasswordChanged Reason = "password_changed"
	Banned          Reason = "banned"
	ReuseDetected   Reason = "reuse_detected"
)

// Code is what an app decides on: 1, sign in again silently; 2, go to the sign-in page and say why.
func (r Reason) Code() int {
	if r == Expired || r == SignedOut {
		return 1
	}
	return 2
}

// End is how a session, a client's tokens or one token ended.
type End struct {
	Reason Reason
	At     time.Time
	// Actor is who did it, for the audit record: "user:SUB", "client:ID", "operator:NAME" or "system".
	Actor string
	// By tells about the sign-in that superseded or evicted the session; nil for other reasons.
	By *Superseder
}

// Superseder is what the owner of a superseded session is told about the sign-in that ended it.
type Superseder struct {
	Terminal   Terminal
	DeviceName string
	At         time.Time
}

// Stamp is all that is needed to mint an access token again, byte for byte, beside its session: no
// secret is in it.
type Stamp struct {
	JTI       string
	KeyID     string
	IssuedAt  time.Time // whole seconds
	ExpiresAt time.Time // whole seconds
}

// Device is what a sign-in says about where it comes from. All fields may be empty.
type Device struct {
	ID        string // at most 128 bytes
	Name      string // at most 128 bytes
	Address   string // IP address without port, at most 45 bytes
	UserAgent string // at most 256 bytes
}

// Session is one sign-in: live, or ended with a reason. An ended one is kept (the tombstone) until
// every token that names it has expired, and a day longer.
type Session struct {
	ID       SessionID
	User     UserID
	Product  string
	Terminal Terminal
	Mode     Mode
	// Version is the number of the session within its slot (product, terminal, user); it only grows.
	Version int64
	// Client and Scope are those of the sign-in that opened the session. A joiner of a shared session
	// may have others; they stand on its refresh tokens.
	Client ClientID
	Scope  string
	Device Device
	// Data is the session_data of the sign-in: a JSON value of at most 4 KiB, or nil.
	Data json.RawMessage

	CreatedAt  time.Time
	LastSeenAt time.Time
	// ExpiresAt is the absolute end; IdleAt the earlier one that use pushes ahead (equal to ExpiresAt
	// where the product sets no idle limit). Both in whole seconds.
	ExpiresAt time.Time
	IdleAt    time.Time
	// Access stamps the newest access token; AccessUntil is when the last of all access tokens ever
	// minted for the session expires.
	Access      Stamp
	AccessUntil time.Time
	// End is nil while nobody has ended the session. A session past its time may still have nil here.
	End *End
}

// EndedAt returns how the session has ended as seen at now: its recorded end, or expiry, or nil if
// it is live.
func (s *Session) EndedAt(now time.Time) *End {
	if s.End != nil {
		return s.End
	}
	until := s.ExpiresAt
	if s.IdleAt.Before(until) {
		until = s.IdleAt
	}
	if !now.Before(until) {
		return &End{Reason: Expired, At: until, Actor: "system"}
	}
	return nil
}

// RefreshHash is the SHA-256 of a refresh token's jti: what is stored of it.
type RefreshHash [32]byte

// Refresh is the stored side of a refresh token.
type Refresh struct {
	Hash      RefreshHash
	Session   SessionID
	Family    FamilyID
	Client    ClientID
	Scope     string
	KeyID     string
	IssuedAt  time.Time // whole seconds
	ExpiresAt time.Time // whole seconds; never after the session's
	// Access stamps the access token handed out together with this refresh token.
	Access Stamp
	// UsedAt is when it was exchanged, and Next for which; nil and zero while it is unused. Used with
	// no Next is revoked: its family has signed out.
	UsedAt *time.Time
	Next   RefreshHash
}

// Opening asks for a session.
type Opening struct {
	// Session is the session to insert; its Version is assigned by the store. Its Access stamp is the
	// access token to hand out; it must not outlive ExpiresAt.
	Session Session
	// Refresh is the first refresh token, or nil. Its Session is set by the store.
	Refresh *Refresh
	// MaxSessions bounds the live sessions of a concurrent slot; at least 1.
	MaxSessions int
	// Credential, if not nil, is the [User.Credential] that the proof of identity was checked against.
	Credential *int64
	// Claim, if not nil, is the hand-off that this sign-in redeems.
	Claim *HandoffClaim
	// Audit is appended in the same transaction; nil for none. The store fills in the session.
	Audit *AuditRecord
	Now   time.Time
}

// Opened is what a sign-in got.
type Opened struct {
	// Session is the session as committed: the new one, or for a joiner the one that was there. Its
	// Access stamp is that of the access token to mint.
	Session Session
	// Refresh is the refresh token as committed, nil if none was asked for.
	Refresh *Refresh
	Joined  bool
	// Ended are the events of the sessions that this sign-in ended.
	Ended []Event
}

// Rotation asks to exchange a refresh token for its successor.
type Rotation struct {
	// Presented is the token's hash, Client who presents it.
	Presented RefreshHash
	Client    ClientID
	// Next is the successor as the caller would mint it. Its Hash must be a function of the presented
	// token alone, so that all who race propose the same; its ExpiresAt is cut to what the session
	// has left; Session, Family, Client and (if empty) Scope are taken from the presented token.
	Next Refresh
	// IdleTTL moves the idle limit of the session to Now+IdleTTL; 0 leaves it.
	IdleTTL time.Duration
	// KeepLeft is for shared sessions: while the session's access token has more than this left it is
	// handed out again, and otherwise replaced by Next.Access.
	KeepLeft time.Duration
	// Window is how long after its exchange the presented token still gets the same answer.
	Window time.Duration
	Now    time.Time
}

// Rotated is the answer to an exchange.
type Rotated struct {
	Session Session
	// Refresh is the successor as committed, by this call or by the one that is replayed.
	Refresh Refresh
	// Replayed says that the exchange was made before and its answer is given again.
	Replayed bool
}

// EndOrder selects sessions to end. User is required; empty fields do not narrow the selection.
type EndOrder struct {
	User     UserID
	Session  SessionID
	Product  string
	Terminal Terminal
	// Except is a session to spare.
	Except SessionID
	// StartedBy narrows the selection to what was started from a session by hand-offs, and from those in
	// turn. What that session and those have approved or issued, and nobody has redeemed, is cancelled.
	StartedBy SessionID
	Reason    Reason
	Actor     string
	// Account, if not nil, is changed in the same transaction, before the sessions are ended.
	Account *AccountChange
	// Audit is appended in the same transaction; nil for none.
	Audit *AuditRecord
	Now   time.Time
}

// AccountChange is a change of a user that ends sessions. Nil fields stay as they are.
type AccountChange struct {
	// Password replaces the hash and raises the credential number.
	Password *PasswordHash
	// Credential, if not nil, must be the user's present one, or the order fails with [ErrStale].
	Credential *int64
	// Disabled sets or clears DisabledAt.
	Disabled *bool
	// Ban sets the ban; a zero Ban clears it.
	Ban *Ban
}

// Bearer is what a presented access token says of itself, as far as its liveness is concerned.
type Bearer struct {
	Session  SessionID // empty for client credentials
	Client   ClientID
	JTI      string
	IssuedAt time.Time
}

// Sessions keeps sign-ins. All methods are atomic and durable.
type Sessions interface {
	// Open makes a session, and is the only way to make one. In one transaction it locks the slot,
	// applies the mode of the Opening, and inserts:
	//
	//   - Kickout: every session of the slot that nobody ended yet ends as superseded, also one whose
	//     time is past (so that its device learns of the sign-in rather than signing in silently),
	//     and the new session is inserted.
	//   - Shared: a live session is joined: it comes back with Joined, and its access stamp unchanged
	//     while that is unexpired, else replaced by the one of the Opening, cut to the session's end. Its
	//     expiry does not move. With no live session, the new one is inserted.
	//   - Concurrent: the new session is inserted; while more than MaxSessions live, the least recently
	//     seen ends as evicted.
	//
	// An inserted session has the slot's version plus one. However many sign-ins race, they come one
	// after the other: never two live ones on a kickout slot, never none, and one session for all who
	// join. Every ended session gets its event in the same transaction.
	//
	// With a claim, the hand-off is redeemed in the same transaction: the session that approved it, with
	// its client, or the client that issued it, has to stand ([*EndedError] if not), and the hand-off has to be
	// approved for this user and in time: ErrConsumed if it is not. Of any number who race, one gets a session.
	//
	// Open gives ErrNotFound for an unknown user, ErrDisabled for a disabled or banned one, ErrStale
	// if the user's credential number is not the one given. A user who is banned, disabled, or whose
	// password changes while Open runs either has no session of it afterwards, or an ended one.
	Open(ctx context.Context, o Opening) (Opened, error)

	// End ends all live sessions that the order selects, with their events, and applies the account
	// change, and returns the events. Ending what has ended is not an error and changes nothing: the
	// first reason stays. An unknown user gives ErrNotFound.
	End(ctx context.Context, o EndOrder) ([]Event, error)

	// Session returns one session, ended or not; ErrNotFound if there is none (any more).
	Session(ctx context.Context, id SessionID) (Session, error)

	// LiveSessions returns the sessions of a user that are live at now, newest first, at most 1000.
	LiveSessions(ctx context.Context, user UserID, now time.Time) ([]Session, error)

	// Sessions returns up to limit sessions of a user with IDs below before (empty: the newest), newest
	// first: those that nobody has ended, or with includeEnded all that are still kept. Some that
	// nobody has ended may be past their time; see [Session.EndedAt].
	Sessions(ctx context.Context, user UserID, includeEnded bool, before SessionID, limit int) ([]Session, error)

	// Check reads whether a token's session, or for client credentials its client, still stands at now.
	// It returns nil if so, an [*EndedError] if not (an unknown session is reported as Expired, since
	// tombstones outlive their tokens), and any other error if it cannot tell.
	// A token of client credentials has ended as well when it was revoked by its JTI.
	Check(ctx context.Context, b Bearer, now time.Time) error

	// RevokeToken ends one access token that has no session, by its jti, until it expires at until. In
	// one transaction it keeps the jti, writes the event ([SubjectToken], [SignedOut]) and appends the
	// audit record (nil for none), and it returns the event. Revoking what is revoked, or has expired at
	// now, is not an error and changes nothing.
	RevokeToken(ctx context.Context, jti string, client ClientID, actor string, until time.Time, audit *AuditRecord, now time.Time) ([]Event, error)

	// Touch moves LastSeenAt of live sessions forward to the times given, and never back. Sessions that
	// are unknown or have ended are passed over. It takes at most [MaxTouch] sessions and writes them in
	// small transactions, in order, so that no sign-in waits for long; after an error some may be written.
	Touch(ctx context.Context, seen map[SessionID]time.Time) error
}

// MaxTouch is how many sessions [Sessions.Touch] takes at once.
const MaxTouch = 1000

// Refreshes keeps refresh tokens; they are born in [Sessions.Open].
type Refreshes interface {
	// Rotate exchanges an unused token for its successor, in one transaction that locks the session:
	// unused becomes used, the successor is inserted, and the session's access stamp and times are
	// brought up to date.
	//
	// Presented again by its client within the window, while the successor itself is unused, the answer
	// is the same: the successor as committed, with Replayed. Presented later, or when the successor
	// has been used, the session ends as reuse_detected, in the same transaction, and the caller gets
	// an [*EndedError] that says so.
	//
	// Errors: ErrNotFound for a token that is unknown or belongs to another client (which changes
	// nothing); [*EndedError] when the session has ended, or expired; ErrExpired when the token is past
	// its own time. Any token of a family that was revoked gives an [*EndedError] that says SignedOut, and
	// is never taken for theft: the other members of the session are not to suffer for it. However many callers race, one exchange happens and all get its answer.
	Rotate(ctx context.Context, r Rotation) (Rotated, []Event, error)

	// Refresh returns a refresh token, used or not; ErrNotFound if there is none (any more). What it
	// belongs to and its scope never change, so what is refused for them need not use it up first.
	Refresh(ctx context.Context, hash RefreshHash) (Refresh, error)

	// Revoke signs out the family of a token, used or not: the family's unused token is used up without
	// a successor. The last family out ends the session as SignedOut, with its event. All of it, and the
	// audit record (nil for none; its user and session are filled in), is one transaction.
	//
	// ErrNotFound for a token that is unknown or belongs to another client, which changes nothing. With
	// no live token left in the family, or the session ended, there is nothing to do and no error.
	Revoke(ctx context.Context, hash RefreshHash, client ClientID, actor string, audit *AuditRecord, now time.Time) ([]Event, error)

	// Members returns how many live families a session has: those with a token that is neither used nor
	// past its time at now. None if the session is unknown or not live.
	Members(ctx context.Context, session SessionID, now time.Time) (int, error)

	// Families returns whose the families of a session are, one client for each that a token is kept of,
	// whether the family lives, has signed out or let its time pass; at most limit. Who holds an access
	// token of the session is known only where there has never been a second family.
	Families(ctx context.Context, session SessionID, limit int) ([]ClientID, error)
}
