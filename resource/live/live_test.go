package live_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/live"
	"github.com/tallystick/tallystick/storage"
)

func TestEndIsToldAndCloses(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p, other := s.signedIn("tom", "s1"), s.signedIn("tom", "s2")
	s.end("s1", storage.Superseded)
	f := p.next()
	if f.Type != "session.ended" || f.Reason != "superseded" || fmt.Sprint(f.Code) != "2" || f.SupersededBy.DeviceName != "another" {
		t.Errorf("told %+v", f)
	}
	p.closed(live.CloseEnded)
	s.gone()
	other.is("s2")
	if n := s.metric("closed_total", "ended"); n != 1 {
		t.Errorf("%v ended", n)
	}
	if n := s.metric("signed_in"); n != 1 {
		t.Errorf("%v signed in", n)
	}
}

func TestEndOfATokenOrAClient(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p, other := s.signedIn("tom", "s1"), s.signedIn("tom", "s2")
	at := func(at time.Time) storage.End { return storage.End{Reason: storage.Kicked, At: at} }
	s.live.Take("test", []storage.Event{
		{Subject: storage.SubjectToken, Key: "jti s1", End: at(time.Now())},
		{Subject: storage.SubjectClient, Key: "another app", End: at(time.Now())},
		{Subject: storage.SubjectClient, Key: "app", End: at(time.Now().Add(-time.Hour))}, // before the tokens were issued
	})
	p.closed(live.CloseEnded)
	other.is("s2")
	s.live.Take("test", []storage.Event{{Subject: storage.SubjectClient, Key: "app", End: at(time.Now())}})
	other.closed(live.CloseEnded)
}

// TestEndDuringSignIn lets a session end at the worst moment: the guard has looked and seen nothing, and the
// connection is not signed in yet.
func TestEndDuringSignIn(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.warden.set(func(w *warden) {
		w.before = func(p guard.Principal) {
			if p.Session == "s1" {
				s.end("s1", storage.Kicked)
			}
		}
	})
	p := s.connect()
	for _, f := range []string{`{"type":"auth","access_token":"tom s1"}`, `{"type":"login","user":"tom","session":"s1"}`} {
		s.warden.set(func(w *warden) { delete(w.ended, "s1") })
		if a := p.refused(f, "invalid_token"); a.Error.Reason != "kicked" {
			t.Errorf("%s: %+v", f, a)
		}
	}
	p.refused(`{"type":"who"}`, "invalid_token")
	if n := s.metric("signed_in"); n != 0 {
		t.Errorf("%v are signed in", n)
	}
}

// TestEndsRaceSignIns ends sessions while connections take them over: whoever was let in is told.
func TestEndsRaceSignIns(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	var work sync.WaitGroup
	for i := range 24 {
		p, session := s.connect(), fmt.Sprintf("s%d", i)
		work.Go(func() { s.end(session, storage.Kicked) })
		work.Go(func() {
			p.send(`{"type":"auth","access_token":"user` + session + ` ` + session + `"}`)
			f, err := p.read()
			if err != nil {
				t.Errorf("%s: %v", session, err)
				return
			}
			if f.Type == "auth" {
				if f, err = p.read(); err == nil {
					p.closed(live.CloseEnded)
					s.gone()
				}
			}
			told := f.Type == "session.ended" || f.Type == "error"
			if err != nil || !told || f.Reason+f.Error.Reason != "kicked" {
				t.Errorf("%s: %+v %v", session, f, err)
			}
		})
	}
	work.Wait()
	if n := s.metric("signed_in"); n != 0 {
		t.Errorf("%v are signed in", n)
	}
}

func TestEndSeenInAnAnswerCloses(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p := s.signedIn("tom", "s1")
	if a := p.refused(`{"type":"ends"}`, "invalid_token"); a.Error.Reason != "kicked" {
		t.Errorf("%+v", a)
	}
	p.closed(live.CloseEnded)
	q := s.signedIn("tom", "s2")
	s.warden.set(func(w *warden) { w.ended["s2"] = storage.End{Reason: storage.Banned} }) // and nobody tells
	if a := q.refused(`{"type":"who"}`, "invalid_token"); a.Error.Reason != "banned" {
		t.Errorf("%+v", a)
	}
	q.closed(live.CloseEnded)
}

func TestExpiryIsTold(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.warden.life = 50 * time.Millisecond
	p := s.signedIn("tom", "s1")
	if f := p.next(); f.Type != "session.ended" || f.Reason != "expired" || fmt.Sprint(f.Code) != "1" {
		t.Errorf("told %+v", f)
	}
	p.closed(live.CloseEnded)
}

// TestNobodyIsClosedForABlindGuard has a session's time run out while nobody can tell how it ended.
func TestNobodyIsClosedForABlindGuard(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p := s.signedIn("tom", "s1")
	s.warden.life = 50 * time.Millisecond
	late := s.signedIn("amy", "s2")
	asked := make(chan struct{}, 100)
	s.warden.set(func(w *warden) {
		w.err = storage.ErrUnavailable
		w.before = func(p guard.Principal) {
			if p.Session == "s2" {
				asked <- struct{}{}
			}
		}
	})
	<-asked // and there is no telling
	if a := p.refused(`{"type":"who"}`, "temporarily_unavailable"); a.Error.Status != 503 || a.Error.RetryAfter != 1 {
		t.Errorf("%+v", a)
	}
	s.warden.set(func(w *warden) { w.err, w.before, w.ended["s2"] = nil, nil, storage.End{Reason: storage.Superseded} })
	if f := late.next(); f.Reason != "superseded" {
		t.Errorf("told %+v", f)
	}
	p.is("s1")
}

func TestIdentityChanges(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p := s.connect()
	p.refused(`{"type":"who"}`, "invalid_token")
	in := p.ask(`{"id":"a","type":"login","user":"tom","session":"s1"}`)
	if in.Type != "login" || string(in.ID) != `"a"` {
		t.Fatalf("login: %+v", in)
	}
	bound := "bound/" + p.id + "/tom/s1"
	p.is("s1")
	if a := p.ask(`{"type":"who","token":"` + bound + `"}`); a.Session != "s1" {
		t.Errorf("with the connection's token: %+v", a)
	}
	if a := p.ask(`{"type":"who","token":"tom s1"}`); a.Session != "s1" {
		t.Errorf("with an access token of the session: %+v", a)
	}
	p.ask(`{"type":"auth","access_token":"amy s2"}`)
	p.is("s2")
	s.end("s1", storage.Kicked) // no matter of this connection any more
	p.is("s2")
	p.refused(`{"type":"who","token":"`+bound+`"}`, "invalid_token")
	if a := p.refused(`{"type":"auth","access_token":"`+bound+`"}`, "invalid_token"); a.Error.Reason != "kicked" {
		t.Errorf("back to a session that has ended: %+v", a)
	}
	for _, f := range []string{`{"type":"who","token":"bound/x/tom/s2"}`, `{"type":"auth","access_token":"bound/x/tom/s2"}`} {
		if a := p.refused(f, "invalid_token"); a.Error.Reason != "illegal_source" || a.Error.Status != 401 {
			t.Errorf("%s: %+v", f, a)
		}
	}
	p.is("s2")
	if n := s.metric("signed_in"); n != 1 {
		t.Errorf("%v are signed in", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p := s.signedIn("tom", "s1")
	for f, want := range map[string]struct {
		code   string
		status int
		names  string
	}{
		`{"type":"whom"}`:                            {"invalid_request", 400, "whom"},
		`{"type":"hello"}`:                           {"invalid_request", 400, "hello"},
		`{"type":"elsewhere"}`:                       {"not_served_here", 404, "elsewhere"},
		`{"type":"write"}`:                           {"insufficient_scope", 403, ""},
		`{"type":"auth"}`:                            {"invalid_request", 400, "access_token"},
		`{"type":"auth","access_token":"a b","x":1}`: {"invalid_request", 400, `"x"`},
		`{"type":"auth","access_token":7}`:           {"invalid_request", 400, "access_token"},
		`{"type":"auth","access_token":"nonsense"}`:  {"invalid_token", 401, ""},
		`{"type":"auth","access_token":" s9"}`:       {"insufficient_scope", 403, ""},
		`{"type":"panic"}`:                           {"server_error", 500, ""},
		`{"type":"refused"}`:                         {"insufficient_funds", 422, ""},
	} {
		if a := p.refused(f, want.code); a.Error.Status != want.status || !strings.Contains(a.Error.Description, want.names) {
			t.Errorf("%s: %+v", f, a)
		}
	}
	if a := p.ask(`{"id":-5,"type":"refused"}`); string(a.ID) != "-5" || !a.Error.Replayed || a.Error.RetryAfter != 2 {
		t.Errorf("%+v", a)
	}
	if a := p.ask(`{"id":"ü\n","type":"who","a":1,"b":{"c":["x"]}}`); string(a.ID) != `"ü\n"` || string(a.Body) != `{"a":1,"b":{"c":["x"]}}` {
		t.Errorf("%+v", a)
	}
	p.is("s1")
	if n := s.metric("frames_total", "other", "invalid_request"); n != 2 {
		t.Errorf("%v unknown frames", n)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	w := &warden{}
	good := live.Config{Guard: w, Tokens: w, CommandTime: time.Second}
	if _, err := live.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*live.Config){
		"no guard":        func(c *live.Config) { c.Guard = nil },
		"no tokens":       func(c *live.Config) { c.Tokens = nil },
		"no time":         func(c *live.Config) { c.CommandTime = 0 },
		"negative limit":  func(c *live.Config) { c.Limits.MaxQueued = -1 },
		"negative time":   func(c *live.Config) { c.Limits.PongTime = -1 },
		"reserved type":   func(c *live.Config) { c.Commands = map[string]live.Command{"auth": {}} },
		"answered twice":  func(c *live.Config) { c.Commands, c.Elsewhere = map[string]live.Command{"x": {}}, []string{"x"} },
		"odd origin":      func(c *live.Config) { c.Origins = []string{"shop.example.com"} },
		"origin's path":   func(c *live.Config) { c.Origins = []string{"https://shop.example.com/"} },
		"origin in caps":  func(c *live.Config) { c.Origins = []string{"https://Shop.example.com"} },
		"no known scheme": func(c *live.Config) { c.Origins = []string{"ftp://shop.example.com"} },
	} {
		c := good
		change(&c)
		if _, err := live.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
