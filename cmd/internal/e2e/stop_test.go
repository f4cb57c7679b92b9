package e2e_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestAStopAnswersWritesThatWait: a write waits for its payer's lock for a minute, and a stop for twenty seconds.
// The write is answered, nothing is done, and the next process does it under the same key.
func TestAStopAnswersWritesThatWait(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	i.serve(t, "auth")
	wallet := i.serve(t, "wallet")
	tom, amy := i.target.Users["tom"].Sub, i.target.Users["amy"].Sub
	if r := mustCall(t, http.MethodPost, i.target.API+"/v1/deposits", write(billing(t, i.target), "d"),
		strings.Replace(transfer(tom, 1000), `"to"`, `"reference":"r","user"`, 1)); r.status != http.StatusCreated {
		t.Fatalf("deposit: %d %s", r.status, r.body)
	}
	access := signIn(t, i.target, "tom", "mobile", "phone").field("access_token")
	locks := redis.NewClient(&redis.Options{Addr: i.redis.Addr})
	defer locks.Close()
	key := "tallystick:lock:{" + tom + "}"
	if err := locks.Set(t.Context(), key, "somebody else", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	waiting := func() bool { // the wallet counts who waits in line behind the one who asks Redis
		r := mustCall(t, http.MethodGet, i.target.API+"/metrics", http.Header{}, "")
		return strings.Contains(string(r.body), "tallystick_redis_lock_waiters 1")
	}
	answers := make(chan reply, 2)
	for _, k := range []string{"first", "second"} {
		go func() {
			r, err := call(context.WithoutCancel(t.Context()), http.MethodPost, i.target.API+"/v1/transfers", write(access, k), transfer(amy, 400))
			if err != nil {
				t.Errorf("%s was cut off: %v", k, err)
			}
			answers <- r
		}()
	}
	if err := wallet.Await("two writes that wait", waiting); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	wallet.Stop()
	t.Logf("stopped within %s", time.Since(began).Round(time.Millisecond))
	for range 2 {
		if r := <-answers; r.status != http.StatusServiceUnavailable || r.field("code") != "temporarily_unavailable" || r.header.Get("Retry-After") == "" {
			t.Errorf("a write that waited: %d %s %v", r.status, r.body, r.header)
		}
	}
	if err := locks.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	i.serve(t, "wallet")
	for _, k := range []string{"first", "second"} {
		r := mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(access, k), transfer(amy, 400))
		if r.status != http.StatusCreated || r.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s, at the next process: %d %s", k, r.status, r.body)
		}
	}
}
