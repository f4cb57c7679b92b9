package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"
)

// TestAStopAnswersTransfersOnSockets: what waits for its lock when the process is told to stop is answered, then the connection is
// asked to come back. Nothing is done twice, or by halves.
func TestAStopAnswersTransfersOnSockets(t *testing.T) {
	t.Parallel()
	i := install(t, false)
	p := i.serve(t, "all")
	tom, amy := i.target.Users["tom"].Sub, i.target.Users["amy"].Sub
	if r := mustCall(t, http.MethodPost, i.target.API+"/v1/deposits", write(billing(t, i.target), "d"),
		strings.Replace(transfer(tom, 1000), `"to"`, `"reference":"r","user"`, 1)); r.status != http.StatusCreated {
		t.Fatalf("deposit: %d %s", r.status, r.body)
	}
	access := map[string]any{"access_token": signIn(t, i.target, "tom", "mobile", "phone").field("access_token")}
	s, idle := connect(t, i.target.API), connect(t, i.target.API)
	s.ask("auth", access)
	idle.ask("auth", access)
	locks := redis.NewClient(&redis.Options{Addr: i.redis.Addr})
	defer locks.Close()
	key := "tallystick:lock:{" + tom + "}"
	if err := locks.Set(t.Context(), key, "somebody else", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	pay := func(key string) map[string]any {
		return map[string]any{"to": amy, "amount": 400, "currency": "CNY", "idempotency_key": key}
	}
	sent := map[string]bool{s.send("transfer", pay("first")): true, s.send("transfer", pay("second")): true}
	err := p.Await("two transfers that wait", func() bool {
		r := mustCall(t, http.MethodGet, i.target.API+"/metrics", http.Header{}, "")
		return strings.Contains(string(r.body), "tallystick_redis_lock_waiters 1")
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.Stop()
	t.Logf("stopped within %s", time.Since(began).Round(time.Millisecond))
	for range 2 {
		f := s.next()
		if !sent[f.text("id")] || f.text("error/error") != "temporarily_unavailable" || f.text("error/status") != "503" || f.text("error/retry_after") == "" {
			t.Errorf("a transfer that waited: %v", f)
		}
		delete(sent, f.text("id"))
	}
	for _, one := range []*socket{s, idle} {
		if f := one.next(); f.text("type") != "bye" || f.text("why") != "stopping" || f.text("retry_after_ms") == "" {
			t.Errorf("the last frame is %v", f)
		}
		one.closed(websocket.StatusGoingAway)
	}
	if err := locks.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	i.serve(t, "all")
	s = connect(t, i.target.API)
	s.ask("auth", access)
	for _, k := range []string{"first", "second"} {
		if f := s.ask("transfer", pay(k)); f.text("type") != "transfer" || f.text("replayed") != "false" {
			t.Errorf("%s, at the next process: %v", k, f)
		}
	}
}

// TestSocketsOutliveRedis flushes Redis, and then stops it, with sockets open: they go on, and are told of their end.
func TestSocketsOutliveRedis(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	i.serve(t, "auth")
	i.serve(t, "wallet")
	for _, disturb := range []struct {
		name string
		do   func() error
	}{
		{"flushed", func() error { return i.redis.Command("FLUSHALL") }},
		{"stopped", func() error { i.redis.Stop(); return nil }},
	} {
		access := signIn(t, i.target, "tom", "mobile", "phone").field("access_token")
		open := map[string]*socket{"auth": connect(t, i.target.Issuer), "wallet": connect(t, i.target.API)}
		for where, s := range open {
			if f := s.ask("auth", map[string]any{"access_token": access}); f.text("type") != "auth" {
				t.Fatalf("%s: %v", where, f)
			}
		}
		if err := disturb.do(); err != nil {
			t.Fatal(err)
		}
		for where, s := range open {
			if f := s.ask("ping", nil); f.text("type") != "pong" {
				t.Errorf("%s, Redis %s: %v", where, disturb.name, f)
			}
		}
		if f := open["wallet"].ask("wallet.get", nil); f.text("type") != "wallet.get" {
			t.Errorf("Redis %s: %v", disturb.name, f)
		}
		signIn(t, i.target, "tom", "mobile", "new phone")
		for where, s := range open {
			if f := s.next(); f.text("type") != "session.ended" || f.text("reason") != "superseded" || f.text("superseded_by/device_name") != "new phone" {
				t.Errorf("%s, Redis %s: told %v", where, disturb.name, f)
			}
			s.closed(4001)
		}
	}
}
