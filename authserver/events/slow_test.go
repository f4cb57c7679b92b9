package events_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/authserver/events"
	"github.com/tallystick/tallystick/storage"
)

// deaf opens a stream and never reads it.
func (s *stand) deaf(raw string) net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.server.Listener.Addr().String())
	must(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close() })
	must(s.t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = fmt.Fprintf(conn, "GET /v1/session-events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", raw)
	must(s.t, err)
	return conn
}

// metric sums a metric, over those of its labels that have a value.
func metric(t *testing.T, registry *prometheus.Registry, name, label string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// ends makes events that nobody has committed.
func ends(round, n int) []storage.Event {
	now := storage.Instant(time.Now())
	all := make([]storage.Event, n)
	for i := range all {
		all[i] = storage.Event{
			ID: storage.EventID(fmt.Sprintf("e-%d-%d", round, i)), Subject: storage.SubjectSession, Key: fmt.Sprintf("s-%d-%d", round, i),
			Until: now.Add(time.Hour), End: storage.End{Reason: storage.Superseded, At: now, By: &storage.Superseder{
				Terminal: storage.Mobile, DeviceName: strings.Repeat("d", 100), At: now,
			}},
		}
	}
	return all
}

func TestSlowReaderIsCutOffAndNobodyWaitsForIt(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := newStand(t, func(s *stand) {
		s.hubConfig.Metrics, s.config.WriteTime = registry, 300*time.Millisecond
	})
	raw, _ := s.token(events.Scope, time.Hour)
	s.deaf(raw)
	r := s.watch(raw, "")
	r.until("the beginning", of("heard"))
	within(t, "both watch", func() bool { return metric(t, registry, "tallystick_events_watchers", "") == 2 })
	const size = 1000
	slow := func() bool { return metric(t, registry, "tallystick_events_streams_ended_total", "slow") == 1 }
	rounds := 0
	for ; !slow(); rounds++ {
		if rounds == 100 {
			t.Fatalf("not cut off after %d ends that it did not read", rounds*size)
		}
		began := time.Now()
		s.guard.Apply(ends(rounds, size))
		if took := time.Since(began); took > patience/10 {
			t.Fatalf("a sign-in would have waited %v", took)
		}
		r.until("the last of them", ofSession(storage.SessionID(fmt.Sprintf("s-%d-%d", rounds, size-1))))
	}
	within(t, "its place is given back", func() bool { return metric(t, registry, "tallystick_events_watchers", "") == 1 })
	r.until("and the other is told", of("heard"))
	if got := metric(t, registry, "tallystick_events_ends_total", ""); got != float64(rounds*size) {
		t.Errorf("%v ends passed on, want %d", got, rounds*size)
	}
}

func TestTwoHubsOnOneRegistry(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	if _, err := events.NewHub(events.HubConfig{Metrics: registry}); err != nil {
		t.Fatal(err)
	}
	if _, err := events.NewHub(events.HubConfig{Metrics: registry}); err == nil {
		t.Error("metrics of two hubs under one name")
	}
}

func TestNothingIsBuiltWithoutItsParts(t *testing.T) {
	t.Parallel()
	hub, err := events.NewHub(events.HubConfig{})
	must(t, err)
	s := newStand(t)
	for name, c := range map[string]events.Config{
		"no hub": {Feed: s.db, Guard: s.guard}, "no feed": {Hub: hub, Guard: s.guard}, "no guard": {Hub: hub, Feed: s.db},
		"a negative time": {Hub: hub, Feed: s.db, Guard: s.guard, Beat: -1},
	} {
		if _, err := events.New(c); err == nil {
			t.Errorf("%s: built", name)
		}
	}
	if _, err := events.NewHub(events.HubConfig{MaxWatchers: -1}); err == nil {
		t.Error("a negative bound: built")
	}
	if _, err := events.New(events.Config{Hub: hub, Feed: s.db, Guard: s.guard}); err != nil {
		t.Error(err)
	}
}

func TestStoppingServerSaysGoodbye(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	raw, _ := s.token(events.Scope, time.Hour)
	r := s.watch(raw, "")
	r.until("the beginning", of("heard"))
	s.drain() // what the listener does when it stops: the contexts of streams end
	bye, _ := r.until("the farewell", of("bye"))
	if bye.Why != "stopping" || bye.raw != `{"why":"stopping"}` {
		t.Errorf("ends with %s", bye.raw)
	}
	s.server.Close() // returns: nothing is left to wait for
	if _, err := http.Get(s.server.URL); err == nil {
		t.Error("it still listens")
	}
}
