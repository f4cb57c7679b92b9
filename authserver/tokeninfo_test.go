package authserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// about sends a form about a token to an endpoint. A client with a secret authenticates with Basic, any
// other names itself.
func (k *kit) about(path, clientID string, pairs ...string) answer {
	f := form(pairs...)
	if k.secrets[clientID] == "" {
		f.Set("client_id", clientID)
	}
	r := tokenRequest(f)
	r.URL.Path = path
	if secret := k.secrets[clientID]; secret != "" {
		r.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(secret))
	}
	return k.do(r)
}

func (k *kit) revoke(clientID, raw string, more ...string) answer {
	return k.about("/oauth2/revoke", clientID, append([]string{"token", raw}, more...)...)
}

// revoked fails the test unless a revocation was answered as RFC 7009 §2.2 says.
func (a answer) revoked(t testing.TB) {
	t.Helper()
	if a.status != http.StatusOK || a.raw != "" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %q %v", a.status, a.raw, a.header)
	}
}

// introspected is the answer to an introspection as it was sent.
func (k *kit) introspected(clientID, raw string, more ...string) string {
	k.t.Helper()
	a := k.about("/oauth2/introspect", clientID, append([]string{"token", raw}, more...)...)
	if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
		k.t.Fatalf("got %d %s", a.status, a.raw)
	}
	return a.raw
}

func (k *kit) machine(clientID string) answer {
	k.t.Helper()
	return k.postAs(clientID, "grant_type", "client_credentials").ok(k.t)
}

// musicServer adds a confidential client of the other product.
func (k *kit) musicServer() {
	k.t.Helper()
	k.addClient(client.Draft{
		ID: "music-server", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials, oauth.GrantPassword, oauth.GrantRefreshToken},
		Products: []string{"music"}, Terminals: storage.Terminals(), Scopes: []string{"wallet:read"},
	})
}

func TestRevokingARefreshTokenEndsItsSession(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		var told []storage.Event
		k.ended = func(events []storage.Event) { told = append(told, events...) }
		a := k.signIn("shop-app", "mobile").ok(t)
		b := k.refresh("shop-app", a.Refresh).ok(t)
		k.clock.Advance(time.Minute)
		k.revoke("shop-app", b.Refresh).revoked(t)
		if len(told) != 1 || len(k.announcer.all()) != 1 || told[0].Key != a.Session || told[0].End.Reason != storage.SignedOut {
			t.Errorf("told %v", told)
		}
		for _, raw := range []string{a.Access, b.Access} {
			if err := k.check(raw); err == nil || !strings.Contains(err.Error(), "signed_out") {
				t.Errorf("an access token of the session: %v", err)
			}
		}
		k.refresh("shop-app", b.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "signed_out", 1)
		k.revoke("shop-app", b.Refresh).revoked(t) // again
		if n := k.audited(audit.TokenRevoked); n != 1 {
			t.Errorf("%d audit records", n)
		}
	})
}

func TestRevokingAUsedRefreshTokenEndsItsFamily(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	b := k.refresh("shop-app", a.Refresh).ok(t)
	k.revoke("shop-app", a.Refresh, "token_type_hint", "refresh_token").revoked(t)
	k.refresh("shop-app", b.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "signed_out", 1)
}

func TestOneOfSeveralWhoShareASessionSignsOut(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		a, b := k.signIn("shop-app", "browser").ok(t), k.signIn("shop-app", "browser").ok(t)
		if a.Access != b.Access {
			t.Fatal("the session is not shared")
		}
		refused := k.revoke("shop-app", a.Access).refused(t, http.StatusBadRequest, "unsupported_token_type", "", 0)
		if !strings.Contains(refused.Description, "refresh token") {
			t.Errorf("it does not say what to do: %s", refused.raw)
		}
		k.revoke("shop-app", a.Refresh).revoked(t)
		k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "signed_out", 1)
		// Clients that sign out revoke both of their tokens. The one who stays must not notice.
		k.revoke("shop-app", a.Access).refused(t, http.StatusBadRequest, "unsupported_token_type", "", 0)
		if err := k.check(b.Access); err != nil {
			t.Errorf("the one who stays: %v", err)
		}
		b = k.refresh("shop-app", b.Refresh).ok(t)
		k.revoke("shop-app", b.Refresh).revoked(t)
		if err := k.check(b.Access); err == nil {
			t.Error("the last one has left and the session lives")
		}
	})
}

func TestRevokingAnAccessTokenEndsItsSession(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		for _, terminal := range []string{"mobile", "browser", "api"} { // kickout, shared by nobody, concurrent
			a := k.signIn("shop-app", terminal).ok(t)
			k.revoke("shop-app", a.Access, "token_type_hint", "access_token").revoked(t)
			if err := k.check(a.Access); err == nil || !strings.Contains(err.Error(), "signed_out") {
				t.Errorf("%s: %v", terminal, err)
			}
			k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "signed_out", 1)
		}
		a := k.post("grant_type", "password", "client_id", "no-refresh", "username", "tom", "password", tomsSecret).ok(t)
		k.revoke("no-refresh", a.Access).revoked(t)
		if err := k.check(a.Access); err == nil {
			t.Error("a client without refresh tokens could not sign out")
		}
	})
}

func TestRevokingATokenOfClientCredentials(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		a, b := k.machine("billing"), k.machine("billing")
		k.revoke("billing", a.Access).revoked(t)
		k.revoke("billing", a.Access).revoked(t)
		if err := k.check(a.Access); err == nil {
			t.Error("the revoked token stands")
		}
		if err := k.check(b.Access); err != nil {
			t.Errorf("another token of the client: %v", err)
		}
		if got := k.introspected("billing", a.Access); got != `{"active":false,"reason":"signed_out","code":1}` {
			t.Errorf("introspected %s", got)
		}
		if events := k.announcer.all(); len(events) != 1 || events[0].Subject != storage.SubjectToken || events[0].End.Actor != "client:billing" {
			t.Errorf("announced %v", events)
		}
		if n := k.audited(audit.TokenRevoked); n != 1 {
			t.Errorf("%d audit records", n)
		}
	})
}

func TestWhatCannotBeRevokedIsNoError(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a, machine := k.signIn("shop-app", "mobile").ok(t), k.machine("billing")
	other := newKit(t, engine.SQLite(t)).signIn("shop-app", "mobile").ok(t) // signed with another key
	for name, raw := range map[string]string{
		"nonsense":           "nonsense",
		"three parts":        "a.b.c",
		"long":               strings.Repeat("x", 8000),
		"of another issuer":  other.Refresh,
		"a signature cut":    a.Access[:len(a.Access)-4],
		"a signature spoilt": a.Refresh[:len(a.Refresh)-4] + "AAAA",
	} {
		for _, hint := range []string{"", "access_token", "refresh_token", "pass_phrase"} {
			got := k.revoke("shop-app", raw, "token_type_hint", hint)
			if got.status != http.StatusOK || got.raw != "" {
				t.Errorf("%s, hint %q: %d %s", name, hint, got.status, got.raw)
			}
		}
	}
	if err := k.check(a.Access); err != nil {
		t.Errorf("the session: %v", err)
	}
	k.clock.Advance(2 * time.Hour) // both access tokens are past their time
	k.revoke("shop-app", a.Access).revoked(t)
	k.revoke("billing", machine.Access).revoked(t)
	k.refresh("shop-app", a.Refresh).ok(t)
}

func TestTokensOfOtherClientsAreNotRevoked(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a, machine := k.signIn("shop-app", "mobile").ok(t), k.machine("billing")
	for _, raw := range []string{a.Access, a.Refresh, machine.Access} {
		k.revoke("shop-server", raw).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
		k.revoke("shop-web", raw).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
	}
	for _, raw := range []string{a.Access, machine.Access} {
		if err := k.check(raw); err != nil {
			t.Error(err)
		}
	}
	k.refresh("shop-app", a.Refresh).ok(t)
}

func TestRequestsAboutTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	for _, path := range []string{"/oauth2/revoke", "/oauth2/introspect"} {
		k.about(path, "billing").refused(t, http.StatusBadRequest, "invalid_request", "", 0)
		k.about(path, "nobody", "token", "x").refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
		k.about(path, "billing", "token", "x", "client_assertion", "a.b.c").refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
		k.about(path, "billing", "token", "x", "token", "y").refused(t, http.StatusBadRequest, "invalid_request", "", 0)

		wrong := tokenRequest(form("token", "x"))
		wrong.URL.Path = path
		wrong.SetBasicAuth("billing", "wrong")
		if a := k.do(wrong).refused(t, http.StatusUnauthorized, "invalid_client", "", 0); !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("no challenge: %v", a.header)
		}
		twice := tokenRequest(form("token", "x"))
		twice.URL.Path = path
		twice.Header["Authorization"] = []string{"Basic YTpi", "Basic YTpi"}
		k.do(twice).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
		query := tokenRequest(form("token", "x"))
		query.URL.Path, query.URL.RawQuery = path, "token=y"
		k.do(query).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
		if w := k.get(path); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	a := k.signIn("shop-app", "mobile").ok(t)
	k.about("/oauth2/introspect", "shop-app", "token", a.Access).refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
}

// stable replaces what differs between runs.
func (k *kit) stable(raw string, answers ...answer) string {
	k.t.Helper()
	for i, a := range answers {
		claims, _ := k.parser.Access(a.Access, k.clock.Now())
		raw = strings.ReplaceAll(raw, `"`+claims.JTI+`"`, fmt.Sprintf(`"jti-%d"`, i))
		if a.Refresh != "" {
			refresh, _ := k.parser.Refresh(a.Refresh, k.clock.Now())
			raw = strings.ReplaceAll(raw, `"`+refresh.JTI+`"`, fmt.Sprintf(`"refresh-jti-%d"`, i))
		}
		if a.Session != "" {
			raw = strings.ReplaceAll(raw, `"`+a.Session+`"`, fmt.Sprintf(`"session-%d"`, i))
		}
	}
	for name, id := range k.users {
		raw = strings.ReplaceAll(raw, string(id), "sub-of-"+name)
	}
	var indented bytes.Buffer
	k.must(json.Indent(&indented, []byte(raw), "", "  "))
	return indented.String() + "\n"
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	k.musicServer()
	var all strings.Builder
	a := k.signIn("shop-app", "mobile", "device_name", "old phone").ok(t)
	own := k.postAs("shop-server", "grant_type", "password", "username", "amy", "password", tomsSecret, "terminal", "api").ok(t)
	machine := k.machine("billing")
	show := func(what, clientID, raw string, more ...string) {
		fmt.Fprintf(&all, "%s, to %s:\n%s\n", what, clientID, k.stable(k.introspected(clientID, raw, more...), a, own, machine))
	}
	show("an access token", "shop-server", a.Access)
	show("an access token", "music-server", a.Access)
	show("an access token hinted wrong", "billing", a.Access, "token_type_hint", "refresh_token")
	show("a token of client credentials", "billing", machine.Access)
	show("a token of client credentials", "shop-server", machine.Access)
	show("a refresh token", "shop-server", own.Refresh)
	show("a refresh token", "billing", own.Refresh)
	show("another's refresh token", "shop-server", a.Refresh)
	show("nonsense", "shop-server", "nonsense")
	show("a spoilt token", "shop-server", a.Access[:len(a.Access)-4]+"AAAA")

	renewed := k.postAs("shop-server", "grant_type", "refresh_token", "refresh_token", own.Refresh).ok(t)
	show("a used refresh token", "shop-server", own.Refresh)
	k.clock.Advance(time.Second)
	k.signIn("shop-app", "mobile", "device_name", "new phone").ok(t)
	show("a superseded access token", "shop-server", a.Access)
	show("a superseded access token", "music-server", a.Access)
	k.clock.Advance(3 * time.Hour)
	show("one that is past its time as well", "shop-server", a.Access)
	show("an expired access token", "shop-server", own.Access)
	show("an expired access token", "billing", own.Access)
	show("an expired refresh token", "shop-server", renewed.Refresh)
	show("an expired token of client credentials", "billing", machine.Access)
	golden(t, "introspection.txt", all.String())
}

// TestWatchersAreToldWhy: who may follow the feed is told at introspection what the feed tells, and no more.
func TestWatchersAreToldWhy(t *testing.T) {
	t.Parallel()
	const why = `{"active":false,"reason":"superseded","code":2,"superseded_by":{"terminal":"mobile","device_name":"new phone","at":"2026-11-20T08:00:01.25Z"}}`
	for name, c := range map[string]struct {
		options []option
		scopes  []string
		want    string
	}{
		"a watcher without a product":    {[]option{withFeed(t)}, []string{"admin", "sessions:watch"}, why},
		"a client without the scope":     {[]option{withFeed(t)}, []string{"admin"}, `{"active":false}`},
		"where no feed is served either": {nil, []string{"admin", "sessions:watch"}, `{"active":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, engine.SQLite(t), c.options...)
			k.addClient(client.Draft{ID: "watcher", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Scopes: c.scopes})
			a := k.postAs("shop-server", signInForm("client_id", "-", "device_name", "old phone")...).ok(t)
			if got := k.introspected("watcher", a.Access); !strings.HasPrefix(got, `{"active":true,`) || strings.Contains(got, "username") {
				t.Errorf("a live token: %s", got)
			}
			k.clock.Advance(time.Second)
			b := k.postAs("shop-server", signInForm("client_id", "-", "device_name", "new phone")...).ok(t)
			if got := k.introspected("watcher", a.Access); got != c.want {
				t.Errorf("a superseded token: %s", got)
			}
			spoilt := a.Access[:len(a.Access)-8] + "AAAAAAAA"
			for what, raw := range map[string]string{"a spoilt token": spoilt, "nonsense": "x.y.z", "another's refresh token": b.Refresh, "another's dead one": a.Refresh} {
				if got := k.introspected("watcher", raw); got != `{"active":false}` {
					t.Errorf("%s: %s", what, got)
				}
			}
			k.clock.Advance(3 * time.Hour) // superseded outranks expired
			if got := k.introspected("watcher", a.Access); got != c.want {
				t.Errorf("a superseded token that is past its time: %s", got)
			}
		})
	}
}

func TestIntrospectionOfARefreshTokenThatHasLeft(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	signIn := []string{"grant_type", "password", "username", "tom", "password", tomsSecret, "terminal", "browser"}
	a, b := k.postAs("shop-server", signIn...).ok(t), k.postAs("shop-server", signIn...).ok(t)
	k.revoke("shop-server", a.Refresh).revoked(t)
	if got := k.introspected("shop-server", a.Refresh); got != `{"active":false,"reason":"signed_out","code":1}` {
		t.Errorf("the one who left: %s", got)
	}
	if got := k.introspected("shop-server", b.Refresh); !strings.HasPrefix(got, `{"active":true,`) {
		t.Errorf("the one who stays: %s", got)
	}
}

func TestIntrospectionSeesWhatWasAnsweredBefore(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		for range 20 {
			a := k.signIn("shop-app", "mobile").ok(t)
			if got := k.introspected("billing", a.Access); !strings.HasPrefix(got, `{"active":true,`) {
				t.Fatal(got)
			}
			k.signIn("shop-app", "mobile").ok(t)
			if got := k.introspected("billing", a.Access); got != `{"active":false}` {
				t.Fatal(got)
			}
		}
	})
}

// stored is embedded under a name that no method has.
type stored interface{ storage.Sessions }

// away is a store of sessions that does not answer.
type away struct{ stored }

func (away) Check(context.Context, storage.Bearer, time.Time) error {
	return fmt.Errorf("check: %w", storage.ErrUnavailable)
}

func (away) Session(context.Context, storage.SessionID) (storage.Session, error) {
	return storage.Session{}, fmt.Errorf("session: %w", storage.ErrUnavailable)
}

func (away) RevokeToken(context.Context, string, storage.ClientID, string, time.Time, *storage.AuditRecord, time.Time) ([]storage.Event, error) {
	return nil, fmt.Errorf("revoke: %w", storage.ErrUnavailable)
}

// blind is a parser that cannot tell, because a key is unknown and the key store is away.
type blind struct{ authserver.Parser }

func (blind) Access(string, time.Time) (token.Access, error) {
	return token.Access{}, fmt.Errorf("key of token: %w", keys.ErrUnavailable)
}

func TestAnOutageIsNeitherInactiveNorRevoked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*authserver.Config){
		"store": func(cfg *authserver.Config) { cfg.Sessions = away{cfg.Sessions} },
		"keys":  func(cfg *authserver.Config) { cfg.Parser = blind{cfg.Parser} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, engine.SQLite(t))
			a, machine := k.signIn("shop-app", "mobile").ok(t), k.machine("billing")
			own := k.postAs("shop-server", "grant_type", "password", "username", "amy", "password", tomsSecret).ok(t)
			k.restartWith(change)
			for _, refused := range []answer{
				k.about("/oauth2/introspect", "billing", "token", a.Access),
				k.about("/oauth2/introspect", "billing", "token", machine.Access),
				k.revoke("shop-app", a.Access),
				k.revoke("billing", machine.Access),
			} {
				refused.refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
				if refused.header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			}
			if name == "store" {
				k.about("/oauth2/introspect", "shop-server", "token", own.Refresh).refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
			}
		})
	}
}

func TestRevocationsRace(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		a := k.signIn("shop-app", "mobile").ok(t)
		machine := k.machine("billing")
		together(8, func(i int) {
			if i%2 == 0 {
				k.revoke("shop-app", a.Refresh).revoked(t)
			} else {
				k.revoke("billing", machine.Access).revoked(t)
			}
		})
		if n := len(k.announcer.all()); n != 2 {
			t.Errorf("%d events; the session's and the token's make 2", n)
		}
		if n := k.audited(audit.TokenRevoked); n != 2 {
			t.Errorf("%d audit records", n)
		}
	})
}

// TestRevocationAgainstRefresh: whoever comes first, the family is out afterwards.
func TestRevocationAgainstRefresh(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		for range 10 {
			a := k.signIn("shop-app", "mobile").ok(t)
			var refreshed answer
			together(2, func(i int) {
				if i == 0 {
					refreshed = k.refresh("shop-app", a.Refresh)
				} else {
					k.revoke("shop-app", a.Refresh).revoked(t)
				}
			})
			if refreshed.status == http.StatusOK {
				k.refresh("shop-app", refreshed.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "signed_out", 1)
			} else {
				refreshed.refused(t, http.StatusBadRequest, "invalid_grant", "signed_out", 1)
			}
			if err := k.check(a.Access); err == nil {
				t.Fatal("the session lives")
			}
		}
	})
}

// together runs f n times at once and waits.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	all.Wait()
}

func (k *kit) userinfo(method, access string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/oauth2/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+access)
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, r)
	return w
}

func TestUserInfo(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.postAs("shop-server", "grant_type", "password", "username", "tom", "password", tomsSecret, "terminal", "mobile",
		"session_data", `{"cart": [1, 2]}`).ok(t)
	want := `{"sub":"` + string(k.users["tom"]) + `","preferred_username":"tom","session_data":{"cart":[1,2]}}`
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w := k.userinfo(method, a.Access)
		if d := cmp.Diff(want, w.Body.String()); w.Code != http.StatusOK || d != "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v %s", method, w.Code, w.Header(), d)
		}
	}
	plain := k.signIn("shop-app", "api").ok(t)
	if got := k.userinfo(http.MethodGet, plain.Access).Body.String(); got != `{"sub":"`+string(k.users["tom"])+`","preferred_username":"tom"}` {
		t.Errorf("without session data: %s", got)
	}
	if w := k.userinfo(http.MethodGet, k.machine("billing").Access); w.Code != http.StatusForbidden {
		t.Errorf("a token of client credentials: %d %s", w.Code, w.Body)
	}
	if w := k.userinfo(http.MethodGet, a.Refresh); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "reason") {
		t.Errorf("a refresh token: %d %s", w.Code, w.Body)
	}
	if w := k.get("/oauth2/userinfo"); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("no token: %d %v", w.Code, w.Header())
	}
	k.signIn("shop-app", "mobile").ok(t)
	w := k.userinfo(http.MethodGet, a.Access)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `"reason":"superseded"`) {
		t.Errorf("a superseded one: %d %s", w.Code, w.Body)
	}
}

func TestTokenInfoIsCounted(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	k.introspected("billing", a.Access)
	k.revoke("shop-app", a.Access).revoked(t)
	k.revoke("shop-app", a.Access).revoked(t)
	k.introspected("billing", a.Access)
	k.revoke("nobody", a.Access)
	want := []string{
		`tallystick_token_info_requests_total introspect active 1`,
		`tallystick_token_info_requests_total introspect inactive 1`,
		`tallystick_token_info_requests_total revoke nothing 1`,
		`tallystick_token_info_requests_total revoke refused 1`,
		`tallystick_token_info_requests_total revoke revoked 1`,
	}
	if d := cmp.Diff(want, k.counted("tallystick_token_info_requests_total")); d != "" {
		t.Error(d)
	}
}
