package wechat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/federation"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/wechat"
	"github.com/tallystick/tallystick/authserver/wechat/wechattest"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

const (
	appID     = "wx-shop & co"
	appSecret = "s3cret+/ &=%"
)

var app = federation.App{ID: appID, Realm: "main"}

// stage is a provider that asks a fake, and what it logged.
type stage struct {
	*wechat.Provider
	fake   *wechattest.Server
	log    *bytes.Buffer
	pauses []time.Duration
}

func newStage(t *testing.T, secretText string) *stage {
	t.Helper()
	s := &stage{log: &bytes.Buffer{}, fake: wechattest.New(wechattest.Config{Apps: []wechattest.App{{ID: appID, Secret: appSecret, Platform: "main"}}})}
	server := httptest.NewServer(s.fake)
	t.Cleanup(server.Close)
	s.Provider = s.asking(t, server.URL, secretText)
	return s
}

func (s *stage) asking(t *testing.T, base, secretText string) *wechat.Provider {
	t.Helper()
	p, err := wechat.New(wechat.Config{
		BaseURL: base, Apps: []wechat.App{{ID: appID, Secret: secret.New(secretText), Platform: "main", Clients: []storage.ClientID{"shop-app"}}},
		Pause: func(_ context.Context, d time.Duration) error { s.pauses = append(s.pauses, d); return nil },
		Log:   slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUserIsVouchedFor(t *testing.T) {
	t.Parallel()
	s := newStage(t, appSecret)
	got, err := s.Exchange(t.Context(), app, s.fake.Mint(appID, "openid-1", "union-1"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Subject != "openid-1" || got.Union != "union-1" || got.Secret.Reveal() != wechattest.SessionKey("openid-1") {
		t.Errorf("got %+v", got)
	}
	if got, ok := s.App("shop-app"); !ok || got != app {
		t.Errorf("the app of the client is %+v, %v", got, ok)
	}
	if _, ok := s.App("another"); ok {
		t.Error("another client has an app")
	}
}

// refusal is what an answer must turn into.
type refusal struct {
	code   oauth.Code
	status int
	retry  time.Duration
	alert  bool
	calls  int
}

func TestErrcodes(t *testing.T) {
	t.Parallel()
	again := slicesOf
	one := func(body string) []wechattest.Answer { return again(1, wechattest.Answer{Body: body}) }
	invalid := refusal{oauth.InvalidGrant, 400, 0, false, 1}
	away := refusal{oauth.TemporarilyUnavailable, 503, time.Second, false, 1}
	fault := refusal{oauth.ServerFault, 500, 0, true, 1}
	for name, c := range map[string]struct {
		answers []wechattest.Answer
		want    refusal
	}{
		"invalid":            {again(1, wechattest.Errcode(40029, "invalid code")), invalid},
		"invalid, as string": {one(`{"errcode":"40029","errmsg":"invalid code"}`), invalid},
		"used":               {again(1, wechattest.Errcode(40163, "code been used")), invalid},
		"blocked":            {again(1, wechattest.Errcode(40226, "code blocked")), refusal{oauth.AccessDenied, 400, 0, false, 1}},
		"too often":          {again(1, wechattest.Errcode(45011, "minute-quota")), refusal{oauth.SlowDown, 429, time.Minute, false, 1}},
		"quota of the day":   {again(1, wechattest.Errcode(45009, "quota")), refusal{oauth.TemporarilyUnavailable, 503, 10 * time.Minute, true, 1}},
		"busy twice":         {again(2, wechattest.Errcode(-1, "system error")), refusal{oauth.TemporarilyUnavailable, 503, time.Second, false, 2}},
		"busy, then invalid": {[]wechattest.Answer{wechattest.Errcode(-1, "busy"), wechattest.Errcode(40029, "x")}, refusal{oauth.InvalidGrant, 400, 0, false, 2}},
		"app id":             {again(1, wechattest.Errcode(40013, "invalid appid")), fault},
		"secret":             {again(1, wechattest.Errcode(40125, "invalid appsecret")), fault},
		"no app id":          {again(1, wechattest.Errcode(41002, "appid missing")), fault},
		"no secret":          {one(`{"errcode":"41004"}`), fault},
		"whitelist":          {again(1, wechattest.Errcode(40164, "not in whitelist")), fault},
		"not known":          {again(1, wechattest.Errcode(99999, "\x00\n\"level=INFO\"")), fault},
		"names nobody":       {one(`{"errcode":0,"session_key":"x"}`), away},
		"half":               {one(`{"openid":"o","session_`), away},
		"cut":                {again(1, wechattest.Answer{Body: `{"openid":"o"`, Cut: true}), away},
		"nothing":            {one(``), away},
		"a page":             {one(`<html>`), away},
		"null":               {one(`null`), away},
		"a list":             {one(`[]`), away},
		"errcode a word":     {one(`{"errcode":"busy","openid":"o"}`), away},
		"errcode a fraction": {one(`{"errcode":1.5,"openid":"o"}`), away},
		"too long":           {one(`{"openid":"` + strings.Repeat("x", 20_000) + `"}`), away},
		"502":                {again(1, wechattest.Answer{Status: 502, Body: "bad gateway"}), away},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, appSecret)
			s.fake.Next(c.answers...)
			_, err := s.Exchange(t.Context(), app, "the-code")
			refused, ok := errors.AsType[*oauth.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			calls, _ := s.fake.Calls()
			got := refusal{refused.Code, refused.Status(), refused.RetryAfter, strings.Contains(s.log.String(), wechat.Alert), calls}
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(refusal{})); d != "" {
				t.Errorf("%v (-want +got):\n%s", err, d)
			}
			s.silent(t, err)
		})
	}
}

func slicesOf(n int, a wechattest.Answer) []wechattest.Answer {
	list := make([]wechattest.Answer, n)
	for i := range list {
		list[i] = a
	}
	return list
}

// silent makes sure that no secret is in an error or the log, escaped or not.
func (s *stage) silent(t *testing.T, err error) {
	t.Helper()
	for _, hidden := range []string{"s3cret", "the-code", "session_key="} {
		if strings.Contains(err.Error(), hidden) || strings.Contains(s.log.String(), hidden) || strings.Contains(fmt.Sprintf("%#v", err), hidden) {
			t.Errorf("%q is told: %v\n%s", hidden, err, s.log)
		}
	}
	if strings.Contains(s.log.String(), "\x00") || strings.Count(s.log.String(), "\n") > 1 {
		t.Errorf("WeChat writes into the log: %q", s.log)
	}
}

func TestFormsOfSuccess(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"openid":"o","session_key":"k"}`, `{"errcode":0,"openid":"o","session_key":"k"}`, `{"errcode":"0","errmsg":"ok","openid":"o","session_key":"k"}`,
		`{"errcode":"","openid":"o","session_key":"k"}`, `{"errcode":null,"openid":"o","session_key":"k","unionid":"","more":[1]}`,
	} {
		s := newStage(t, appSecret)
		s.fake.Next(wechattest.Answer{Body: body})
		got, err := s.Exchange(t.Context(), app, "the-code")
		if err != nil || got.Subject != "o" || got.Union != "" || got.Secret.Reveal() != "k" {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestBusyIsAskedOnceMore(t *testing.T) {
	t.Parallel()
	s := newStage(t, appSecret)
	s.fake.Next(wechattest.Errcode(-1, "system error"))
	got, err := s.Exchange(t.Context(), app, s.fake.Mint(appID, "openid-1", ""))
	if err != nil || got.Subject != "openid-1" || len(s.pauses) != 1 {
		t.Errorf("%+v, %v after %v", got, err, s.pauses)
	}
}

func TestFakeJudgesWhatItIsSent(t *testing.T) {
	t.Parallel()
	s := newStage(t, "another secret")
	_, err := s.Exchange(t.Context(), app, s.fake.Mint(appID, "openid-1", ""))
	if !errors.Is(err, &oauth.Error{Code: oauth.ServerFault}) || !strings.Contains(s.log.String(), "errcode=40125") {
		t.Errorf("%v\n%s", err, s.log)
	}
	s = newStage(t, appSecret)
	code := s.fake.Mint(appID, "openid-1", "")
	for i := range 2 {
		if _, err := s.Exchange(t.Context(), app, code); (err == nil) != (i == 0) {
			t.Errorf("the code, %d times: %v", i+1, err)
		}
	}
}

func TestRoadsThatFail(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	reached := false
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer thief.Close()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+"?"+r.URL.RawQuery, http.StatusFound)
	}))
	defer elsewhere.Close()
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer stuck.Close()
	for _, base := range []string{gone.URL, elsewhere.URL, stuck.URL} {
		s := newStage(t, appSecret)
		ctx, cancel := context.WithCancel(t.Context())
		if base == stuck.URL {
			cancel() // as if its time were over
		}
		_, err := s.asking(t, base, appSecret).Exchange(ctx, app, "the-code")
		cancel()
		if !errors.Is(err, &oauth.Error{Code: oauth.TemporarilyUnavailable}) {
			t.Errorf("%s: %v", base, err)
		}
		s.silent(t, err)
	}
	if reached {
		t.Error("the secret was taken elsewhere")
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	good := wechat.App{ID: "wx1", Secret: secret.New("s"), Clients: []storage.ClientID{"a"}}
	other := good
	other.ID = "wx2"
	for name, cfg := range map[string]wechat.Config{
		"no app":               {},
		"no secret":            {Apps: []wechat.App{{ID: "wx1"}}},
		"no id":                {Apps: []wechat.App{{Secret: secret.New("s")}}},
		"an app twice":         {Apps: []wechat.App{good, good}},
		"a client of two apps": {Apps: []wechat.App{good, other}},
		"no URL":               {BaseURL: "api.weixin.qq.com", Apps: []wechat.App{good}},
		"a URL with a query":   {BaseURL: "https://api.weixin.qq.com/?a=b", Apps: []wechat.App{good}},
		"too patient":          {Timeout: time.Minute, Apps: []wechat.App{good}},
	} {
		if _, err := wechat.New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
