package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/money"
)

const (
	// MaxFreezeReason is the longest reason of a freeze, in bytes.
	MaxFreezeReason = 256
	// MaxLimits is in how many currencies limits are set at once.
	MaxLimits = 8
)

// Wallet is a user's wallet as operators set it up; [storage.ErrNotFound].
func (u *Users) Wallet(ctx context.Context, id storage.UserID) (storage.WalletState, error) {
	state, err := u.c.Wallets.WalletState(ctx, id)
	if err != nil {
		return storage.WalletState{}, fmt.Errorf("read wallet: %w", err)
	}
	return state, nil
}

// ChangeWallet freezes or thaws a user's wallet, and sets its limits. The change and its audit record are one
// transaction; a freeze that has returned is seen by every payment that is decided afterwards. Sign-ins and money
// that comes in are not touched. It gives [*InputError] or [storage.ErrNotFound].
func (u *Users) ChangeWallet(ctx context.Context, from audit.Origin, id storage.UserID, change storage.WalletChange) (storage.WalletState, error) {
	if err := checkWallet(&change); err != nil {
		return storage.WalletState{}, err
	}
	now := storage.Instant(u.c.Now())
	var detail []any
	if change.Frozen != nil {
		detail = append(detail, "frozen", strconv.FormatBool(*change.Frozen), "reason", change.Reason)
	}
	for _, c := range slices.Sorted(maps.Keys(change.Limits)) {
		l := change.Limits[c]
		detail = append(detail, "limit_single_"+string(c), bound(l.Single), "limit_daily_"+string(c), bound(l.Daily))
	}
	if err := u.c.Wallets.ChangeWallet(ctx, id, change, u.record(from, audit.WalletChanged, id, now, detail...), now); err != nil {
		return storage.WalletState{}, fmt.Errorf("change wallet: %w", err)
	}
	return u.Wallet(ctx, id)
}

func checkWallet(c *storage.WalletChange) error {
	switch {
	case c.Frozen == nil && len(c.Limits) == 0:
		return &InputError{"nothing is to be changed: give frozen or limits"}
	case c.Reason != "" && (c.Frozen == nil || !*c.Frozen):
		return &InputError{"a reason goes with a freeze only"}
	case len(c.Reason) > MaxFreezeReason || !utf8.ValidString(c.Reason):
		return &InputError{fmt.Sprintf("the reason of a freeze is UTF-8 of at most %d bytes", MaxFreezeReason)}
	case len(c.Limits) > MaxLimits:
		return &InputError{fmt.Sprintf("limits: at most %d currencies at once", MaxLimits)}
	}
	for _, currency := range slices.Sorted(maps.Keys(c.Limits)) {
		if _, err := money.ParseCurrency(string(currency)); err != nil {
			return &InputError{fmt.Sprintf("limits: %.16q is not the code of a currency such as CNY", string(currency))}
		}
		for _, n := range []*int64{c.Limits[currency].Single, c.Limits[currency].Daily} {
			if n != nil && (*n < 0 || *n > money.Max) {
				return &InputError{fmt.Sprintf("limits: %d %s is not between 0 and %d", *n, currency, money.Max)}
			}
		}
	}
	return nil
}

func bound(n *int64) string {
	if n == nil {
		return "none"
	}
	return strconv.FormatInt(*n, 10)
}
