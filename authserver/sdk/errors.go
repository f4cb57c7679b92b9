package sdk

import (
	"errors"
	"fmt"
	"time"
)

// Errors of a client that cannot give a token.
var (
	// ErrSignedOut says that nobody is signed in: before the first sign-in, and after [Client.SignOut].
	ErrSignedOut = errors.New("sdk: nobody is signed in; call SignIn")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("sdk: the client is closed")
	// ErrNotReplayable says that a request was refused because its token had expired, and was not sent
	// again because its body cannot be read twice. The token has been refreshed: making the request anew
	// will do. Set http.Request.GetBody, or use a body that http.NewRequest knows, to have it repeated.
	ErrNotReplayable = errors.New("sdk: the access token had expired and the body of the request cannot be sent again; set GetBody, or make the request anew")
)

// The reasons for which sessions end.
const (
	ReasonExpired         = "expired"
	ReasonSuperseded      = "superseded"
	ReasonKicked          = "kicked"
	ReasonEvicted         = "evicted"
	ReasonSignedOut       = "signed_out"
	ReasonPasswordChanged = "password_changed"
	ReasonBanned          = "banned"
	ReasonReuseDetected   = "reuse_detected"
)

// What to do about an end.
const (
	// CodeSignInAgain: nobody else is involved; sign in again, silently where that is possible.
	CodeSignInAgain = 1
	// CodeTellUser: go to the sign-in page and say why. Signing in again without asking would only
	// throw the other device out.
	CodeTellUser = 2
)

// SupersededBy is the sign-in that ended a session.
type SupersededBy struct {
	Terminal   string    `json:"terminal"`
	DeviceName string    `json:"device_name"`
	At         time.Time `json:"at"`
}

// EndedError says that the session has ended and why. It holds until the next sign-in.
type EndedError struct {
	// Reason is one of the reasons above; empty if the server did not say.
	Reason string
	// Code is [CodeSignInAgain] or [CodeTellUser].
	Code int
	// SupersededBy is set for [ReasonSuperseded], if the server told.
	SupersededBy *SupersededBy
	// SessionID names the session that ended.
	SessionID string
}

// Error implements error.
func (e *EndedError) Error() string {
	if e.Reason == "" {
		return "sdk: the session has ended"
	}
	s := "sdk: the session has ended: " + e.Reason
	if by := e.SupersededBy; by != nil {
		s += fmt.Sprintf(" by %s %q at %s", by.Terminal, by.DeviceName, by.At.Format(time.RFC3339))
	}
	return s
}

// UnavailableError says that the access token has expired and cannot be refreshed at the moment. The
// sign-in is still good.
type UnavailableError struct {
	// RetryAfter is how long the client will not try again.
	RetryAfter time.Duration
	// Err is what the last try met.
	Err error
}

// Error implements error.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("sdk: the access token cannot be refreshed at the moment (next try in %s): %v", e.RetryAfter.Round(time.Millisecond), e.Err)
}

// Unwrap returns what the last try met.
func (e *UnavailableError) Unwrap() error { return e.Err }

// OAuthError is a refusal of the authorization server (RFC 6749 §5.2).
type OAuthError struct {
	// Status is the HTTP status, Code the error code, such as invalid_grant.
	Status      int
	Code        string
	Description string
	// Reason, ReasonCode and SupersededBy tell how a session ended; empty where there is nothing to tell.
	Reason       string
	ReasonCode   int
	SupersededBy *SupersededBy
	// RetryAfter is what the server asked for, at most ten minutes; 0 if it did not.
	RetryAfter time.Duration
	// RequestID finds the request in the server's log.
	RequestID string
}

// Error implements error.
func (e *OAuthError) Error() string {
	s := fmt.Sprintf("sdk: refused with %d", e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Description != "" {
		s += ": " + e.Description
	}
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}

// ended is the refusal of a refresh token as the end of its session.
func (e *OAuthError) ended() *EndedError {
	code := CodeSignInAgain
	if e.ReasonCode == CodeTellUser {
		code = CodeTellUser
	}
	return &EndedError{Reason: e.Reason, Code: code, SupersededBy: e.SupersededBy}
}
