package product

import (
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Rule is the rule of one terminal of a product, with nothing left to default.
type Rule struct {
	Setting

	Product  string
	Terminal storage.Terminal
}

// Times are the times of a session and its tokens, in whole seconds.
type Times struct {
	// IssuedAt is the iat of the tokens.
	IssuedAt time.Time
	// SessionEnd is the absolute end of the session; IdleEnd is when it ends unless it is refreshed.
	SessionEnd time.Time
	IdleEnd    time.Time
	// AccessEnd is the exp of the access token.
	AccessEnd time.Time
}

// Opened returns the times of a session that is opened at now.
func (r Rule) Opened(now time.Time) Times {
	iat := now.UTC().Truncate(time.Second)
	return r.within(iat, iat.Add(r.SessionTTL))
}

// Refreshed returns the times of a session that is refreshed at now and ends at end: the end stays,
// the rest moves up to it.
func (r Rule) Refreshed(now, end time.Time) Times {
	return r.within(now.UTC().Truncate(time.Second), end.UTC().Truncate(time.Second))
}

func (r Rule) within(iat, end time.Time) Times {
	idle := end
	if r.IdleTTL > 0 {
		idle = earlier(iat.Add(r.IdleTTL), end)
	}
	return Times{IssuedAt: iat, SessionEnd: end, IdleEnd: idle, AccessEnd: earlier(iat.Add(r.AccessTTL), idle)}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
