package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/cmd/internal/story"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// at switches on a failpoint in a process.
func at(point string) string { return "TALLYSTICK_TEST_FAILPOINT=" + point }

// dead waits until a process has ended by itself.
func dead(t *testing.T, p *rig.Process) {
	t.Helper()
	select {
	case <-p.Exited():
	case <-time.After(rig.ReadyWithin):
		t.Fatal("the process reached no failpoint")
	}
}

// signInAt signs a user in at an address; there may be no answer.
func (i *installation) signInAt(t *testing.T, addr, user, device string) (reply, error) {
	t.Helper()
	u := i.target.Users[user]
	return call(t.Context(), http.MethodPost, "http://"+addr+"/oauth2/token", form(), url.Values{
		"grant_type": {"password"}, "client_id": {"shop-app"}, "username": {u.Username}, "password": {u.Password},
		"terminal": {"mobile"}, "device_name": {device},
	}.Encode())
}

// refreshAt exchanges a refresh token at an address; there may be no answer.
func refreshAt(t *testing.T, addr, token string) (reply, error) {
	t.Helper()
	return call(t.Context(), http.MethodPost, "http://"+addr+"/oauth2/token", form(), url.Values{
		"grant_type": {"refresh_token"}, "client_id": {"shop-app"}, "refresh_token": {token},
	}.Encode())
}

// strict asks for a transfer that has no money behind it: 422 says that the token was let in.
func (i *installation) strict(t *testing.T, access string) reply {
	t.Helper()
	key := fmt.Sprint("strict-", time.Now().UnixNano())
	return mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(access, key), transfer(i.target.Users["amy"].Sub, 1))
}

func (i *installation) local(t *testing.T, access string) reply {
	t.Helper()
	return mustCall(t, http.MethodGet, i.target.API+"/v1/wallet", bearer(access), "")
}

// locals are addresses that are guarded locally, one at each process.
func (i *installation) locals() []string {
	return []string{i.target.Issuer + "/v1/sessions", i.target.API + "/v1/wallet"}
}

// installMortal makes an installation whose processes failpoints can kill, with a user for each case.
func installMortal(t *testing.T, users ...string) *installation {
	t.Helper()
	db, redis := engine.MySQL(t), startRedis(t)
	return found(t, true, rig.Plan{Binary: mortal(t), DSN: db.DSN.Reveal(), Redis: redis.Addr, Users: users}, redis)
}

func TestKilledWhileSigningIn(t *testing.T) {
	t.Parallel()
	cases := []struct {
		point    string
		happened bool
	}{
		{"open session/commit", false},
		{"open session/committed", true},
		{"tell/applied", true},
		{"tell/announced", true},
		{"announce/pushed", true},
	}
	users := make([]string, len(cases))
	for n := range cases {
		users[n] = fmt.Sprint("user", n)
	}
	i := installMortal(t, users...)
	i.serve(t, "auth")
	i.serve(t, "wallet")
	t.Run("at", func(t *testing.T) {
		for n, c := range cases {
			t.Run(c.point, func(t *testing.T) {
				t.Parallel()
				killSignIn(t, i, users[n], c.point, c.happened)
			})
		}
	})
}

// killSignIn kills the process that signs a user in over a session, and looks from the others and from
// the restarted one at what became of it.
func killSignIn(t *testing.T, i *installation, user, point string, happened bool) {
	old := signIn(t, i.target, user, "mobile", "old phone")
	access, refresh := old.field("access_token"), old.field("refresh_token")
	if r := i.local(t, access); r.status != http.StatusOK {
		t.Fatalf("a live token: %d %s", r.status, r.body)
	}
	addr := freeAddr(t)
	p := i.serveAt(t, "auth", addr, at(point+"=kill"))
	if r, err := i.signInAt(t, addr, user, "new phone"); err == nil && point != "announce/pushed" {
		t.Fatalf("answered before its death: %d %s", r.status, r.body)
	}
	dead(t, p)
	died := time.Now()
	if happened {
		gone(t, i, access, refresh, "superseded", died)
	} else {
		unharmed(t, i, access, died)
	}
	i.serveAt(t, "auth", addr)
	switch r, err := refreshAt(t, addr, refresh); {
	case err != nil:
		t.Fatal(err)
	case happened && (r.status != http.StatusBadRequest || r.field("reason") != "superseded"):
		t.Errorf("the old refresh token after the restart: %d %s", r.status, r.body)
	case !happened && r.status != http.StatusOK:
		t.Errorf("the refresh token after the restart: %d %s", r.status, r.body)
	}
	want := "2"
	if happened {
		want = "3"
	}
	if next := signIn(t, i.target, user, "mobile", "third phone"); next.field("version") != want {
		t.Errorf("the next sign-in has version %s, want %s", next.field("version"), want)
	}
}

// gone says that the old session ended with the death: strictly at once, and everywhere within the bound.
func gone(t *testing.T, i *installation, access, refresh, reason string, died time.Time) {
	t.Helper()
	if r := i.strict(t, access); r.status != http.StatusUnauthorized || r.field("reason") != reason {
		t.Errorf("strict check: %d %s", r.status, r.body)
	}
	if refresh != "" {
		if r, err := refreshAt(t, i.auth, refresh); err != nil || r.field("reason") != reason {
			t.Errorf("refresh at the other process: %d %s (%v)", r.status, r.body, err)
		}
	}
	for _, address := range i.locals() {
		for {
			began := time.Since(died)
			r := mustCall(t, http.MethodGet, address, bearer(access), "")
			if r.status == http.StatusUnauthorized && r.field("reason") == reason {
				t.Logf("%s: seen %s after the death", address, time.Since(died).Round(time.Millisecond))
				break
			}
			if r.status != http.StatusOK || began > bound {
				t.Fatalf("%s: local check %s after the death: %d %s", address, began, r.status, r.body)
			}
		}
	}
}

// unharmed says that the old session lives on, also after the bound.
func unharmed(t *testing.T, i *installation, access string, died time.Time) {
	t.Helper()
	if r := i.strict(t, access); r.field("code") != "insufficient_funds" {
		t.Errorf("strict check: %d %s", r.status, r.body)
	}
	for time.Since(died) < bound+bound/5 {
		for _, address := range i.locals() {
			if r := mustCall(t, http.MethodGet, address, bearer(access), ""); r.status != http.StatusOK {
				t.Fatalf("%s: local check %s after the death: %d %s", address, time.Since(died), r.status, r.body)
			}
		}
	}
}

func TestKilledWhileKicking(t *testing.T) {
	t.Parallel()
	i := installMortal(t)
	i.serve(t, "auth")
	i.serve(t, "wallet")
	phone := signIn(t, i.target, "tom", "mobile", "phone")
	access, refresh := phone.field("access_token"), phone.field("refresh_token")
	kick := func(point string) {
		if out, err := i.RunWith(t.Context(), []string{at(point + "=kill")}, "user", "kick", "tom"); err == nil {
			t.Fatalf("%s: the kick went through: %s", point, out)
		}
	}
	kick("end sessions/commit")
	unharmed(t, i, access, time.Now())
	kick("end sessions/committed")
	gone(t, i, access, refresh, "kicked", time.Now())
}

func TestKilledWhileSigningInOnDev(t *testing.T) {
	t.Parallel()
	for point, happened := range map[string]bool{"open session/commit": false, "open session/committed": true, "tell/announced": true} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			dir, addr, times := t.TempDir(), freeAddr(t), "@2"
			if strings.HasPrefix(point, "tell") {
				times = "" // the first sign-in ends nobody's session, and tells of none
			}
			p, target := startDevAs(t, mortal(t), []string{at(point + "=kill" + times)}, dir, addr)
			old := signIn(t, target, "tom", "mobile", "old phone")
			u := target.Users["tom"]
			r, err := call(t.Context(), http.MethodPost, target.Issuer+"/oauth2/token", form(), url.Values{
				"grant_type": {"password"}, "client_id": {"shop-app"}, "username": {u.Username}, "password": {u.Password}, "terminal": {"mobile"},
			}.Encode())
			if err == nil {
				t.Fatalf("answered before its death: %d %s", r.status, r.body)
			}
			dead(t, p)
			_, target = startDev(t, dir, addr)
			r = mustCall(t, http.MethodGet, target.API+"/v1/wallet", bearer(old.field("access_token")), "")
			if happened && r.field("reason") != "superseded" || !happened && r.status != http.StatusOK {
				t.Errorf("the old token after the restart: %d %s", r.status, r.body)
			}
		})
	}
}

func TestKilledWhileRefreshing(t *testing.T) {
	t.Parallel()
	i := installMortal(t, "user0", "user1")
	i.serve(t, "auth")
	i.serve(t, "wallet")
	t.Run("at", func(t *testing.T) {
		for n, point := range []string{"rotate refresh token/commit", "rotate refresh token/committed"} {
			t.Run(point, func(t *testing.T) {
				t.Parallel()
				first := signIn(t, i.target, fmt.Sprint("user", n), "mobile", "phone").field("refresh_token")
				addr := freeAddr(t)
				p := i.serveAt(t, "auth", addr, at(point+"=kill"))
				if r, err := refreshAt(t, addr, first); err == nil {
					t.Fatalf("answered before its death: %d %s", r.status, r.body)
				}
				dead(t, p)
				one, again := mustRefresh(t, i.auth, first), mustRefresh(t, i.auth, first)
				if one.field("access_token") != again.field("access_token") || one.field("refresh_token") != again.field("refresh_token") {
					t.Errorf("the same token got two answers:\n%s\n%s", one.body, again.body)
				}
				if r := i.local(t, one.field("access_token")); r.status != http.StatusOK {
					t.Errorf("the new access token: %d %s", r.status, r.body)
				}
				mustRefresh(t, i.auth, one.field("refresh_token"))
			})
		}
	})
}

func mustRefresh(t *testing.T, addr, token string) reply {
	t.Helper()
	r, err := refreshAt(t, addr, token)
	if err != nil || r.status != http.StatusOK {
		t.Fatalf("refresh: %d %s (%v)", r.status, r.body, err)
	}
	return r
}

func TestKilledWhilePosting(t *testing.T) {
	t.Parallel()
	i := installMortal(t, "user0", "user1")
	i.serve(t, "auth")
	i.serve(t, "wallet")
	app := billing(t, i.target)
	t.Run("at", func(t *testing.T) {
		for n, c := range []struct {
			point    string
			replayed string
		}{{"post/commit", ""}, {"post/committed", "true"}} {
			t.Run(c.point, func(t *testing.T) {
				t.Parallel()
				user := fmt.Sprint("user", n)
				deposit(t, i.target, app, i.target.Users[user].Sub, 100)
				access := signIn(t, i.target, user, "mobile", "phone").field("access_token")
				addr := freeAddr(t)
				p := i.serveAt(t, "wallet", addr, at(c.point+"=kill"))
				order := transfer(i.target.Users["amy"].Sub, 40)
				if r, err := call(t.Context(), http.MethodPost, "http://"+addr+"/v1/transfers", write(access, "key"), order); err == nil {
					t.Fatalf("answered before its death: %d %s", r.status, r.body)
				}
				dead(t, p)
				for _, want := range []string{c.replayed, "true"} {
					r := mustCall(t, http.MethodPost, i.target.API+"/v1/transfers", write(access, "key"), order)
					if r.status != http.StatusCreated || r.header.Get("Idempotent-Replayed") != want {
						t.Fatalf("again: %d, replayed %q instead of %q: %s", r.status, r.header.Get("Idempotent-Replayed"), want, r.body)
					}
				}
				if left := available(t, i.target, access); left != 60 {
					t.Errorf("%d are left of 100 after a transfer of 40", left)
				}
			})
		}
	})
	t.Logf("%s", command(t, "", "ledger", "verify", "--config", i.config))
}

func deposit(t *testing.T, target story.Target, app, sub string, amount int) {
	t.Helper()
	body := fmt.Sprintf(`{"user":%q,"amount":%d,"currency":"CNY","reference":"r"}`, sub, amount)
	if r := mustCall(t, http.MethodPost, target.API+"/v1/deposits", write(app, "funds of "+sub), body); r.status != http.StatusCreated {
		t.Fatalf("deposit: %d %s", r.status, r.body)
	}
}

func TestKilledWhileRotatingKeys(t *testing.T) {
	t.Parallel()
	i := installMortal(t)
	i.serve(t, "auth")
	i.serve(t, "wallet")
	before := billing(t, i.target)
	for n, point := range []string{"add key/commit", "add key/committed"} {
		if _, err := i.RunWith(t.Context(), []string{at(point + "=kill")}, "keys", "rotate", "--now"); err == nil {
			t.Fatalf("%s: the rotation went through", point)
		}
		if got := len(signingKeys(t, i)); got != n+1 {
			t.Fatalf("%s: there are %d keys", point, got)
		}
	}
	// The rotation that happened is taken up by itself, and at no instant is a good token refused.
	tom := i.target.Users["tom"].Sub
	deadline := time.Now().Add(rig.ReadyWithin)
	for n := 0; ; n++ {
		access := billing(t, i.target)
		for _, one := range []string{before, access} {
			body := fmt.Sprintf(`{"user":%q,"amount":1,"currency":"CNY","reference":"r"}`, tom)
			if r := mustCall(t, http.MethodPost, i.target.API+"/v1/deposits", write(one, fmt.Sprintf("%d-%t", n, one == before)), body); r.status != http.StatusCreated {
				t.Fatalf("deposit: %d %s", r.status, r.body)
			}
		}
		if header(access) != header(before) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the new key never signed")
		}
	}
}

// header is the first part of a token, which names its key.
func header(token string) string {
	h, _, _ := strings.Cut(token, ".")
	return h
}

func signingKeys(t *testing.T, i *installation) []map[string]any {
	t.Helper()
	out, err := i.Run(t.Context(), nil, "keys", "list", "--output", "json")
	if err != nil {
		t.Fatal(err)
	}
	var listed struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(out, &listed); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return slices.DeleteFunc(listed.Keys, func(k map[string]any) bool { return k["use"] != "sig" })
}

// TestSlowSignIn holds a sign-in open for longer than the bound, just before its commit. Others are
// answered and seen in the meantime, so that its event comes to the feed long after younger ones. It
// must be seen within the bound all the same.
func TestSlowSignIn(t *testing.T) {
	t.Parallel()
	i := installMortal(t, "slow", "quick")
	i.serve(t, "auth")
	i.serve(t, "wallet")
	old := signIn(t, i.target, "slow", "mobile", "old phone").field("access_token")
	addr := freeAddr(t)
	i.serveAt(t, "auth", addr, at("open session/commit=sleep:1500ms@1"))
	answered := make(chan time.Time, 1)
	go func() {
		defer close(answered)
		if r, err := i.signInAt(t, addr, "slow", "new phone"); err != nil || r.status != http.StatusOK {
			t.Errorf("the slow sign-in: %d %s (%v)", r.status, r.body, err)
			return
		}
		answered <- time.Now()
	}()
	younger := 0
	for {
		quick := signIn(t, i.target, "quick", "mobile", "a phone")
		signIn(t, i.target, "quick", "mobile", "another phone")
		gone(t, i, quick.field("access_token"), quick.field("refresh_token"), "superseded", time.Now())
		select {
		case at, ok := <-answered:
			if ok {
				t.Logf("%d younger ends were seen before", younger)
				gone(t, i, old, "", "superseded", at)
			}
			if younger == 0 {
				t.Error("no younger end was seen before")
			}
			return
		default:
			younger++
		}
	}
}

func TestUsualBinaryHasNoFailpoints(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	_, target := startDevAs(t, binary(t), []string{at("open session/committed=kill; open session/commit=kill; not even readable")}, dir, addr)
	signIn(t, target, "tom", "mobile", "phone")
}
