package storage

import (
	"context"
	"errors"
	"time"
)

// ErrLost says that the duty for a destination is another's by now, or that the destination was changed under who
// has it; nothing was written. Claim again.
var ErrLost = errors.New("the duty was lost")

// Limits of the outbox.
const (
	// MaxWebhooks is how many webhooks there are at most.
	MaxWebhooks = 100
	// MaxWaiting is how many deliveries of one destination wait at most; while so many wait, it takes in no more.
	MaxWaiting = 2000
	// MaxAdvance is how many deliveries [Outbox.Advance] changes at most.
	MaxAdvance = 1000
	// MaxDeadPage is how many deliveries [Outbox.Dead] returns at most, and [Outbox.Replay] revives.
	MaxDeadPage = 1000
)

// StreamDestination is the Redis stream. All other destinations are webhooks.
const StreamDestination Destination = "stream"

// Destination names where events go: [StreamDestination] or the ID of a webhook.
type Destination string

// Why a webhook is disabled.
const (
	// DisabledByHand: an operator did.
	DisabledByHand = "operator"
	// DisabledGone: it answered 410.
	DisabledGone = "gone"
	// DisabledFailing: it has taken nothing for days.
	DisabledFailing = "failing"
)

// Webhook is an endpoint of somebody else that is told of ledger events.
type Webhook struct {
	ID          Destination
	URL         string   // at most 2048 bytes
	Description string   // at most 256 bytes
	Events      []string // types that it wants; empty for all
	// Secret and OldSecret are the keys that sign, sealed; the old one is good until OldUntil.
	Secret, OldSecret []byte
	OldUntil          *time.Time
	// DisabledAt is since when nothing is delivered, and DisabledWhy one of the words above.
	DisabledAt  *time.Time
	DisabledWhy string
	// Version counts changes. A change is based on the one that was read.
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Webhooks are the endpoints. Every change of one takes the duty from whoever delivers for it, who then reads
// it anew.
type Webhooks interface {
	// CreateWebhook adds one whose deliveries begin after the sealed number after. ErrLimit if there are
	// [MaxWebhooks], ErrExists.
	CreateWebhook(ctx context.Context, w Webhook, after int64, audit *AuditRecord) error
	// Webhook gives ErrNotFound.
	Webhook(ctx context.Context, id Destination) (Webhook, error)
	// ListWebhooks returns all, by ID.
	ListWebhooks(ctx context.Context) ([]Webhook, error)
	// UpdateWebhook writes everything but ID, Version and CreatedAt, and raises the version; ErrStale if the
	// stored one is not that of w, ErrNotFound.
	UpdateWebhook(ctx context.Context, w Webhook, audit *AuditRecord) error
	// DeleteWebhook removes one with all of its deliveries; ErrNotFound.
	DeleteWebhook(ctx context.Context, id Destination, audit *AuditRecord) error
}

// Delivery is an event that a destination has not taken yet though it has gone on beyond it.
type Delivery struct {
	Destination Destination
	// Number is that of the journal in the sealed chain.
	Number  int64
	Journal JournalID
	// From and To are the users whose wallets it is about; empty where there is none.
	From, To UserID
	// Attempts is how many have failed; 0 for one that waits for an earlier event of its wallets.
	Attempts int
	// NextAt is not before when it is tried again.
	NextAt time.Time
	// LastAt is when it was tried last, and Fault what came of it, at most 200 bytes; nil and empty before.
	LastAt *time.Time
	Fault  string
	// DeadAt is when it was given up; nil for one that waits.
	DeadAt *time.Time
}

// Claim is the duty to deliver for a destination until Until.
type Claim struct {
	Destination Destination
	Epoch       int64
	// Number is up to where the destination has come in the sealed chain: every event up to there was taken by it,
	// waits or is dead.
	Number int64
	// TakenAt is when it last took an event; when it was made, if it never did.
	TakenAt time.Time
	// FailingAt is since when it has taken nothing though it was tried; nil if the last try was good, or the webhook was
	// changed since.
	FailingAt *time.Time
	Until     time.Time
}

// Advance is what was done under a claim.
type Advance struct {
	// Number is the new place in the chain, not before that of the claim.
	Number int64
	// Taken says that the destination took an event; FailingAt is what the claim's is from now on.
	Taken     bool
	FailingAt *time.Time
	// Put are deliveries to write, new ones or such as are there; Gone are numbers of deliveries that were taken.
	Put  []Delivery
	Gone []int64
	// Until is until when the duty is kept.
	Until time.Time
	Now   time.Time
}

// OutboxState is where a destination stands.
type OutboxState struct {
	Destination   Destination
	Number        int64
	Waiting, Dead int64
	TakenAt       time.Time
	FailingAt     *time.Time
}

// Outbox keeps how far destinations of ledger events have come. The events themselves are the journals of the
// sealed chain; see [Sealed.SealedAfter].
type Outbox interface {
	// Claim gives holder the duty for a destination until ttl has passed, if nobody else has it; ErrBusy if somebody has,
	// ErrNotFound if there is no such destination. Whoever claims again what is its own gets a new epoch, and
	// what it claimed before is lost. holder is at most 64 bytes.
	Claim(ctx context.Context, d Destination, holder string, ttl time.Duration, now time.Time) (Claim, error)
	// OpenStream makes the destination [StreamDestination] unless it is there, beginning after a number.
	OpenStream(ctx context.Context, after int64, now time.Time) error
	// Waiting returns the deliveries of a destination that are not dead, by number; at most [MaxWaiting] and some.
	Waiting(ctx context.Context, d Destination) ([]Delivery, error)
	// Advance writes what was done, in one transaction, if the claim still holds; ErrLost if not, and nothing is
	// written.
	Advance(ctx context.Context, c Claim, a Advance) error
	// Release gives the duty up. One that was lost is no error.
	Release(ctx context.Context, c Claim, now time.Time) error
	// Dead returns up to limit (at most [MaxDeadPage]) dead deliveries with numbers after after, by number.
	Dead(ctx context.Context, d Destination, after int64, limit int) ([]Delivery, error)
	// Replay has dead deliveries wait again, with no attempts: that of number, or with number 0 up to limit (at
	// most [MaxDeadPage]), the lowest first. It returns how many; ErrNotFound if number is not dead, ErrLimit
	// if more than [MaxWaiting] would wait.
	Replay(ctx context.Context, d Destination, number int64, limit int, now time.Time, audit *AuditRecord) (int, error)
	// OutboxStates tells of every destination, by name.
	OutboxStates(ctx context.Context) ([]OutboxState, error)
}

// LedgerEntry is an event as an entry of a stream.
type LedgerEntry struct {
	ID, Type string
	Number   int64
	Body     []byte
}
