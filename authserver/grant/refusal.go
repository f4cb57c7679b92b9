package grant

import (
	"errors"

	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/storage"
)

const (
	wrongPassword  = "the user name and the password do not belong together"
	invalidRefresh = "the refresh token is not valid"
)

// refusal is the one table from what the rooms below refuse to what the client is told. What it
// does not know passes: package web hides it.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*oauth.Error](err); ok {
		return err
	}
	if end, ok := errors.AsType[*storage.EndedError](err); ok {
		return ended(end.End, err)
	}
	if overload, ok := errors.AsType[*password.OverloadError](err); ok {
		busy := oauth.Unavailable(err)
		busy.RetryAfter = overload.RetryAfter
		return busy
	}
	switch {
	case errors.Is(err, issue.ErrInvalid):
		return oauth.Wrap(oauth.InvalidGrant, invalidRefresh, err)
	case errors.Is(err, issue.ErrScope):
		return oauth.Wrap(oauth.InvalidScope, "the scope exceeds that of the sign-in", err)
	case errors.Is(err, password.ErrBarred), errors.Is(err, storage.ErrDisabled):
		return ended(storage.End{Reason: storage.Banned}, err)
	case errors.Is(err, password.ErrWrong), errors.Is(err, storage.ErrStale), errors.Is(err, storage.ErrNotFound):
		// The user changed their password, or went, while they were signing in: it is wrong by now.
		return oauth.Wrap(oauth.InvalidGrant, wrongPassword, err)
	}
	return err
}

// ended tells how a session has ended.
func ended(end storage.End, cause error) *oauth.Error {
	e := &oauth.Error{
		Code: oauth.InvalidGrant, Description: told(end.Reason),
		Reason: string(end.Reason), ReasonCode: end.Reason.Code(), Cause: cause,
	}
	if end.By != nil {
		e.SupersededBy = &oauth.SupersededBy{Terminal: string(end.By.Terminal), DeviceName: end.By.DeviceName, At: end.By.At.UTC()}
	}
	return e
}

func told(reason storage.Reason) string {
	switch reason {
	case storage.Expired:
		return "the session has expired"
	case storage.Superseded:
		return "the user has signed in on another device"
	case storage.Kicked:
		return "the session was ended from elsewhere"
	case storage.Evicted:
		return "the user has too many sessions and this was the oldest"
	case storage.SignedOut:
		return "the user has signed out"
	case storage.PasswordChanged:
		return "the user has changed their password"
	case storage.Banned:
		return "the user may not sign in"
	case storage.ReuseDetected:
		return "a refresh token was used twice"
	}
	return "the session has ended"
}
