package e2e_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/authserver/sdk"
	"github.com/tallystick/tallystick/cmd/internal/browser"
	"github.com/tallystick/tallystick/cmd/internal/rig"
	"github.com/tallystick/tallystick/cmd/internal/story"
)

// chromium is stopped by TestMain.
var chromium browser.Browser

// jsStand is what the scenarios are told.
type jsStand struct {
	Gate     string `json:"gate"`
	User     string `json:"user"`
	Password string `json:"password"`
	Other    string `json:"other"`
}

// sdkStand starts dev for pages of an origin, and a gate before it. The slots of the user are its own.
func sdkStand(t *testing.T, origin string) (jsStand, story.Target) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	args := []string{"dev", "--addr", freeAddr(t), "--data-dir", dir}
	if origin != "" {
		args = append(args, "--cors-origin", origin)
	}
	p, err := rig.Launch(rig.Program{Path: binary(t), Args: args})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, "dev", p)
	var target story.Target
	err = p.Await("dev.json", func() bool {
		var err error
		target, err = story.Load(filepath.Join(dir, "dev.json"))
		return err == nil && target.PID == p.PID()
	})
	if err != nil {
		t.Fatal(err)
	}
	_, address := newGate(t, dir, target)
	tom := target.Users["tom"]
	return jsStand{Gate: address, User: tom.Username, Password: tom.Password, Other: target.Users["amy"].Sub}, target
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	return must(t)(string(b), err)
}

// nodeBinary is Node, or "".
func nodeBinary() string {
	if path := os.Getenv("TALLYSTICK_TEST_NODE"); path != "" {
		return path
	}
	path, err := exec.LookPath("node")
	if err != nil {
		return ""
	}
	return path
}

func TestJavaScriptInNode(t *testing.T) {
	t.Parallel()
	node := nodeBinary()
	if node == "" {
		t.Skip("SKIPPED: there is no Node here; Chromium runs the same scenarios")
	}
	stand, _ := sdkStand(t, "")
	module, err := filepath.Abs("../../../authserver/sdk/script/tallystick.js")
	if err != nil {
		t.Fatal(err)
	}
	source := must(t)(copied(module, filepath.Join(t.TempDir(), "tallystick.mjs"))) // Node tells modules by their ending
	cmd := exec.CommandContext(t.Context(), node, "--test", "--test-reporter=tap", "testdata/sdk/node.test.mjs")
	cmd.Env = append(os.Environ(), "MODULE="+source, "STAND="+encoded(t, stand))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "# pass 13") || !strings.Contains(string(out), "# fail 0") {
		t.Errorf("%v\n%s", err, out)
	}
}

// copied copies a file and returns where to.
func copied(from, to string) (string, error) {
	b, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	return to, os.WriteFile(to, b, 0o600)
}

// pages serves what a product's own site would: a page that loads the module from the authorization
// server, which is another origin.
func pages(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /scenarios.mjs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		http.ServeFile(w, r, "testdata/sdk/scenarios.mjs")
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>shop</title><link rel=icon href=data:,>"))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// expectedRefusals are what a browser reports of answers that the scenarios provoke.
var expectedRefusals = []string{"status of 401", "status of 400", "status of 503", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION"}

func TestJavaScriptInChromium(t *testing.T) {
	t.Parallel()
	site := pages(t)
	tab := chromium.Tab(t)
	stand, target := sdkStand(t, site.URL)
	tab.Tolerate(expectedRefusals...)
	tab.Go(site.URL)
	results := browser.Eval[map[string]string](tab, `(async () => {
		const stand = `+encoded(t, stand)+`
		const module = await import(`+encoded(t, target.Issuer+"/sdk/tallystick.js")+`)
		const { scenarios } = await import('/scenarios.mjs')
		const results = {}
		for (const [name, run] of Object.entries(scenarios)) {
			await fetch(stand.gate + '/gate/reset', { method: 'POST' })
			try { await run(module, stand); results[name] = 'ok' } catch (e) { results[name] = String(e && e.stack || e) }
		}
		return results
	})()`)
	if len(results) != 13 {
		t.Errorf("%d scenarios ran", len(results))
	}
	for name, result := range results {
		if result != "ok" {
			t.Errorf("%s: %s", name, result)
		}
	}
}

// TestTabsRefreshOnce: two tabs of one user find the token expired at the same moment.
func TestTabsRefreshOnce(t *testing.T) {
	t.Parallel()
	site := pages(t)
	one := chromium.Tab(t)
	stand, target := sdkStand(t, site.URL)
	two := one.Sibling()
	open := `(async () => {
		const m = await import(` + encoded(t, target.Issuer+"/sdk/tallystick.js") + `)
		window.ends = []
		window.client = m.createClient({ issuer: ` + encoded(t, stand.Gate) + `, clientId: 'shop-app', terminal: 'mobile', store: m.webStorage(STORE), onEnded: (e) => ends.push(e.reason) })
		return true
	})()`
	for name, store := range map[string]string{"local": "localStorage", "copied session": "sessionStorage"} {
		for _, tab := range []*browser.Tab{one, two} {
			tab.Tolerate(expectedRefusals...)
			tab.Go(site.URL)
			browser.Eval[bool](tab, strings.ReplaceAll(open, "STORE", store))
		}
		access := browser.Eval[string](one, `client.signIn(`+encoded(t, stand.User)+`, `+encoded(t, stand.Password)+`).then(() => client.token())`)
		if store == "sessionStorage" { // as a browser does when a tab is duplicated
			kept := browser.Eval[string](one, `sessionStorage.getItem('tallystick')`)
			browser.Eval[bool](two, `(sessionStorage.setItem('tallystick', `+encoded(t, kept)+`), true)`)
		}
		if got := browser.Eval[string](two, `client.token()`); got != access {
			t.Fatalf("%s: the tabs do not share a sign-in", name)
		}
		count := `fetch(` + encoded(t, stand.Gate+"/gate/count") + `, {method: 'POST', body: '/oauth2/token'}).then((a) => a.json())`
		before := browser.Eval[int](one, count)
		browser.Eval[string](one, `fetch(`+encoded(t, stand.Gate+"/gate/expire")+`, {method: 'POST', body: `+encoded(t, access)+`}).then((a) => a.text())`)
		ask := `Promise.all([1, 2, 3].map(() => client.fetch(` + encoded(t, stand.Gate+"/v1/wallet") + `))).then((all) => all.map((a) => a.status).join())`
		got := make(chan string, 2)
		for _, tab := range []*browser.Tab{one, two} {
			go func() { got <- browser.Eval[string](tab, ask) }()
		}
		for range 2 {
			if statuses := <-got; statuses != "200,200,200" {
				t.Errorf("%s: %s", name, statuses)
			}
		}
		after := browser.Eval[int](one, count)
		if after-before != 1 {
			t.Errorf("%s: the tabs refreshed %d times", name, after-before)
		}
		if a, b := browser.Eval[string](one, `client.token()`), browser.Eval[string](two, `client.token()`); a != b || a == access {
			t.Errorf("%s: the tabs hold different pairs", name)
		}
		browser.Eval[bool](one, `client.signOut().then(() => true)`)
		two.Await(`ends.length === 1 && ends[0] === 'signed_out'`)
	}
}

func TestPagesOfStrangersMayNotCall(t *testing.T) {
	t.Parallel()
	site, stranger := pages(t), pages(t)
	tab := chromium.Tab(t)
	stand, target := sdkStand(t, site.URL)
	tab.Tolerate("blocked by CORS policy", "net::ERR_FAILED")
	tab.Go(stranger.URL)
	got := browser.Eval[string](tab, `import(`+encoded(t, target.Issuer+"/sdk/tallystick.js")+`)
		.then((m) => m.createClient({ issuer: `+encoded(t, target.Issuer)+`, clientId: 'shop-web' }).signIn(`+encoded(t, stand.User)+`, `+encoded(t, stand.Password)+`))
		.then(() => 'signed in', (e) => e.name)`)
	if got != "TypeError" {
		t.Errorf("the module can be loaded by anybody, and then: %s", got)
	}
}

func TestTheModuleIsCached(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	r := mustCall(t, http.MethodGet, target.Issuer+"/sdk/tallystick.js", http.Header{}, "")
	want := map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public, max-age=3600, stale-while-revalidate=86400",
		"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin", "X-Content-Type-Options": "nosniff",
	}
	for name, value := range want {
		if got := r.header.Get(name); got != value {
			t.Errorf("%s: %q", name, got)
		}
	}
	again := mustCall(t, http.MethodGet, target.Issuer+"/sdk/tallystick.js", http.Header{"If-None-Match": {r.header.Get("ETag")}}, "")
	if r.status != http.StatusOK || again.status != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("%d, then %d with %d bytes", r.status, again.status, len(again.body))
	}
}

// TestGoClient plays the kick-out with the built binary and the wallet.
func TestGoClient(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	tom := target.Users["tom"]
	told := make(chan *sdk.EndedError, 10)
	open := func(device string) *sdk.Client {
		c, err := sdk.Open(t.Context(), sdk.Config{
			Issuer: target.Issuer, ClientID: "shop-app", Terminal: "mobile", DeviceName: device, APIs: []string{target.API},
			OnEnded: func(e *sdk.EndedError) { told <- e },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if _, err := c.SignIn(t.Context(), sdk.Password(tom.Username, sdk.Secret(tom.Password))); err != nil {
			t.Fatal(err)
		}
		return c
	}
	pay := func(c *sdk.Client, key string) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.API+"/v1/transfers", strings.NewReader(transfer(target.Users["amy"].Sub, 1)))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		resp, err := c.HTTP().Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	old := open("old phone")
	if status, err := pay(old, "1"); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %v", status, err)
	}
	next := open("new phone")
	_, err := pay(old, "2")
	if ended, is := errors.AsType[*sdk.EndedError](err); !is || ended.Reason != sdk.ReasonSuperseded || ended.SupersededBy.DeviceName != "new phone" {
		t.Errorf("the old phone: %v", err)
	}
	if e := <-told; e.Reason != sdk.ReasonSuperseded || len(told) != 0 {
		t.Errorf("told %v", e)
	}
	if status, err := pay(next, "3"); err != nil || status != http.StatusCreated {
		t.Errorf("the new phone: %d %v", status, err)
	}
}
