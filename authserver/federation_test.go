package authserver_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/federation"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/wechat"
	"github.com/tallystick/tallystick/authserver/wechat/wechattest"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// phone is a kit whose clients are mini programs, and the WeChat that they sign in with.
type phone struct {
	*kit
	wechat *wechattest.Server
	others []*kit // further processes over the same database
}

func newPhone(t *testing.T, e engine.Engine, processes int) *phone {
	t.Helper()
	p := &phone{}
	apps := []wechattest.App{{ID: "wx-shop", Secret: "app-s3cret", Platform: "main"}, {ID: "wx-music", Secret: "app-s3cret", Platform: "main"}}
	var server *httptest.Server
	federated := func(k *kit) {
		k.change = func(c *authserver.Config) {
			if server == nil {
				p.wechat = wechattest.New(wechattest.Config{Apps: apps, Now: k.clock.Now})
				server = httptest.NewServer(p.wechat)
				t.Cleanup(server.Close)
			}
			provider, err := wechat.New(wechat.Config{BaseURL: server.URL, Log: c.Log, Apps: []wechat.App{
				{ID: "wx-shop", Secret: secret.New("app-s3cret"), Platform: "main", Clients: []storage.ClientID{"shop-mini", "shop-backend"}},
				{ID: "wx-music", Secret: secret.New("app-s3cret"), Platform: "main", Clients: []storage.ClientID{"music-mini"}},
			}})
			k.must(err)
			box, err := keys.NewBox(encryptionKey, "identities")
			k.must(err)
			c.Federation, err = federation.New(federation.Config{
				Providers: []federation.Provider{provider}, Identities: k.db, Exchanges: k.db, Sealer: box,
				HashKey: bytes.Repeat([]byte{4}, 32), Brake: k.brake, Now: k.clock.Now, Log: c.Log,
			})
			k.must(err)
		}
	}
	p.kit = newKit(t, e, federated)
	grants := []string{oauth.GrantWeChat, oauth.GrantPassword, oauth.GrantRefreshToken}
	for id, product := range map[storage.ClientID]string{"shop-mini": "shop", "music-mini": "music", "lonely-mini": "shop"} {
		p.addClient(client.Draft{ID: id, Kind: storage.Public, Grants: grants, Products: []string{product}, Terminals: storage.Terminals(), Scopes: []string{"wallet:read"}})
	}
	p.addClient(client.Draft{ID: "shop-backend", Kind: storage.Confidential, Grants: grants, Products: []string{"shop"}, Terminals: storage.Terminals(), Scopes: []string{"wallet:read"}})
	for range processes - 1 {
		other := &kit{t: t, engine: e, clock: p.clock, users: p.users, secrets: p.secrets, announcer: p.announcer}
		federated(other)
		other.start()
		p.others = append(p.others, other)
	}
	return p
}

// mini signs in by a code.
func mini(k *kit, clientID, code string, more ...string) answer {
	return k.post(append([]string{"grant_type", oauth.GrantWeChat, "client_id", clientID, "terminal", "api", "code", code}, more...)...)
}

// sub is whose token an answer holds.
func (k *kit) sub(a answer) string {
	k.t.Helper()
	claims, err := k.parser.Access(a.ok(k.t).Access, k.clock.Now())
	k.must(err)
	return claims.Subject
}

// identities sends a request with a user's token.
func (k *kit) identities(method, path, token, body string) (int, map[string]any) {
	k.t.Helper()
	r := httptest.NewRequest(method, "/v1/identities"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, r)
	var decoded map[string]any
	if w.Body.Len() > 0 {
		k.must(json.Unmarshal(w.Body.Bytes(), &decoded))
	}
	return w.Code, decoded
}

func linking(code string) string {
	b, _ := json.Marshal(map[string]string{"provider": wechat.Name, "code": code})
	return string(b)
}

func TestMiniProgramSignsIn(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		p := newPhone(t, e, 1)
		first := p.sub(mini(p.kit, "shop-mini", p.wechat.Mint("wx-shop", "openid-1", "union-1")))
		for clientID, code := range map[string]string{
			"shop-mini":  p.wechat.Mint("wx-shop", "openid-1", ""),
			"music-mini": p.wechat.Mint("wx-music", "openid-of-music", "union-1"),
		} {
			if sub := p.sub(mini(p.kit, clientID, code)); sub != first {
				t.Errorf("%s: another user", clientID)
			}
		}
		if p.sub(mini(p.kit, "shop-mini", p.wechat.Mint("wx-shop", "openid-2", ""))) == first {
			t.Error("another openid is the same user")
		}
		for _, wanted := range []string{"user.created", "identity.linked", "session.opened"} {
			records := p.records(wanted)
			ofFirst := func(r storage.AuditRecord) bool { return r.User == storage.UserID(first) }
			if !slices.ContainsFunc(records, ofFirst) {
				t.Errorf("%s: %+v", wanted, records)
			}
		}
	})
}

// records are the audit records of an action.
func (k *kit) records(action string) (found []storage.AuditRecord) {
	k.t.Helper()
	all, err := k.db.ListAudit(k.t.Context(), k.clock.Now().Add(-1e12), "", 1000)
	k.must(err)
	for _, r := range all {
		if r.Action == action {
			found = append(found, r)
		}
	}
	return found
}

// TestLostAnswerIsGivenAgain: whoever has not got the answer sends the code again, and again for as long as
// WeChat would know it.
func TestLostAnswerIsGivenAgain(t *testing.T) {
	t.Parallel()
	p := newPhone(t, engine.SQLite(t), 2)
	code := p.wechat.Mint("wx-shop", "openid-1", "")
	first := p.sub(mini(p.kit, "shop-mini", code))
	p.start() // a restart
	for _, k := range append(p.others, p.kit) {
		if p.sub(mini(k, "shop-mini", code)) != first {
			t.Error("another user")
		}
	}
	for range 2 { // what was decided is decided for the retry too
		mini(p.others[0], "shop-mini", "nonsense").refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
	}
	if calls, _ := p.wechat.Calls(); calls != 2 {
		t.Errorf("WeChat was asked %d times", calls)
	}
	// Another client, or linking, is another use of the code.
	p.postAs("shop-backend", "grant_type", oauth.GrantWeChat, "code", code, "terminal", "api").refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
	tom := p.signIn("shop-mini", "mobile").ok(t)
	if status, body := p.identities(http.MethodPost, "", tom.Access, linking(code)); status != http.StatusBadRequest || body["error"] != "invalid_grant" {
		t.Errorf("linking: %d %v", status, body)
	}
	p.clock.Advance(wechattest.CodeLife)
	mini(p.kit, "shop-mini", code).refused(t, http.StatusBadRequest, "invalid_grant", "", 0)
}

// TestPassingTroubleIsNotRemembered: when WeChat is back, the code is good.
func TestPassingTroubleIsNotRemembered(t *testing.T) {
	t.Parallel()
	p := newPhone(t, engine.SQLite(t), 1)
	code := p.wechat.Mint("wx-shop", "openid-1", "")
	p.wechat.Next(wechattest.Answer{Status: 500}, wechattest.Errcode(45011, "minute-quota"), wechattest.Errcode(40125, "invalid appsecret"))
	mini(p.kit, "shop-mini", code).refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
	slow := mini(p.kit, "shop-mini", code).refused(t, http.StatusTooManyRequests, "slow_down", "", 0)
	if got := slow.header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After %q", got)
	}
	mini(p.kit, "shop-mini", code).refused(t, http.StatusInternalServerError, "server_error", "", 0)
	if !strings.Contains(p.log.String(), wechat.Alert) {
		t.Error("nobody was alarmed")
	}
	p.sub(mini(p.kit, "shop-mini", code))
}

// TestRetriesAtOnce: ten retries of one code at three processes are one question, and one user.
func TestRetriesAtOnce(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		p := newPhone(t, e, 3)
		all := slices.Concat(p.others, []*kit{p.kit})
		code := p.wechat.Mint("wx-shop", "openid-1", "union-1")
		hold := make(chan struct{})
		p.wechat.Next(wechattest.Answer{Status: 503, Wait: hold}) // the first question finds WeChat away: it is asked once more
		const callers = 10
		answers := make([]answer, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() { answers[i] = mini(all[i%len(all)], "shop-mini", code) })
		}
		close(hold)
		wg.Wait()
		subs := map[string]int{}
		for _, a := range answers {
			switch a.status {
			case http.StatusOK:
				subs[p.sub(a)]++
			case http.StatusServiceUnavailable:
			default:
				t.Errorf("got %d %s", a.status, a.raw)
			}
		}
		subs[p.sub(mini(p.kit, "shop-mini", code))]++
		calls, atOnce := p.wechat.Calls()
		if len(subs) != 1 || calls != 2 || atOnce != 1 {
			t.Errorf("users %v, %d questions, %d at once", subs, calls, atOnce)
		}
	})
}

// TestPersonArrivesEverywhereAtOnce: one person in two mini programs, for the first time in both.
func TestPersonArrivesEverywhereAtOnce(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		p := newPhone(t, e, 2)
		const callers = 8
		answers := make([]answer, callers)
		var wg sync.WaitGroup
		for i := range callers {
			app, clientID, k := "wx-shop", "shop-mini", p.kit
			if i%2 == 1 {
				app, clientID, k = "wx-music", "music-mini", p.others[0]
			}
			code := p.wechat.Mint(app, "openid-of-"+app, "union-1")
			wg.Go(func() { answers[i] = mini(k, clientID, code) })
		}
		wg.Wait()
		subs := map[string]bool{}
		for _, a := range answers {
			subs[p.sub(a)] = true
		}
		if len(subs) != 1 {
			t.Errorf("one person is %d users", len(subs))
		}
	})
}

func TestIdentitiesAreLinkedAndUnlinked(t *testing.T) {
	t.Parallel()
	p := newPhone(t, engine.SQLite(t), 1)
	tom := p.signIn("shop-mini", "mobile").ok(t)
	status, made := p.identities(http.MethodPost, "", tom.Access, linking(p.wechat.Mint("wx-shop", "openid-1", "union-1")))
	if status != http.StatusCreated || made["provider"] != wechat.Name || made["app"] != "wx-shop" {
		t.Fatalf("%d %v", status, made)
	}
	if p.sub(mini(p.kit, "music-mini", p.wechat.Mint("wx-music", "openid-2", "union-1"))) != p.sub(tom) {
		t.Error("the person behind the linked identity is another user")
	}
	status, again := p.identities(http.MethodPost, "", tom.Access, linking(p.wechat.Mint("wx-shop", "openid-1", "union-1")))
	if status != http.StatusOK || again["id"] != made["id"] {
		t.Errorf("linked again: %d %v", status, again)
	}
	amy := mini(p.kit, "shop-mini", p.wechat.Mint("wx-shop", "openid-of-amy", "")).ok(t)
	for _, code := range []string{p.wechat.Mint("wx-shop", "openid-1", ""), p.wechat.Mint("wx-shop", "openid-3", "union-1")} {
		if status, body := p.identities(http.MethodPost, "", amy.Access, linking(code)); status != http.StatusConflict || body["error"] != "identity_taken" {
			t.Errorf("an identity of somebody else: %d %v", status, body)
		}
	}
	_, list := p.identities(http.MethodGet, "", amy.Access, "")
	own, _ := list["identities"].([]any)
	if len(own) != 1 {
		t.Fatalf("amy has %v", list)
	}
	id, _ := own[0].(map[string]any)["id"].(string)
	madeID, _ := made["id"].(string)
	for path, want := range map[string]string{"/" + id: "last_way_in", "/" + madeID: "not_found", "/none": "not_found"} {
		if _, body := p.identities(http.MethodDelete, path, amy.Access, ""); body["error"] != want {
			t.Errorf("amy unlinks %s: %v", path, body)
		}
	}
	if status, body := p.identities(http.MethodDelete, "/"+madeID, tom.Access, ""); status != http.StatusNoContent {
		t.Errorf("tom unlinks: %d %v", status, body)
	}
	for body, want := range map[string]string{
		`{"provider":"nobody","code":"x"}`: "invalid_request", `{"provider":"` + wechat.Name + `"}`: "invalid_request",
		linking(strings.Repeat("x", 600)): "invalid_request", linking("x"): "invalid_grant",
	} {
		if _, got := p.identities(http.MethodPost, "", tom.Access, body); got["error"] != want {
			t.Errorf("%.60s: %v", body, got)
		}
	}
}

func TestMiniProgramsThatAreRefused(t *testing.T) {
	t.Parallel()
	p := newPhone(t, engine.SQLite(t), 1)
	code := p.wechat.Mint("wx-shop", "openid-1", "")
	mini(p.kit, "lonely-mini", code).refused(t, http.StatusBadRequest, "unauthorized_client", "", 0)
	mini(p.kit, "shop-app", code).refused(t, http.StatusBadRequest, "unauthorized_client", "", 0)
	mini(p.kit, "shop-mini", code, "scope", "admin").refused(t, http.StatusBadRequest, "invalid_scope", "", 0)
	for _, bad := range []string{"", strings.Repeat("x", 513), "a\x00b"} {
		mini(p.kit, "shop-mini", bad).refused(t, http.StatusBadRequest, "invalid_request", "", 0)
	}
	if calls, _ := p.wechat.Calls(); calls != 0 {
		t.Errorf("WeChat was asked %d times for nothing", calls)
	}
	sub := p.sub(mini(p.kit, "shop-mini", code))
	banned := true
	_, err := p.db.End(t.Context(), storage.EndOrder{
		User: storage.UserID(sub), Reason: storage.Banned, Actor: "operator:test", Now: storage.Instant(p.clock.Now()),
		Account: &storage.AccountChange{Disabled: &banned},
	})
	p.must(err)
	mini(p.kit, "shop-mini", p.wechat.Mint("wx-shop", "openid-1", "")).refused(t, http.StatusBadRequest, "invalid_grant", "banned", 2)
	if d := cmp.Diff([]string{"client_credentials", "password", "refresh_token", oauth.GrantDeviceCode, oauth.GrantLoginToken, oauth.GrantWeChat}, p.advertised()); d != "" {
		t.Error(d)
	}
}

// advertised are the grants that the metadata names.
func (k *kit) advertised() []string {
	k.t.Helper()
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/oauth-authorization-server", nil))
	var document struct {
		Grants []string `json:"grant_types_supported"`
	}
	k.must(json.Unmarshal(w.Body.Bytes(), &document))
	return document.Grants
}

// TestBadCodesAreHeldBack: each costs a question at WeChat, and WeChat counts them.
func TestBadCodesAreHeldBack(t *testing.T) {
	t.Parallel()
	p := newPhone(t, engine.SQLite(t), 1)
	held := 0
	for i := range 120 {
		if a := mini(p.kit, "shop-mini", strings.Repeat("x", i+1)); a.status == http.StatusTooManyRequests {
			held++
		}
	}
	if calls, _ := p.wechat.Calls(); held == 0 || calls > 100 {
		t.Errorf("held back %d of 120, asked %d times", held, calls)
	}
}

// TestSessionKeyIsSealed: it stands nowhere where it can be read.
func TestSessionKeyIsSealed(t *testing.T) {
	t.Parallel()
	e := engine.SQLite(t)
	p := newPhone(t, e, 1)
	code := p.wechat.Mint("wx-shop", "openid-1", "union-1")
	a := mini(p.kit, "shop-mini", code).ok(t)
	_, list := p.identities(http.MethodGet, "", a.Access, "")
	shown, err := json.Marshal(list)
	p.must(err)
	hidden := []string{wechattest.SessionKey("openid-1"), code, "app-s3cret"}
	for where, text := range map[string]string{"answer": a.raw, "list": string(shown), "log": p.log.String(), "database": dump(t, e)} {
		for _, secretText := range hidden {
			if strings.Contains(text, secretText) {
				t.Errorf("the %s tells %s", where, secretText)
			}
		}
	}
	ways, err := p.db.ListIdentities(t.Context(), storage.UserID(p.sub(a)))
	p.must(err)
	box, err := keys.NewBox(encryptionKey, "identities")
	p.must(err)
	opened, err := box.Open(ways[0].Sealed, "identity", wechat.Name, "wx-shop", "openid-1")
	if err != nil || string(opened) != wechattest.SessionKey("openid-1") {
		t.Errorf("sealed %q, %v", opened, err)
	}
	if _, err := box.Open(ways[0].Sealed, "identity", wechat.Name, "wx-shop", "openid-2"); err == nil {
		t.Error("it opens under the name of another")
	}
}

// dump is all that the tables of this room hold.
func dump(t *testing.T, e engine.Engine) string {
	t.Helper()
	var all strings.Builder
	for _, query := range []string{
		"SELECT identity_id, subject, union_id, sealed FROM identities", "SELECT union_id, user_id FROM identity_unions",
		"SELECT code_hash, holder, outcome FROM exchanges", "SELECT actor, detail FROM audit", "SELECT username, password_hash FROM users",
	} {
		rows, err := e.Raw(t).QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new([]byte)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				all.Write(*v.(*[]byte)) //nolint:forcetypeassert // made above.
				all.WriteByte(' ')
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	if !strings.Contains(all.String(), "openid-1") {
		t.Fatal("nothing was dumped")
	}
	return all.String()
}
