package authserver_test

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// pagesClient is who signs in on the pages.
const pagesClient = "pages"

// pagesKit is a server with pages.
func pagesKit(t *testing.T, more ...func(*authserver.Config)) *kit {
	t.Helper()
	box, err := keys.NewBox(encryptionKey, "cookies")
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t, engine.SQLite(t), with(func(cfg *authserver.Config) {
		cfg.Pages = &authserver.Pages{Client: pagesClient, Sealer: box}
		for _, change := range more {
			change(cfg)
		}
	}))
	k.addClient(client.Draft{
		ID: pagesClient, Name: "Shop", Kind: storage.Public, Products: []string{"shop"}, Terminals: storage.Terminals(),
		Grants: []string{oauth.GrantPassword, oauth.GrantRefreshToken, oauth.GrantDeviceCode}, Scopes: []string{"wallet:read", "wallet:transfer"},
	})
	return k
}

// surfer is a browser without JavaScript.
type surfer struct {
	k      *kit
	jar    http.CookieJar
	header http.Header // sent with everything
}

func (k *kit) surfer() *surfer {
	k.t.Helper()
	jar, err := cookiejar.New(nil)
	k.must(err)
	return &surfer{k: k, jar: jar, header: http.Header{"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"}}}
}

// page is what a surfer got.
type page struct {
	status int
	header http.Header
	body   string
}

func (s *surfer) send(r *http.Request) page {
	s.k.t.Helper()
	maps.Copy(r.Header, s.header)
	at, err := url.Parse(issuerURL + "/")
	s.k.must(err)
	for _, c := range s.jar.Cookies(at) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	s.k.http.ServeHTTP(w, r)
	s.jar.SetCookies(at, w.Result().Cookies())
	return page{w.Code, w.Result().Header, w.Body.String()}
}

func (s *surfer) get(path string) page {
	s.k.t.Helper()
	return s.send(httptest.NewRequest(http.MethodGet, issuerURL+path, nil))
}

func postRequest(path string, pairs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, issuerURL+path, strings.NewReader(form(pairs...).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// post sends a form from a page of the server.
func (s *surfer) post(path string, pairs ...string) page {
	s.k.t.Helper()
	r := postRequest(path, pairs...)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return s.send(r)
}

func (s *surfer) signIn() {
	s.k.t.Helper()
	s.post("/signin", "username", "tom", "password", tomsSecret).to(s.k.t, "/account")
}

func (s *surfer) cookie(name string) string {
	at, _ := url.Parse(issuerURL + "/")
	for _, c := range s.jar.Cookies(at) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// to fails the test unless the answer leads to a path.
func (p page) to(t testing.TB, path string) {
	t.Helper()
	if p.status != http.StatusSeeOther || p.header.Get("Location") != path {
		t.Fatalf("got %d to %q, want to %q\n%s", p.status, p.header.Get("Location"), path, p.body)
	}
}

// shows fails the test unless the answer is a page with these texts.
func (p page) shows(t testing.TB, status int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if p.status != status || !strings.Contains(p.body, text) {
			t.Fatalf("got %d, want %d with %q\n%s", p.status, status, text, p.body)
		}
	}
}

const sessionCookie = "__Host-tallystick-session"

func TestPagesSignInByPassword(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	s := k.surfer()
	s.get("/account").to(t, "/signin?return_to=%2Faccount")
	s.get("/signin").shows(t, http.StatusOK, "<h1 id=\"heading\">Sign in</h1>", `id="qr"`)
	answer := s.post("/signin", "username", " tom ", "password", tomsSecret, "return_to", "/device?user_code=BBBB-CCCC")
	answer.to(t, "/device?user_code=BBBB-CCCC")
	set := answer.header.Values("Set-Cookie")
	if len(set) != 1 || !strings.HasPrefix(set[0], sessionCookie+"=") {
		t.Fatalf("cookies %q", set)
	}
	for _, attribute := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
		if !strings.Contains(set[0], "; "+attribute) {
			t.Errorf("the cookie lacks %s: %s", attribute, set[0])
		}
	}
	if strings.Contains(set[0], "Domain") {
		t.Error("the cookie is for a domain")
	}
	s.get("/account").shows(t, http.StatusOK, "Signed in as tom", "Firefox on Linux", "This device")
	s.get("/signin").to(t, "/account")
	s.post("/signout").to(t, "/signin")
	if s.cookie(sessionCookie) != "" {
		t.Error("the cookie is there after signing out")
	}
	s.get("/signin").shows(t, http.StatusOK, "You have signed out.")
}

func TestPagesSetTheirHeaders(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	s := k.surfer()
	s.signIn()
	for _, path := range []string{"/signin", "/account", "/device"} {
		for who, h := range map[string]http.Header{"signed in": s.get(path).header, "stranger": k.surfer().get(path).header} {
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			} {
				if h.Get(name) != want {
					t.Errorf("%s, %s: %s is %q", path, who, name, h.Get(name))
				}
			}
			policy := h.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'self';"} {
				if !strings.Contains(policy, want) {
					t.Errorf("%s, %s: the policy lacks %s: %s", path, who, want, policy)
				}
			}
			if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
				t.Errorf("%s: the policy is loose: %s", path, policy)
			}
		}
	}
}

// inline is what the policy of the pages would not run.
var inline = regexp.MustCompile(`(?i)<script(?:[^>]*[^r]c=|>)|<style|\sstyle=|\son[a-z]+=|javascript:|(?:src|href)="(?:https?:)?//`)

func TestPagesHaveNothingInline(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	s := k.surfer()
	s.signIn()
	for _, body := range []string{k.surfer().get("/signin").body, s.get("/account").body, s.get("/device").body, s.get("/device?user_code=BBBB-BBBB").body} {
		if found := inline.FindString(body); found != "" {
			t.Errorf("inline or from elsewhere: %q", found)
		}
	}
}

func TestPagesTakeFormsOfTheirOwnOnly(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	s := k.surfer()
	s.signIn()
	paths := []string{
		"/signin", "/signin/ask", "/signin/collect", "/signout", "/device", "/device/decide", "/account/end", "/account/end-others",
		"/account/end-started", "/account/password", "/language",
	}
	for name, headers := range map[string]http.Header{
		"another site":              {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
		"another site of ours":      {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://blog.example.com"}},
		"an old browser, elsewhere": {"Origin": {"https://evil.example"}},
		"a sandbox":                 {"Origin": {"null"}},
		"nowhere":                   {},
	} {
		for _, path := range paths {
			r := postRequest(path, "username", "tom", "password", tomsSecret, "language", "zh")
			maps.Copy(r.Header, headers)
			if p := s.send(r); p.status != http.StatusForbidden || len(p.header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s from %s: %d", path, name, p.status)
			}
		}
	}
	s.get("/account").shows(t, http.StatusOK, "Signed in as tom")
	r := postRequest("/language", "language", "zh")
	r.Header.Set("Origin", issuerURL)
	r.Host = "inner.local" // behind a proxy that names another host
	s.send(r).to(t, "/account")
}

func TestPagesReturnToPagesOnly(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	for asked, want := range map[string]string{
		"": "/account", "/account": "/account", "/device": "/device", "/device?user_code=BBBB-CCCC": "/device?user_code=BBBB-CCCC",
		"/device?user_code=%0d%0aX": "/device?user_code=%0D%0AX", "/account?x=1": "/account", "/account#x": "/account",
		"//evil.example": "/account", "///evil.example": "/account", `/\evil.example`: "/account", "https://evil.example/account": "/account",
		"javascript:alert(1)": "/account", "/account/../oauth2/token": "/account", "/oauth2/token": "/account", "account": "/account",
		"/%2f/evil.example": "/account", "/account\r\nX: y": "/account", "/signin": "/account", "/device/decide": "/account",
		"/account" + strings.Repeat("x", 300): "/account",
	} {
		k.surfer().post("/signin", "username", "tom", "password", tomsSecret, "return_to", asked).to(t, want)
	}
}

func TestPagesDoNotTellWhoThereIs(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	wrong := k.surfer().post("/signin", "username", "tom", "password", "not it")
	unknown := k.surfer().post("/signin", "username", "nobody", "password", "not it")
	wrong.shows(t, http.StatusBadRequest, "do not belong together")
	if got := strings.ReplaceAll(unknown.body, `value="nobody"`, `value="tom"`); got != wrong.body || unknown.status != wrong.status {
		t.Errorf("the answers differ:\n%s\n%s", wrong.body, unknown.body)
	}
	if strings.Contains(wrong.body, "not it") {
		t.Error("the password is on the page")
	}
}

func TestPagesHeedTheBrakes(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	s := k.surfer()
	for range 100 {
		if p := s.post("/signin", "username", "tom", "password", "not it"); p.status == http.StatusTooManyRequests {
			p.shows(t, http.StatusTooManyRequests, "Too many tries", `role="alert"`)
			if p.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			return
		}
	}
	t.Error("guessing went on for ever")
}

func TestPagesMakeTheCookieAnewAtSignIn(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	attacker, victim := k.surfer(), k.surfer()
	attacker.signIn()
	planted := attacker.cookie(sessionCookie)
	at, err := url.Parse(issuerURL)
	k.must(err)
	victim.jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: planted, Path: "/", Secure: true}})
	victim.post("/signin", "username", "amy", "password", tomsSecret).to(t, "/account")
	if victim.cookie(sessionCookie) == planted {
		t.Fatal("the cookie is the one from before")
	}
	victim.get("/account").shows(t, http.StatusOK, "Signed in as amy")
	// What the browser held before is signed out, wherever it came from.
	attacker.get("/account").to(t, "/signin?return_to=%2Faccount")
	for _, forged := range []string{"x", "AAAA", planted[:len(planted)-2] + "AA"} {
		s := k.surfer()
		s.jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: forged, Path: "/", Secure: true}})
		s.get("/account").to(t, "/signin?return_to=%2Faccount")
	}
}

func TestPagesSignOutOneBrowserOfManyThatShare(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	one, other := k.surfer(), k.surfer()
	one.signIn()
	other.signIn()
	copied := one.cookie(sessionCookie)
	one.get("/account").shows(t, http.StatusOK, "Other browsers share this sign-in")
	one.post("/signout").to(t, "/signin")
	other.get("/account").shows(t, http.StatusOK, "Signed in as tom")
	thief := k.surfer()
	at, err := url.Parse(issuerURL)
	k.must(err)
	thief.jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: copied, Path: "/", Secure: true}})
	thief.get("/account").to(t, "/signin?return_to=%2Faccount")
}

func TestPagesTellWhyASignInEnded(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	one, other := k.surfer(), k.surfer()
	one.signIn()
	other.signIn()
	sid := regexp.MustCompile(`name="session_id" value="([^"]+)"`).FindStringSubmatch(one.get("/account").body)
	if sid == nil {
		t.Fatal("no way to end the shared session")
	}
	one.post("/account/end", "session_id", sid[1]).to(t, "/account")
	other.get("/account").to(t, "/signin?return_to=%2Faccount")
	other.get("/signin").shows(t, http.StatusOK, "signed out here from another device")
	if strings.Contains(other.get("/signin").body, "signed out here") {
		t.Error("the note is shown twice")
	}
	k.clock.Advance(49 * time.Hour)
	one.get("/account").to(t, "/signin?return_to=%2Faccount")
}

func TestPagesSpeakTheReadersLanguage(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	for header, want := range map[string]string{
		"": `lang="en"`, "zh-CN,zh;q=0.9,en;q=0.5": `lang="zh-Hans"`, "zh-TW": `lang="zh-Hans"`, "de,fr;q=0.5": `lang="en"`, "en;q=0.2,zh;q=0.9": `lang="zh-Hans"`,
		"*": `lang="en"`, "\x01;;;": `lang="en"`, strings.Repeat("zh,", 400): `lang="en"`,
	} {
		s := k.surfer()
		s.header.Set("Accept-Language", header)
		if body := s.get("/signin").body; !strings.Contains(body, "<html "+want+">") {
			t.Errorf("%.40q: no %s", header, want)
		}
	}
	s := k.surfer()
	s.post("/language", "language", "zh", "here", "/signin?return_to=/device?user_code=BBBB-CCCC").to(t, "/signin?return_to=%2Fdevice%3Fuser_code%3DBBBB-CCCC")
	s.get("/signin").shows(t, http.StatusOK, "登录", `name="language" value="en"`)
	s.post("/language", "language", "xx").shows(t, http.StatusBadRequest, "缺失")
	s.post("/language", "language", "en", "here", "https://evil.example/").to(t, "/account")
}

func TestPagesFiles(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	links := regexp.MustCompile(`(?:src|href)="(/pages/[^"]+)"`).FindAllStringSubmatch(k.surfer().get("/signin").body, -1)
	if len(links) != 3 {
		t.Fatalf("%q", links)
	}
	for _, link := range links {
		p := k.surfer().get(link[1])
		if p.status != http.StatusOK || p.header.Get("X-Content-Type-Options") != "nosniff" || p.header.Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", link[1], p.status, p.header)
		}
	}
	for _, path := range []string{"/pages/en.json", "/pages/layout.html", "/pages/../doc.go"} {
		if p := k.surfer().get(path); p.status == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}

func TestPagesKeepSecretsFromTheLog(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	s := k.surfer()
	s.signIn()
	s.post("/signin/ask")
	s.post("/signin", "username", "tom", "password", "hunter2hunter2")
	s.get("/account")
	for _, held := range []string{tomsSecret, "hunter2", s.cookie(sessionCookie), "tdc_"} {
		if held != "" && bytes.Contains(k.log.Bytes(), []byte(held)) {
			t.Errorf("the log has %.12q", held)
		}
	}
}

func TestWithoutAClientThereAreNoPages(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	for _, path := range []string{"/signin", "/account", "/device", "/pages/style.css"} {
		if p := k.surfer().get(path); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

func TestPagesTellTheOperatorOfAnUnfitClient(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]storage.ClientID{"unknown": "none", "confidential": "shop-server", "without the grant": "billing"} {
		k := pagesKit(t, func(cfg *authserver.Config) { cfg.Pages.Client = id })
		s := k.surfer()
		s.get("/signin").shows(t, http.StatusOK, "Sign in")
		s.post("/signin", "username", "tom", "password", tomsSecret).shows(t, http.StatusInternalServerError, "Something went wrong on our side")
		if !bytes.Contains(k.log.Bytes(), []byte("pages.client")) {
			t.Errorf("%s: the log does not say which setting", name)
		}
	}
}
