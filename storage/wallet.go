package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage/money"
)

// Limits bound what a user spends in a currency, in minor units. Nil is no limit, and on an [Account] that
// it has none of its own; 0 lets nothing leave.
//
// What is spent is what transfers and holds take out of a wallet: a hold counts when it is made and
// its capture does not count again. What a hold lets go of on the day on which it was made counts no more. Withdrawals,
// which an internal app makes, and reversals neither count nor give back.
type Limits struct {
	// Single bounds one transfer or hold, Daily all of a day (UTC).
	Single, Daily *int64
}

// over lays the limits of an account over those that are configured.
func (l Limits) over(configured Limits) Limits {
	if l.Single == nil {
		l.Single = configured.Single
	}
	if l.Daily == nil {
		l.Daily = configured.Daily
	}
	return l
}

// The limits by name.
const (
	LimitSingle = "single"
	LimitDaily  = "daily"
)

// LimitError is [ErrOverLimit] with the limit that it is about.
type LimitError struct {
	Limit string // [LimitSingle] or [LimitDaily]
	// Bound is the limit, and Left how much of it is left: all of a single one.
	Bound, Left int64
	Currency    money.Currency
}

// Error implements error.
func (e *LimitError) Error() string {
	return fmt.Sprintf("above the %s limit of %d, of which %d is left", e.Limit, e.Bound, e.Left)
}

// Is makes errors.Is(err, ErrOverLimit) true.
func (e *LimitError) Is(target error) bool { return target == ErrOverLimit }

// Day is the number of a day since 1970, in UTC.
func Day(t time.Time) int64 { return t.Unix() / int64((24*time.Hour)/time.Second) }

// SpentOn is what was spent on the day of now. A clock that is behind the one that last spent is taken to be of
// the same day.
func (a *Account) SpentOn(now time.Time) int64 {
	if Day(now) > a.SpentDay {
		return 0
	}
	return a.Spent
}

// Within gives a [*LimitError] unless an amount can be spent now within the account's limits, or else
// those that are configured.
func (a *Account) Within(configured Limits, amount int64, now time.Time) error {
	l := a.Limits.over(configured)
	if l.Single != nil && amount > *l.Single {
		return &LimitError{Limit: LimitSingle, Bound: *l.Single, Left: *l.Single, Currency: a.Currency}
	}
	if l.Daily == nil {
		return nil
	}
	if left := max(*l.Daily-a.SpentOn(now), 0); amount > left {
		return &LimitError{Limit: LimitDaily, Bound: *l.Daily, Left: left, Currency: a.Currency}
	}
	return nil
}

// WalletState is what operators have set on a user's wallet, and its accounts.
type WalletState struct {
	User UserID
	// FrozenAt is since when nothing leaves; nil if it is not frozen.
	FrozenAt *time.Time
	Reason   string // of the freeze, for operators; at most 256 bytes
	Accounts []Account
}

// WalletChange is what to set on a user's wallet.
type WalletChange struct {
	// Frozen freezes or thaws; nil leaves it as it is.
	Frozen *bool
	Reason string // of a freeze
	// Limits replace those of the accounts in each currency named, at most 32 of them. An account that is
	// missing is made.
	Limits map[money.Currency]Limits
}

// Wallets keeps what operators set on the wallets of users.
type Wallets interface {
	// WalletState gives ErrNotFound if there is no such user.
	WalletState(ctx context.Context, user UserID) (WalletState, error)
	// ChangeWallet makes a change and appends the audit record in one transaction. A freeze that has returned
	// is seen by every posting that is decided afterwards, in every currency, also where the account is
	// made later. Freezing what is frozen keeps its time and replaces the reason. ErrNotFound.
	ChangeWallet(ctx context.Context, user UserID, c WalletChange, audit *AuditRecord, now time.Time) error
}
