package live_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/resource/live"
	"github.com/tallystick/tallystick/storage"
)

func TestLimitOfFrames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits live.Limits
		frames []string
		code   websocket.StatusCode
		why    string
		told   string // the code of the last refusal
	}{
		"too many":      {live.Limits{Frames: 1, Burst: 3}, []string{`{"type":"ping"}`, `{"type":"ping"}`, `{"type":"ping"}`, `{"type":"ping"}`}, live.CloseRate, "rate", "slow_down"},
		"malformed":     {live.Limits{}, []string{`{`, `[]`, `{"type":1}`}, live.CloseMalformed, "malformed", "invalid_request"},
		"too long":      {live.Limits{MaxFrame: 100}, []string{`{"type":"` + strings.Repeat("x", 100) + `"}`}, websocket.StatusMessageTooBig, "too_big", ""},
		"not signed in": {live.Limits{SignInTime: 50 * time.Millisecond}, nil, live.CloseNobody, "nobody", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, func(conf *live.Config) { conf.Limits = c.limits })
			p := s.connect()
			for _, f := range c.frames {
				p.send(f)
			}
			last, err := got{}, error(nil)
			for err == nil {
				var f got
				if f, err = p.read(); err == nil {
					last = f
				}
			}
			if websocket.CloseStatus(err) != c.code || last.Error.Error != c.told {
				t.Errorf("closed with %v after %+v", err, last)
			}
			s.gone()
			if s.metric("closed_total", c.why) != 1 || s.metric("connections") != 0 {
				t.Errorf("closed: %v, open: %v", s.metric("closed_total", c.why), s.metric("connections"))
			}
		})
	}
}

func TestFramesAreText(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p := s.connect()
	if err := p.ws.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	p.closed(websocket.StatusUnsupportedData)
}

func TestSignInTimeEndsWithTheSignIn(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) { c.Limits.SignInTime = 300 * time.Millisecond })
	p, idle := s.signedIn("tom", "s1"), s.connect()
	idle.closed(live.CloseNobody) // by which time the other would be closed too
	p.is("s1")
}

func TestLimitOfFramesInFlight(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) { c.Limits.MaxInFlight = 2 })
	p := s.signedIn("tom", "s1")
	p.send(`{"id":1,"type":"wait"}`)
	p.send(`{"id":2,"type":"wait"}`)
	if a := p.refused(`{"id":3,"type":"wait"}`, "slow_down"); a.Error.Status != http.StatusTooManyRequests || string(a.ID) != "3" {
		t.Errorf("%+v", a)
	}
	if a := p.ask(`{"type":"ping"}`); a.Type != "pong" {
		t.Errorf("%+v", a)
	}
	close(s.hold)
	p.next()
	p.next()
	p.is("s1")
}

func TestLimitOfConnections(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) { c.Limits.MaxConnections, c.Limits.MaxPerAddress = 3, 2 })
	declined := func(address string, status int, code string) {
		t.Helper()
		_, r, err := s.dial(http.Header{"X-Address": {address}})
		if err == nil || r == nil || r.StatusCode != status || r.Header.Get("Retry-After") == "" {
			t.Fatalf("%s: %v %v", address, r, err)
		}
		defer r.Body.Close()
		var body struct{ Error string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Error != code {
			t.Errorf("%s: %v %v", address, body, err)
		}
		s.gone()
	}
	first := s.connectFrom("2001:db8::1")
	s.connectFrom("2001:db8::2")
	declined("2001:db8::3", http.StatusTooManyRequests, "slow_down") // of the same network
	s.connectFrom("192.0.2.1")
	declined("192.0.2.2", http.StatusServiceUnavailable, "temporarily_unavailable")
	if err := first.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	s.gone()
	s.connectFrom("192.0.2.2")
	if s.metric("refused_total", "address") != 1 || s.metric("refused_total", "full") != 1 {
		t.Error("refusals are not counted")
	}
}

func TestOneMoreOfAUserClosesTheOldest(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) { c.Limits.MaxPerUser = 2 })
	first, second, amy := s.signedIn("tom", "s1"), s.signedIn("tom", "s2"), s.signedIn("amy", "s3")
	third := s.signedIn("tom", "s4")
	if f := first.next(); f.Type != "bye" || f.Why != "replaced" {
		t.Errorf("%+v", f)
	}
	first.closed(live.CloseReplaced)
	second.ask(`{"type":"auth","access_token":"tom s5"}`) // takes its own place
	for p, session := range map[*peer]string{second: "s5", third: "s4", amy: "s3"} {
		p.is(session)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) { c.Origins = []string{"https://shop.example.com"} })
	for origin, ok := range map[string]bool{
		"":                             true,
		s.server.URL:                   true,
		"https://shop.example.com":     true,
		"https://shop.example.com:444": false,
		"http://shop.example.com":      false,
		"https://evil.example.com":     false,
		"https://shop.example.com.evil.example.com": false,
		"null": false,
		"file://" + strings.TrimPrefix(s.server.URL, "http://"): false,
	} {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		ws, r, err := s.dial(h)
		if ws != nil {
			_ = ws.CloseNow()
		}
		if (err == nil) != ok || !ok && r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v", origin, err)
		}
		if r != nil && r.Body != nil {
			_ = r.Body.Close()
		}
	}
}

func TestOnlyWebSockets(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	r, err := s.server.Client().Get(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusUpgradeRequired || r.Header.Get("Upgrade") != "websocket" || !strings.Contains(string(body), "invalid_request") {
		t.Errorf("%d %v %s", r.StatusCode, r.Header, body)
	}
}

// deaf connects and signs in without a library, so that nothing reads, and nothing answers pings.
func (s *stand) deaf(session string) net.Conn {
	s.t.Helper()
	c, err := (&net.Dialer{}).DialContext(s.t.Context(), "tcp", s.server.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	write(s.t, c, `{"type":"auth","access_token":"deaf `+session+`"}`)
	return c
}

// write writes a text frame, masked with zeros.
func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	frame := append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// signed waits until so many are signed in.
func (s *stand) signed(n float64) {
	s.t.Helper()
	for s.metric("signed_in") < n {
		if s.t.Context().Err() != nil {
			s.t.Fatal("nobody signed in")
		}
		time.Sleep(time.Millisecond) // a peer that does not read cannot be heard
	}
}

func TestSlowReaderIsDroppedAndBlocksNobody(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]live.Limits{
		"too much is waiting":   {MaxQueued: 8, WriteTime: time.Hour, Frames: 1000, Burst: 1000, MaxInFlight: 1000},
		"one takes it too long": {MaxQueued: 1000, WriteTime: 100 * time.Millisecond, Frames: 1000, Burst: 1000, MaxInFlight: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t, func(c *live.Config) { c.Limits = limits })
			other := s.signedIn("tom", "s1")
			c := s.deaf("s2")
			s.signed(2)
			for range 64 { // 16 MiB: more than any buffer on the way holds
				write(t, c, `{"type":"large"}`)
			}
			s.gone()
			other.is("s1")
			if s.metric("closed_total", "slow") != 1 || s.metric("signed_in") != 1 {
				t.Errorf("slow: %v, signed in: %v", s.metric("closed_total", "slow"), s.metric("signed_in"))
			}
		})
	}
}

// TestEndDoesNotWaitForASlowReader tells many connections of their end, one of which does not read.
func TestEndDoesNotWaitForASlowReader(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) {
		c.Limits = live.Limits{MaxQueued: 1000, WriteTime: 2 * time.Second, Frames: 1000, Burst: 1000, MaxInFlight: 1000}
	})
	c := s.deaf("s1")
	p := s.signedIn("tom", "s2")
	s.signed(2)
	for range 64 {
		write(t, c, `{"type":"large"}`)
	}
	s.end("s1", storage.Kicked)
	s.end("s2", storage.Kicked)
	p.closed(live.CloseEnded)
	s.gone()
	s.gone() // once a frame takes the other too long
}

func TestSilentPeerIsDropped(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(c *live.Config) {
		c.Limits.PingEvery, c.Limits.PongTime = 100*time.Millisecond, 200*time.Millisecond
	})
	p := s.signedIn("tom", "s1")
	stop := make(chan struct{})
	heard := make(chan got)
	go func() { // the library answers pings while it reads
		defer close(heard)
		for {
			f, err := p.read()
			if err != nil {
				return
			}
			heard <- f
		}
	}()
	defer close(stop)
	s.deaf("s2")
	s.gone()
	if s.metric("closed_total", "silent") != 1 {
		t.Error("it was not dropped for its silence")
	}
	p.send(`{"type":"who"}`)
	if f := <-heard; f.Session != "s1" {
		t.Errorf("%+v", f)
	}
	_ = p.ws.CloseNow()
	<-heard
}

func TestStopAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p, idle := s.signedIn("tom", "s1"), s.connect()
	p.send(`{"id":"w","type":"wait"}`)
	<-s.waiting
	s.stop()
	idle.byes(t)
	if a := p.refused(`{"id":"n","type":"who"}`, "temporarily_unavailable"); a.Error.Status != http.StatusServiceUnavailable {
		t.Errorf("%+v", a)
	}
	close(s.hold)
	if a := p.next(); a.Type != "wait" || string(a.ID) != `"w"` {
		t.Errorf("what was in flight: %+v", a)
	}
	p.byes(t)
	s.gone()
	s.gone()
}

func (p *peer) byes(t *testing.T) {
	t.Helper()
	if f := p.next(); f.Type != "bye" || f.Why != "stopping" || f.Pause < 500 || f.Pause > 5000 {
		t.Errorf("%+v", f)
	}
	p.closed(websocket.StatusGoingAway)
}

// TestLeavingEndsWhatIsInFlight: an app that is gone needs no answer.
func TestLeavingEndsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	p := s.signedIn("tom", "s1")
	p.send(`{"type":"wait"}`)
	<-s.waiting
	_ = p.ws.CloseNow()
	s.gone() // which waits for the answers
}
