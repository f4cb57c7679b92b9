package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// Book keeps sessions and tells everybody who must know of their ends; the book of package session does.
type Book interface {
	Live(ctx context.Context, user storage.UserID) ([]storage.Session, error)
	Started(ctx context.Context, user storage.UserID) (map[storage.SessionID]storage.SessionID, error)
	Session(ctx context.Context, id storage.SessionID) (storage.Session, error)
	Sole(ctx context.Context, id storage.SessionID, client storage.ClientID) (bool, error)
	End(ctx context.Context, order storage.EndOrder, from audit.Origin) ([]storage.Event, error)
}

// Passwords proves and makes passwords; [password.Checker] does.
type Passwords interface {
	Acceptable(username string, pw secret.Text) error
	Verify(ctx context.Context, username string, pw secret.Text) (storage.User, error)
	Hash(ctx context.Context, pw secret.Text) (storage.PasswordHash, error)
}

// Brake holds back guesses; the brake of package brake does.
type Brake interface {
	Try(ctx context.Context, account, address string, prove func(context.Context) (right bool, err error)) error
}

// Users reads users; [storage.Users] does.
type Users interface {
	User(ctx context.Context, id storage.UserID) (storage.User, error)
}

// Clients reads clients, and gives invalid_client for one that is unknown or disabled; the registry of
// package client does.
type Clients interface {
	Client(ctx context.Context, id storage.ClientID) (storage.Client, error)
}

// Config is what an [Account] needs.
type Config struct {
	Book      Book
	Passwords Passwords
	Brake     Brake
	Users     Users
	Clients   Clients
	// Now tells the time; nil for time.Now.
	Now func() time.Time
}

// Account holds the handlers.
type Account struct{ cfg Config }

// New makes the handlers. It refuses a configuration in which something is missing.
func New(cfg Config) (*Account, error) {
	if cfg.Book == nil || cfg.Passwords == nil || cfg.Brake == nil || cfg.Users == nil || cfg.Clients == nil {
		return nil, errors.New("account: book, passwords, brake, users and clients are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Account{cfg: cfg}, nil
}

// EndDevice ends one session of a user by its identifier.
func (a *Account) EndDevice(ctx context.Context, p guard.Principal, id storage.SessionID, from audit.Origin) error {
	if len(id) != storage.IDLength {
		return unknown(nil)
	}
	s, err := a.cfg.Book.Session(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return unknown(err)
	case err != nil:
		return fmt.Errorf("end session: %w", err)
	case s.User != p.User:
		return unknown(nil)
	}
	_, err = a.cfg.Book.End(ctx, storage.EndOrder{User: p.User, Session: id, Reason: storage.Kicked}, from)
	return err
}

// unknown is the one answer about sessions that do not exist and those of others.
func unknown(cause error) error {
	return oauth.Wrap(oauth.NotFound, "there is no such session", cause)
}

// leave ends the session that asks.
func (a *Account) leave(ctx context.Context, p guard.Principal, from audit.Origin) error {
	sole, err := a.cfg.Book.Sole(ctx, p.Session, p.Client)
	if err != nil {
		return err
	}
	if !sole {
		return oauth.New(oauth.SessionShared, "other devices share this session, or did, and must not be signed out with this one: "+
			"to sign out this device revoke its refresh token; to end the session for all of them end it by its session_id")
	}
	_, err = a.cfg.Book.End(ctx, storage.EndOrder{User: p.User, Session: p.Session, Reason: storage.SignedOut}, from)
	return err
}

// SignOut ends the session of a live connection. One that several may share is refused with session_shared:
// whoever joined it on a connection has no refresh token, so that nobody can say who is left.
func (a *Account) SignOut(ctx context.Context, p guard.Principal, from audit.Origin) error {
	s, err := a.cfg.Book.Session(ctx, p.Session)
	if err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	if s.Mode == storage.Shared {
		return oauth.New(oauth.SessionShared, "other devices may share this session and must not be signed out with this one: "+
			"to sign out this device close the connection, and revoke its refresh token if it has one; to end the session for all of them end it by its session_id")
	}
	_, err = a.cfg.Book.End(ctx, storage.EndOrder{User: p.User, Session: p.Session, Reason: storage.SignedOut}, from)
	return err
}

// EndOtherDevices ends all sessions of a user but the one that asks.
func (a *Account) EndOtherDevices(ctx context.Context, p guard.Principal, from audit.Origin) error {
	_, err := a.cfg.Book.End(ctx, storage.EndOrder{User: p.User, Except: p.Session, Reason: storage.Kicked}, from)
	return err
}

// EndStarted ends everything that was started from a session by hand-offs, also if that session has ended
// itself: the phone may be the one that was stolen.
func (a *Account) EndStarted(ctx context.Context, p guard.Principal, origin storage.SessionID, from audit.Origin) error {
	if len(origin) != storage.IDLength {
		return unknown(nil)
	}
	_, err := a.cfg.Book.End(ctx, storage.EndOrder{User: p.User, StartedBy: origin, Reason: storage.Kicked}, from)
	return err
}

// ChangePassword changes the password of a user who knows the present one, of at most 1024 bytes. All other
// sessions of the user end.
func (a *Account) ChangePassword(ctx context.Context, p guard.Principal, present, chosen secret.Text, from audit.Origin) error {
	if len(present.Reveal()) > maxPassword {
		return oauth.New(oauth.InvalidRequest, "current_password is too long")
	}
	user, err := a.cfg.Users.User(ctx, p.User)
	if err != nil {
		return fmt.Errorf("change password: read user: %w", err)
	}
	if err := a.cfg.Passwords.Acceptable(user.Username, chosen); err != nil {
		return refusal(err)
	}
	place, err := a.place(ctx, p, from.Address)
	if err != nil {
		return err
	}
	if user, err = a.prove(ctx, user.Username, place, present); err != nil {
		return refusal(err)
	}
	hash, err := a.cfg.Passwords.Hash(ctx, chosen)
	if err != nil {
		return refusal(err)
	}
	now := storage.Instant(a.cfg.Now())
	record := from.Record(audit.UserPassword, now)
	record.User, record.Session = p.User, p.Session
	_, err = a.cfg.Book.End(ctx, storage.EndOrder{
		User: p.User, Except: p.Session, Reason: storage.PasswordChanged, Now: now, Audit: &record,
		Account: &storage.AccountChange{Password: &hash, Credential: &user.Credential},
	}, from)
	return refusal(err)
}

// prove lets the password be looked at if the brake allows it.
func (a *Account) prove(ctx context.Context, username, place string, present secret.Text) (storage.User, error) {
	var user storage.User
	var refused error
	err := a.cfg.Brake.Try(ctx, username, place, func(ctx context.Context) (bool, error) {
		var err error
		user, err = a.cfg.Passwords.Verify(ctx, username, present)
		wrong, barred := errors.Is(err, password.ErrWrong), errors.Is(err, password.ErrBarred)
		if wrong || barred {
			refused = err
			return barred, nil // whoever is barred has told the right password
		}
		return err == nil, err
	})
	if err == nil {
		err = refused
	}
	return user, err
}

// place is where a guess comes from, as at the sign-in: a confidential client speaks for all its users
// from one address, so it is named instead.
func (a *Account) place(ctx context.Context, p guard.Principal, address string) (string, error) {
	c, err := a.cfg.Clients.Client(ctx, p.Client)
	switch {
	case errors.Is(err, &oauth.Error{Code: oauth.InvalidClient}):
		return address, nil // disabled since the guard looked
	case err != nil:
		return "", fmt.Errorf("change password: read client: %w", err)
	case c.Kind == storage.Confidential:
		return "client:" + string(c.ID), nil
	}
	return address, nil
}

// refusal is the one table from what the rooms below refuse to what the user is told. What it does not
// know passes: package web hides it.
func refusal(err error) error {
	if policy, ok := errors.AsType[*password.PolicyError](err); ok {
		return oauth.Wrap(oauth.PasswordRefused, policy.Text, err)
	}
	if overload, ok := errors.AsType[*password.OverloadError](err); ok {
		busy := oauth.Unavailable(err)
		busy.RetryAfter = overload.RetryAfter
		return busy
	}
	switch {
	case errors.Is(err, password.ErrBarred), errors.Is(err, storage.ErrDisabled):
		return &storage.EndedError{End: storage.End{Reason: storage.Banned}}
	case errors.Is(err, password.ErrWrong), errors.Is(err, storage.ErrStale):
		// Stale: it was right, and was changed from elsewhere before this change.
		return oauth.Wrap(oauth.WrongPassword, "the current password is not right", err)
	}
	return err
}

// Devices lists the sessions of a user.
func (a *Account) Devices(ctx context.Context, p guard.Principal) ([]Session, error) {
	list, err := a.cfg.Book.Live(ctx, p.User)
	if err != nil {
		return nil, err
	}
	started, err := a.cfg.Book.Started(ctx, p.User)
	if err != nil {
		return nil, err
	}
	shapes := make([]Session, len(list))
	for i := range list {
		shapes[i] = shapeOf(&list[i])
		shapes[i].StartedBy = started[list[i].ID]
		if list[i].ID == p.Session {
			now := storage.Instant(a.cfg.Now())
			shapes[i].Current, shapes[i].LastSeenAt = true, latest(now, list[i].LastSeenAt)
		}
	}
	return shapes, nil
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
