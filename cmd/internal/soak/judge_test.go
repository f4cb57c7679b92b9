package soak_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// slot is what is known of one user's sign-ins.
type slot struct {
	// told are the acknowledged sign-ins by version, untold those without a certain answer.
	told, untold []act
	version      map[int]int64 // by session, of those that were told
	// first[n] is when the first of the sign-ins from told[n] on was acknowledged, and sent[n] when the
	// first of them was sent.
	first, sent []time.Duration
}

// judge returns the violations of the rules of the package's doc.
func judge(acts []act, windows []window) []string {
	byUser := map[int][]act{}
	for _, a := range acts {
		byUser[a.user] = append(byUser[a.user], a)
	}
	var found []string
	for _, user := range slices.Sorted(maps.Keys(byUser)) {
		s, d := newSlot(byUser[user]), newDecrees(byUser[user])
		found = append(found, s.order()...)
		for _, a := range byUser[user] {
			found = append(found, s.judge(a)...)
			found = append(found, d.judge(a)...)
		}
		found = append(found, revived(byUser[user])...)
	}
	return append(found, unexcused(acts, windows)...)
}

func newSlot(acts []act) *slot {
	s := &slot{version: map[int]int64{}}
	for _, a := range acts {
		switch {
		case a.kind != signIn:
		case a.outcome == ended: // banned: there was none
		case a.outcome == accepted:
			s.told = append(s.told, a)
			s.version[a.session] = a.version
		default:
			s.untold = append(s.untold, a)
		}
	}
	slices.SortStableFunc(s.told, func(a, b act) int { return cmp.Compare(a.version, b.version) })
	s.first, s.sent = make([]time.Duration, len(s.told)), make([]time.Duration, len(s.told))
	first, sent := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for n := len(s.told) - 1; n >= 0; n-- {
		first, sent = min(first, s.told[n].done), min(sent, s.told[n].began)
		s.first[n], s.sent[n] = first, sent
	}
	return s
}

// after is the index of the first acknowledged sign-in of a higher version.
func (s *slot) after(version int64) int {
	n, _ := slices.BinarySearchFunc(s.told, version+1, func(a act, v int64) int { return cmp.Compare(a.version, v) })
	return n
}

// order is rule 5.
func (s *slot) order() (found []string) {
	for n := 1; n < len(s.told); n++ {
		if s.told[n].version == s.told[n-1].version {
			found = append(found, fmt.Sprintf("one version twice: %s; %s", s.told[n-1], s.told[n]))
		}
	}
	for n, a := range s.told {
		if n+1 < len(s.told) && s.first[n+1] < a.began {
			found = append(found, "a sign-in has a lower version than one that was acknowledged before it was sent: "+a.String())
		}
	}
	return found
}

// judge is rules 1 to 3 for one request with a session.
func (s *slot) judge(a act) []string {
	version, known := s.version[a.session]
	if a.kind == signIn || !known || a.outcome == ended && a.reason != superseded {
		return nil
	}
	next := s.after(version)
	switch a.outcome {
	case accepted:
		allowed := time.Duration(0)
		if a.kind == local {
			allowed = bound
		}
		if next < len(s.told) && s.first[next]+allowed < a.began {
			return []string{fmt.Sprintf("a superseded session was accepted, %s after the sign-in that ended it was acknowledged: %s",
				(a.began - s.first[next]).Round(time.Microsecond), a)}
		}
	case ended:
		if !s.mayHaveEnded(version, next, a.done) {
			return []string{"a live session was refused: " + a.String()}
		}
	}
	return nil
}

// mayHaveEnded says whether a session of a version can have been superseded by an instant.
func (s *slot) mayHaveEnded(version int64, next int, by time.Duration) bool {
	if next < len(s.sent) && s.sent[next] <= by {
		return true
	}
	// Otherwise by a sign-in that nobody was told of: there was one, and the versions leave room for it
	// before the next that was told, which was sent later.
	if !slices.ContainsFunc(s.untold, func(u act) bool { return u.began <= by }) {
		return false
	}
	return next == len(s.told) || s.told[next].version > version+1
}

// revived is rule 4.
func revived(acts []act) (found []string) {
	over := map[int]time.Duration{} // when a session was first refused
	for _, a := range acts {
		if at, there := over[a.session]; a.outcome == ended && (!there || a.done < at) {
			over[a.session] = a.done
		}
	}
	for _, a := range acts {
		at, there := over[a.session]
		if !there || a.outcome != accepted || a.kind == signIn {
			continue
		}
		if a.kind == local {
			at += bound
		}
		if at < a.began {
			found = append(found, "a session that had been refused was accepted: "+a.String())
		}
	}
	return found
}

// unexcused is rule 6.
func unexcused(acts []act, windows []window) (found []string) {
	for _, a := range acts {
		switch {
		case a.outcome == wrong:
			found = append(found, "an answer that may never be: "+a.String())
		case a.done-a.began > patience:
			found = append(found, "an answer that took too long: "+a.String())
		case a.outcome != busy && a.outcome != lost:
		case !slices.ContainsFunc(windows, func(w window) bool { return w.excuses(a) }):
			found = append(found, "not well, and no fault to excuse it: "+a.String())
		}
	}
	return found
}
