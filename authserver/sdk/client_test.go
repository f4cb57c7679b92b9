package sdk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallystick/tallystick/authserver/sdk"
)

const crowd = 100

func TestOneRefreshForManyRequests(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{
		"its time is up": 15 * time.Minute, // the client knows by itself
		"ahead":          14 * time.Minute, // nobody waits for it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStand(t)
			c := s.signedIn(nil)
			first, err := c.Token(t.Context())
			must(t, err)
			s.clock.Advance(age)
			all(crowd, func(int) {
				if status, err := s.get(c); err != nil || status != http.StatusOK {
					t.Errorf("%d %v", status, err)
				}
			})
			for { // the refresh ahead ends when it ends
				now, err := c.Token(t.Context())
				must(t, err)
				if now.AccessToken != first.AccessToken {
					break
				}
			}
			if n := s.count("/oauth2/token"); n != 2 {
				t.Errorf("the token endpoint was asked %d times; a sign-in and a refresh make 2", n)
			}
			if n := s.count("/echo"); n != crowd {
				t.Errorf("%d requests to the API", n)
			}
		})
	}
}

// TestExpiredOnTheServer: a client whose clock stands still believes that its token is good.
func TestExpiredOnTheServer(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(func(cfg *sdk.Config) { begin := s.clock.Now(); cfg.Now = func() time.Time { return begin } })
	s.clock.Advance(16 * time.Minute)
	all(crowd, func(i int) {
		body := fmt.Sprintf("body %d", i)
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/echo", strings.NewReader(body))
		resp, err := c.HTTP().Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if got, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(got) != body {
			t.Errorf("%d %q", resp.StatusCode, got)
		}
	})
	if n := s.count("/oauth2/token"); n != 2 {
		t.Errorf("the token endpoint was asked %d times", n)
	}
	if n := s.count("/echo"); n > 2*crowd {
		t.Errorf("%d requests to the API: more than one repetition each", n)
	}
}

func TestBodiesThatCannotBeSentAgain(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(func(cfg *sdk.Config) { begin := s.clock.Now(); cfg.Now = func() time.Time { return begin } })
	s.clock.Advance(16 * time.Minute)
	post := func() error {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/echo", io.LimitReader(strings.NewReader("once"), 4))
		resp, err := c.HTTP().Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := post(); !errors.Is(err, sdk.ErrNotReplayable) {
		t.Errorf("got %v", err)
	}
	if err := post(); err != nil {
		t.Errorf("made anew, after the refresh: %v", err)
	}
}

// TestAlwaysExpired: a server that calls every token expired gets the request twice, and no more.
func TestAlwaysExpired(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(nil)
	s.disturb(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.URL.Path != "/echo" {
			server.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_token","reason":"expired","code":1}`)
	})
	resp, err := c.HTTP().Get(s.url + "/echo")
	must(t, err)
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"expired"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if s.count("/echo") != 2 || s.count("/oauth2/token") != 2 {
		t.Errorf("%d requests and %d at the token endpoint", s.count("/echo"), s.count("/oauth2/token"))
	}
	if _, in := c.Session(); !in {
		t.Error("the sign-in was thrown away")
	}
}

func TestSupersededWhileRequestsAreInFlight(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	var told atomic.Int32
	first := make(chan *sdk.EndedError, crowd)
	c := s.signedIn(func(cfg *sdk.Config) {
		cfg.OnEnded = func(e *sdk.EndedError) { told.Add(1); first <- e }
	})
	var arrived sync.WaitGroup
	arrived.Add(crowd)
	release := make(chan struct{})
	s.disturb(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.URL.Path == "/echo" {
			arrived.Done()
			<-release
		}
		server.ServeHTTP(w, r)
	})
	go func() {
		arrived.Wait()
		s.signedIn(func(cfg *sdk.Config) { cfg.DeviceName = "new phone" })
		close(release)
	}()
	all(crowd, func(int) {
		_, err := s.get(c)
		ended, is := errors.AsType[*sdk.EndedError](err)
		if !is || ended.Reason != sdk.ReasonSuperseded || ended.Code != sdk.CodeTellUser || ended.SupersededBy == nil || ended.SupersededBy.DeviceName != "new phone" {
			t.Errorf("got %v", err)
		}
	})
	if e := <-first; e.Reason != sdk.ReasonSuperseded {
		t.Errorf("told of %v", e)
	}
	s.disturb(nil)
	asked, echoed := s.count("/oauth2/token"), s.count("/echo")
	if _, err := s.get(c); !is[*sdk.EndedError](err) {
		t.Errorf("after the end: %v", err)
	}
	if s.count("/oauth2/token") != asked || s.count("/echo") != echoed {
		t.Error("something was sent after the end")
	}
	if n := told.Load(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if _, err := c.SignIn(t.Context(), sdk.Password("tom", pass)); err != nil {
		t.Error(err)
	}
	if status, err := s.get(c); err != nil || status != http.StatusOK {
		t.Errorf("after signing in again: %d %v", status, err)
	}
}

// is says whether an error is or wraps an E.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// TestSupersededAtRefresh: the end is learnt from the token endpoint.
func TestSupersededAtRefresh(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	told := make(chan *sdk.EndedError, crowd)
	c := s.signedIn(func(cfg *sdk.Config) { cfg.OnEnded = func(e *sdk.EndedError) { told <- e } })
	s.signedIn(nil)
	s.clock.Advance(time.Hour)
	before := s.count("/oauth2/token")
	all(crowd, func(int) {
		if _, err := s.get(c); !is[*sdk.EndedError](err) {
			t.Errorf("got %v", err)
		}
	})
	if e := <-told; e.Reason != sdk.ReasonSuperseded || e.Code != sdk.CodeTellUser || len(told) != 0 {
		t.Errorf("told %v, and %d more", e, len(told))
	}
	if n := s.count("/oauth2/token") - before; n != 1 {
		t.Errorf("the token endpoint was asked %d times", n)
	}
}

// TestLostAnswer: the server has rotated the token, and the connection is cut before the client hears
// of it.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(nil)
	s.clock.Advance(16 * time.Minute)
	var lost atomic.Value
	s.disturb(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.URL.Path == "/oauth2/token" && lost.Load() == nil {
			record := httptest.NewRecorder()
			server.ServeHTTP(record, r)
			lost.Store(record.Body.String())
			panic(http.ErrAbortHandler)
		}
		server.ServeHTTP(w, r)
	})
	all(crowd, func(int) {
		if status, err := s.get(c); err != nil || status != http.StatusOK {
			t.Errorf("%d %v", status, err)
		}
	})
	token, err := c.Token(t.Context())
	must(t, err)
	if text, _ := lost.Load().(string); !strings.Contains(text, token.AccessToken) {
		t.Error("the client holds another pair than the one that was lost")
	}
}

func TestAServerThatIsAway(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(func(cfg *sdk.Config) { cfg.OnEnded = func(*sdk.EndedError) { t.Error("the sign-in was thrown away") } })
	away := func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.URL.Path != "/oauth2/token" {
			server.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "40")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":"temporarily_unavailable"}`)
	}
	s.disturb(away)
	s.clock.Advance(14 * time.Minute)
	before := s.count("/oauth2/token")
	all(crowd, func(int) {
		if status, err := s.get(c); err != nil || status != http.StatusOK {
			t.Errorf("with a token that lives: %d %v", status, err)
		}
	})
	for s.count("/oauth2/token") == before { // the refresh ahead begins when it begins
		_, _ = c.Token(t.Context())
	}
	s.clock.Advance(90 * time.Second)
	for range 3 {
		all(crowd, func(int) {
			_, err := c.Token(t.Context())
			gone, is := errors.AsType[*sdk.UnavailableError](err)
			if !is || gone.RetryAfter < time.Second || gone.Err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if n := s.count("/oauth2/token") - before; n != 2 {
		t.Errorf("the server that asked to be left alone was asked %d times", n)
	}
	s.disturb(nil)
	s.clock.Advance(41 * time.Second)
	if status, err := s.get(c); err != nil || status != http.StatusOK {
		t.Errorf("when it is back: %d %v", status, err)
	}
}

func TestACancelledRequestLeavesTheRefreshToOthers(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(nil)
	s.clock.Advance(16 * time.Minute)
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	s.disturb(func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.URL.Path == "/oauth2/token" {
			arrived <- struct{}{}
			<-release
		}
		server.ServeHTTP(w, r)
	})
	ctx, cancel := contextOf(t)
	gaveUp := make(chan error, 1)
	go func() { _, err := c.Token(ctx); gaveUp <- err }()
	<-arrived
	cancel()
	if err := <-gaveUp; !errors.Is(err, ctx.Err()) {
		t.Errorf("the cancelled: %v", err)
	}
	close(release)
	if _, err := c.Token(t.Context()); err != nil {
		t.Error(err)
	}
	if n := s.count("/oauth2/token"); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	store := sdk.FileStore(filepath.Join(t.TempDir(), "sign-in"))
	withStore := func(cfg *sdk.Config) { cfg.Store = store }
	c := s.signedIn(withStore)
	session, _ := c.Session()
	if info, err := os.Stat(string(store)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for _, age := range []time.Duration{time.Minute, 20 * time.Minute, -time.Hour} {
		c.Close()
		c = s.open(withStore)
		if again, in := c.Session(); !in || again != session {
			t.Fatalf("took up %v", again)
		}
		s.clock.Advance(max(age, 0))
		if status, err := s.get(c); err != nil || status != http.StatusOK {
			t.Errorf("%d %v", status, err)
		}
	}
	must(t, c.SignOut(t.Context()))
	if _, err := os.Stat(string(store)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(string(store)), ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := c.Token(t.Context()); !errors.Is(err, sdk.ErrSignedOut) {
		t.Errorf("got %v", err)
	}
}

// TestTwoProcessesShareAStore: the second takes what the first has stored, also long after the window
// in which the server would forgive.
func TestTwoProcessesShareAStore(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	store := sdk.FileStore(filepath.Join(t.TempDir(), "sign-in"))
	withStore := func(cfg *sdk.Config) {
		cfg.Store, cfg.OnEnded = store, func(e *sdk.EndedError) { t.Errorf("ended: %v", e) }
	}
	one := s.signedIn(withStore)
	two := s.open(withStore)
	for range 3 {
		s.clock.Advance(16 * time.Minute)
		if _, err := one.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.clock.Advance(time.Minute)
		if status, err := s.get(two); err != nil || status != http.StatusOK {
			t.Fatalf("%d %v", status, err)
		}
	}
	if n := s.count("/oauth2/token"); n != 4 {
		t.Errorf("asked %d times; a sign-in and three refreshes make 4", n)
	}
	s.clock.Advance(16 * time.Minute) // both at once: the server gives both the same pair
	clients := []*sdk.Client{one, two}
	tokens := make([]string, 2)
	all(2, func(i int) {
		token, err := clients[i].Token(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		tokens[i] = token.AccessToken
	})
	if tokens[0] != tokens[1] {
		t.Error("two pairs")
	}
}

func TestTokensStayAtHome(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	seen := make(chan string, 10)
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("Authorization") }))
	t.Cleanup(stranger.Close)
	c := s.signedIn(nil)
	if _, err := c.HTTP().Get(stranger.URL); err == nil || !strings.Contains(err.Error(), "Config.APIs") {
		t.Errorf("got %v", err)
	}
	s.disturb(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, stranger.URL, http.StatusTemporaryRedirect)
	})
	resp, err := c.HTTP().Get(s.url + "/echo")
	must(t, err)
	resp.Body.Close()
	if got := <-seen; got != "" {
		t.Errorf("the stranger got %q", got)
	}
	if _, err := c.SignIn(t.Context(), sdk.Password("tom", pass)); err == nil {
		t.Error("a sign-in was redirected")
	}
	if len(seen) != 0 {
		t.Error("the password went to the stranger")
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.open(func(cfg *sdk.Config) {
		cfg.ClientID, cfg.ClientSecret, cfg.Machine, cfg.Terminal, cfg.DeviceName = "billing", sdk.Secret(s.secrets["billing"]), true, "", ""
	})
	source := c.TokenSource(t.Context())
	all(crowd, func(int) {
		if token, err := source.Token(); err != nil || !token.Valid() && token.AccessToken == "" {
			t.Error(err)
		}
	})
	s.clock.Advance(2 * time.Hour)
	all(crowd, func(int) {
		if status, err := s.get(c); err != nil || status != http.StatusOK {
			t.Errorf("%d %v", status, err)
		}
	})
	if n := s.count("/oauth2/token"); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestWithoutRefreshToken(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	told := make(chan *sdk.EndedError, crowd)
	c := s.signedIn(func(cfg *sdk.Config) { cfg.ClientID, cfg.OnEnded = "no-refresh", func(e *sdk.EndedError) { told <- e } })
	s.clock.Advance(14 * time.Minute)
	if status, err := s.get(c); err != nil || status != http.StatusOK {
		t.Errorf("%d %v", status, err)
	}
	s.clock.Advance(2 * time.Minute)
	all(crowd, func(int) {
		if _, err := s.get(c); !is[*sdk.EndedError](err) {
			t.Errorf("got %v", err)
		}
	})
	if e := <-told; e.Reason != sdk.ReasonExpired || e.Code != sdk.CodeSignInAgain || len(told) != 0 {
		t.Errorf("told %v", e)
	}
}

func TestSignOutEndsTheSession(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(func(cfg *sdk.Config) { cfg.OnEnded = func(*sdk.EndedError) { t.Error("told of its own doing") } })
	token, err := c.Token(t.Context())
	must(t, err)
	must(t, c.SignOut(t.Context()))
	must(t, c.SignOut(t.Context()))
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/echo", nil)
	token.SetAuthHeader(req)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), `"signed_out"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestRefusedSignIn(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.open(nil)
	_, err := c.SignIn(t.Context(), sdk.Password("tom", "wrong"))
	if refused, is := errors.AsType[*sdk.OAuthError](err); !is || refused.Code != "invalid_grant" || strings.Contains(err.Error(), "wrong") {
		t.Errorf("got %v", err)
	}
	c.Close()
	if _, err := c.Token(t.Context()); !errors.Is(err, sdk.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestSecretsPrintRedacted(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.signedIn(nil)
	token, err := c.Token(t.Context())
	must(t, err)
	cfg := sdk.Config{ClientSecret: "s3cret"}
	var out bytes.Buffer
	for _, v := range []any{c, sdk.Secret(""), sdk.Secret("s3cret"), cfg, &cfg, sdk.Password("tom", "s3cret"), sdk.LoginToken("s3cret")} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	}
	asJSON, _ := json.Marshal(sdk.Secret("s3cret"))
	out.Write(asJSON)
	for _, bad := range []string{"s3cret", "733363726574", "115 51", token.AccessToken} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("prints %q:\n%s", bad, out.String())
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]sdk.Config{
		"ClientID":     {Issuer: "https://auth.example.com"},
		"Issuer":       {Issuer: "http://auth.example.com", ClientID: "a"},
		"API":          {Issuer: "https://auth.example.com", ClientID: "a", APIs: []string{"wallet"}},
		"ClientSecret": {Issuer: "https://auth.example.com", ClientID: "a", Machine: true},
	} {
		if _, err := sdk.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
