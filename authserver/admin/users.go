package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// Limits.
const (
	// MaxPage is the most users that a page lists.
	MaxPage = 500
	// MaxBanReason is the longest reason of a ban, in bytes.
	MaxBanReason = 256
	maxProduct   = 64
)

// InputError says what is wrong with a request. Its text is for the operator.
type InputError struct{ Text string }

// Error implements error.
func (e *InputError) Error() string { return e.Text }

// Sessions ends sessions and tells everybody who must know. The book of authserver/session is one.
type Sessions interface {
	End(ctx context.Context, order storage.EndOrder, from audit.Origin) ([]storage.Event, error)
}

// Config is what [Users] needs.
type Config struct {
	Users     storage.Users
	Sessions  Sessions
	Passwords *password.Checker
	Wallets   storage.Wallets
	// Trail takes the records of changes whose contract takes none.
	Trail *audit.Trail
	Now   func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: discards
}

// Users is the service.
type Users struct{ c Config }

// New builds the service.
func New(c Config) (*Users, error) {
	if c.Users == nil || c.Sessions == nil || c.Passwords == nil || c.Trail == nil || c.Wallets == nil {
		return nil, errors.New("admin: users, sessions, passwords, wallets and the trail are all needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Users{c: c}, nil
}

// Create makes a user, with a password or (nil) without. It gives [password.ErrUsername] or a
// [*password.PolicyError] for what may not be, and [storage.ErrExists] if the name is taken.
func (u *Users) Create(ctx context.Context, from audit.Origin, username string, pw *secret.Text) (storage.User, error) {
	name, err := password.NormalizeUsername(username)
	if err != nil {
		return storage.User{}, err
	}
	var hash storage.PasswordHash
	if pw != nil {
		if hash, err = u.hash(ctx, name, *pw); err != nil {
			return storage.User{}, err
		}
	}
	now := storage.Instant(u.c.Now())
	user := storage.User{ID: storage.NewUserID(), Username: name, Password: hash, Credential: 1, CreatedAt: now, UpdatedAt: now}
	if err := u.c.Users.CreateUser(ctx, user); err != nil {
		return storage.User{}, fmt.Errorf("create user: %w", err)
	}
	u.c.Trail.Append(ctx, *u.record(from, audit.UserCreated, user.ID, now, "username", name))
	return bare(user), nil
}

func (u *Users) hash(ctx context.Context, name string, pw secret.Text) (storage.PasswordHash, error) {
	if err := u.c.Passwords.Acceptable(name, pw); err != nil {
		return "", err
	}
	return u.c.Passwords.Hash(ctx, pw)
}

// User returns a user; [storage.ErrNotFound].
func (u *Users) User(ctx context.Context, id storage.UserID) (storage.User, error) {
	user, err := u.c.Users.User(ctx, id)
	if err != nil {
		return storage.User{}, fmt.Errorf("read user: %w", err)
	}
	return bare(user), nil
}

// ByName returns the user of a name, which need not be normalised; [storage.ErrNotFound].
func (u *Users) ByName(ctx context.Context, username string) (storage.User, error) {
	name, err := password.NormalizeUsername(username)
	if err != nil {
		return storage.User{}, fmt.Errorf("read user: %w", errors.Join(storage.ErrNotFound, err))
	}
	user, err := u.c.Users.UserByName(ctx, name)
	if err != nil {
		return storage.User{}, fmt.Errorf("read user: %w", err)
	}
	return bare(user), nil
}

// List returns up to limit users with names after the given one, in their order. A limit that is not
// between 1 and [MaxPage] means that.
func (u *Users) List(ctx context.Context, after string, limit int) ([]storage.User, error) {
	if limit < 1 || limit > MaxPage {
		limit = MaxPage
	}
	users, err := u.c.Users.ListUsers(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	for i := range users {
		users[i] = bare(users[i])
	}
	return users, nil
}

// Disable keeps a user out until enabled, and ends all sessions, as banned. It returns their events.
func (u *Users) Disable(ctx context.Context, from audit.Origin, id storage.UserID) ([]storage.Event, error) {
	disabled := true
	return u.end(ctx, from, audit.UserDisabled, storage.EndOrder{
		User: id, Reason: storage.Banned, Account: &storage.AccountChange{Disabled: &disabled},
	})
}

// Enable lets a user in again who was disabled or banned.
func (u *Users) Enable(ctx context.Context, from audit.Origin, id storage.UserID) error {
	now := storage.Instant(u.c.Now())
	if err := u.c.Users.Reinstate(ctx, id, u.record(from, audit.UserEnabled, id, now), now); err != nil {
		return fmt.Errorf("enable user: %w", err)
	}
	return nil
}

// Kick ends the sessions of a user: all, or those of a product, of a terminal, or of both. It returns
// their events.
func (u *Users) Kick(ctx context.Context, from audit.Origin, id storage.UserID, product string, terminal storage.Terminal) ([]storage.Event, error) {
	if len(product) > maxProduct {
		return nil, &InputError{fmt.Sprintf("the name of a product has at most %d bytes", maxProduct)}
	}
	if terminal != "" && !slices.Contains(storage.Terminals(), terminal) {
		return nil, &InputError{"the terminal is not one of mobile, browser, api"}
	}
	return u.end(ctx, from, audit.UserKicked, storage.EndOrder{User: id, Product: product, Terminal: terminal, Reason: storage.Kicked},
		"product", product, "terminal", terminal)
}

// Ban keeps a user out until a time, or (nil) until the ban is lifted, and ends all sessions. The
// reason is for operators. It returns the events.
func (u *Users) Ban(ctx context.Context, from audit.Origin, id storage.UserID, until *time.Time, reason string) ([]storage.Event, error) {
	now := storage.Instant(u.c.Now())
	if len(reason) > MaxBanReason || !utf8.ValidString(reason) {
		return nil, &InputError{fmt.Sprintf("the reason of a ban is UTF-8 of at most %d bytes", MaxBanReason)}
	}
	ban := &storage.Ban{At: now, Reason: reason}
	text := "for ever"
	if until != nil {
		end := storage.Instant(*until)
		if !end.After(now) {
			return nil, &InputError{"the ban would be over before it begins"}
		}
		ban.Until, text = &end, end.Format(time.RFC3339)
	}
	return u.end(ctx, from, audit.UserBanned, storage.EndOrder{
		User: id, Reason: storage.Banned, Account: &storage.AccountChange{Ban: ban}, Now: now,
	}, "until", text, "reason", reason)
}

// Unban lifts a ban. A user who is disabled as well stays so.
func (u *Users) Unban(ctx context.Context, from audit.Origin, id storage.UserID) error {
	now := storage.Instant(u.c.Now())
	_, err := u.end(ctx, from, audit.UserUnbanned, storage.EndOrder{
		User: id, Reason: storage.Kicked, Account: &storage.AccountChange{Ban: &storage.Ban{}}, Now: now,
		Session: storage.SessionID(storage.NewID(now)), // no such session: only the account is changed
	})
	return err
}

// SetPassword gives a user another password and ends all sessions, as password_changed. It returns
// their events.
func (u *Users) SetPassword(ctx context.Context, from audit.Origin, id storage.UserID, pw secret.Text) ([]storage.Event, error) {
	user, err := u.c.Users.User(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("set password: %w", err)
	}
	hash, err := u.hash(ctx, user.Username, pw)
	if err != nil {
		return nil, err
	}
	return u.end(ctx, from, audit.UserPassword, storage.EndOrder{
		User: id, Reason: storage.PasswordChanged, Account: &storage.AccountChange{Password: &hash},
	})
}

// end is the one road by which this package ends sessions.
func (u *Users) end(ctx context.Context, from audit.Origin, action string, order storage.EndOrder, detail ...any) ([]storage.Event, error) {
	if order.Now.IsZero() {
		order.Now = storage.Instant(u.c.Now())
	}
	order.Actor = from.Actor
	order.Audit = u.record(from, action, order.User, order.Now, detail...)
	events, err := u.c.Sessions.End(ctx, order, from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	return events, nil
}

func (u *Users) record(from audit.Origin, action string, id storage.UserID, now time.Time, detail ...any) *storage.AuditRecord {
	r := from.Record(action, now)
	r.User, r.Detail = id, audit.Detail(detail...)
	return &r
}

// bare removes the hash.
func bare(user storage.User) storage.User {
	user.Password = ""
	return user
}
