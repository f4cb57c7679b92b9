package authserver_test

import (
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
	"golang.org/x/oauth2"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/handoff"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// stage is a server with a phone on which tom is signed in, and clients that may be handed a sign-in.
type stage struct {
	*kit
	phone answer
}

func newStage(t *testing.T, e engine.Engine, options ...option) *stage {
	t.Helper()
	k := newKit(t, e, options...)
	grants := []string{oauth.GrantPassword, oauth.GrantRefreshToken, oauth.GrantDeviceCode, oauth.GrantLoginToken}
	scopes := []string{"wallet:read", "wallet:transfer"}
	k.addClient(client.Draft{
		ID: "tv", Name: "Shop on TV", Kind: storage.Public, Grants: grants, Products: []string{"shop"},
		Terminals: []storage.Terminal{storage.API, storage.Browser, storage.Mobile}, Scopes: scopes,
	})
	k.addClient(client.Draft{
		ID: "tv-server", Kind: storage.Confidential, Grants: grants, Products: []string{"shop"}, Terminals: storage.Terminals(), Scopes: scopes,
	})
	k.addClient(client.Draft{ID: "music-tv", Kind: storage.Public, Grants: grants, Products: []string{"music"}, Terminals: storage.Terminals(), Scopes: scopes})
	k.addClient(client.Draft{ID: "desk", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{handoff.ScopeIssue, "wallet:read"}})
	return &stage{kit: k, phone: k.signIn("shop-app", "mobile", "device_name", "Tom’s phone").ok(t)}
}

// fields is an answer with all that it says.
type fields struct {
	answer
	all map[string]any
}

func (f fields) text(name string) string {
	s, _ := f.all[name].(string)
	return s
}

// want fails the test unless the answer has the status, and the code if one is given.
func (f fields) want(t testing.TB, status int, code string) fields {
	t.Helper()
	if f.status != status || f.Error != code {
		t.Fatalf("got %d %s; want %d %q", f.status, f.raw, status, code)
	}
	return f
}

// call sends JSON, with an access token unless that is empty.
func (s *stage) call(method, path, access, body string) fields {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if access != "" {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	return s.fields(r)
}

func (s *stage) fields(r *http.Request) fields {
	s.t.Helper()
	f := fields{answer: s.do(r)}
	if f.raw != "" {
		if err := json.Unmarshal([]byte(f.raw), &f.all); err != nil {
			s.t.Fatalf("%s: %v: %s", r.URL, err, f.raw)
		}
	}
	return f
}

// ask begins a request as a public client does.
func (s *stage) ask(id string, more ...string) fields {
	s.t.Helper()
	f := form(append([]string{"client_id", id}, more...)...)
	r := httptest.NewRequest(http.MethodPost, "/oauth2/device_authorization", strings.NewReader(f.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0")
	return s.fields(r)
}

func (s *stage) collect(id, deviceCode string, more ...string) answer {
	return s.post(append([]string{"grant_type", oauth.GrantDeviceCode, "client_id", id, "device_code", deviceCode}, more...)...)
}

func (s *stage) scan(access, code string) fields {
	s.t.Helper()
	return s.call(http.MethodPost, "/v1/device/scan", access, `{"user_code":`+strconv.Quote(code)+`}`)
}

func (s *stage) approve(access, code, number string) fields {
	s.t.Helper()
	return s.call(http.MethodPost, "/v1/device/approve", access, `{"user_code":`+strconv.Quote(code)+`,"number":`+strconv.Quote(number)+`}`)
}

func (s *stage) deny(access, code string) fields {
	s.t.Helper()
	return s.call(http.MethodPost, "/v1/device/deny", access, `{"user_code":`+strconv.Quote(code)+`}`)
}

// approved asks for a device, scans and approves.
func (s *stage) approved(id string, more ...string) fields {
	s.t.Helper()
	a := s.ask(id, more...).want(s.t, http.StatusOK, "")
	s.scan(s.phone.Access, a.text("user_code")).want(s.t, http.StatusOK, "")
	s.approve(s.phone.Access, a.text("user_code"), a.text("confirmation")).want(s.t, http.StatusOK, "")
	return a
}

func (s *stage) issue(body string) fields {
	s.t.Helper()
	return s.call(http.MethodPost, "/v1/login-tokens", s.phone.Access, body)
}

func (s *stage) redeem(id, token string, more ...string) answer {
	return s.post(append([]string{"grant_type", oauth.GrantLoginToken, "client_id", id, "login_token", token}, more...)...)
}

func (s *stage) sessions(access string) []map[string]any {
	s.t.Helper()
	f := s.call(http.MethodGet, "/v1/sessions", access, "").want(s.t, http.StatusOK, "")
	var list []map[string]any
	for _, one := range f.all["sessions"].([]any) {
		list = append(list, one.(map[string]any))
	}
	return list
}

func TestDeviceIsSignedInByAPhone(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStage(t, e)
		asked := s.ask("tv", "terminal", "browser", "device_name", "TV", "scope", "wallet:read").want(t, http.StatusOK, "")
		code, secret := asked.text("user_code"), asked.text("device_code")
		s.collect("tv", secret).refused(t, 400, "authorization_pending", "", 0)

		who := s.scan(s.phone.Access, strings.ToLower(strings.ReplaceAll(code, "-", " "))).want(t, http.StatusOK, "")
		for name, want := range map[string]string{
			"client": "tv", "client_name": "Shop on TV", "product": "shop", "terminal": "browser", "device_name": "TV",
			"address": "192.0.2.1", "browser": "Firefox on Windows", "state": "scanned", "scope": "wallet:read",
		} {
			if who.text(name) != want {
				t.Errorf("%s: got %q, want %q", name, who.text(name), want)
			}
		}
		if strings.Contains(who.raw, asked.text("confirmation")+`"`) && who.text("confirmation") != "" {
			t.Error("the phone was told the number")
		}
		s.clock.Advance(2 * time.Second)
		s.collect("tv", secret).refused(t, 400, "authorization_pending", "", 0)
		s.approve(s.phone.Access, code, asked.text("confirmation")).want(t, http.StatusOK, "")

		pc := s.collect("tv", secret).ok(t)
		if pc.Terminal != "browser" || pc.Product != "shop" || pc.Scope != "wallet:read" || pc.Session == s.phone.Session {
			t.Errorf("got %s", pc.raw)
		}
		s.must(s.check(pc.Access))
		s.must(s.check(s.phone.Access))
		s.refresh("tv", pc.Refresh).ok(t)
		s.collect("tv", secret).refused(t, 400, "invalid_grant", "", 0)
		list := s.sessions(s.phone.Access)
		if len(list) != 2 || list[0]["started_by"] != s.phone.Session || list[0]["device_name"] != "TV" {
			t.Errorf("the phone sees %v", list)
		}
	})
}

// TestWithAnOAuthLibrary: the device flow of golang.org/x/oauth2, as its documentation shows it.
func TestWithAnOAuthLibrary(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	server := httptest.NewServer(s.http)
	defer server.Close()
	tv := oauth2.Config{ClientID: "tv", Scopes: []string{"wallet:read"}, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: server.URL + "/oauth2/device_authorization", TokenURL: server.URL + "/oauth2/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
	asked, err := tv.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if asked.VerificationURI == "" || !strings.Contains(asked.VerificationURIComplete, asked.UserCode) || asked.Interval != 2 ||
		time.Until(asked.Expiry) < 2*time.Minute {
		t.Errorf("got %+v", asked)
	}
	who := s.scan(s.phone.Access, asked.UserCode).want(t, http.StatusOK, "")
	r, err := s.db.DeviceByID(t.Context(), storage.HandoffID(who.text("request_id")))
	s.must(err)
	s.approve(s.phone.Access, asked.UserCode, r.Number).want(t, http.StatusOK, "")
	token, err := tv.DeviceAccessToken(t.Context(), asked)
	if err != nil || token.AccessToken == "" || token.RefreshToken == "" {
		t.Errorf("got %v, %v", token, err)
	}
	if _, err := tv.DeviceAccessToken(t.Context(), asked); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a second time: %v", err)
	}
}

var pathStep = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-\d+z`)

// decode reads a QR code from our SVG.
func decode(t *testing.T, svg string) string {
	t.Helper()
	box := regexp.MustCompile(`viewBox="0 0 (\d+) \d+"`).FindStringSubmatch(svg)
	if box == nil {
		t.Fatalf("no view box: %s", svg)
	}
	const scale = 4
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	side := number(box[1])
	img := image.NewGray(image.Rect(0, 0, side*scale, side*scale))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for _, m := range pathStep.FindAllStringSubmatch(svg, -1) {
		x, y, width := number(m[1]), number(m[2]), number(m[3])
		for px := x * scale; px < (x+width)*scale; px++ {
			for py := y * scale; py < (y+1)*scale; py++ {
				img.SetGray(px, py, color.Gray{})
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result.GetText()
}

func TestQRHoldsNoSecret(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.ask("tv").want(t, http.StatusOK, "")
	text := decode(t, asked.text("qr_svg"))
	if text != asked.text("verification_uri_complete") || text != issuerURL+"/device?user_code="+asked.text("user_code") {
		t.Errorf("the QR says %q", text)
	}
	if strings.Contains(asked.text("qr_svg"), "script") || strings.Contains(text, asked.text("device_code")) {
		t.Error("the QR has what it must not have")
	}
	if regexp.MustCompile(`^[0-9]{2}$`).FindString(asked.text("confirmation")) == "" || strings.Contains(asked.text("user_code"), asked.text("confirmation")) {
		t.Errorf("confirmation %q", asked.text("confirmation"))
	}
	issued := s.issue(`{}`).want(t, http.StatusOK, "")
	if got := decode(t, issued.text("qr_svg")); got != issued.text("url") || !strings.HasPrefix(got, issuerURL+"/signin#login_token=") {
		t.Errorf("the QR of a login token says %q", got)
	}
}

func TestScanningApprovesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.ask("tv").want(t, http.StatusOK, "")
	s.approve(s.phone.Access, asked.text("user_code"), asked.text("confirmation")).want(t, http.StatusConflict, "not_scanned")
	s.scan(s.phone.Access, asked.text("user_code")).want(t, http.StatusOK, "")
	s.collect("tv", asked.text("device_code")).refused(t, 400, "authorization_pending", "", 0)
}

func TestSecondScannerIsTold(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.ask("tv").want(t, http.StatusOK, "")
	code := asked.text("user_code")
	amy := s.post("grant_type", "password", "client_id", "shop-app", "terminal", "mobile", "username", "amy", "password", tomsSecret).ok(t)
	s.scan(s.phone.Access, code).want(t, http.StatusOK, "")
	s.scan(s.phone.Access, code).want(t, http.StatusOK, "")
	s.scan(amy.Access, code).want(t, http.StatusConflict, "already_scanned")
	s.approve(amy.Access, code, asked.text("confirmation")).want(t, http.StatusConflict, "already_scanned")
	s.deny(amy.Access, code).want(t, http.StatusConflict, "already_scanned")
	s.approve(s.phone.Access, code, asked.text("confirmation")).want(t, http.StatusOK, "")
}

func TestWrongNumbersCloseTheRequest(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.ask("tv").want(t, http.StatusOK, "")
	code, wrong := asked.text("user_code"), "00"
	if asked.text("confirmation") == wrong {
		wrong = "01"
	}
	s.scan(s.phone.Access, code).want(t, http.StatusOK, "")
	s.approve(s.phone.Access, code, "1").want(t, http.StatusBadRequest, "invalid_request")
	for range handoff.MaxWrong {
		s.approve(s.phone.Access, code, wrong).want(t, http.StatusForbidden, "wrong_number")
	}
	s.approve(s.phone.Access, code, asked.text("confirmation")).want(t, http.StatusConflict, "already_decided")
	s.collect("tv", asked.text("device_code")).refused(t, 400, "access_denied", "", 0)
}

func TestDeclinedCancelledAndExpired(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	declined, cancelled, late := s.ask("tv"), s.ask("tv"), s.approved("tv")
	s.deny(s.phone.Access, declined.text("user_code")).want(t, http.StatusOK, "")
	s.collect("tv", declined.text("device_code")).refused(t, 400, "access_denied", "", 0)
	s.call(http.MethodPost, "/v1/device/cancel", "", `{"device_code":"`+cancelled.text("device_code")+`"}`).want(t, http.StatusNoContent, "")
	s.scan(s.phone.Access, cancelled.text("user_code")).want(t, http.StatusConflict, "already_decided")
	s.collect("tv", cancelled.text("device_code")).refused(t, 400, "access_denied", "", 0)
	s.clock.Advance(handoff.RequestTTL)
	s.collect("tv", late.text("device_code")).refused(t, 400, "expired_token", "", 0)
	s.scan(s.phone.Access, late.text("user_code")).want(t, http.StatusBadRequest, "expired_token")
	taken := s.approved("tv") // what was approved can be taken back
	s.deny(s.phone.Access, taken.text("user_code")).want(t, http.StatusOK, "")
	s.collect("tv", taken.text("device_code")).refused(t, 400, "access_denied", "", 0)
}

func TestPollingTooFastIsSlowedDown(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.ask("tv").want(t, http.StatusOK, "")
	code := asked.text("device_code")
	for range 3 {
		s.collect("tv", code).refused(t, 400, "authorization_pending", "", 0)
		s.collect("tv", code).refused(t, 400, "slow_down", "", 0)
		s.clock.Advance(handoff.Interval)
	}
	s.scan(s.phone.Access, asked.text("user_code")).want(t, http.StatusOK, "")
	s.collect("tv", code).refused(t, 400, "authorization_pending", "", 0)
	s.approve(s.phone.Access, asked.text("user_code"), asked.text("confirmation")).want(t, http.StatusOK, "")
	s.collect("tv", code).ok(t) // at once: what ends the wait is not held back
}

func TestDeviceCodeBelongsToItsClient(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.approved("tv")
	s.collect("music-tv", asked.text("device_code")).refused(t, 400, "invalid_grant", "", 0)
	s.collect("shop-app", asked.text("device_code")).refused(t, 400, "unauthorized_client", "", 0)
	s.postAs("tv-server", "grant_type", oauth.GrantDeviceCode, "device_code", asked.text("device_code")).refused(t, 400, "invalid_grant", "", 0)
	s.collect("tv", asked.text("user_code")).refused(t, 400, "invalid_grant", "", 0)
	s.collect("tv", asked.text("device_code"), "terminal", "mobile").refused(t, 400, "invalid_grant", "", 0)
	s.collect("tv", asked.text("device_code")).ok(t)
	s.ask("billing").want(t, http.StatusUnauthorized, "invalid_client")
	s.ask("shop-app").want(t, http.StatusBadRequest, "unauthorized_client")
	s.ask("tv", "product", "music").want(t, http.StatusBadRequest, "invalid_request")
}

// TestPhoneEndedBetweenApprovalAndCollection: each way in which the phone may end before the tokens are collected.
func TestPhoneEndedBetweenApprovalAndCollection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*stage) (reason string, code int){
		"kicked": func(s *stage) (string, int) {
			s.call(http.MethodDelete, "/v1/sessions/"+s.phone.Session, s.phone.Access, "").want(s.t, http.StatusNoContent, "")
			return "kicked", 2
		},
		"superseded": func(s *stage) (string, int) {
			s.signIn("shop-app", "mobile").ok(s.t)
			return "superseded", 2
		},
		"banned": func(s *stage) (string, int) {
			_, err := s.db.End(s.t.Context(), storage.EndOrder{
				User: s.users["tom"], Reason: storage.Banned, Now: s.clock.Now(), Account: &storage.AccountChange{Ban: &storage.Ban{At: s.clock.Now()}},
			})
			s.must(err)
			return "", 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, engine.SQLite(t))
			asked, token := s.approved("tv"), s.issue(`{}`).want(t, http.StatusOK, "").text("login_token")
			reason, code := end(s)
			s.collect("tv", asked.text("device_code")).refused(t, 400, "access_denied", reason, code)
			if a := s.redeem("tv", token); a.status != 400 || a.Error != "invalid_grant" {
				t.Errorf("the login token: %d %s", a.status, a.raw)
			}
		})
	}
}

func TestKickedPhoneNeitherScansNorApproves(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.ask("tv").want(t, http.StatusOK, "")
	s.scan(s.phone.Access, asked.text("user_code")).want(t, http.StatusOK, "")
	s.signIn("shop-app", "mobile").ok(t)
	a := s.approve(s.phone.Access, asked.text("user_code"), asked.text("confirmation"))
	if a.status != http.StatusUnauthorized || a.Reason != "superseded" {
		t.Errorf("got %d %s", a.status, a.raw)
	}
}

func TestNothingIsHandedOverThatTheApproverHasNot(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	s.phone = s.signIn("shop-app", "mobile", "scope", "wallet:read").ok(t)
	pc := s.collect("tv", s.approved("tv", "scope", "wallet:read wallet:transfer").text("device_code")).ok(t)
	if pc.Scope != "wallet:read" {
		t.Errorf("the device got the scope %q", pc.Scope)
	}
	pc = s.redeem("tv", s.issue(`{}`).text("login_token")).ok(t)
	if pc.Scope != "wallet:read" {
		t.Errorf("the login token gave the scope %q", pc.Scope)
	}
	music := s.ask("music-tv").want(t, http.StatusOK, "")
	s.scan(s.phone.Access, music.text("user_code")).want(t, http.StatusBadRequest, "invalid_request")
	s.issue(`{"product":"music"}`).want(t, http.StatusBadRequest, "invalid_request")
	s.issue(`{"terminal":"car"}`).want(t, http.StatusBadRequest, "invalid_request")
	s.issue(`{"sub":"`+string(s.users["amy"])+`"}`).want(t, http.StatusBadRequest, "invalid_request")
}

func TestPublicCodeTurns(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	asked := s.ask("tv").want(t, http.StatusOK, "")
	status := func() fields {
		return s.call(http.MethodPost, "/v1/device/status", "", `{"device_code":"`+asked.text("device_code")+`"}`).want(t, http.StatusOK, "")
	}
	first := asked.text("user_code")
	if got := status(); got.text("user_code") != first || got.text("state") != "pending" {
		t.Errorf("at first: %s", got.raw)
	}
	s.clock.Advance(handoff.TurnAfter)
	second := status().text("user_code")
	if second == first || decode(t, status().text("qr_svg")) != issuerURL+"/device?user_code="+second {
		t.Errorf("the code did not turn: %s", second)
	}
	s.clock.Advance(handoff.Grace)
	s.scan(s.phone.Access, first).want(t, http.StatusNotFound, "not_found")
	s.scan(s.phone.Access, second).want(t, http.StatusOK, "")
	if got := status(); got.text("state") != "scanned" || got.text("qr_svg") != "" {
		t.Errorf("once scanned: %s", got.raw)
	}

	asked = s.ask("tv").want(t, http.StatusOK, "")
	first = asked.text("user_code")
	s.clock.Advance(handoff.TurnAfter)
	status()
	s.clock.Advance(handoff.Grace - time.Millisecond)
	s.scan(s.phone.Access, first).want(t, http.StatusOK, "") // within the grace

	plain := s.ask("tv").want(t, http.StatusOK, "") // a device that does not look keeps its code, as RFC 8628 has it
	s.clock.Advance(handoff.RequestTTL - time.Second)
	s.scan(s.phone.Access, plain.text("user_code")).want(t, http.StatusOK, "")
}

func TestGuessingCodesIsBraked(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	for range 20 {
		s.scan(s.phone.Access, "BBBB-BBBB").want(t, http.StatusNotFound, "not_found")
	}
	s.scan(s.phone.Access, "BBBB-BBBB").want(t, http.StatusTooManyRequests, "slow_down")
	asked := s.ask("tv").want(t, http.StatusOK, "")
	s.scan(s.phone.Access, asked.text("user_code")).want(t, http.StatusTooManyRequests, "slow_down")
	s.call(http.MethodGet, "/v1/sessions", s.phone.Access, "").want(t, http.StatusOK, "") // and nothing else is
}

func TestPendingRequestsAreLimited(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	for range handoff.MaxPerAddress {
		s.ask("tv").want(t, http.StatusOK, "")
	}
	full := s.ask("tv").want(t, http.StatusTooManyRequests, "slow_down")
	if full.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.clock.Advance(handoff.RequestTTL)
	s.ask("tv").want(t, http.StatusOK, "")
	for range handoff.MaxLoginTokens {
		s.issue(`{}`).want(t, http.StatusOK, "")
	}
	s.issue(`{}`).want(t, http.StatusTooManyRequests, "slow_down")
}

func TestLoginTokenSignsAnotherDeviceIn(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStage(t, e)
		issued := s.issue(`{"product":"shop","terminal":"browser","data":{"cart":[1,2]}}`).want(t, http.StatusOK, "")
		token := issued.text("login_token")
		if issued.all["expires_in"] != float64(300) || issued.text("id") == "" {
			t.Errorf("got %s", issued.raw)
		}
		s.redeem("music-tv", token).refused(t, 400, "invalid_grant", "", 0)
		s.redeem("tv", token, "terminal", "mobile").refused(t, 400, "invalid_grant", "", 0)
		pc := s.redeem("tv", token, "device_name", "PC").ok(t)
		if pc.Terminal != "browser" || !strings.Contains(pc.raw, `"login_data":{"cart":[1,2]}`) {
			t.Errorf("got %s", pc.raw)
		}
		s.redeem("tv", token).refused(t, 400, "invalid_grant", "", 0)
		late := s.issue(`{}`).text("login_token")
		s.clock.Advance(handoff.LoginTTL)
		s.redeem("tv", late).refused(t, 400, "invalid_grant", "", 0)
		s.redeem("tv", "tlt_none").refused(t, 400, "invalid_grant", "", 0)
		s.redeem("tv", "").refused(t, 400, "invalid_request", "", 0)
	})
}

func TestLoginTokenIsRedeemedByPOSTOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	issued := s.issue(`{}`).want(t, http.StatusOK, "")
	query := url.Values{"grant_type": {oauth.GrantLoginToken}, "client_id": {"tv"}, "login_token": {issued.text("login_token")}}.Encode()
	s.fields(httptest.NewRequest(http.MethodGet, "/oauth2/token?"+query, nil)).want(t, http.StatusMethodNotAllowed, "invalid_request")
	link, err := url.Parse(issued.text("url"))
	if err != nil || link.RawQuery != "" || link.Fragment == "" {
		t.Errorf("the link %v has the token where a server would see it", link)
	}
	s.redeem("tv", issued.text("login_token")).ok(t)
}

func TestHolderSeesAndRevokesLoginTokens(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	issued := s.issue(`{}`).want(t, http.StatusOK, "")
	list := s.call(http.MethodGet, "/v1/login-tokens", s.phone.Access, "").want(t, http.StatusOK, "")
	if !strings.Contains(list.raw, issued.text("id")) || strings.Contains(list.raw, issued.text("login_token")) {
		t.Errorf("the list: %s", list.raw)
	}
	amy := s.post("grant_type", "password", "client_id", "shop-app", "terminal", "mobile", "username", "amy", "password", tomsSecret).ok(t)
	path := "/v1/login-tokens/" + issued.text("id")
	s.call(http.MethodDelete, path, amy.Access, "").want(t, http.StatusNotFound, "not_found")
	s.call(http.MethodDelete, path, s.phone.Access, "").want(t, http.StatusNoContent, "")
	s.call(http.MethodDelete, path, s.phone.Access, "").want(t, http.StatusNoContent, "")
	s.redeem("tv", issued.text("login_token")).refused(t, 400, "invalid_grant", "", 0)
}

func TestInternalClientIssuesLoginTokens(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	desk := s.postAs("desk", "grant_type", "client_credentials").ok(t)
	s.call(http.MethodPost, "/v1/login-tokens", desk.Access, `{}`).want(t, http.StatusBadRequest, "invalid_request")
	s.call(http.MethodPost, "/v1/login-tokens", desk.Access, `{"sub":"`+strings.Repeat("0", 26)+`","product":"shop"}`).want(t, http.StatusNotFound, "not_found")
	issued := s.call(http.MethodPost, "/v1/login-tokens", desk.Access, `{"sub":"`+string(s.users["amy"])+`","product":"shop"}`).want(t, http.StatusOK, "")
	amy := s.redeem("tv", issued.text("login_token")).ok(t)
	if amy.Scope != "wallet:read wallet:transfer" {
		t.Errorf("scope %q", amy.Scope)
	}
	other := s.postAs("billing", "grant_type", "client_credentials").ok(t)
	s.call(http.MethodPost, "/v1/login-tokens", other.Access, `{"sub":"`+string(s.users["amy"])+`"}`).want(t, http.StatusForbidden, "insufficient_scope")
}

func TestEverythingStartedFromADeviceEnds(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	pc := s.collect("tv", s.approved("tv").text("device_code")).ok(t)
	onward := s.call(http.MethodPost, "/v1/login-tokens", pc.Access, `{}`).want(t, http.StatusOK, "")
	tablet := s.redeem("tv", onward.text("login_token"), "terminal", "browser").ok(t)
	waiting := s.approved("tv")
	own := s.signIn("shop-web", "browser").ok(t) // shares the tablet's session
	alone := s.signIn("tv", "api").ok(t)
	s.call(http.MethodDelete, "/v1/sessions?started_by=current&except=current", s.phone.Access, "").want(t, http.StatusBadRequest, "invalid_request")
	s.call(http.MethodDelete, "/v1/sessions?started_by="+s.phone.Session, alone.Access, "").want(t, http.StatusNoContent, "")
	for name, gone := range map[string]answer{"the PC": pc, "the tablet": tablet, "who shares with the tablet": own} {
		if err := s.check(gone.Access); !errors.Is(err, storage.ErrEnded) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.must(s.check(s.phone.Access))
	s.must(s.check(alone.Access))
	s.collect("tv", waiting.text("device_code")).refused(t, 400, "access_denied", "", 0)
}

// TestTenRaceOverHTTP: of ten who redeem, and of ten who approve, one wins.
func TestTenRaceOverHTTP(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStage(t, e)
		asked := s.ask("tv").want(t, http.StatusOK, "")
		s.scan(s.phone.Access, asked.text("user_code")).want(t, http.StatusOK, "")
		count := func(f func() int) map[int]int {
			var mu sync.Mutex
			var wg sync.WaitGroup
			seen := map[int]int{}
			for range 10 {
				wg.Go(func() {
					status := f()
					mu.Lock()
					defer mu.Unlock()
					seen[status]++
				})
			}
			wg.Wait()
			return seen
		}
		body := `{"user_code":"` + asked.text("user_code") + `","number":"` + asked.text("confirmation") + `"}`
		if got := count(func() int { return s.call(http.MethodPost, "/v1/device/approve", s.phone.Access, body).status }); got[200] != 1 || got[409] != 9 {
			t.Errorf("approvals: %v", got)
		}
		if got := count(func() int { return s.collect("tv", asked.text("device_code")).status }); got[200] != 1 || got[400] != 9 {
			t.Errorf("collections: %v", got)
		}
		token := s.issue(`{}`).text("login_token")
		if got := count(func() int { return s.redeem("tv", token).status }); got[200] != 1 || got[400] != 9 {
			t.Errorf("redemptions: %v", got)
		}
	})
}

func TestHandoffOutlivesARestart(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStage(t, e)
		asked := s.ask("tv").want(t, http.StatusOK, "")
		s.start()
		s.scan(s.phone.Access, asked.text("user_code")).want(t, http.StatusOK, "")
		s.start()
		s.approve(s.phone.Access, asked.text("user_code"), asked.text("confirmation")).want(t, http.StatusOK, "")
		s.start()
		s.collect("tv", asked.text("device_code")).ok(t)
		s.start()
		s.collect("tv", asked.text("device_code")).refused(t, 400, "invalid_grant", "", 0)
	})
}

func TestStepsOfHandoffsAreRecorded(t *testing.T) {
	t.Parallel()
	s := newStage(t, engine.SQLite(t))
	s.collect("tv", s.approved("tv").text("device_code")).ok(t)
	s.redeem("tv", s.issue(`{}`).text("login_token")).ok(t)
	list, err := s.db.ListAudit(t.Context(), time.Time{}, "", 1000)
	s.must(err)
	var actions []string
	started := 0
	for _, r := range list {
		actions = append(actions, r.Action)
		if r.Detail["started_by"] == s.phone.Session {
			started++
		}
	}
	for _, want := range []string{"device.scanned", "device.approved", "login_token.issued"} {
		if !slices.Contains(actions, want) {
			t.Errorf("no record of %s in %v", want, actions)
		}
	}
	if started != 2 {
		t.Errorf("%d sessions are recorded as started by the phone", started)
	}
}

// TestRedemptionRacesExpiry lets the last moment pass while ten redeem: one is signed in or nobody, and nobody afterwards.
func TestRedemptionRacesExpiry(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStage(t, e)
		for name, c := range map[string]struct {
			life   time.Duration
			give   func() string
			redeem func(string) answer
			over   string
		}{
			"device code": {
				handoff.RequestTTL, func() string { return s.approved("tv").text("device_code") },
				func(code string) answer { return s.collect("tv", code) }, "expired_token",
			},
			"login token": {
				handoff.LoginTTL, func() string { return s.issue(`{}`).text("login_token") },
				func(token string) answer { return s.redeem("tv", token) }, "invalid_grant",
			},
		} {
			secret := c.give()
			before := len(s.sessions(s.phone.Access))
			s.clock.Advance(c.life - time.Second)
			var wg sync.WaitGroup
			answers := make([]answer, 10)
			for i := range answers {
				wg.Go(func() {
					if i == 5 {
						s.clock.Advance(time.Second)
					}
					answers[i] = c.redeem(secret)
				})
			}
			wg.Wait()
			won := 0
			for _, a := range answers {
				switch {
				case a.status == http.StatusOK:
					won++
				case a.Error != "invalid_grant" && a.Error != c.over:
					t.Errorf("%s: %d %s", name, a.status, a.raw)
				}
			}
			if opened := len(s.sessions(s.phone.Access)) - before; won > 1 || opened != won {
				t.Errorf("%s: %d won, %d sessions were opened", name, won, opened)
			}
			if a := c.redeem(secret); a.status == http.StatusOK {
				t.Errorf("%s: redeemed after it expired", name)
			}
		}
	})
}
