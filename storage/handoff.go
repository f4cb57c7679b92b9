package storage

import (
	"context"
	"encoding/json"
	"time"
)

// HandoffID names a hand-off: a device's request to be signed in, or a login token. Not a secret.
type HandoffID string

// HandoffHash is the SHA-256 of a secret that a hand-off is redeemed with: a device code or a login
// token. It is all that is stored of it.
type HandoffHash [32]byte

// HandoffState is where a hand-off stands.
type HandoffState string

// The states. A device's request goes
//
//	new → scanned → approved → redeemed
//	 └───────┴─────────┴─────→ denied | cancelled | expired
//
// and a login token begins as approved: whoever issued it has approved. Expired is never stored.
const (
	HandoffNew       HandoffState = "new"
	HandoffScanned   HandoffState = "scanned"
	HandoffApproved  HandoffState = "approved"
	HandoffRedeemed  HandoffState = "redeemed"
	HandoffDenied    HandoffState = "denied"
	HandoffCancelled HandoffState = "cancelled"
	HandoffExpired   HandoffState = "expired"
)

// Open says whether something may still become of a hand-off in this state.
func (s HandoffState) Open() bool {
	return s == HandoffNew || s == HandoffScanned || s == HandoffApproved
}

// Why a device's request was denied.
const (
	DeniedByUser     = "declined"
	DeniedForNumbers = "wrong_number"
)

// DeviceRequest is a device that asks to be signed in.
type DeviceRequest struct {
	ID   HandoffID
	Hash HandoffHash
	// Code is the public code in force, and OldCode the one before it, good until OldUntil (empty and
	// zero for none). Rotation counts the codes, from 0; RotatedAt is when Code came into force.
	Code      string // at most 16 bytes
	OldCode   string
	OldUntil  time.Time
	Rotation  int64
	RotatedAt time.Time
	State     HandoffState
	// Client, Product, Terminal, Scope and Device are what the device asks for, and from where.
	Client   ClientID
	Product  string
	Terminal Terminal
	Scope    string
	Device   Device
	// Place is what the limit of pending requests counts by; empty for none. At most 64 bytes.
	Place string
	// Number is shown on the asking screen and told by whoever approves; Wrong is how often it was
	// told wrong.
	Number string
	Wrong  int
	// User is who scanned it; empty while it is new. ScannedBy and ApprovedBy are the sessions that did,
	// Session is the one that it became.
	User       UserID
	ScannedBy  SessionID
	ApprovedBy SessionID
	Session    SessionID
	// ScopeLimit is the scope of the token that approved: the new session gets no more.
	ScopeLimit string
	// Why is why it was denied: [DeniedByUser] or [DeniedForNumbers].
	Why       string
	CreatedAt time.Time
	DecidedAt *time.Time // approved or denied; nil before
	ExpiresAt time.Time
}

// StateAt is where the request stands at now.
func (r *DeviceRequest) StateAt(now time.Time) HandoffState {
	return stateAt(r.State, r.ExpiresAt, now)
}

func stateAt(s HandoffState, expires, now time.Time) HandoffState {
	if s.Open() && !now.Before(expires) {
		return HandoffExpired
	}
	return s
}

// DeviceLimits bound how many requests are open at once. They are counted in the transaction that adds
// one more, and requests that race may pass them by as many as race.
type DeviceLimits struct {
	PerClient, PerPlace int
}

// DeviceTurn replaces the public code of a request that nobody has scanned.
type DeviceTurn struct {
	Hash HandoffHash
	// From is the rotation that the caller knows.
	From int64
	Code string
	// OldUntil is until when the code before stays good.
	OldUntil time.Time
	Now      time.Time
}

// DeviceScan is a signed-in user who has read the public code.
type DeviceScan struct {
	Code string
	User UserID
	// Bearer is the token that asks: its session has to stand at Now.
	Bearer Bearer
	// PerUser bounds the requests that a user has scanned and that are open.
	PerUser int
	Audit   *AuditRecord
	Now     time.Time
}

// DeviceDecision approves or denies a request.
type DeviceDecision struct {
	ID      HandoffID
	Approve bool
	// Number is what the approver read from the asking screen, MaxWrong how often it may be wrong: the last
	// time denies the request.
	Number   string
	MaxWrong int
	User     UserID
	Bearer   Bearer
	// ScopeLimit is the scope of the approving token.
	ScopeLimit string
	Audit      *AuditRecord
	Now        time.Time
}

// Devices keeps the requests of devices that ask to be signed in. All methods are atomic and durable;
// each step of a request is one conditional statement, whose affected-row count names the winner.
type Devices interface {
	// AskDevice adds a request. ErrExists if its hash or code is taken, ErrLimit if too many are open.
	AskDevice(ctx context.Context, r DeviceRequest, limits DeviceLimits) error

	// Device finds a request by its secret, DeviceByCode by a public code that is in force at now or was
	// just replaced, DeviceByID by its name. ErrNotFound. It may be over; see [DeviceRequest.StateAt].
	Device(ctx context.Context, hash HandoffHash) (DeviceRequest, error)
	DeviceByCode(ctx context.Context, code string, now time.Time) (DeviceRequest, error)
	DeviceByID(ctx context.Context, id HandoffID) (DeviceRequest, error)

	// TurnDevice replaces the public code, and returns the request as it then is. ErrStale if another call
	// did it before, or if the request is not new any more, which changes nothing; ErrExists if the code
	// is taken.
	TurnDevice(ctx context.Context, t DeviceTurn) (DeviceRequest, error)

	// ScanDevice makes a new request the user's, if its code is good at that instant and the bearer's
	// session, locked, stands. A scan by the same user again gives the same answer. Errors: [*EndedError]
	// for the bearer; ErrNotFound for the code; ErrTaken if another user was first; ErrLimit; ErrExpired;
	// ErrConsumed if it is over.
	ScanDevice(ctx context.Context, s DeviceScan) (DeviceRequest, error)

	// DecideDevice approves or denies, if the bearer's session, locked, stands. Approving takes a request
	// that this user has scanned, and the number; denying any that is open, if nobody else has scanned it.
	// Errors: [*EndedError] for the bearer; ErrNotFound; ErrTaken if another user has scanned it; ErrStale
	// if nobody has; ErrWrongNumber, which is counted, and denies the request the last time; ErrExpired;
	// ErrConsumed if it has been decided.
	DecideDevice(ctx context.Context, d DeviceDecision) (DeviceRequest, error)

	// CancelDevice ends an open request of a client by its secret. ErrNotFound; ErrConsumed if it is over.
	CancelDevice(ctx context.Context, hash HandoffHash, client ClientID, audit *AuditRecord, now time.Time) (DeviceRequest, error)
}

// LoginToken is a sign-in that a session, or an internal client, gives to another device.
type LoginToken struct {
	ID    HandoffID
	Hash  HandoffHash
	State HandoffState
	User  UserID
	// IssuedBy is the session that issued it; empty if Client did for itself.
	IssuedBy SessionID
	Client   ClientID
	// Product is what it signs in to, Terminal on what type of device; empty for any.
	Product  string
	Terminal Terminal
	// ScopeLimit is the scope of the token that issued it; of a client that acts for itself, nil: no limit.
	ScopeLimit *string
	// Data goes to whoever redeems it: a JSON value of at most 4 KiB, or nil.
	Data      json.RawMessage
	Session   SessionID // what it became
	CreatedAt time.Time
	ExpiresAt time.Time
}

// StateAt is where the token stands at now.
func (t *LoginToken) StateAt(now time.Time) HandoffState { return stateAt(t.State, t.ExpiresAt, now) }

// LoginHolder says whose login tokens are meant: those that a user's sessions issued, or those that a
// client issued for itself. One of the two is set.
type LoginHolder struct {
	User   UserID
	Client ClientID
}

// MaxLoginTokens is how many login tokens a list holds at most.
const MaxLoginTokens = 100

// Logins keeps login tokens. All methods are atomic and durable.
type Logins interface {
	// IssueLogin adds a token, if its issuer, locked, stands: [*EndedError] if not. ErrLimit if the holder
	// has as many open as limit; ErrNotFound for an unknown user, ErrDisabled for one who may not sign in.
	IssueLogin(ctx context.Context, t LoginToken, issuer Bearer, limit int, audit *AuditRecord) error
	// Login finds a token by its secret; ErrNotFound. It may be over.
	Login(ctx context.Context, hash HandoffHash) (LoginToken, error)
	// Logins lists the holder's tokens that are open at now, newest first, at most [MaxLoginTokens].
	Logins(ctx context.Context, holder LoginHolder, now time.Time) ([]LoginToken, error)
	// RevokeLogin cancels a token of the holder's. ErrNotFound; ErrConsumed if it is over.
	RevokeLogin(ctx context.Context, id HandoffID, holder LoginHolder, audit *AuditRecord, now time.Time) error
}

// HandoffKind says what a [HandoffClaim] redeems.
type HandoffKind string

// The kinds of hand-off.
const (
	HandoffDevice HandoffKind = "device"
	HandoffLogin  HandoffKind = "login"
)

// HandoffClaim redeems a hand-off in the transaction that opens the session; see [Opening].
type HandoffClaim struct {
	Kind HandoffKind
	ID   HandoffID
	Hash HandoffHash
	// By is the session that approved or issued, and ApprovedAt when. By is empty for a login token that
	// Client issued for itself.
	By         SessionID
	Client     ClientID
	ApprovedAt time.Time
}

// Start says that a session was started from another by a hand-off.
type Start struct {
	Session, Origin SessionID
}

// Starts tells which sessions were started from which.
type Starts interface {
	// Starts lists which sessions of a user, still kept, were started from which, at most 1000. One that
	// was joined may have been started from several.
	Starts(ctx context.Context, user UserID) ([]Start, error)
}
