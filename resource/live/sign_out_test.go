package live_test

import (
	"testing"

	"github.com/tallystick/tallystick/resource/live"
)

func TestSignOutEndsTheSessionOfTheConnection(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for _, session := range []string{"quiet", "announced"} {
		p := s.signedIn("tom", session)
		if f := p.ask(`{"id":2,"type":"sign_out"}`); f.Type != "session.ended" || f.Reason != "signed_out" {
			t.Errorf("%s: told %+v", session, f)
		}
		if f, err := p.read(); err == nil {
			t.Errorf("%s: another frame after the end: %+v", session, f)
		}
		s.gone()
	}
	if n := s.metric("closed_total", "ended"); n != 2 {
		t.Errorf("%v ended", n)
	}
}

func TestSignOutThatIsRefusedEndsNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p := s.connect()
	p.refused(`{"id":1,"type":"sign_out"}`, "invalid_token") // nobody has signed in
	p.ask(`{"type":"auth","access_token":"tom shared"}`)
	p.refused(`{"id":1,"type":"sign_out"}`, "session_shared")
	p.refused(`{"id":1,"type":"sign_out","session_id":"another"}`, "invalid_request")
	p.is("shared")
}

func TestSignOutIsOfThoseWhoServeIt(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) { c.SignOut = nil })
	p := s.signedIn("tom", "s1")
	p.refused(`{"type":"sign_out"}`, "not_served_here")
	p.is("s1")
}
