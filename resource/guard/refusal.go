package guard

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

// Code is an error code of a refusal (RFC 6750 §3.1, and one of ours).
type Code string

// The codes. A request without a token is refused with none (RFC 6750 §3).
const (
	InvalidRequest         Code = "invalid_request"
	InvalidToken           Code = "invalid_token"
	InsufficientScope      Code = "insufficient_scope"
	TemporarilyUnavailable Code = "temporarily_unavailable"
	ServerError            Code = "server_error"
)

// IllegalSource is the reason of a refusal of a token that is good on one connection alone and came from
// elsewhere. No session ends for it.
const IllegalSource storage.Reason = "illegal_source"

// Refusal is why a request was not let in, as its sender is told, and a cause, which is for the log.
type Refusal struct { //nolint:errname // it is presented as what it is
	Status int
	// Code is empty for a request that carried no token: its challenge names no error, its body does.
	Code        Code
	Description string
	// End tells how the session, the client or the token ended; nil where there is nothing to tell:
	// always for a token that does not verify.
	End *storage.End
	// Scope lists the missing scopes of [InsufficientScope].
	Scope string
	// RetryAfter is sent in whole seconds, rounded up, if it is not zero.
	RetryAfter time.Duration
	// Realm names the protected space in the challenge; empty for none.
	Realm string
	// Cause is never sent.
	Cause error
}

// Error implements error. It is for logs and holds the cause.
func (r *Refusal) Error() string {
	s := "refused: " + r.Description
	if r.Cause != nil {
		s += ": " + r.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// Reason says why the session ended; empty where that is not the matter.
func (r *Refusal) Reason() storage.Reason {
	if r.End == nil {
		return ""
	}
	return r.End.Reason
}

// Refuse answers a request with the refusal that err is or stands for: a [*Refusal] as it is; a
// [*storage.EndedError], such as a strict posting returns, with the same 401 that the guard gives;
// [storage.ErrUnavailable] and [storage.ErrBusy] with 503. Any other error is answered with a bare 500, and its
// text stays out of the answer.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal := presented(err)
	realm := refusal.Realm
	if realm == "" {
		realm = realmFrom(r.Context())
	}
	h := w.Header()
	if challenge := refusal.challenge(realm); challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	}
	if refusal.RetryAfter > 0 {
		seconds := (refusal.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	body, err := json.Marshal(refusal)
	if err != nil { // strings, a number and a time: there is nothing that can fail
		body = []byte(`{"error":"server_error"}`)
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(refusal.Status)
	_, _ = w.Write(body) // nobody is left to tell
}

// RefusalOf finds the refusal in an error, or makes the one that it stands for, as [Refuse] does: for those
// who answer otherwise than over HTTP. The caller must not change it.
func RefusalOf(err error) *Refusal { return presented(err) }

// RefuseSource is the refusal of a token that is good on one connection alone, on any other.
func RefuseSource() *Refusal { return refuseSource(token.ErrSource) }

// presented finds the refusal in an error, or makes the one that it stands for.
func presented(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	if ended, ok := errors.AsType[*storage.EndedError](err); ok {
		return refuseEnded(ended.End)
	}
	if errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrBusy) {
		return refuseUnavailable(err)
	}
	return &Refusal{
		Status: http.StatusInternalServerError, Code: ServerError,
		Description: "the server met an unexpected condition", Cause: err,
	}
}

// MarshalJSON writes what the sender of the request sees.
func (r *Refusal) MarshalJSON() ([]byte, error) {
	type superseder struct {
		Terminal   storage.Terminal `json:"terminal"`
		DeviceName string           `json:"device_name"`
		At         time.Time        `json:"at"`
	}
	body := struct {
		Code         Code           `json:"error,omitempty"`
		Description  string         `json:"error_description,omitempty"`
		Reason       storage.Reason `json:"reason,omitempty"`
		ReasonCode   int            `json:"code,omitempty"`
		SupersededBy *superseder    `json:"superseded_by,omitempty"`
		Scope        string         `json:"scope,omitempty"`
	}{Code: r.Code, Description: r.Description, Scope: r.Scope}
	if body.Code == "" && r.Status == http.StatusUnauthorized {
		// Programs branch on it. The challenge stays bare: RFC 6750 §3.
		body.Code = InvalidToken
	}
	if r.End != nil && r.End.Reason != "" {
		body.Reason, body.ReasonCode = r.End.Reason, r.End.Reason.Code()
		if by := r.End.By; by != nil {
			body.SupersededBy = &superseder{by.Terminal, by.DeviceName, by.At.UTC()}
		}
	}
	return json.Marshal(body)
}

// challenge is the WWW-Authenticate header (RFC 6750 §3), empty for what is no matter of the token.
func (r *Refusal) challenge(realm string) string {
	if r.Status >= http.StatusInternalServerError {
		return ""
	}
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+`="`+quotable(value)+`"`)
		}
	}
	add("realm", realm)
	if r.Code != "" {
		add("error", string(r.Code))
		add("error_description", r.Description)
		add("scope", r.Scope)
	}
	if len(parts) == 0 {
		return "Bearer"
	}
	return "Bearer " + strings.Join(parts, ", ")
}

// quotable drops what may not stand inside a quoted attribute (RFC 6750 §3: printable ASCII without
// quote and backslash).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, s)
}

func refuseMissing() *Refusal {
	return &Refusal{
		Status:      http.StatusUnauthorized,
		Description: "this resource needs an access token in the Authorization header",
	}
}

func refuseRequest(description string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Code: InvalidRequest, Description: description}
}

// refuseInvalid is the one answer to every token that does not verify.
func refuseInvalid(cause error) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Code: InvalidToken,
		Description: "the access token is not valid", Cause: cause,
	}
}

// refuseSource refuses a token that verifies and is good on one connection alone.
func refuseSource(cause error) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Code: InvalidToken, End: &storage.End{Reason: IllegalSource},
		Description: "this token is good on the connection that it was made for alone", Cause: cause,
	}
}

func refuseScope(missing string) *Refusal {
	return &Refusal{
		Status: http.StatusForbidden, Code: InsufficientScope, Scope: missing,
		Description: "the access token does not grant the scope that is needed",
	}
}

func refuseHolder(description string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Code: InsufficientScope, Description: description}
}

func refuseUnavailable(cause error) *Refusal {
	return &Refusal{
		Status: http.StatusServiceUnavailable, Code: TemporarilyUnavailable,
		Description: "temporarily unavailable; try again",
		RetryAfter:  time.Second, Cause: cause,
	}
}

func refuseEnded(end storage.End) *Refusal {
	return &Refusal{
		Status: http.StatusUnauthorized, Code: InvalidToken, End: &end,
		Description: describe(end.Reason), Cause: &storage.EndedError{End: end},
	}
}

func describe(reason storage.Reason) string {
	switch reason {
	case storage.Expired:
		return "the access token has expired"
	case storage.Superseded:
		return "signed in on another device"
	case storage.Kicked:
		return "the session was ended by an administrator or from the list of devices"
	case storage.Evicted:
		return "the session was ended because there were too many"
	case storage.SignedOut:
		return "signed out"
	case storage.PasswordChanged:
		return "the password was changed"
	case storage.Banned:
		return "the account is banned"
	case storage.ReuseDetected:
		return "a refresh token was used twice, so the session was ended"
	}
	return "the session has ended"
}
