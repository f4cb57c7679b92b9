package authserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// signInForm is a good sign-in with changes: a name and a value replace, a name and "-" remove.
func signInForm(changes ...string) []string {
	v := form("grant_type", "password", "client_id", "shop-app", "terminal", "mobile", "username", "tom", "password", tomsSecret)
	for i := 0; i+1 < len(changes); i += 2 {
		v.Set(changes[i], changes[i+1])
		if changes[i+1] == "-" {
			v.Del(changes[i])
		}
	}
	var pairs []string
	for name := range v {
		pairs = append(pairs, name, v.Get(name))
	}
	return pairs
}

func TestRefusedForms(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	long := func(n int) string { return strings.Repeat("x", n) }
	var all strings.Builder
	for _, c := range []struct {
		name    string
		changes []string
	}{
		{"no grant type", []string{"grant_type", "-"}},
		{"unknown grant type", []string{"grant_type", "implicit"}},
		{"a grant the client may not use", []string{"grant_type", "client_credentials"}},
		{"no client", []string{"client_id", "-"}},
		{"unknown client", []string{"client_id", "nobody"}},
		{"a public client with a secret", []string{"client_secret", "x"}},
		{"a client assertion", []string{"client_assertion", "x.y.z"}},
		{"no user name", []string{"username", "-"}},
		{"no password", []string{"password", "-"}},
		{"wrong password", []string{"password", "wrong"}},
		{"unknown user", []string{"username", "nobody"}},
		{"long user name", []string{"username", long(257)}},
		{"long password", []string{"password", long(1025)}},
		{"control character in the user name", []string{"username", "tom\x00"}},
		{"a product that is not the client's", []string{"product", "music"}},
		{"a product there is not", []string{"product", "nothing"}},
		{"long product", []string{"product", long(65)}},
		{"a terminal there is not", []string{"terminal", "fridge"}},
		{"a terminal that is not the client's", []string{"client_id", "shop-web"}},
		{"a scope that is not the client's", []string{"scope", "wallet:deposit"}},
		{"a scope that is none", []string{"scope", `wallet:read "x"`}},
		{"long scope", []string{"scope", long(1025)}},
		{"long device id", []string{"device_id", long(129)}},
		{"long device name", []string{"device_name", long(129)}},
		{"control character in the device name", []string{"device_name", "a\nb"}},
		{"session data of a public client", []string{"session_data", "{}"}},
		{"refresh without a token", []string{"grant_type", "refresh_token"}},
	} {
		a := k.post(signInForm(c.changes...)...)
		if a.status == http.StatusOK || a.Access != "" {
			t.Errorf("%s: got %d %s", c.name, a.status, a.raw)
		}
		fmt.Fprintf(&all, "%s\n\t%d %s\n", c.name, a.status, a.raw)
	}
	golden(t, "refused_forms.txt", all.String())
	if n := k.audited("signin.refused"); n != 2 {
		t.Errorf("%d audit records; the wrong password and the unknown user make 2", n)
	}
}

func TestRefusedConfidentialClients(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	signIn := []string{"grant_type", "password", "username", "tom", "password", tomsSecret}
	k.postAs("shop-server", append(signIn, "session_data", `{"a":`)...).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	k.postAs("shop-server", append(signIn, "session_data", `"`+strings.Repeat("x", 4095)+`"`)...).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	k.postAs("billing", signIn...).refused(t, http.StatusBadRequest, "unauthorized_client", "", 0)
	k.postAs("billing", "grant_type", "client_credentials", "scope", "admin").refused(t, http.StatusBadRequest, "invalid_scope", "", 0)

	r := tokenRequest(form("grant_type", "client_credentials"))
	r.SetBasicAuth("billing", "wrong")
	a := k.do(r).refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
	if got := a.header.Get("WWW-Authenticate"); got != `Basic realm="tallystick", charset="UTF-8"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
	a = k.post("grant_type", "client_credentials", "client_id", "billing", "client_secret", "wrong").refused(t, http.StatusUnauthorized, "invalid_client", "", 0)
	if got := a.header.Get("WWW-Authenticate"); got != "" {
		t.Errorf("a challenge nobody asked for: %q", got)
	}
	r = tokenRequest(form("grant_type", "client_credentials", "client_secret", k.secrets["billing"]))
	r.SetBasicAuth("billing", k.secrets["billing"])
	k.do(r).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	r = tokenRequest(form("grant_type", "client_credentials"))
	r.Header["Authorization"] = []string{"Basic a", "Basic b"}
	k.do(r).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	good := form(signInForm()...).Encode()
	request := func(method, target, contentType, body string) *http.Request {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		return r
	}
	const formType = "application/x-www-form-urlencoded"
	var all strings.Builder
	for _, c := range []struct {
		name string
		r    *http.Request
		want int
	}{
		{"GET", request(http.MethodGet, "/oauth2/token", "", ""), 405},
		{"another path", request(http.MethodPost, "/oauth2/nothing", formType, good), 404},
		{"JSON", request(http.MethodPost, "/oauth2/token", "application/json", `{"grant_type":"password"}`), 400},
		{"no content type", request(http.MethodPost, "/oauth2/token", "", good), 400},
		{"another charset", request(http.MethodPost, "/oauth2/token", formType+"; charset=latin1", good), 400},
		{"a parameter in the query", request(http.MethodPost, "/oauth2/token?grant_type=password", formType, good), 400},
		{"a repeated parameter", request(http.MethodPost, "/oauth2/token", formType, good+"&scope=&scope=wallet%3Aread"), 400},
		{"not UTF-8", request(http.MethodPost, "/oauth2/token", formType, good+"&device_name=%ff"), 400},
		{"a broken escape", request(http.MethodPost, "/oauth2/token", formType, good+"&device_name=%zz"), 400},
		{"a large body", request(http.MethodPost, "/oauth2/token", formType, good+"&x="+strings.Repeat("x", 64<<10)), 413},
		{"many parameters", request(http.MethodPost, "/oauth2/token", formType, good+strings.Repeat("&x", 64)), 400},
	} {
		a := k.do(c.r)
		if a.status != c.want || a.Error != "invalid_request" {
			t.Errorf("%s: got %d %s", c.name, a.status, a.raw)
		}
		fmt.Fprintf(&all, "%s\n\t%d %s\n", c.name, a.status, a.raw)
	}
	golden(t, "refused_requests.txt", all.String())
	k.do(request(http.MethodPost, "/oauth2/token", formType+"; charset=UTF-8", good+"&scope=&unknown=x")).ok(t)
}

func TestBannedUsersAreToldSoOnceTheirPasswordIsRight(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	_, err := k.db.End(t.Context(), storage.EndOrder{
		User: k.users["tom"], Reason: storage.Banned, Actor: "operator:test", Now: k.clock.Now(),
		Account: &storage.AccountChange{Ban: &storage.Ban{At: storage.Instant(k.clock.Now())}},
	})
	k.must(err)
	k.signIn("shop-app", "mobile").refused(t, http.StatusBadRequest, "invalid_grant", "banned", 2)
	k.post(signInForm("password", "wrong")...).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
	k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "banned", 2)
}

func TestEveryReasonIsTold(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	var all strings.Builder
	for _, reason := range []storage.Reason{storage.Kicked, storage.SignedOut, storage.PasswordChanged, storage.Banned} {
		a := k.signIn("shop-app", "mobile").ok(t)
		_, err := k.db.End(t.Context(), storage.EndOrder{User: k.users["tom"], Reason: reason, Actor: "operator:test", Now: k.clock.Now()})
		k.must(err)
		refused := k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", string(reason), reason.Code())
		fmt.Fprintf(&all, "%s\n", refused.raw)
	}
	a := k.signIn("shop-app", "mobile").ok(t)
	k.signIn("shop-app", "mobile", "device_name", `Tom's "phone" €`).ok(t)
	fmt.Fprintf(&all, "%s\n", k.refresh("shop-app", a.Refresh).raw)
	golden(t, "reasons.txt", all.String())
}

// faulty is a password checker that fails in a given way, then calls the real one.
type faulty struct {
	*password.Checker

	fail func() error
}

func (f faulty) Verify(ctx context.Context, name string, pw secret.Text) (storage.User, error) {
	user, err := f.Checker.Verify(ctx, name, pw)
	if failure := f.fail(); failure != nil {
		return storage.User{}, failure
	}
	return user, err
}

func withPasswords(fail func() error) option {
	return with(func(cfg *authserver.Config) {
		cfg.Passwords = faulty{cfg.Passwords.(*password.Checker), fail}
	})
}

func TestOverloadIsShedWithRetryAfter(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t), withPasswords(func() error { return &password.OverloadError{RetryAfter: 2500 * time.Millisecond} }))
	a := k.signIn("shop-app", "mobile").refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
	if a.header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	if d := cmp.Diff([]string{"tallystick_token_requests_shed_total 1"}, k.counted("tallystick_token_requests_shed_total")); d != "" {
		t.Error(d)
	}
}

// counted returns the samples of a counter.
func (k *kit) counted(name string) []string {
	k.t.Helper()
	families, err := k.metrics.Gather()
	k.must(err)
	var samples []string
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			sample := name
			for _, label := range m.GetLabel() {
				sample += " " + label.GetValue()
			}
			samples = append(samples, fmt.Sprint(sample, " ", m.GetCounter().GetValue()))
		}
	}
	return samples
}

func TestUnknownFailuresAreHidden(t *testing.T) {
	t.Parallel()
	const private = "pq: secret table is on fire"
	k := newKit(t, engine.SQLite(t), withPasswords(func() error { return errors.New(private) }),
		func(k *kit) {
			inner := k.change
			k.change = func(cfg *authserver.Config) {
				inner(cfg)
				cfg.RequestID = func(context.Context) string { return "request-7" }
			}
		})
	a := k.signIn("shop-app", "mobile").refused(t, http.StatusInternalServerError, "server_error", "", 0)
	if strings.Contains(a.raw, "fire") {
		t.Errorf("the cause is in the body: %s", a.raw)
	}
	if log := k.log.String(); !strings.Contains(log, private) || !strings.Contains(log, "request-7") || !strings.Contains(log, "/oauth2/token") {
		t.Errorf("the log does not tell: %s", log)
	}
}

func TestPasswordChangedDuringTheSignInIsVerifiedAgain(t *testing.T) {
	t.Parallel()
	tries := 0
	var k *kit
	k = newKit(t, engine.SQLite(t), withPasswords(func() error {
		tries++
		if tries > 1 {
			return nil
		}
		hash, err := k.checker.Hash(context.Background(), secret.New(tomsSecret))
		if err != nil {
			return err
		}
		_, err = k.db.End(context.Background(), storage.EndOrder{
			User: k.users["tom"], Reason: storage.PasswordChanged, Actor: "operator:test", Now: k.clock.Now(),
			Account: &storage.AccountChange{Password: &hash},
		})
		return err
	}))
	k.signIn("shop-app", "mobile").ok(t)
	if tries != 2 {
		t.Errorf("verified %d times", tries)
	}
}

func TestOutageIsNeverTheClientsFault(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		k := newKit(t, e)
		a := k.signIn("shop-app", "mobile").ok(t)
		k.must(k.db.Close())
		for name, a := range map[string]answer{
			"password":       k.signIn("shop-app", "mobile"),
			"refresh":        k.refresh("shop-app", a.Refresh),
			"scoped refresh": k.refresh("shop-app", a.Refresh, "scope", "wallet:read"),
			"unknown client": k.signIn("music-app", "mobile"),
			"wrong password": k.post(signInForm("password", "wrong")...),
		} {
			if a.status != http.StatusServiceUnavailable || a.Error != "temporarily_unavailable" || a.header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %s", name, a.status, a.raw)
			}
		}
		if strings.Contains(k.log.String(), tomsSecret) || strings.Contains(k.log.String(), a.Refresh) {
			t.Error("a secret is in the log")
		}
		k.start()
		k.refresh("shop-app", a.Refresh).ok(t)
	})
}

func TestClientCredentialsSurviveTheLossOfTheStore(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	k.postAs("billing", "grant_type", "client_credentials").ok(t)
	k.must(k.db.Close())
	a := k.postAs("billing", "grant_type", "client_credentials").ok(t)
	var members map[string]any
	if err := json.Unmarshal([]byte(a.raw), &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "access_token")
	want := map[string]any{"token_type": "Bearer", "expires_in": 3600.0, "scope": "wallet:deposit wallet:read_any"}
	if d := cmp.Diff(want, members); d != "" {
		t.Error(d)
	}
	claims, err := k.parser.Access(a.Access, k.clock.Now())
	if err != nil || claims.Subject != "billing" || claims.Session != "" {
		t.Errorf("claims %+v, %v", claims, err)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	first := k.signIn("shop-app", "mobile").ok(t)
	k.signIn("shop-app", "mobile").ok(t)
	k.refresh("shop-app", first.Refresh)
	k.post("grant_type", "a stranger's word", "client_id", "shop-app")
	const name = "tallystick_token_requests_total"
	want := []string{
		name + " client_credentials ok 0", name + " other unsupported_grant_type 1", name + " password ok 2",
		name + " refresh_token ok 0", name + " refresh_token superseded 1",
		name + " urn:ietf:params:oauth:grant-type:device_code ok 0", name + " urn:tallystick:grant-type:login-token ok 0",
	}
	if d := cmp.Diff(want, k.counted(name)); d != "" {
		t.Error(d)
	}
}
