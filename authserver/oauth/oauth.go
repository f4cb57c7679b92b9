package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Grant types (RFC 7591 §2; RFC 8628 §3.4; ours).
const (
	GrantClientCredentials = "client_credentials"
	GrantPassword          = "password"
	GrantRefreshToken      = "refresh_token"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
	GrantLoginToken        = "urn:tallystick:grant-type:login-token"
	GrantWeChat            = "urn:tallystick:grant-type:wechat-mini-program"
)

// Code is an error code of the protocol.
type Code string

// Error codes.
const (
	InvalidRequest         Code = "invalid_request"
	InvalidClient          Code = "invalid_client"
	InvalidGrant           Code = "invalid_grant"
	UnauthorizedClient     Code = "unauthorized_client"
	UnsupportedGrantType   Code = "unsupported_grant_type"
	InvalidScope           Code = "invalid_scope"
	AccessDenied           Code = "access_denied"
	ServerFault            Code = "server_error"
	TemporarilyUnavailable Code = "temporarily_unavailable"
	SlowDown               Code = "slow_down"
	// AuthorizationPending and ExpiredToken are what a waiting device is told (RFC 8628 §3.5).
	AuthorizationPending Code = "authorization_pending"
	ExpiredToken         Code = "expired_token"
	// UnsupportedTokenType is what revocation answers for a token that cannot be revoked by itself.
	UnsupportedTokenType Code = "unsupported_token_type"
)

// Error codes of the resources beside the protocol: the user's sessions and administration. They are
// ours and presented in the same form.
const (
	NotFound           Code = "not_found"
	AlreadyExists      Code = "already_exists"
	ChangedInBetween   Code = "changed_in_between"
	SessionShared      Code = "session_shared"
	WrongPassword      Code = "wrong_password"
	PasswordRefused    Code = "password_refused"
	NotAllowedOnItself Code = "not_allowed_on_itself"
	IdentityTaken      Code = "identity_taken"
	TooManyIdentities  Code = "too_many_identities"
	LastWayIn          Code = "last_way_in"
	AlreadyScanned     Code = "already_scanned"
	AlreadyDecided     Code = "already_decided"
	NotScanned         Code = "not_scanned"
	WrongNumber        Code = "wrong_number"
)

// Error is a refusal as the client sees it, and its cause, which the client never sees.
type Error struct {
	Code        Code
	Description string // for developers; ASCII without " and \ (RFC 6749 §5.2)
	// Reason tells why a session ended, with its code (1 or 2) and the sign-in that ended it; empty
	// where there is nothing to tell.
	Reason       string
	ReasonCode   int
	SupersededBy *SupersededBy
	// ServerTime is told to a client whose clock is wrong; nil for others.
	ServerTime *time.Time
	// RetryAfter, if not zero, is sent in whole seconds, rounded up.
	RetryAfter time.Duration
	// Challenge asks for a WWW-Authenticate: Basic header: the client tried Basic (RFC 6749 §5.2).
	Challenge bool
	// HTTPStatus overrides the usual status of the code; 0 for that.
	HTTPStatus int
	// Cause goes to the log.
	Cause error
}

// SupersededBy is what the owner of an ended session is told about the sign-in that ended it.
type SupersededBy struct {
	Terminal   string    `json:"terminal"`
	DeviceName string    `json:"device_name"`
	At         time.Time `json:"at"`
}

// New makes an error.
func New(code Code, description string) *Error { return &Error{Code: code, Description: description} }

// Wrap makes an error with a cause for the log.
func Wrap(code Code, description string, cause error) *Error {
	return &Error{Code: code, Description: description, Cause: cause}
}

// ServerError hides an internal error behind server_error.
func ServerError(cause error) *Error {
	return &Error{Code: ServerFault, Description: "the server met an unexpected condition; the request id tells its operators which", Cause: cause}
}

// Unavailable is a passing fault: the client should come again.
func Unavailable(cause error) *Error {
	return &Error{Code: TemporarilyUnavailable, Description: "temporarily unavailable; try again", RetryAfter: time.Second, Cause: cause}
}

// Error implements error. It is for logs and holds the cause; bodies are made by MarshalJSON.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Description
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is compares codes: errors.Is(err, &oauth.Error{Code: oauth.InvalidGrant}).
func (e *Error) Is(target error) bool {
	t, ok := errors.AsType[*Error](target)
	return ok && t.Code == e.Code
}

// Status is the HTTP status of the error (RFC 6749 §5.2; for our own codes RFC 9110 §15.5).
func (e *Error) Status() int {
	if e.HTTPStatus != 0 {
		return e.HTTPStatus
	}
	switch e.Code {
	case InvalidClient:
		return http.StatusUnauthorized
	case ServerFault:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	case WrongPassword, WrongNumber:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case AlreadyExists, SessionShared, NotAllowedOnItself, IdentityTaken, TooManyIdentities, LastWayIn, AlreadyScanned, AlreadyDecided, NotScanned:
		return http.StatusConflict
	case ChangedInBetween:
		return http.StatusPreconditionFailed
	case InvalidRequest, InvalidGrant, UnauthorizedClient, UnsupportedGrantType, InvalidScope, AccessDenied, SlowDown, AuthorizationPending, ExpiredToken,
		UnsupportedTokenType, PasswordRefused:
		return http.StatusBadRequest
	}
	return http.StatusBadRequest
}

// MarshalJSON writes what the client sees. Characters that RFC 6749 §5.2 does not allow in a
// description are replaced, so that one may quote what a stranger sent.
func (e *Error) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Code         Code          `json:"error"`
		Description  string        `json:"error_description,omitempty"`
		Reason       string        `json:"reason,omitempty"`
		ReasonCode   int           `json:"code,omitempty"`
		SupersededBy *SupersededBy `json:"superseded_by,omitempty"`
		ServerTime   *time.Time    `json:"server_time,omitempty"`
	}{e.Code, printable(e.Description), e.Reason, e.ReasonCode, e.SupersededBy, e.ServerTime})
}

// printable replaces what is not %x20-21 / %x23-5B / %x5D-7E.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
}
