package sdk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/authserver/sdk"
)

// quick makes waiting devices ask at once: what the server says of its pace is taken out of its answer.
func (s *stand) quick(more func(w http.ResponseWriter, r *http.Request) (answered bool)) {
	s.disturb(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if more != nil && more(w, r) {
			return
		}
		if r.URL.Path == "/oauth2/token" && s.polls(r) {
			s.clock.Advance(2 * time.Second) // the pace that was announced
		}
		if r.URL.Path != "/oauth2/device_authorization" {
			server.ServeHTTP(w, r)
			return
		}
		kept := httptest.NewRecorder()
		server.ServeHTTP(kept, r)
		body := strings.Replace(kept.Body.String(), `"interval":2`, `"interval":1`, 1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(kept.Code)
		_, _ = io.WriteString(w, body)
	})
}

// polls says whether a request is one of a waiting device.
func (s *stand) polls(r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	must(s.t, err)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return bytes.Contains(body, []byte("device_code"))
}

// do sends JSON as a signed-in client.
func (s *stand) do(c *sdk.Client, path, body string) map[string]any {
	s.t.Helper()
	resp, err := c.HTTP().Post(s.url+path, "application/json", strings.NewReader(body))
	must(s.t, err)
	defer resp.Body.Close()
	var answer map[string]any
	must(s.t, json.NewDecoder(resp.Body).Decode(&answer))
	if resp.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %d %v", path, body, resp.StatusCode, answer)
	}
	return answer
}

// approve scans what a device shows, and approves with the number on its screen.
func (s *stand) approve(phone *sdk.Client, shown sdk.DeviceCode) {
	s.t.Helper()
	s.do(phone, "/v1/device/scan", `{"user_code":"`+shown.UserCode+`"}`)
	s.do(phone, "/v1/device/approve", `{"user_code":"`+shown.UserCode+`","number":"`+shown.Confirmation+`"}`)
}

func TestDeviceFollowsTheCodeThatTurns(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.quick(nil)
	phone := s.signedIn(nil)
	tv := s.open(func(cfg *sdk.Config) { cfg.Terminal, cfg.DeviceName = "browser", "a television" })
	var shown []sdk.DeviceCode
	session, err := tv.SignInByDevice(t.Context(), func(d sdk.DeviceCode) error {
		shown = append(shown, d)
		if len(shown) == 1 {
			s.clock.Advance(61 * time.Second)
			return nil
		}
		s.approve(phone, d) // the second code
		return nil
	})
	must(t, err)
	if len(shown) != 2 {
		t.Fatalf("shown %d times", len(shown))
	}
	first, second := shown[0], shown[1]
	if first.UserCode == second.UserCode || first.QRSVG == second.QRSVG || second.Complete == first.Complete || !strings.HasPrefix(second.QRSVG, "<svg") ||
		second.Confirmation != first.Confirmation || len(first.Confirmation) != 2 || second.ExpiresIn > first.ExpiresIn-time.Minute {
		t.Errorf("shown first %+v, then %+v", first, second)
	}
	if session.Terminal != "browser" || s.count("/v1/device/status") != 1 {
		t.Errorf("%+v after %d looks", session, s.count("/v1/device/status"))
	}
	if bytes.Contains(first.Raw, []byte("device_code")) {
		t.Error("what is shown has the device code in it")
	}
	if status, err := s.get(tv); status != http.StatusOK || err != nil {
		t.Errorf("a request of the device: %d %v", status, err)
	}
}

func TestDeviceAgainstAServerThatTurnsNothing(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.quick(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v1/device/status" {
			http.NotFound(w, r)
			return true
		}
		return false
	})
	phone := s.signedIn(nil)
	tv := s.open(func(cfg *sdk.Config) { cfg.Terminal = "browser" })
	var asked atomic.Int32
	_, err := tv.SignInByDevice(t.Context(), func(d sdk.DeviceCode) error {
		s.clock.Advance(61 * time.Second)
		go func() {
			for s.count("/v1/device/status") == 0 {
				time.Sleep(time.Millisecond) // nothing tells but the count
			}
			s.approve(phone, d)
		}()
		asked.Add(1)
		return nil
	})
	must(t, err)
	if asked.Load() != 1 || s.count("/v1/device/status") != 1 {
		t.Errorf("shown %d times, looked %d times", asked.Load(), s.count("/v1/device/status"))
	}
}

func TestDeviceThatIsNotWaitedForIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.quick(nil)
	tv := s.open(func(cfg *sdk.Config) { cfg.Terminal = "browser" })
	broken := errors.New("no screen")
	if _, err := tv.SignInByDevice(t.Context(), func(sdk.DeviceCode) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a screen that fails: %v", err)
	}
	ctx, cancel := contextOf(t)
	var code string
	_, err := tv.SignInByDevice(ctx, func(d sdk.DeviceCode) error {
		code = d.UserCode
		cancel()
		return nil
	})
	if !errors.Is(err, ctx.Err()) {
		t.Errorf("after the wait was ended: %v", err)
	}
	if n := s.count("/v1/device/cancel"); n != 2 {
		t.Errorf("%d cancelled", n)
	}
	phone := s.signedIn(nil)
	resp, err := phone.HTTP().Post(s.url+"/v1/device/scan", "application/json", strings.NewReader(`{"user_code":"`+code+`"}`))
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		t.Errorf("the code of a cancelled request can be scanned: %d", resp.StatusCode)
	}
}

func TestDeviceIsDeclined(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.quick(nil)
	phone := s.signedIn(nil)
	tv := s.open(func(cfg *sdk.Config) { cfg.Terminal = "browser" })
	_, err := tv.SignInByDevice(t.Context(), func(d sdk.DeviceCode) error {
		s.do(phone, "/v1/device/scan", `{"user_code":"`+d.UserCode+`"}`)
		s.do(phone, "/v1/device/deny", `{"user_code":"`+d.UserCode+`"}`)
		return nil
	})
	if refused, is := errors.AsType[*sdk.OAuthError](err); !is || refused.Code != "access_denied" {
		t.Errorf("declined: %v", err)
	}
	if n := s.count("/v1/device/cancel"); n != 0 {
		t.Errorf("what is decided was cancelled %d times", n)
	}
}

func TestLoginTokenBringsItsData(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	giver := s.signedIn(nil)
	given, _ := s.do(giver, "/v1/login-tokens", `{"terminal":"browser","data":{"cart":["7"]}}`)["login_token"].(string)
	taker := s.open(func(cfg *sdk.Config) { cfg.Terminal = "" })
	session, err := taker.SignIn(t.Context(), sdk.LoginToken(sdk.Secret(given)))
	must(t, err)
	if session.Terminal != "browser" || session.LoginData != `{"cart":["7"]}` {
		t.Errorf("%+v", session)
	}
	if kept, _ := taker.Session(); kept.LoginData != "" {
		t.Errorf("kept: %s", kept.LoginData)
	}
	_, err = s.open(nil).SignIn(t.Context(), sdk.LoginToken(sdk.Secret(given)))
	if refused, is := errors.AsType[*sdk.OAuthError](err); !is || refused.Code != "invalid_grant" {
		t.Errorf("a second time: %v", err)
	}
}
