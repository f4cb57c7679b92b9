package e2e_test

import (
	"net/http"
	"testing"
	"time"
)

// bound is how long after the answer to a sign-in a local check may still let the superseded token in.
const bound = time.Second

func TestKickOutCrossesProcesses(t *testing.T) {
	t.Parallel()
	i := install(t, true)
	i.serve(t, "auth")
	i.serve(t, "wallet")
	warm(t, i, "first phone")

	t.Run("with Redis", func(t *testing.T) { kickOut(t, i) })
	t.Run("with Redis flushed in between", func(t *testing.T) {
		if err := i.redis.Command("FLUSHALL"); err != nil {
			t.Fatal(err)
		}
		kickOut(t, i)
	})
	t.Run("with Redis stopped", func(t *testing.T) {
		i.redis.Stop()
		kickOut(t, i)
		refusedOrRight(t, i)
	})
	t.Run("with Redis back again", func(t *testing.T) {
		if err := i.redis.Restart(); err != nil {
			t.Fatal(err)
		}
		kickOut(t, i)
	})
}

// warm signs in and uses the token, so that the wallet's guard has it verified and cached.
func warm(t *testing.T, i *installation, device string) string {
	t.Helper()
	access := signIn(t, i.target, "tom", "mobile", device).field("access_token")
	if r := mustCall(t, http.MethodGet, i.target.API+"/v1/wallet", bearer(access), ""); r.status != http.StatusOK {
		t.Fatalf("a live token: %d %s", r.status, r.body)
	}
	return access
}

// kickOut signs in over a session at the one process and looks at the other: at once where money
// moves, within the bound elsewhere, and with the reason.
func kickOut(t *testing.T, i *installation) {
	t.Helper()
	old := warm(t, i, "old phone")
	signIn(t, i.target, "tom", "mobile", "new phone")
	answered := time.Now()
	amy := i.target.Users["amy"].Sub
	if r := mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(old, "k"+old[len(old)-20:]), transfer(amy, 1)); r.status != http.StatusUnauthorized || r.field("reason") != "superseded" {
		t.Fatalf("strict check: %d %s", r.status, r.body)
	}
	for {
		began := time.Since(answered)
		r := mustCall(t, http.MethodGet, i.target.API+"/v1/wallet", bearer(old), "")
		if r.status == http.StatusUnauthorized {
			if r.field("reason") != "superseded" || r.field("code") != "2" {
				t.Fatalf("local check: %s", r.body)
			}
			t.Logf("seen %s after the answer to the sign-in", time.Since(answered).Round(100*time.Microsecond))
			return
		}
		if r.status != http.StatusOK || began > bound {
			t.Fatalf("a request that began %s after the answer to the sign-in: %d %s", began, r.status, r.body)
		}
	}
}

// refusedOrRight moves money while Redis is away: it is moved once, or refused with 503.
func refusedOrRight(t *testing.T, i *installation) {
	t.Helper()
	app := billing(t, i.target)
	tom, amy := i.target.Users["tom"].Sub, i.target.Users["amy"].Sub
	if r := mustCall(t, http.MethodPost, i.target.API+"/v1/deposits", write(app, "away"), `{"user":"`+tom+`","amount":500,"currency":"CNY","reference":"r"}`); r.status != http.StatusCreated {
		t.Fatalf("deposit without Redis: %d %s", r.status, r.body)
	}
	access := warm(t, i, "phone")
	first := mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(access, "away"), transfer(amy, 500))
	if first.status == http.StatusServiceUnavailable {
		return
	}
	again := mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(access, "away"), transfer(amy, 500))
	if first.status != http.StatusCreated || string(again.body) != string(first.body) {
		t.Fatalf("transfer without Redis: %d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	if r := mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(access, "more"), transfer(amy, 1)); r.field("code") != "insufficient_funds" {
		t.Fatalf("more than there is, without Redis: %d %s", r.status, r.body)
	}
}
