package storage

import "errors"

// The sentinels. Drivers translate their own errors into these and wrap them with what was being
// done; callers branch with errors.Is and never on text.
var (
	// ErrNotFound says that there is no such record.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a record with that identity is already there; nothing was changed.
	ErrExists = errors.New("already exists")
	// ErrStale says that the record changed since the caller read it; nothing was changed.
	ErrStale = errors.New("changed in between")
	// ErrConsumed says that a single-use thing was used before.
	ErrConsumed = errors.New("already used")
	// ErrEnded says that the session, client or token concerned has ended. It arrives inside an
	// [EndedError] that tells why.
	ErrEnded = errors.New("ended")
	// ErrExpired says that the record concerned is past its time.
	ErrExpired = errors.New("expired")
	// ErrDisabled says that the user is disabled or banned.
	ErrDisabled = errors.New("disabled")
	// ErrInsufficient says that an account would fall below zero; nothing was moved.
	ErrInsufficient = errors.New("insufficient funds")
	// ErrClosed says that a hold was captured, voided or expired before; nothing was changed.
	ErrClosed = errors.New("hold is closed")
	// ErrExceeds says that more was to be moved back than is left of the original, or captured than is
	// held; nothing was moved.
	ErrExceeds = errors.New("more than is left of the original")
	// ErrOverLimit says that more was to be spent than a limit allows; nothing was moved. It arrives as a
	// [LimitError] that tells which.
	ErrOverLimit = errors.New("above a limit")
	// ErrFrozen says that nothing leaves the wallet for now; nothing was moved.
	ErrFrozen = errors.New("wallet is frozen")
	// ErrKeyReused says that an idempotency key was used before with another request.
	ErrKeyReused = errors.New("idempotency key reused with another request")
	// ErrFull says that the user has as many of these as may be; nothing was changed.
	ErrFull = errors.New("no room for another")
	// ErrLastWay says that the user could not get in any more without it; nothing was changed.
	ErrLastWay = errors.New("the last way in")
	// ErrBusy says that a lock was not had in the time allowed; nothing was done.
	ErrBusy = errors.New("busy")
	// ErrTaken says that somebody else has taken it first; nothing was changed.
	ErrTaken = errors.New("taken by another")
	// ErrWrongNumber says that the number that was to be told is another one.
	ErrWrongNumber = errors.New("wrong number")
	// ErrLimit says that there are as many already as there may be; nothing was added.
	ErrLimit = errors.New("too many")
	// ErrUnavailable says that the store could not be reached, or gave up after its fixed number of
	// retries. Whether a change was made is unknown unless the method says otherwise.
	ErrUnavailable = errors.New("temporarily unavailable")
)

// EndedError is [ErrEnded] with the reason.
type EndedError struct{ End End }

// Error implements error.
func (e *EndedError) Error() string { return "ended: " + string(e.End.Reason) }

// Is makes errors.Is(err, ErrEnded) true.
func (e *EndedError) Is(target error) bool { return target == ErrEnded }
