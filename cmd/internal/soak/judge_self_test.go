package soak_test

import (
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

// signedIn is a sign-in of one user: session n, acknowledged with a version.
func signedIn(session int, version int64, began, done time.Duration) act {
	return act{kind: signIn, outcome: accepted, session: session, version: version, began: began, done: done}
}

func used(k kind, session int, o outcome, began, done time.Duration) act {
	a := act{kind: k, outcome: o, session: session, began: began, done: done}
	if o == ended {
		a.reason = superseded
	}
	return a
}

// over is a request that was refused for a reason.
func over(k kind, session int, reason string, began, done time.Duration) act {
	return act{kind: k, outcome: ended, session: session, reason: reason, began: began, done: done}
}

// ordered is what the administrator ordered.
func ordered(k kind, o outcome, began, done time.Duration) act {
	reason := map[kind]string{kick: kicked, ban: banned}[k]
	return act{kind: k, outcome: o, reason: reason, began: began, done: done}
}

// TestJudge gives the judge histories by hand. Each that breaks a rule differs as little as possible
// from one that does not.
func TestJudge(t *testing.T) {
	t.Parallel()
	one, two := signedIn(1, 1, 0, 10*ms), signedIn(2, 2, 100*ms, 110*ms)
	untold := used(signIn, 9, lost, 100*ms, 110*ms)
	killed := window{from: 90 * ms, to: 120 * ms, kills: true}
	for name, c := range map[string]struct {
		acts    []act
		windows []window
		want    string // part of the one violation; empty for none
	}{
		"all is well": {acts: []act{one, used(strict, 1, accepted, 20*ms, 30*ms), two, used(strict, 1, ended, 120*ms, 130*ms), used(refresh, 2, accepted, 120*ms, 130*ms)}},

		"strict, sent before the acknowledgement": {acts: []act{one, two, used(strict, 1, accepted, 109*ms, 130*ms)}},
		"strict, sent after it":                   {acts: []act{one, two, used(strict, 1, accepted, 111*ms, 130*ms)}, want: "a superseded session was accepted"},
		"refresh, sent after it":                  {acts: []act{one, two, used(refresh, 1, accepted, 111*ms, 130*ms)}, want: "a superseded session was accepted"},
		"superseded by one later still":           {acts: []act{one, two, signedIn(3, 3, 120*ms, 125*ms), used(strict, 2, accepted, 126*ms, 130*ms)}, want: "a superseded session was accepted"},

		"local, within the bound":  {acts: []act{one, two, used(local, 1, accepted, 1109*ms, 1200*ms)}},
		"local, later":             {acts: []act{one, two, used(local, 1, accepted, 1111*ms, 1200*ms)}, want: "a superseded session was accepted"},
		"local, of the newest one": {acts: []act{one, two, used(local, 2, accepted, 9111*ms, 9200*ms)}},

		"refused, and the sign-in was sent":     {acts: []act{one, two, used(local, 1, ended, 90*ms, 101*ms)}},
		"refused, and it was not":               {acts: []act{one, two, used(local, 1, ended, 90*ms, 99*ms)}, want: "a live session was refused"},
		"refused, the newest":                   {acts: []act{one, two, used(strict, 2, ended, 200*ms, 210*ms)}, want: "a live session was refused"},
		"refused, by one that nobody was told":  {acts: []act{one, untold, used(strict, 1, ended, 105*ms, 120*ms), signedIn(3, 3, 200*ms, 210*ms)}, windows: []window{killed}},
		"refused, before that was sent":         {acts: []act{one, untold, used(strict, 1, ended, 80*ms, 90*ms), signedIn(3, 3, 200*ms, 210*ms)}, windows: []window{killed}, want: "a live session was refused"},
		"refused, and the versions have no gap": {acts: []act{one, untold, used(strict, 1, ended, 105*ms, 120*ms), signedIn(3, 2, 200*ms, 210*ms)}, windows: []window{killed}, want: "a live session was refused"},

		"revived, where nothing else tells":     {acts: []act{one, untold, used(strict, 1, ended, 105*ms, 120*ms), used(strict, 1, accepted, 121*ms, 130*ms)}, windows: []window{killed}, want: "had been refused was accepted"},
		"refused strictly, not yet seen nearby": {acts: []act{one, untold, used(strict, 1, ended, 105*ms, 120*ms), used(local, 1, accepted, 121*ms, 130*ms)}, windows: []window{killed}},

		"one version twice":   {acts: []act{one, signedIn(2, 1, 5*ms, 15*ms)}, want: "one version twice"},
		"versions backwards":  {acts: []act{signedIn(1, 2, 0, 10*ms), signedIn(2, 1, 20*ms, 30*ms)}, want: "a lower version"},
		"versions of a race":  {acts: []act{signedIn(1, 2, 0, 10*ms), signedIn(2, 1, 5*ms, 30*ms)}},
		"a wrong answer":      {acts: []act{used(local, 1, wrong, 0, ms)}, want: "may never be"},
		"an answer that hung": {acts: []act{used(local, 1, accepted, 0, patience+ms)}, want: "took too long"},

		"busy, and nothing was broken":             {acts: []act{used(local, 1, busy, 0, ms)}, want: "no fault to excuse it"},
		"busy, during a fault":                     {acts: []act{used(local, 1, busy, 100*ms, 110*ms)}, windows: []window{killed}},
		"busy, within the grace":                   {acts: []act{used(local, 1, busy, 120*ms+grace, 121*ms+grace)}, windows: []window{killed}},
		"busy, after it":                           {acts: []act{used(local, 1, busy, 121*ms+grace, 122*ms+grace)}, windows: []window{killed}, want: "no fault to excuse it"},
		"busy, before it":                          {acts: []act{used(local, 1, busy, 80*ms, 89*ms)}, windows: []window{killed}, want: "no fault to excuse it"},
		"busy, for another's fault":                {acts: []act{used(local, 1, busy, 100*ms, 110*ms)}, windows: []window{{from: 90 * ms, to: 120 * ms, process: 3, locks: true}}, want: "no fault to excuse it"},
		"busy, for another's locks":                {acts: []act{used(strict, 1, busy, 100*ms, 110*ms)}, windows: []window{{from: 90 * ms, to: 120 * ms, process: 3, locks: true}}},
		"busy, for another's fault without":        {acts: []act{used(strict, 1, busy, 100*ms, 110*ms)}, windows: []window{{from: 90 * ms, to: 120 * ms, process: 3}}, want: "no fault to excuse it"},
		"lost, and nobody was killed":              {acts: []act{used(local, 1, lost, 100*ms, 110*ms)}, windows: []window{{from: 90 * ms, to: 120 * ms}}, want: "no fault to excuse it"},
		"busy, with everybody's fault":             {acts: []act{used(local, 1, busy, 100*ms, 110*ms)}, windows: []window{{from: 90 * ms, to: 120 * ms, process: everywhere}}},
		"kicked, strict, sent before the answer":   {acts: []act{one, ordered(kick, accepted, 100*ms, 110*ms), used(strict, 1, accepted, 109*ms, 130*ms)}},
		"kicked, strict, sent after it":            {acts: []act{one, ordered(kick, accepted, 100*ms, 110*ms), used(strict, 1, accepted, 111*ms, 130*ms)}, want: "a session was accepted after"},
		"kicked, local, within the bound":          {acts: []act{one, ordered(kick, accepted, 100*ms, 110*ms), used(local, 1, accepted, 1109*ms, 1200*ms)}},
		"kicked, local, later":                     {acts: []act{one, ordered(kick, accepted, 100*ms, 110*ms), used(local, 1, accepted, 1111*ms, 1200*ms)}, want: "a session was accepted after"},
		"kicked, and signed in meanwhile":          {acts: []act{signedIn(1, 1, 90*ms, 105*ms), ordered(kick, accepted, 100*ms, 110*ms), used(strict, 1, accepted, 111*ms, 130*ms)}},
		"banned, and accepted":                     {acts: []act{one, ordered(ban, accepted, 100*ms, 110*ms), used(refresh, 1, accepted, 111*ms, 130*ms)}, want: "a session was accepted after"},
		"refused as kicked":                        {acts: []act{one, ordered(kick, accepted, 100*ms, 110*ms), over(local, 1, kicked, 111*ms, 130*ms)}},
		"refused as kicked, by one not answered":   {acts: []act{one, ordered(kick, lost, 100*ms, 110*ms), over(local, 1, kicked, 111*ms, 130*ms)}, windows: []window{killed}},
		"refused as kicked, and nobody was":        {acts: []act{one, over(local, 1, kicked, 111*ms, 130*ms)}, want: "what nobody ordered"},
		"refused as kicked, before that":           {acts: []act{one, ordered(kick, accepted, 100*ms, 110*ms), over(local, 1, kicked, 50*ms, 99*ms)}, want: "what nobody ordered"},
		"refused as kicked, signed in after it":    {acts: []act{ordered(kick, accepted, 0, 5*ms), signedIn(1, 1, 6*ms, 10*ms), over(local, 1, kicked, 50*ms, 99*ms)}, want: "what nobody ordered"},
		"refused as banned, and it was a kick":     {acts: []act{one, ordered(kick, accepted, 100*ms, 110*ms), over(local, 1, banned, 111*ms, 130*ms)}, want: "what nobody ordered"},
		"a banned user is refused":                 {acts: []act{ordered(ban, accepted, 0, 5*ms), over(signIn, 1, banned, 6*ms, 9*ms), ordered(unban, accepted, 10*ms, 20*ms)}},
		"a banned user is refused, after the ban":  {acts: []act{ordered(ban, accepted, 0, 5*ms), ordered(unban, accepted, 10*ms, 20*ms), over(signIn, 1, banned, 21*ms, 29*ms)}, want: "no ban is why"},
		"a banned user signs in":                   {acts: []act{ordered(ban, accepted, 0, 5*ms), signedIn(1, 1, 6*ms, 9*ms), ordered(unban, accepted, 10*ms, 20*ms)}, want: "a banned user signed in"},
		"a sign-in that was refused is no sign-in": {acts: []act{one, ordered(ban, accepted, 100*ms, 110*ms), over(signIn, 2, banned, 111*ms, 119*ms), ordered(unban, accepted, 120*ms, 130*ms), over(strict, 1, superseded, 140*ms, 150*ms)}, want: "a live session was refused"},
		"the guard fed by HTTP, its issuer away":   {acts: []act{{kind: local, outcome: busy, session: 1, process: watching, began: 100 * ms, done: 110 * ms}}, windows: []window{killed}},
		"the guard fed by HTTP, another away":      {acts: []act{{kind: local, outcome: busy, session: 1, process: watching, began: 100 * ms, done: 110 * ms}}, windows: []window{{from: 90 * ms, to: 120 * ms, process: 1, kills: true}}, want: "no fault to excuse it"},

		"other users are other slots":          {acts: []act{one, {kind: signIn, outcome: accepted, user: 1, session: 2, version: 2, began: 100 * ms, done: 110 * ms}, used(strict, 1, accepted, 120*ms, 130*ms)}},
		"a session whose sign-in was not told": {acts: []act{used(strict, 7, accepted, 120*ms, 130*ms)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := judge(c.acts, c.windows)
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("innocent, and found guilty:\n%s", strings.Join(found, "\n"))
			case c.want != "" && (len(found) != 1 || !strings.Contains(found[0], c.want)):
				t.Errorf("guilty of %q, and found:\n%s", c.want, strings.Join(found, "\n"))
			}
		})
	}
}
