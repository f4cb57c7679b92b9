package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/cmd/internal/story"
)

const (
	senders  = 8
	sendings = 60 // by each sender
	funds    = senders * sendings
)

func TestKilledInTheMiddleOfTransfers(t *testing.T) {
	t.Parallel()
	t.Run("dev", func(t *testing.T) {
		t.Parallel()
		dir, addr := t.TempDir(), freeAddr(t)
		p, target := startDev(t, dir, addr)
		killInTheMiddle(t, target, p, func() { startDev(t, dir, addr) })
		t.Logf("%s", command(t, "", "ledger", "verify", "--data-dir", dir))
	})
	t.Run("serve", func(t *testing.T) {
		t.Parallel()
		i := install(t, false)
		p := i.serve(t, "all")
		killInTheMiddle(t, i.target, p, func() { i.serve(t, "all") })
		t.Logf("%s", command(t, "", "ledger", "verify", "--config", i.config))
	})
}

// killInTheMiddle sends many transfers of 1, kills the process when a third of them has been
// acknowledged, restarts it and sends all of them again under the same keys. Each must have happened
// once, and each that was acknowledged must be the same transfer as before.
func killInTheMiddle(t *testing.T, target story.Target, p *rig.Process, restart func()) {
	t.Helper()
	tom, amy := target.Users["tom"].Sub, target.Users["amy"].Sub
	if r := mustCall(t, http.MethodPost, target.API+"/v1/deposits", write(billing(t, target), "funds"), fmt.Sprintf(`{"user":%q,"amount":%d,"currency":"CNY","reference":"r"}`, tom, funds)); r.status != http.StatusCreated {
		t.Fatalf("deposit: %d %s", r.status, r.body)
	}
	access := signIn(t, target, "tom", "mobile", "phone").field("access_token")
	before := available(t, target, access)

	var acknowledged [funds]string
	var count atomic.Int64
	send := func(n int) (reply, error) {
		return call(t.Context(), http.MethodPost, target.API+"/v1/transfers", write(access, fmt.Sprint("key-", n)), transfer(amy, 1))
	}
	inParallel(func(n int) bool {
		r, err := send(n)
		if err == nil && r.status == http.StatusCreated {
			acknowledged[n] = r.field("id")
			if count.Add(1) == funds/3 {
				p.Kill()
			}
		}
		return err == nil
	})
	if n := count.Load(); n < funds/3 || n == funds {
		t.Fatalf("%d of %d transfers were acknowledged: the kill was not in the middle", n, funds)
	}
	t.Logf("killed; %d of %d transfers had been acknowledged", count.Load(), funds)

	restart()
	var replayed atomic.Int64
	inParallel(func(n int) bool {
		r, err := send(n)
		switch {
		case err != nil:
			t.Errorf("key %d after the restart: %v", n, err)
		case r.status != http.StatusCreated:
			t.Errorf("key %d after the restart: %d %s", n, r.status, r.body)
		case acknowledged[n] != "" && r.field("id") != acknowledged[n]:
			t.Errorf("key %d was acknowledged as %s and is now %s", n, acknowledged[n], r.field("id"))
		}
		if r.header.Get("Idempotent-Replayed") == "true" {
			replayed.Add(1)
		}
		return true
	})
	if after := available(t, target, access); before-after != funds {
		t.Errorf("%d transfers of 1 took %d", funds, before-after)
	}
	t.Logf("%d were there already: %d of them had been committed without an acknowledgement", replayed.Load(), replayed.Load()-count.Load())
}

// inParallel calls f for each number below funds, from many senders; a sender ends when f says so.
func inParallel(f func(n int) bool) {
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for k := range sendings {
				if !f(s*sendings + k) {
					return
				}
			}
		})
	}
	wg.Wait()
}

func available(t *testing.T, target story.Target, access string) int {
	t.Helper()
	r := mustCall(t, http.MethodGet, target.API+"/v1/wallet", bearer(access), "")
	var n int
	if _, err := fmt.Sscanf(string(r.body), `{"balances":[{"currency":"CNY","available":%d,`, &n); err != nil {
		t.Fatalf("wallet: %d %s", r.status, r.body)
	}
	return n
}
