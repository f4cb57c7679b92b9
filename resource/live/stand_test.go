package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/live"
	"github.com/tallystick/tallystick/storage"
)

const patience = 20 * time.Second // for what must happen

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// warden is a guard whose sessions the test decides on. A token is "user session", and its jti "jti session".
type warden struct {
	mu     sync.Mutex
	ended  map[storage.SessionID]storage.End
	err    error                   // there is no telling
	before func(p guard.Principal) // is called before Suffices answers
	life   time.Duration
}

func (w *warden) Check(_ context.Context, raw string) (guard.Principal, error) {
	user, session, ok := strings.Cut(raw, " ")
	if !ok {
		return guard.Principal{}, &guard.Refusal{Status: 401, Code: guard.InvalidToken, Description: "the access token is not valid"}
	}
	return principal(user, session, w.life), nil
}

func principal(user, session string, life time.Duration) guard.Principal {
	now := time.Now()
	return guard.Principal{
		User: storage.UserID(user), Session: storage.SessionID(session), Client: "app", Product: "shop", Terminal: storage.Mobile,
		Scope: "read", JTI: "jti " + session, IssuedAt: now.Truncate(time.Second), ExpiresAt: now.Add(life),
	}
}

func (w *warden) Suffices(_ context.Context, p guard.Principal, need guard.Need) error {
	w.mu.Lock()
	end, dead := w.ended[p.Session]
	err, before := w.err, w.before
	w.mu.Unlock()
	if before != nil {
		before(p)
	}
	switch {
	case err != nil:
		return guard.RefusalOf(err)
	case dead:
		return guard.RefusalOf(&storage.EndedError{End: end})
	case !time.Now().Before(p.ExpiresAt):
		return guard.RefusalOf(&storage.EndedError{End: storage.End{Reason: storage.Expired}})
	}
	for _, scope := range need.Scopes {
		if !p.Has(scope) {
			return &guard.Refusal{Status: 403, Code: guard.InsufficientScope, Scope: scope}
		}
	}
	return nil
}

func (w *warden) set(change func(*warden)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// Connection takes "bound CONNECTION USER SESSION" as a connection token.
func (w *warden) Connection(raw string, _ time.Time) (token.Connection, error) {
	parts := strings.Split(raw, "/")
	if len(parts) != 4 || parts[0] != "bound" {
		return token.Connection{}, token.ErrInvalid
	}
	now := time.Now()
	return token.Connection{ID: parts[1], Access: token.Access{
		Subject: parts[2], Session: parts[3], Client: "app", JTI: "bound " + parts[3], Scope: "read", IssuedAt: now, Expires: now.Add(w.life),
	}}, nil
}

// stand is a server of live connections.
type stand struct {
	t        *testing.T
	warden   *warden
	live     *live.Live
	registry *prometheus.Registry
	server   *httptest.Server
	stop     context.CancelFunc // the server begins to stop
	served   chan struct{}      // one for each connection that is gone
	hold     chan struct{}      // frames of the type wait are answered when it is closed
	waiting  chan struct{}      // one for each frame of the type wait
}

func newStand(t *testing.T, change func(*live.Config)) *stand {
	t.Helper()
	s := &stand{
		t: t, warden: &warden{ended: map[storage.SessionID]storage.End{}, life: time.Hour}, registry: prometheus.NewRegistry(),
		served: make(chan struct{}, 1000), hold: make(chan struct{}), waiting: make(chan struct{}, 1000),
	}
	c := live.Config{
		Guard: s.warden, Tokens: s.warden, CommandTime: patience, Metrics: s.registry, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		SignIn: func(_ context.Context, body json.RawMessage, from live.Origin) (string, any, error) {
			var as struct{ User, Session string }
			if err := json.Unmarshal(body, &as); err != nil {
				return "", nil, err
			}
			raw := "bound/" + from.Connection + "/" + as.User + "/" + as.Session
			return raw, map[string]string{"connection_token": raw}, nil
		},
		SignOut: func(_ context.Context, p guard.Principal, _ live.Origin) error {
			switch p.Session {
			case "shared":
				return &live.Failure{Status: 409, Code: "session_shared", Body: []byte(`{"error":"session_shared"}`)}
			case "announced": // the bell rings before the answer
				s.end(string(p.Session), storage.SignedOut)
			}
			return nil
		},
		Commands:  s.commands(),
		Elsewhere: []string{"elsewhere"},
	}
	if change != nil {
		change(&c)
	}
	var err error
	if s.live, err = live.New(c); err != nil {
		t.Fatal(err)
	}
	stopping, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := r.Header.Get("X-Address")
		if address == "" {
			address, _, _ = net.SplitHostPort(r.RemoteAddr)
		}
		s.live.Serve(w, r.WithContext(stopping), address)
		s.served <- struct{}{}
	}))
	t.Cleanup(func() {
		stop()
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

func (s *stand) commands() map[string]live.Command {
	answer := func(v any) func(context.Context, guard.Principal, json.RawMessage) (any, error) {
		return func(context.Context, guard.Principal, json.RawMessage) (any, error) { return v, nil }
	}
	return map[string]live.Command{
		"who": {Need: guard.Need{Scopes: []string{"read"}}, Run: func(_ context.Context, p guard.Principal, body json.RawMessage) (any, error) {
			return map[string]any{"session": p.Session, "body": body}, nil
		}},
		"write": {Need: guard.Need{Scopes: []string{"write"}}, Run: answer(struct{}{})},
		"large": {Run: answer(map[string]string{"text": strings.Repeat("x", 256<<10)})},
		"panic": {Run: func(context.Context, guard.Principal, json.RawMessage) (any, error) { panic("oh") }},
		"odd":   {Run: answer(7)},
		"wait": {Run: func(ctx context.Context, _ guard.Principal, _ json.RawMessage) (any, error) {
			s.waiting <- struct{}{}
			select {
			case <-s.hold:
				return struct{}{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}},
		"ends": {Run: func(context.Context, guard.Principal, json.RawMessage) (any, error) {
			return nil, fmt.Errorf("post: %w", &storage.EndedError{End: storage.End{Reason: storage.Kicked}})
		}},
		"refused": {Run: func(context.Context, guard.Principal, json.RawMessage) (any, error) {
			return nil, &live.Failure{
				Status: 422, Code: "insufficient_funds", Body: []byte(`{"code":"insufficient_funds","status":1}`), Replayed: true, RetryAfter: 1500 * time.Millisecond,
			}
		}},
	}
}

// end tells of the end of a session, as the guard would.
func (s *stand) end(session string, reason storage.Reason) {
	end := storage.End{Reason: reason, At: time.Now(), By: &storage.Superseder{Terminal: storage.Mobile, DeviceName: "another", At: time.Unix(1, 0)}}
	s.warden.set(func(w *warden) { w.ended[storage.SessionID(session)] = end })
	s.live.Take("test", []storage.Event{{Subject: storage.SubjectSession, Key: session, End: end}})
}

// metric sums a metric over the label values that have all of these texts.
func (s *stand) metric(name string, values ...string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "tallystick_live_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			if text := fmt.Sprint(m.GetLabel()); !containsAll(text, values) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func containsAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, `"`+p+`"`) {
			return false
		}
	}
	return true
}

func (s *stand) gone() {
	s.t.Helper()
	select {
	case <-s.served:
	case <-time.After(patience):
		s.t.Fatal("the connection is still there")
	}
}

// peer is an app on a connection.
type peer struct {
	t  *testing.T
	ws *websocket.Conn
	id string
}

func (s *stand) dial(header http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	return websocket.Dial(ctx, "ws"+strings.TrimPrefix(s.server.URL, "http"), &websocket.DialOptions{HTTPHeader: header})
}

func (s *stand) connect() *peer { return s.connectFrom("") }

func (s *stand) connectFrom(address string) *peer {
	s.t.Helper()
	ws, _, err := s.dial(http.Header{"X-Address": {address}})
	if err != nil {
		s.t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	s.t.Cleanup(func() { _ = ws.CloseNow() })
	p := &peer{t: s.t, ws: ws}
	first := p.next()
	if first.Type != "hello" || first.Connection == "" {
		s.t.Fatalf("the first frame is %+v", first)
	}
	p.id = first.Connection
	return p
}

// signedIn is a connection for a session.
func (s *stand) signedIn(user, session string) *peer {
	s.t.Helper()
	p := s.connect()
	if f := p.ask(`{"id":1,"type":"auth","access_token":"` + user + " " + session + `"}`); f.Type != "auth" {
		s.t.Fatalf("auth: %+v", f)
	}
	return p
}

// got is a frame of the server.
type got struct {
	ID           json.RawMessage
	Type         string
	Connection   string `json:"connection_id"`
	Session      string
	Body         json.RawMessage
	Reason       string
	Code         any
	SupersededBy struct {
		DeviceName string `json:"device_name"`
	} `json:"superseded_by"`
	Why   string
	Pause int64 `json:"retry_after_ms"`
	Error struct {
		Error       string
		Status      int
		Reason      string
		Description string `json:"error_description"`
		RetryAfter  int    `json:"retry_after"`
		Replayed    bool
	}
}

func (p *peer) read() (got, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	_, data, err := p.ws.Read(ctx)
	if err != nil {
		return got{}, err
	}
	var f got
	if err := json.Unmarshal(data, &f); err != nil {
		p.t.Fatalf("a frame that is not JSON: %v: %.200s", err, data)
	}
	return f, nil
}

func (p *peer) next() got {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p *peer) send(f string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := p.ws.Write(ctx, websocket.MessageText, []byte(f)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) ask(f string) got {
	p.t.Helper()
	p.send(f)
	return p.next()
}

// closed takes the close, over frames that come before it if any may.
func (p *peer) closed(want websocket.StatusCode) {
	p.t.Helper()
	for {
		f, err := p.read()
		if err == nil {
			p.t.Logf("before the close: %+v", f)
			continue
		}
		if websocket.CloseStatus(err) != want {
			p.t.Errorf("expected to be closed with %d, got %v", want, err)
		}
		return
	}
}

func (p *peer) refused(f, code string) got {
	p.t.Helper()
	a := p.ask(f)
	if a.Type != "error" || a.Error.Error != code {
		p.t.Errorf("%.80s: expected %s, got %+v", f, code, a)
	}
	return a
}

func (p *peer) is(session string) {
	p.t.Helper()
	if a := p.ask(`{"type":"who"}`); a.Session != session {
		p.t.Errorf("expected to speak for %s, got %+v", session, a)
	}
}
