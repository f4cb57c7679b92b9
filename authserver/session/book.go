package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/failpoint"
)

// Config is what a [Book] needs.
type Config struct {
	Sessions  storage.Sessions
	Refreshes storage.Refreshes
	// Starts tells which session was started from which; nil if that is not asked.
	Starts storage.Starts
	// Announcer hurries ends to other processes; nil if there are none.
	Announcer storage.Announcer
	// Ended acts on ends in this process before the answer is written; nil if nobody here must know.
	Ended func([]storage.Event)
	// Trail records what the stores do not record themselves.
	Trail *audit.Trail
	// Now tells the time; nil for time.Now.
	Now func() time.Time
	// Metrics counts sign-ins and ends; nil for not.
	Metrics prometheus.Registerer
}

// Book keeps the sessions.
type Book struct {
	sessions  storage.Sessions
	refreshes storage.Refreshes
	starts    storage.Starts
	announcer storage.Announcer
	ended     func([]storage.Event)
	trail     *audit.Trail
	now       func() time.Time
	metrics   *metrics
}

// New makes a Book.
func New(cfg Config) (*Book, error) {
	if cfg.Sessions == nil || cfg.Refreshes == nil || cfg.Trail == nil {
		return nil, errors.New("session: the stores of sessions and refresh tokens and the trail are needed")
	}
	b := &Book{sessions: cfg.Sessions, refreshes: cfg.Refreshes, starts: cfg.Starts, announcer: cfg.Announcer, ended: cfg.Ended, trail: cfg.Trail, now: cfg.Now}
	if b.now == nil {
		b.now = time.Now
	}
	var err error
	b.metrics, err = newMetrics(cfg.Metrics)
	return b, err
}

// SignIn is a proven sign-in.
type SignIn struct {
	// Grant is the grant type that proved it, for the audit record.
	Grant string
	User  storage.UserID
	// Credential is what the proof was checked against; nil if it does not hang on a password.
	Credential *int64
	Client     storage.ClientID
	Scope      string
	Rule       product.Rule
	Device     storage.Device
	Data       json.RawMessage
	// Claim is the hand-off that proves it; nil for other proofs.
	Claim *storage.HandoffClaim
	// Access stamps the access token to hand out if a session is made; Refresh is the first refresh
	// token, nil for none.
	Access  storage.Stamp
	Refresh *storage.Refresh
	Now     time.Time
}

// Open opens a session for a proven sign-in, or joins the one that is shared on its slot, and tells
// of the sessions it ended. Its errors are those of [storage.Sessions.Open].
func (b *Book) Open(ctx context.Context, s SignIn) (storage.Opened, error) {
	opened, err := b.sessions.Open(ctx, s.opening())
	if err != nil {
		return storage.Opened{}, fmt.Errorf("open session: %w", err)
	}
	b.metrics.open(&opened)
	b.tell(ctx, opened.Ended)
	return opened, nil
}

func (s *SignIn) opening() storage.Opening {
	now := storage.Instant(s.Now)
	times := s.Rule.Opened(now)
	return storage.Opening{
		Session: storage.Session{
			ID: storage.SessionID(storage.NewID(now)), User: s.User, Product: s.Rule.Product, Terminal: s.Rule.Terminal, Mode: s.Rule.Mode,
			Client: s.Client, Scope: s.Scope, Device: s.Device, Data: s.Data,
			CreatedAt: now, LastSeenAt: now, ExpiresAt: times.SessionEnd, IdleAt: times.IdleEnd,
			Access: s.Access, AccessUntil: s.Access.ExpiresAt,
		},
		Refresh:     s.Refresh,
		MaxSessions: s.Rule.MaxSessions,
		Credential:  s.Credential,
		Claim:       s.Claim,
		Audit:       s.audit(now),
		Now:         now,
	}
}

func (s *SignIn) audit(now time.Time) *storage.AuditRecord {
	record := audit.Origin{Actor: "user:" + string(s.User), Client: s.Client, Address: s.Device.Address}.Record(audit.SessionOpened, now)
	record.User = s.User
	record.Detail = audit.Detail("grant", s.Grant, "product", s.Rule.Product, "terminal", s.Rule.Terminal, "device_name", s.Device.Name, "started_by", s.startedBy())
	return &record
}

func (s *SignIn) startedBy() storage.SessionID {
	if s.Claim == nil {
		return ""
	}
	return s.Claim.By
}

// Session returns a session, ended or not; [storage.ErrNotFound] if there is none any more.
func (b *Book) Session(ctx context.Context, id storage.SessionID) (storage.Session, error) {
	return b.sessions.Session(ctx, id)
}

// Continue exchanges a refresh token. If that ended the session, because the token was used before,
// it records and tells that. Its errors are those of [storage.Refreshes.Rotate].
func (b *Book) Continue(ctx context.Context, r storage.Rotation, address string) (storage.Rotated, error) {
	rotated, events, err := b.refreshes.Rotate(ctx, r)
	b.tell(ctx, events)
	for _, event := range events {
		record := audit.Origin{Actor: event.End.Actor, Client: r.Client, Address: address}.Record(audit.SessionEnded, r.Now)
		record.User, record.Session = event.User, storage.SessionID(event.Key)
		record.Detail = audit.Detail("reason", event.End.Reason)
		b.trail.Append(ctx, record)
	}
	if err != nil {
		return storage.Rotated{}, fmt.Errorf("continue session: %w", err)
	}
	return rotated, nil
}

// End ends the sessions that an order selects and tells of them. Now is set where the order leaves it
// zero, and Actor and Audit are made of from where it has none.
func (b *Book) End(ctx context.Context, order storage.EndOrder, from audit.Origin) ([]storage.Event, error) {
	if order.Now.IsZero() {
		order.Now = b.now()
	}
	order.Now = storage.Instant(order.Now)
	if order.Actor == "" {
		order.Actor = from.Actor
	}
	if order.Audit == nil {
		record := from.Record(audit.SessionEnded, order.Now)
		record.User, record.Session = order.User, order.Session
		record.Detail = audit.Detail("reason", order.Reason, "product", order.Product, "terminal", order.Terminal, "except", order.Except, "started_by", order.StartedBy)
		order.Audit = &record
	}
	events, err := b.sessions.End(ctx, order)
	if err != nil {
		return nil, fmt.Errorf("end sessions: %w", err)
	}
	b.tell(ctx, events)
	return events, nil
}

// EndOthers ends all sessions of a user but one.
func (b *Book) EndOthers(ctx context.Context, user storage.UserID, spare storage.SessionID, reason storage.Reason, from audit.Origin) ([]storage.Event, error) {
	return b.End(ctx, storage.EndOrder{User: user, Except: spare, Reason: reason}, from)
}

// tell acts on ends here and sends them on. They are committed: nothing that fails here can undo them.
func (b *Book) tell(ctx context.Context, events []storage.Event) {
	if len(events) == 0 {
		return
	}
	b.metrics.end(events)
	if b.ended != nil {
		b.ended(events)
	}
	failpoint.Reach("tell", failpoint.Applied)
	if b.announcer != nil {
		b.announcer.Announce(context.WithoutCancel(ctx), events)
	}
	failpoint.Reach("tell", failpoint.Announced)
}
