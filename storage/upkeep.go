package storage

import (
	"context"
	"time"
)

// TrimKind names what [Upkeep.Trim] trims.
type TrimKind string

// The kinds of what is trimmed. Each says by which time of a record before is meant.
const (
	// TrimRefreshes: refresh tokens by ExpiresAt, used or not. Until then an old copy of a used one is
	// still told as theft; afterwards it is unknown, and good for nothing.
	TrimRefreshes TrimKind = "refresh_tokens"
	// TrimSessions: sessions, ended or not, by ExpiresAt, with their refresh tokens. No token of a
	// session outlives that, so with before a day ago the tombstone outlives all of them by a day.
	TrimSessions TrimKind = "sessions"
	// TrimEvents: numbered events by Until.
	TrimEvents TrimKind = "events"
	// TrimRevoked: revoked tokens by their expiry.
	TrimRevoked TrimKind = "revoked_tokens"
	// TrimAnswers: recorded answers to writes by the time of their recording. A key whose answer is
	// trimmed is as good as new, so before has to be older than any repetition. The books then say from
	// when on they are complete; see [Books].
	TrimAnswers TrimKind = "answers"
	// TrimNonces: used nonces by the time until which they are remembered.
	TrimNonces TrimKind = "nonces"
	// TrimExchanges: exchanged codes by the time until which their outcome is remembered.
	TrimExchanges TrimKind = "exchanges"
	// TrimAudit: audit records by At.
	TrimAudit TrimKind = "audit"
	// TrimDevices: requests of devices by ExpiresAt; TrimLogins: login tokens by ExpiresAt.
	TrimDevices TrimKind = "device_requests"
	TrimLogins  TrimKind = "login_tokens"
	// TrimStarts: which session was started from which, by the ExpiresAt of the one that was started.
	TrimStarts TrimKind = "session_starts"
	// TrimDead: deliveries that were given up, by DeadAt.
	TrimDead TrimKind = "dead_deliveries"
)

// TrimKinds lists the kinds in the order in which they are best trimmed.
func TrimKinds() []TrimKind {
	return []TrimKind{
		TrimRefreshes, TrimSessions, TrimEvents, TrimRevoked, TrimAnswers, TrimNonces, TrimExchanges, TrimDevices, TrimLogins, TrimStarts, TrimDead, TrimAudit,
	}
}

// MaxTrim is how many records [Upkeep.Trim] removes at once.
const MaxTrim = 1000

// Upkeep keeps the store small. It may be called while everything else goes on.
type Upkeep interface {
	// Trim removes up to limit records (at most [MaxTrim]) of a kind whose time is before before, oldest
	// first, and returns how many; fewer than limit says that no more are due. Refresh tokens that go
	// with their session are counted.
	//
	// It removes rows by primary key in small transactions, and waits for nobody's sign-in for long, nor
	// lets one wait. The caller sees to it that before is past: what is due at before is removed though
	// it may be live. After an error some may be removed, which is no harm: trim again. Processes that
	// trim at once do no harm either, but are a waste; see Lead.
	Trim(ctx context.Context, kind TrimKind, before time.Time, limit int) (int, error)

	// Lead says whether holder has the duty from now on until ttl has passed: so it is if nobody has it,
	// or holder has it already (and keeps it for longer), or who had it let its time pass. Of several who
	// ask at once one gets it. A ttl of 0 gives the duty up. duty and holder are at most 64 bytes.
	//
	// It keeps processes from doing the same work twice. Their clocks may differ, so it is not what keeps
	// the work right.
	Lead(ctx context.Context, duty, holder string, ttl time.Duration, now time.Time) (bool, error)
}
