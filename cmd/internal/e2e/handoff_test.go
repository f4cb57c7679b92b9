package e2e_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/story"
)

// screen is a signed-out device that asks to be signed in.
type screen struct {
	t      *testing.T
	target story.Target
	asked  reply
}

func newScreen(t *testing.T, target story.Target) screen {
	t.Helper()
	r := mustCall(t, http.MethodPost, target.Issuer+"/oauth2/device_authorization", form(), url.Values{
		"client_id": {"shop-app"}, "terminal": {"api"}, "device_name": {"a screen"},
	}.Encode())
	if r.status != http.StatusOK {
		t.Fatalf("device authorization: %d %s", r.status, r.body)
	}
	return screen{t, target, r}
}

// phone takes a step of the phone, and returns what it was told.
func (s screen) phone(step, access string) reply {
	s.t.Helper()
	h := bearer(access)
	h.Set("Content-Type", "application/json")
	body := `{"user_code":"` + s.asked.field("user_code") + `"`
	if step == "approve" {
		body += `,"number":"` + s.asked.field("confirmation") + `"`
	}
	return mustCall(s.t, http.MethodPost, s.target.Issuer+"/v1/device/"+step, h, body+"}")
}

// steps takes steps of the phone that must go well.
func (s screen) steps(access string, steps ...string) {
	s.t.Helper()
	for _, step := range steps {
		if r := s.phone(step, access); r.status != http.StatusOK {
			s.t.Fatalf("%s: %d %s", step, r.status, r.body)
		}
	}
}

func (s screen) collect() reply {
	s.t.Helper()
	return mustCall(s.t, http.MethodPost, s.target.Issuer+"/oauth2/token", form(), url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"shop-app"}, "device_code": {s.asked.field("device_code")},
	}.Encode())
}

// refused fails the test unless the screen gets no tokens, for this reason.
func (s screen) refused(when, code string) {
	s.t.Helper()
	if r := s.collect(); r.status == http.StatusOK || r.field("error") != code {
		s.t.Errorf("%s: %d %s, want %s", when, r.status, r.body, code)
	}
}

// signedIn fails the test unless the screen is signed in, once.
func (s screen) signedIn(when string) {
	s.t.Helper()
	if r := s.collect(); r.status != http.StatusOK || r.field("access_token") == "" {
		s.t.Errorf("%s: %d %s", when, r.status, r.body)
		return
	}
	s.refused(when+", a second time", "invalid_grant")
}

// TestHandoffsOutliveKillsAndFlushes disturbs hand-offs in all their states, and takes each to its end.
func TestHandoffsOutliveKillsAndFlushes(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	p := i.serve(t, "all")
	access := signIn(t, i.target, "tom", "mobile", "phone").field("access_token")
	for _, disturbance := range []struct {
		name string
		do   func() error
	}{
		{"killed", func() error {
			p.Kill()
			p = i.serve(t, "all")
			return nil
		}},
		{"Redis flushed", func() error { return i.redis.Command("FLUSHALL") }},
	} {
		before := len(sessions(t, i.target, access))
		asked, scanned, approved, denied := newScreen(t, i.target), newScreen(t, i.target), newScreen(t, i.target), newScreen(t, i.target)
		scanned.steps(access, "scan")
		approved.steps(access, "scan", "approve")
		denied.steps(access, "scan", "deny")
		token := loginToken(t, i.target, access, `{"terminal":"browser"}`)
		if err := disturbance.do(); err != nil {
			t.Fatal(err)
		}
		when := disturbance.name
		asked.refused(when+" when asked", "authorization_pending")
		scanned.refused(when+" when scanned", "authorization_pending")
		denied.refused(when+" when denied", "access_denied")
		if n := len(sessions(t, i.target, access)); n != before {
			t.Errorf("%s: %d sessions were opened by nobody", when, n-before)
		}
		asked.steps(access, "scan", "approve")
		scanned.steps(access, "approve")
		for state, s := range map[string]screen{"asked": asked, "scanned": scanned, "approved": approved} {
			s.signedIn(when + " when " + state)
		}
		redeem := url.Values{"grant_type": {"urn:tallystick:grant-type:login-token"}, "client_id": {"shop-app"}, "terminal": {"browser"}, "login_token": {token}}.Encode()
		for try, want := range []string{"", "invalid_grant"} {
			if r := mustCall(t, http.MethodPost, i.target.Issuer+"/oauth2/token", form(), redeem); r.field("error") != want {
				t.Errorf("%s: login token, try %d: %d %s", when, try+1, r.status, r.body)
			}
		}
		if n := len(sessions(t, i.target, access)); n != before+4 {
			t.Errorf("%s: %d sessions instead of 4", when, n-before)
		}
		if r := mustCall(t, http.MethodDelete, i.target.Issuer+"/v1/sessions?except=current", bearer(access), ""); r.status/100 != 2 {
			t.Fatalf("%s: end all others: %d %s", when, r.status, r.body)
		}
	}
}

// TestPhoneThatIsKickedHandsNothingOver kicks the phone between the steps of a hand-off.
func TestPhoneThatIsKickedHandsNothingOver(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	phone := func() string { return signIn(t, target, "tom", "mobile", "phone").field("access_token") }
	old := phone()
	s := newScreen(t, target)
	s.steps(old, "scan")
	fresh := phone()
	if r := s.phone("approve", old); r.status != http.StatusUnauthorized || r.field("reason") != "superseded" {
		t.Errorf("approved by a phone that was kicked after it scanned: %d %s", r.status, r.body)
	}
	s.refused("not approved", "authorization_pending")
	// The request is the user's, and so the new phone goes on with it.
	s.steps(fresh, "approve")
	last := phone()
	if r := s.collect(); r.field("error") != "access_denied" || r.field("reason") != "superseded" {
		t.Errorf("approved by a phone that was kicked afterwards: %d %s", r.status, r.body)
	}
	if n := len(sessions(t, target, last)); n != 1 {
		t.Errorf("%d sessions", n)
	}
}
