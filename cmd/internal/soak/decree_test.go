package soak_test

import (
	"math"
	"slices"
	"time"
)

// Why sessions end here.
const (
	superseded = "superseded"
	kicked     = "kicked"
	banned     = "banned"
)

// decrees are what the administrator has ordered about one user.
type decrees struct {
	orders []act              // kicks and bans
	barred [][2]time.Duration // from when a ban was sent to when its lifting was answered
	held   [][2]time.Duration // from when a ban was answered to when its lifting was sent
	vague  []time.Duration    // when bans were lifted without a certain answer: that may happen late
	signed map[int]act        // sign-ins that were acknowledged, by session
}

func newDecrees(acts []act) *decrees {
	d := &decrees{signed: map[int]act{}}
	var last *act // the ban that is not lifted
	for _, a := range acts {
		switch {
		case a.kind == signIn && a.outcome == accepted:
			d.signed[a.session] = a
		case a.kind == kick, a.kind == ban:
			if a.outcome != accepted { // it may still be done, by a server that was not killed
				a.done = math.MaxInt64
			}
			d.orders = append(d.orders, a)
			switch {
			case a.kind == kick:
			case a.outcome != accepted:
				d.barred = append(d.barred, [2]time.Duration{a.began, math.MaxInt64})
			case last == nil:
				last = &a
			}
		case a.kind == unban && a.outcome != accepted:
			d.vague = append(d.vague, a.began)
		case a.kind == unban && a.outcome == accepted && last != nil:
			d.barred = append(d.barred, [2]time.Duration{last.began, a.done})
			d.held = append(d.held, [2]time.Duration{last.done, a.began})
			last = nil
		}
	}
	if last != nil {
		d.barred = append(d.barred, [2]time.Duration{last.began, math.MaxInt64})
	}
	return d
}

// judge is rule 8 for one request.
func (d *decrees) judge(a act) []string {
	switch s, known := d.signed[a.session]; {
	case a.kind == signIn && a.outcome == ended:
		if !overlaps(d.barred, a) {
			return []string{"a sign-in was refused, and no ban is why: " + a.String()}
		}
	case a.kind == signIn && a.outcome == accepted:
		for _, h := range d.held {
			lifted := slices.ContainsFunc(d.vague, func(at time.Duration) bool { return at < h[1] && at > h[0]-patience })
			if h[0] < a.began && a.done < h[1] && !lifted {
				return []string{"a banned user signed in: " + a.String()}
			}
		}
	case !known:
	case a.outcome == accepted:
		allowed := time.Duration(0)
		if a.kind == local {
			allowed = bound
		}
		for _, o := range d.orders {
			if s.done < o.began && o.done < math.MaxInt64-bound && o.done+allowed < a.began {
				return []string{"a session was accepted after " + o.String() + ": " + a.String()}
			}
		}
	case a.outcome == ended && a.reason != superseded:
		for _, o := range d.orders {
			if o.reason == a.reason && o.began <= a.done && s.began <= o.done {
				return nil
			}
		}
		return []string{"a session was refused for what nobody ordered: " + a.String()}
	}
	return nil
}

func overlaps(spans [][2]time.Duration, a act) bool {
	for _, s := range spans {
		if s[0] <= a.done && a.began <= s[1] {
			return true
		}
	}
	return false
}
