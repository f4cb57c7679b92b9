package authserver_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// viewer is a device that watches its request.
type viewer struct {
	t      *testing.T
	lines  *bufio.Scanner
	answer *http.Response
}

// serve starts a server that is closed after the bodies of those who watch.
func (s *stage) serve(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(s.http)
	t.Cleanup(server.Close)
	return server
}

func (s *stage) watch(ctx context.Context, t *testing.T, server *httptest.Server, set func(*http.Request)) *viewer {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/device/events", nil)
	s.must(err)
	set(r)
	answer, err := server.Client().Do(r)
	s.must(err)
	t.Cleanup(func() { _ = answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return &viewer{t: t, lines: lines, answer: answer}
}

func inHeader(code string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(handoff.HeaderCode, code) }
}

// next waits for the next event.
func (v *viewer) next(want string) (data string) {
	v.t.Helper()
	event := ""
	for v.lines.Scan() {
		line := v.lines.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		}
		if body, ok := strings.CutPrefix(line, "data: "); ok {
			if event != want {
				v.t.Fatalf("got the event %s %s, want %s", event, body, want)
			}
			return body
		}
	}
	v.t.Fatalf("the stream ended before %s: %v", want, v.lines.Err())
	return ""
}

func (v *viewer) over() {
	v.t.Helper()
	for v.lines.Scan() {
		if strings.HasPrefix(v.lines.Text(), "event:") {
			v.t.Fatalf("after the end: %s", v.lines.Text())
		}
	}
}

func TestDeviceWatchesItsRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	server := s.serve(t)

	asked := s.ask("tv").want(t, http.StatusOK, "")
	v := s.watch(t.Context(), t, server, inHeader(asked.text("device_code")))
	v.next("pending")
	if data := v.next("qr"); !strings.Contains(data, asked.text("user_code")) {
		t.Errorf("the first code: %s", data)
	}
	s.clock.Advance(handoff.TurnAfter)
	if data := v.next("qr"); strings.Contains(data, asked.text("user_code")) {
		t.Errorf("the second code: %s", data)
	}
	status := s.call(http.MethodPost, "/v1/device/status", "", `{"device_code":"`+asked.text("device_code")+`"}`)
	s.scan(s.phone.Access, status.text("user_code")).want(t, http.StatusOK, "")
	v.next("scanned")
	s.approve(s.phone.Access, status.text("user_code"), asked.text("confirmation")).want(t, http.StatusOK, "")
	v.next("approved")
	v.over()

	for name, end := range map[string]func(fields){
		"denied": func(a fields) { s.deny(s.phone.Access, a.text("user_code")).want(t, http.StatusOK, "") },
		"cancelled": func(a fields) {
			s.call(http.MethodPost, "/v1/device/cancel", "", `{"device_code":"`+a.text("device_code")+`"}`).want(t, http.StatusNoContent, "")
		},
		"expired": func(fields) { s.clock.Advance(handoff.RequestTTL) },
	} {
		asked := s.ask("tv").want(t, http.StatusOK, "")
		v := s.watch(t.Context(), t, server, func(r *http.Request) { r.URL.RawQuery = "device_code=" + asked.text("device_code") })
		v.next("pending")
		v.next("qr")
		end(asked)
		v.next(name)
		v.over()
	}
	if strings.Contains(s.log.String(), "tdc_") {
		t.Error("the log holds a device code")
	}
}

// TestAnotherProcessIsHeard: a step that another process made reaches the stream by its own look at SQL.
func TestAnotherProcessIsHeard(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStage(t, e)
		server := s.serve(t)
		asked := s.ask("tv").want(t, http.StatusOK, "")
		v := s.watch(t.Context(), t, server, inHeader(asked.text("device_code")))
		v.next("pending")
		v.next("qr")
		s.start() // another process over the same store
		s.scan(s.phone.Access, asked.text("user_code")).want(t, http.StatusOK, "")
		v.next("scanned")
	})
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	server := s.serve(t)
	asked := s.ask("tv").want(t, http.StatusOK, "")
	ctx, leave := context.WithCancel(t.Context())
	for range handoff.MaxStreamsPerRequest {
		s.watch(ctx, t, server, inHeader(asked.text("device_code"))).next("pending")
	}
	one := s.watch(t.Context(), t, server, inHeader(asked.text("device_code")))
	if body, _ := io.ReadAll(one.answer.Body); one.answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: %d %s", one.answer.StatusCode, body)
	}
	leave()
	server.CloseClientConnections()
	for name, set := range map[string]func(*http.Request){
		"no code":      func(*http.Request) {},
		"unknown code": inHeader("tdc_none"),
		"user code":    inHeader(asked.text("user_code")),
		"code twice":   func(r *http.Request) { inHeader("tdc_none")(r); r.URL.RawQuery = "device_code=tdc_none" },
	} {
		v := s.watch(t.Context(), t, server, set)
		if body, _ := io.ReadAll(v.answer.Body); v.answer.StatusCode != http.StatusBadRequest && v.answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, v.answer.StatusCode, body)
		}
	}
}
