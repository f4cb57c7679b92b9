package authserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/grant"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const freeGuesses = 20

// seen counts the passwords that are looked at.
type seen struct {
	grant.Passwords
	passwords atomic.Int64
}

// Verify implements grant.Passwords.
func (s *seen) Verify(ctx context.Context, username string, pw secret.Text) (storage.User, error) {
	s.passwords.Add(1)
	return s.Passwords.Verify(ctx, username, pw)
}

// guess sends a password from an address.
func (k *kit) guess(address, username, password string) answer {
	r := tokenRequest(form("grant_type", "password", "client_id", "shop-app", "terminal", "mobile", "username", username, "password", password))
	r.RemoteAddr = address + ":1234"
	return k.do(r)
}

func TestGuessesAreHeldBackBeforeAnyHash(t *testing.T) {
	t.Parallel()
	watched := &seen{}
	k := newKit(t, engine.SQLite(t), with(func(c *authserver.Config) {
		watched.Passwords = c.Passwords
		c.Passwords = watched
	}))
	const elsewhere = "198.51.100.7"
	signedIn := k.guess("192.0.2.1", "tom", tomsSecret).ok(t)
	watched.passwords.Store(0)
	var told []string
	for _, username := range []string{"tom", "nobody"} {
		for range freeGuesses {
			k.guess(elsewhere, username, "wrong").refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		}
		held := k.guess(elsewhere, username, tomsSecret).refused(t, http.StatusTooManyRequests, "slow_down", "", 0)
		told = append(told, held.raw+" "+held.header.Get("Retry-After"))
	}
	if n := watched.passwords.Load(); n != 2*freeGuesses {
		t.Errorf("%d passwords were looked at", n)
	}
	const want = `{"error":"slow_down","error_description":"too many tries have failed; wait for as long as Retry-After says"} 30`
	if d := cmp.Diff([]string{want, want}, told); d != "" {
		t.Errorf("users who exist and users who do not are told different things: %s", d)
	}

	// Nothing that lives is touched, and the owner is not locked out of where they were.
	if err := k.check(signedIn.Access); err != nil {
		t.Errorf("the session: %v", err)
	}
	r := tokenRequest(form("grant_type", "refresh_token", "client_id", "shop-app", "refresh_token", signedIn.Refresh))
	r.RemoteAddr = elsewhere + ":1234"
	k.do(r).ok(t)
	k.guess("192.0.2.1", "tom", tomsSecret).ok(t)
	k.guess(elsewhere, "tom", tomsSecret).refused(t, http.StatusTooManyRequests, "slow_down", "", 0)
	k.clock.Advance(30 * time.Second)
	k.guess(elsewhere, "tom", tomsSecret).ok(t)
	k.guess(elsewhere, "tom", "wrong").refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
}

func TestEngagedBrakeIsAuditedOnce(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	for range freeGuesses + 10 {
		k.guess("198.51.100.7", "tom", "wrong")
	}
	records, err := k.db.ListAudit(t.Context(), k.clock.Now().Add(-time.Hour), "", 1000)
	k.must(err)
	actions := map[string]int{}
	for _, r := range records {
		actions[r.Action]++
	}
	if actions[audit.BrakeEngaged] != 1 || actions[audit.SignInRefused] != freeGuesses {
		t.Errorf("records are %v", actions)
	}
}

// TestGuessesThroughAConfidentialClient come from one address, that of the client, and must not hold
// back its other users.
func TestGuessesThroughAConfidentialClient(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	through := func(username, password string) answer {
		return k.postAs("shop-server", "grant_type", "password", "terminal", "api", "username", username, "password", password)
	}
	for i := range 110 {
		through(fmt.Sprint("user-", i), "wrong").refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
	}
	through("tom", tomsSecret).ok(t)
}

func TestGuessesAtClientSecretsAreHeldBack(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	ask := func(address, client, password string) answer {
		r := tokenRequest(form("grant_type", "client_credentials"))
		r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(password))
		r.RemoteAddr = address + ":1234"
		return k.do(r)
	}
	for _, client := range []string{"billing", "no-such-client"} {
		for range freeGuesses {
			ask("198.51.100.7", client, "wrong").refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
		}
		held := ask("198.51.100.7", client, k.secrets["billing"]).refused(t, http.StatusTooManyRequests, "slow_down", "", 0)
		if held.header.Get("Retry-After") != "30" {
			t.Errorf("Retry-After is %q", held.header.Get("Retry-After"))
		}
	}
	ask("192.0.2.1", "billing", k.secrets["billing"]).ok(t)
}

// TestBurstOfSignIns lets one user sign in many times at once: with the right password nobody is
// held back.
func TestBurstOfSignIns(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	var wg sync.WaitGroup
	for range 3 * freeGuesses {
		wg.Go(func() {
			if a := k.guess("192.0.2.1", "tom", tomsSecret); a.status != http.StatusOK {
				t.Errorf("got %d %s", a.status, a.raw)
			}
		})
	}
	wg.Wait()
}
