package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/storage"
)

// shown is what a screen shows.
type shown struct {
	Code   string `json:"user_code"`
	Number string `json:"confirmation"`
	QR     string `json:"qr_svg"`
}

// asks begins a QR sign-in of a browser.
func (s *surfer) asks() shown {
	s.k.t.Helper()
	p := s.post("/signin/ask")
	var out shown
	if err := json.Unmarshal([]byte(p.body), &out); err != nil || p.status != http.StatusOK || out.Code == "" || out.QR == "" {
		s.k.t.Fatalf("%d %v %s", p.status, err, p.body)
	}
	return out
}

var requestField = regexp.MustCompile(`name="request_id" value="([^"]+)"`)

// scans types a code and returns the request that the page shows.
func (s *surfer) scans(code string) string {
	s.k.t.Helper()
	p := s.post("/device", "user_code", code)
	p.shows(s.k.t, http.StatusOK, "Is this you signing in?", "Shop", "Firefox on Linux")
	found := requestField.FindStringSubmatch(p.body)
	if found == nil {
		s.k.t.Fatalf("no request on\n%s", p.body)
	}
	return found[1]
}

func (s *surfer) decides(decision, request, code, number string) page {
	s.k.t.Helper()
	return s.post("/device/decide", "decision", decision, "request_id", request, "user_code", code, "number", number)
}

func other(t testing.TB, number string) string {
	t.Helper()
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(10 + (n+1)%90)
}

func TestPagesSignAScreenInByQR(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	screen, phone := k.surfer(), k.surfer()
	phone.signIn()
	qr := screen.asks()
	if c := screen.cookie("__Host-tallystick-ask"); c == "" || len(c) > 512 {
		t.Errorf("the screen holds %d bytes", len(c))
	}
	screen.post("/signin/collect").shows(t, http.StatusBadRequest, "role=\"alert\"")
	request := phone.scans(qr.Code)
	screen.post("/signin/collect").shows(t, http.StatusBadRequest, "role=\"alert\"")
	phone.decides("approve", request, qr.Code, qr.Number).to(t, "/account")
	phone.get("/account").shows(t, http.StatusOK, "Approved.")
	// Somebody who saw the QR cannot collect.
	k.surfer().post("/signin/collect").shows(t, http.StatusBadRequest, "The request has expired")
	screen.post("/signin/collect", "return_to", "/device").to(t, "/device")
	screen.get("/account").shows(t, http.StatusOK, "Signed in as tom")
	if screen.cookie("__Host-tallystick-ask") != "" {
		t.Error("the screen keeps the device code")
	}
	screen.post("/signin/collect").shows(t, http.StatusBadRequest, "The request has expired")
}

func TestPagesLookingAtALinkScansNothing(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	screen, tom, amy := k.surfer(), k.surfer(), k.surfer()
	tom.signIn()
	amy.post("/signin", "username", "amy", "password", tomsSecret).to(t, "/account")
	qr := screen.asks()
	tom.get("/device?user_code="+url.QueryEscape(qr.Code)).shows(t, http.StatusOK, qr.Code, "Does the other screen show this code?")
	amy.scans(qr.Code) // it is still nobody's
	tom.post("/device", "user_code", qr.Code).shows(t, http.StatusConflict, "Somebody else has scanned")
	k.surfer().get("/device?user_code="+url.QueryEscape(qr.Code)).to(t, "/signin?return_to=%2Fdevice%3Fuser_code%3D"+url.QueryEscape(qr.Code))
}

func TestPagesCloseARequestAfterWrongNumbers(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	screen, phone := k.surfer(), k.surfer()
	phone.signIn()
	qr := screen.asks()
	request := phone.scans(qr.Code)
	for range 2 {
		phone.decides("approve", request, qr.Code, other(t, qr.Number)).shows(t, http.StatusForbidden, "not the number on the other screen", `name="number"`)
	}
	phone.decides("approve", request, qr.Code, other(t, qr.Number)).shows(t, http.StatusForbidden, "The request is closed", `id="user_code"`)
	if p := phone.decides("approve", request, qr.Code, qr.Number); p.status == http.StatusSeeOther {
		t.Error("approved after three wrong numbers")
	}
	screen.post("/signin/collect").shows(t, http.StatusBadRequest, `role="alert"`)
}

func TestPagesDeclineAndExpire(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	screen, phone := k.surfer(), k.surfer()
	phone.signIn()
	qr := screen.asks()
	phone.decides("deny", phone.scans(qr.Code), "", "").to(t, "/account")
	phone.get("/account").shows(t, http.StatusOK, "Declined.")
	screen.post("/signin/collect").shows(t, http.StatusBadRequest, "not allowed")
	phone.decides("neither", "", "", "").shows(t, http.StatusBadRequest, "Something is missing")

	qr = screen.asks()
	request := phone.scans(qr.Code)
	k.clock.Advance(181 * time.Second)
	phone.decides("approve", request, qr.Code, qr.Number).shows(t, http.StatusBadRequest, "expired")
	if p := phone.post("/device", "user_code", qr.Code); p.status < http.StatusBadRequest {
		t.Errorf("an expired code is taken: %d", p.status)
	}
	screen.post("/signin/collect").shows(t, http.StatusBadRequest, "expired")
}

func TestPagesRefuseAPhoneThatWasKicked(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	screen, phone := k.surfer(), k.surfer()
	phone.signIn()
	qr := screen.asks()
	request := phone.scans(qr.Code)
	k.endAll("tom")
	phone.decides("approve", request, qr.Code, qr.Number).to(t, "/signin?return_to=%2Faccount")
	screen.post("/signin/collect").shows(t, http.StatusBadRequest, `role="alert"`)
}

// endAll ends all sessions of a user.
func (k *kit) endAll(user string) {
	k.t.Helper()
	_, err := k.db.End(k.t.Context(), storage.EndOrder{User: k.users[user], Reason: storage.Kicked, Now: storage.Instant(k.clock.Now())})
	k.must(err)
}

func TestPagesAccountForms(t *testing.T) {
	t.Parallel()
	k := pagesKit(t)
	s := k.surfer()
	s.signIn()
	app := k.signIn("shop-app", "mobile", "device_name", "old <phone>").ok(t)
	s.get("/account").shows(t, http.StatusOK, "old &lt;phone&gt;", "Sign out all other devices")
	s.post("/account/end", "session_id", "none").shows(t, http.StatusNotFound, "no such code or device")
	amy := k.surfer()
	amy.post("/signin", "username", "amy", "password", tomsSecret).to(t, "/account")
	amy.post("/account/end", "session_id", app.Session).shows(t, http.StatusNotFound, "no such code or device")
	if err := k.check(app.Access); err != nil {
		t.Fatalf("amy ended the session of tom: %v", err)
	}
	s.post("/account/end", "session_id", app.Session).to(t, "/account")
	if k.check(app.Access) == nil {
		t.Error("the session goes on")
	}
	app = k.signIn("shop-app", "mobile").ok(t)
	s.post("/account/end-others").to(t, "/account")
	if k.check(app.Access) == nil {
		t.Error("the session goes on")
	}
	const chosen = "a new and long password"
	change := func(present, first, second string) page {
		return s.post("/account/password", "current_password", present, "new_password", first, "repeat_password", second)
	}
	change(tomsSecret, chosen, chosen+"x").shows(t, http.StatusBadRequest, "not the same")
	change("not it", chosen, chosen).shows(t, http.StatusForbidden, "current password is not right")
	change(tomsSecret, "tom", "tom").shows(t, http.StatusBadRequest, "Choose another password")
	change(tomsSecret, chosen, "").shows(t, http.StatusBadRequest, "not the same")
	change(tomsSecret, chosen, chosen).to(t, "/account")
	s.get("/account").shows(t, http.StatusOK, "Your password has been changed")
	k.surfer().post("/signin", "username", "tom", "password", chosen).to(t, "/account")
}

func TestPagesEndWhatADeviceHasStarted(t *testing.T) {
	t.Parallel()
	k := pagesKit(t, func(cfg *authserver.Config) {
		// Each browser has a session of its own.
		cfg.Products = product.Config{"shop": {storage.Browser: {Mode: storage.Concurrent, MaxSessions: 5}}, "music": nil}
	})
	screen, phone := k.surfer(), k.surfer()
	phone.signIn()
	qr := screen.asks()
	phone.decides("approve", phone.scans(qr.Code), qr.Code, qr.Number).to(t, "/account")
	screen.post("/signin/collect").to(t, "/account")
	screen.get("/account").shows(t, http.StatusOK, "Let in from another device")
	body := phone.get("/account").body
	started := regexp.MustCompile(`action="/account/end-started"><input type="hidden" name="session_id" value="([^"]+)"`).FindStringSubmatch(body)
	if started == nil {
		t.Fatalf("no way to end what was started\n%s", body)
	}
	phone.post("/account/end-started", "session_id", started[1]).to(t, "/account")
	screen.get("/account").to(t, "/signin?return_to=%2Faccount")
	phone.get("/account").shows(t, http.StatusOK, "has been signed out")
}

func TestPagesKeepAnIdleLimitMoving(t *testing.T) {
	t.Parallel()
	k := pagesKit(t, func(cfg *authserver.Config) {
		cfg.Products = product.Config{"shop": {storage.Browser: {IdleTTL: 30 * time.Minute}}, "music": nil}
	})
	s := k.surfer()
	s.signIn()
	before := s.cookie(sessionCookie)
	tab := k.surfer() // another tab, whose request is on its way meanwhile
	at, err := url.Parse(issuerURL)
	k.must(err)
	tab.jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: before, Path: "/", Secure: true}})
	for range 4 {
		k.clock.Advance(20 * time.Minute)
		s.get("/account").shows(t, http.StatusOK, "Signed in as tom")
		if before != "" {
			tab.get("/account").shows(t, http.StatusOK, "Signed in as tom")
			before = ""
		}
	}
	tab.get("/account").to(t, "/signin?return_to=%2Faccount")
	s.get("/account").shows(t, http.StatusOK, "Signed in as tom")
	k.clock.Advance(31 * time.Minute)
	s.get("/account").to(t, "/signin?return_to=%2Faccount")
}
