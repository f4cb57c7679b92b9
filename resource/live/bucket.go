package live

import "time"

// bucket bounds how many frames come: burst at once, perSecond for long. One caller at a time.
type bucket struct {
	perSecond, burst int

	spent float64 // of the burst, at the time at
	at    time.Time
}

// take takes one, if there is one.
func (b *bucket) take(now time.Time) bool {
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-max(0, now.Sub(b.at).Seconds())*float64(b.perSecond))
	}
	b.at = now
	if b.spent+1 > float64(b.burst) {
		return false
	}
	b.spent++
	return true
}
