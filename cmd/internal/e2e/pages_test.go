package e2e_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/tallystick/tallystick/cmd/internal/browser"
	"github.com/tallystick/tallystick/cmd/internal/story"
)

// visit is a browser on the pages of an instance.
type visit struct {
	*browser.Tab

	t      *testing.T
	target story.Target
}

func newVisit(t *testing.T, target story.Target) visit {
	t.Helper()
	v := visit{chromium.Tab(t), t, target}
	v.Tolerate("status of 400", "status of 403", "status of 404", "status of 409", "status of 429")
	return v
}

// open opens a page of the instance.
func (v visit) open(path string) {
	v.t.Helper()
	v.Go(v.target.Issuer + path)
}

func (v visit) click(selector string) {
	v.t.Helper()
	v.Do(chromedp.Click(chromedp.CSS(selector)))
}

func (v visit) enter(selector, text string) {
	v.t.Helper()
	v.Do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Await waits until a JavaScript expression is true, also over the navigations that come before.
func (v visit) Await(expression string) {
	v.t.Helper()
	for {
		_, err := chromedp.Run(v.Context(), chromedp.Poll[chromedp.Void](expression))
		if err == nil {
			return
		}
		if v.Context().Err() != nil {
			v.t.Fatalf("waiting for %s: %v", expression, err)
		}
	}
}

// at waits until the browser is on a path with a text on its page.
func (v visit) at(path, text string) {
	v.t.Helper()
	v.Await(`location.pathname === ` + encoded(v.t, path) + ` && document.readyState === 'complete' && document.body.innerText.includes(` + encoded(v.t, text) + `)`)
}

// signIn signs a user in by the form.
func (v visit) signIn(user string) {
	v.t.Helper()
	v.open("/signin")
	v.fillIn(user)
	v.at("/account", "Signed in as "+user)
}

func (v visit) fillIn(user string) {
	v.t.Helper()
	u := v.target.Users[user]
	v.enter("#username", u.Username)
	v.enter("#password", u.Password+"\r")
}

// showsQR opens the page to sign in and returns the code of its QR.
func (v visit) showsQR() string {
	v.t.Helper()
	v.open("/signin")
	v.Await(`document.getElementById('qr-image').naturalWidth > 0 && document.getElementById('qr-user-code').textContent.length === 9`)
	return v.Text("#qr-user-code")
}

// scans opens what a QR leads to and looks who asks.
func (v visit) scans(code string) {
	v.t.Helper()
	v.open("/device?user_code=" + code)
	v.click(".primary")
}

// number is what the asking screen shows once it was scanned.
func (v visit) number() string {
	v.t.Helper()
	v.Await(`/^[0-9]{2}$/.test(document.getElementById('qr-number').textContent) && !document.getElementById('qr-number').hidden`)
	return v.Text("#qr-number")
}

// wrong is another number of two digits.
func wrong(t *testing.T, number string) string {
	t.Helper()
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(10 + (n+1)%90)
}

func TestPages(t *testing.T) {
	t.Parallel()
	_, target := startDev(t, t.TempDir(), freeAddr(t))
	for name, play := range map[string]func(*testing.T, story.Target){
		"a phone signs a screen in":         phoneSignsScreenIn,
		"wrong numbers close the request":   wrongNumbersInPages,
		"declined":                          declinedInPages,
		"a second scanner is told":          secondScannerInPages,
		"a phone that is kicked":            kickedPhoneInPages,
		"an expired code":                   expiredInPages,
		"without JavaScript":                withoutJavaScript,
		"the reader's language":             languageOfPages,
		"devices are ended from /account":   devicesInPages,
		"cookies are out of scripts' reach": cookiesOfPages,
		"how they look":                     looksOfPages,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, target)
		})
	}
}

func phoneSignsScreenIn(t *testing.T, target story.Target) {
	screen, phone := newVisit(t, target), newVisit(t, target)
	code := screen.showsQR()
	// The phone is signed out: it signs in on the way and comes back.
	phone.open("/device?user_code=" + code)
	phone.at("/signin", "Sign in")
	phone.fillIn("amy")
	phone.at("/device", code)
	phone.click(".primary")
	phone.at("/device", "Is this you signing in?")
	for _, fact := range []string{"Shop in the browser", "Chrome on Linux", "127.0.0.1", "signed in as amy"} {
		phone.at("/device", fact)
	}
	number := screen.number()
	screen.Screenshot("scanned")
	phone.enter("#number", number)
	phone.click("button[value=approve]")
	phone.at("/account", "Approved.")
	screen.at("/account", "Signed in as amy")
	screen.open("/signin")
	screen.at("/account", "Signed in as amy")
}

func wrongNumbersInPages(t *testing.T, target story.Target) {
	screen, phone := newVisit(t, target), newVisit(t, target)
	phone.signIn("amy")
	phone.scans(screen.showsQR())
	number := screen.number()
	for range 2 {
		phone.enter("#number", wrong(t, number))
		phone.click("button[value=approve]")
		phone.at("/device/decide", "not the number on the other screen")
	}
	phone.enter("#number", wrong(t, number))
	phone.click("button[value=approve]")
	phone.at("/device/decide", "The request is closed")
	screen.at("/signin", "Declined")
	screen.click("#qr-again")
	screen.Await(`!document.getElementById('qr-again').offsetParent && document.getElementById('qr-status').textContent.startsWith('Waiting')`)
}

func declinedInPages(t *testing.T, target story.Target) {
	screen, phone := newVisit(t, target), newVisit(t, target)
	phone.signIn("amy")
	phone.scans(screen.showsQR())
	screen.number()
	phone.click("button[value=deny]")
	phone.at("/account", "Declined.")
	screen.at("/signin", "Declined on the phone")
}

func secondScannerInPages(t *testing.T, target story.Target) {
	screen, phone, stranger := newVisit(t, target), newVisit(t, target), newVisit(t, target)
	phone.signIn("amy")
	stranger.signIn("tom")
	code := screen.showsQR()
	phone.scans(code)
	phone.at("/device", "Is this you")
	stranger.scans(code)
	stranger.at("/device", "Somebody else has scanned")
}

// kickedPhoneInPages has a phone of its own kind: the browsers of a user share one session.
func kickedPhoneInPages(t *testing.T, target story.Target) {
	target = withUser(t, target, "kicked-phone")
	screen, phone := newVisit(t, target), newVisit(t, target)
	phone.signIn("kicked-phone")
	phone.scans(screen.showsQR())
	number := screen.number()
	kick(t, target, target.Users["kicked-phone"].Sub)
	phone.enter("#number", number)
	phone.click("button[value=approve]")
	phone.at("/signin", "signed out here from another device")
	if got := screen.Text("#qr-number"); got != number || browser.Eval[string](screen.Tab, "location.pathname") != "/signin" {
		t.Errorf("the screen shows %q", got)
	}
}

// expiredInPages lets the stream say what it says after three minutes.
func expiredInPages(t *testing.T, target story.Target) {
	screen := newVisit(t, target)
	screen.showsQR()
	// Five codes are asked for, and then a button is there.
	screen.Do(chromedp.Evaluate[chromedp.Void](`window.EventSource = class extends EventTarget {
		constructor() { super(); setTimeout(() => this.dispatchEvent(new MessageEvent('expired', {data: '{}'}))) }
		close() {}
	}; document.getElementById('qr-again').click()`))
	screen.at("/signin", "This code has expired")
	screen.Await(`document.getElementById('qr-again').offsetParent !== null`)
}

func withoutJavaScript(t *testing.T, target story.Target) {
	plain := newVisit(t, target)
	asked := askForDevice(t, target)
	// What the test itself evaluates still runs; the page's own script does not.
	plain.Do(chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	plain.open("/device?user_code=" + url.QueryEscape(asked.field("user_code")))
	plain.Do(chromedp.WaitVisible(chromedp.CSS("#username")))
	plain.fillIn("tom")
	plain.Do(chromedp.WaitVisible(chromedp.CSS(".bigcode")))
	plain.click(".primary")
	plain.Do(chromedp.WaitVisible(chromedp.CSS("#number")))
	plain.enter("#number", asked.field("confirmation")+"\r") // approving is what Enter does
	if got := plain.Text(".notice.done"); !strings.Contains(got, "Approved") {
		t.Errorf("the page says %q", got)
	}
	r := mustCall(t, http.MethodPost, target.Issuer+"/oauth2/token", form(), url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {"shop-app"}, "device_code": {asked.field("device_code")},
	}.Encode())
	if r.status != http.StatusOK {
		t.Errorf("collect: %d %s", r.status, r.body)
	}
	plain.open("/signin")
	plain.click(".heading form .secondary")
	plain.Do(chromedp.WaitVisible(chromedp.CSS("#username")))
	if got := plain.Text(".notice.done"); got != "You have signed out." {
		t.Errorf("the page says %q", got)
	}
	if visible := browser.Get(plain.Tab, chromedp.AttributeValue(chromedp.CSS("#qr"), "hidden")); !visible.Exists {
		t.Error("a QR is shown that nothing would refresh")
	}
}

// askForDevice begins the hand-off of an app.
func askForDevice(t *testing.T, target story.Target) reply {
	t.Helper()
	r := mustCall(t, http.MethodPost, target.Issuer+"/oauth2/device_authorization", form(), url.Values{
		"client_id": {"shop-app"}, "terminal": {"api"}, "device_name": {"A television"},
	}.Encode())
	if r.status != http.StatusOK {
		t.Fatalf("ask: %d %s", r.status, r.body)
	}
	return r
}

func languageOfPages(t *testing.T, target story.Target) {
	reader := newVisit(t, target)
	reader.open("/signin?return_to=%2Fdevice")
	reader.at("/signin", "Sign in")
	reader.click(".language button")
	reader.at("/signin", "登录")
	if got := browser.Eval[string](reader.Tab, "document.documentElement.lang + ' ' + document.querySelector('[name=return_to]').value"); got != "zh-Hans /device" {
		t.Errorf("the page is %s", got)
	}
	reader.click(".language button")
	reader.at("/signin", "Sign in")
}

func devicesInPages(t *testing.T, target story.Target) {
	target = withUser(t, target, "many-devices")
	desk, other := newVisit(t, target), newVisit(t, target)
	desk.signIn("many-devices")
	phone := signIn(t, target, "many-devices", "mobile", "A small phone")
	desk.open("/account")
	desk.at("/account", "A small phone")
	desk.click(`button[aria-label="Sign out A small phone"]`)
	desk.at("/account", "That device has been signed out")
	r := mustCall(t, http.MethodGet, target.Issuer+"/v1/sessions", bearer(phone.field("access_token")), "")
	if r.status != http.StatusUnauthorized || r.field("reason") != "kicked" {
		t.Errorf("the phone: %d %s", r.status, r.body)
	}
	// Two browsers share a session; ending it ends both.
	other.signIn("many-devices")
	desk.open("/account")
	desk.click(`button[aria-label="Sign out all these browsers"]`)
	desk.at("/signin", "signed out here")
	other.open("/account")
	other.at("/signin", "signed out here")
	// The new password is good, the one before is not.
	other.fillIn("many-devices")
	other.at("/account", "Signed in as")
	const chosen = "a quite other long secret"
	other.enter("#current_password", target.Users["many-devices"].Password)
	other.enter("#new_password", chosen)
	other.enter("#repeat_password", chosen+"\r")
	other.at("/account", "Your password has been changed")
	desk.fillIn("many-devices")
	desk.at("/signin", "do not belong together")
	desk.enter("#password", chosen+"\r")
	desk.at("/account", "Signed in as many-devices")
}

func cookiesOfPages(t *testing.T, target story.Target) {
	v := newVisit(t, target)
	v.showsQR()
	v.signIn("tom")
	if got := browser.Eval[string](v.Tab, `document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)`); got != "{}{}" {
		t.Errorf("a script can read %s", got)
	}
}

// withUser adds a user whom no other test signs in.
func withUser(t *testing.T, target story.Target, name string) story.Target {
	t.Helper()
	const password = "correct horse battery staple"
	r := mustCall(t, http.MethodPost, target.Issuer+"/admin/v1/users", adminHeader(t, target), `{"username":`+encoded(t, name)+`,"password":`+encoded(t, password)+`}`)
	if r.status != http.StatusCreated {
		t.Fatalf("create user: %d %s", r.status, r.body)
	}
	target.Users = maps.Clone(target.Users)
	target.Users[name] = story.User{Username: name, Password: password, Sub: r.field("sub")}
	return target
}

func kick(t *testing.T, target story.Target, sub string) {
	t.Helper()
	r := mustCall(t, http.MethodPost, target.Issuer+"/admin/v1/users/"+sub+"/kick", adminHeader(t, target), `{}`)
	if r.status >= http.StatusBadRequest {
		t.Fatalf("kick: %d %s", r.status, r.body)
	}
}

func adminHeader(t *testing.T, target story.Target) http.Header {
	t.Helper()
	c := target.Clients["admin"]
	r := mustCall(t, http.MethodPost, target.Issuer+"/oauth2/token", form(), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {c.Secret}, "scope": {"admin"},
	}.Encode())
	h := bearer(r.field("access_token"))
	h.Set("Content-Type", "application/json")
	return h
}

// looksOfPages opens every page in both languages on the screen of a phone, and none may be wider than that. With a
// folder for screenshots it takes them, on a phone and on a desk, light and dark.
func looksOfPages(t *testing.T, target story.Target) {
	target = withUser(t, target, "looker")
	v := newVisit(t, target)
	signIn(t, target, "looker", "mobile", "Lin's phone")
	signIn(t, target, "looker", "api", "A very long name of a device that somebody has chosen with-words-that-do-not-break-anywhere-at-all")
	looks := func(page string) {
		for _, language := range []string{"en", "zh"} {
			for _, width := range []int64{360, 1280} {
				for _, scheme := range []string{"light", "dark"} {
					v.look(page+"-"+language, width, scheme)
				}
			}
			v.switchLanguage(language)
			if page == "signin" {
				v.Await(`document.getElementById('qr-image').naturalWidth > 0`)
			}
		}
	}
	v.showsQR()
	looks("signin")
	v.signIn("looker")
	looks("account")
	v.open("/device?user_code=BCDF-GHJK")
	looks("linked")
	v.open("/device")
	looks("device")
	asked := askForDevice(t, target)
	for _, language := range []string{"en", "zh"} {
		v.scans(url.QueryEscape(asked.field("user_code")))
		v.Do(chromedp.WaitVisible(chromedp.CSS("#number")))
		for _, width := range []int64{360, 1280} {
			v.look("asking-"+language, width, "light")
			v.look("asking-"+language, width, "dark")
		}
		v.open("/device")
		v.switchLanguage(language)
	}
}

// switchLanguage switches from a language to the other one.
func (v visit) switchLanguage(from string) {
	v.t.Helper()
	v.Do(chromedp.EmulateViewport(1280, 800))
	v.click(".language button")
	v.Await(`document.readyState === 'complete' && !document.documentElement.lang.startsWith(` + encoded(v.t, from) + `)`)
}

func (v visit) look(name string, width int64, scheme string) {
	v.t.Helper()
	const narrow, height = 360, 800
	if os.Getenv(browser.EnvScreenshots) == "" && (width != narrow || scheme != "light") {
		return // nobody looks, and what is too wide is so on the narrow one
	}
	v.Do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
	if wide := browser.Eval[int64](v.Tab, "document.documentElement.scrollWidth"); wide > width {
		v.t.Errorf("%s is %d pixels wide on a screen of %d", name, wide, width)
	}
	v.Screenshot(name + "-" + strconv.FormatInt(width, 10) + "-" + scheme)
}
