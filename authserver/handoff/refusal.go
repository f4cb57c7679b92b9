package handoff

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

// fullAfter is when whoever has too many hand-offs open should come again.
const fullAfter = 30 * time.Second

// refusal is the one table from what the store refuses to what people are told. What it does not know passes.
func refusal(err error) error {
	switch {
	case errors.Is(err, storage.ErrDisabled):
		return &storage.EndedError{End: storage.End{Reason: storage.Banned}}
	case errors.Is(err, storage.ErrNotFound):
		return unknownCode(err)
	case errors.Is(err, storage.ErrTaken):
		return oauth.Wrap(oauth.AlreadyScanned, "somebody else has scanned this code first; if that was not you, let the screen show a new one", err)
	case errors.Is(err, storage.ErrStale):
		return oauth.Wrap(oauth.NotScanned, "scan the code first, and look who is asking", err)
	case errors.Is(err, storage.ErrExpired):
		return oauth.Wrap(oauth.ExpiredToken, "the request has expired; let the screen show a new code", err)
	case errors.Is(err, storage.ErrConsumed):
		return oauth.Wrap(oauth.AlreadyDecided, "the request has been decided already", err)
	case errors.Is(err, storage.ErrLimit):
		return &oauth.Error{
			Code: oauth.SlowDown, HTTPStatus: http.StatusTooManyRequests, RetryAfter: fullAfter, Cause: err,
			Description: "as many requests or login tokens are open as may be; wait until some are over",
		}
	}
	return err
}

func unknownCode(cause error) error {
	return oauth.Wrap(oauth.NotFound, "there is no such code, or it has been replaced; scan the one that the screen shows now", cause)
}

func unknownLogin(cause error) error {
	return oauth.Wrap(oauth.NotFound, "there is no such login token", cause)
}

func unknownDevice(cause error) error {
	return oauth.Wrap(oauth.NotFound, "there is no such device code; ask anew", cause)
}

func invalidDevice(cause error) error {
	return oauth.Wrap(oauth.InvalidGrant, "the device code is not valid, or was used before", cause)
}

func invalidLogin(cause error) error {
	return oauth.Wrap(oauth.InvalidGrant, "the login token is not valid, not for this client, or was used before", cause)
}

func wrongNumber(left int, cause error) error {
	if left <= 0 {
		return oauth.Wrap(oauth.WrongNumber, "that is not the number on the screen; the request is closed, let the screen ask anew", cause)
	}
	return oauth.Wrap(oauth.WrongNumber, fmt.Sprintf("that is not the number on the screen; tries left: %d", left), cause)
}
