package wechattest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// CodeLife is how long a code lives.
	CodeLife = 5 * time.Minute
	// PerMinute is how often one user may be asked for in a minute.
	PerMinute = 100
	// maxCodes bounds the codes that are remembered; the oldest go first.
	maxCodes = 10_000
)

// App is a mini program that the fake knows.
type App struct {
	ID, Secret string
	// Platform is the open platform account that it belongs to, for which it is told unionids; empty for none.
	Platform string
}

// Answer is an answer that is put before the right one.
type Answer struct {
	// Status is the HTTP status; 0 for 200.
	Status int
	// Body is what is sent.
	Body string
	// Wait, if not nil, is waited for before anything is sent; also the end of the request ends it.
	Wait <-chan struct{}
	// Cut breaks the connection after Body.
	Cut bool
	// Uses says that the code is used up all the same, as when the answer is lost on the way.
	Uses bool
}

// Errcode is the answer with an errcode.
func Errcode(code int, text string) Answer {
	body, _ := json.Marshal(map[string]any{"errcode": code, "errmsg": text}) //nolint:errchkjson // a text and a number.
	return Answer{Body: string(body)}
}

// Config is what a [Server] needs.
type Config struct {
	Apps []App
	Now  func() time.Time // nil: time.Now
}

// Server is the fake. It is an [http.Handler].
type Server struct {
	now  func() time.Time
	apps map[string]App

	mu    sync.Mutex
	codes map[string]*code
	order []string
	asked map[string][]time.Time // by openid
	next  []Answer
	calls int
	most  int // open at once
	open  int
}

// code is a code that was minted.
type code struct {
	app, openid, unionid string
	born                 time.Time
	used                 bool
}

// New makes the fake.
func New(cfg Config) *Server {
	s := &Server{now: cfg.Now, apps: map[string]App{}, codes: map[string]*code{}, asked: map[string][]time.Time{}}
	if s.now == nil {
		s.now = time.Now
	}
	for _, a := range cfg.Apps {
		s.apps[a.ID] = a
	}
	return s
}

// Mint makes a code for a user of an app, as wx.login does on a phone.
func (s *Server) Mint(app, openid, unionid string) string {
	text := "0" + rand.Text() + "!+/ &=" // what a careless caller would not escape
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[text] = &code{app: app, openid: openid, unionid: unionid, born: s.now()}
	s.order = append(s.order, text)
	if len(s.order) > maxCodes {
		delete(s.codes, s.order[0])
		s.order = s.order[1:]
	}
	return text
}

// Next puts answers before the right ones, one for each question.
func (s *Server) Next(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, answers...)
}

// Calls returns how often code2Session was asked, and how many questions were open at once at most.
func (s *Server) Calls() (calls, atOnce int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.most
}

// SessionKey is the session_key of a user.
func SessionKey(openid string) string {
	sum := sha256.Sum256([]byte("session key of " + openid))
	return base64.StdEncoding.EncodeToString(sum[:16])
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet:
		http.Error(w, "GET only", http.StatusMethodNotAllowed)
	case r.URL.Path == "/sns/jscode2session":
		s.code2Session(w, r)
	case r.URL.Path == "/mint":
		s.mint(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) mint(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	app, openid, unionid := q.Get("app"), q.Get("openid"), q.Get("unionid")
	if app == "" && len(s.apps) == 1 {
		for id := range s.apps {
			app = id
		}
	}
	if _, known := s.apps[app]; !known || openid == "" {
		http.Error(w, "say who: /mint?openid=NAME, and which mini program where there are several: &app=APP_ID", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(s.Mint(app, openid, unionid)))
}

func (s *Server) code2Session(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls++
	s.open++
	s.most = max(s.most, s.open)
	var before *Answer
	if len(s.next) > 0 {
		before, s.next = &s.next[0], s.next[1:]
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()
	q := r.URL.Query()
	if before != nil {
		if before.Uses {
			s.session(q.Get("appid"), q.Get("secret"), q.Get("js_code"))
		}
		before.send(w, r)
		return
	}
	answer := s.session(q.Get("appid"), q.Get("secret"), q.Get("js_code"))
	body, _ := json.Marshal(answer) //nolint:errchkjson // a map of texts and numbers.
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(body)
}

func (a *Answer) send(w http.ResponseWriter, r *http.Request) {
	if a.Wait != nil {
		select {
		case <-a.Wait:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain")
	if a.Cut {
		w.Header().Set("Content-Length", "1000000")
	}
	if a.Status != 0 {
		w.WriteHeader(a.Status)
	}
	_, _ = w.Write([]byte(a.Body))
	if a.Cut {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// session is code2Session: it uses the code up.
func (s *Server) session(appid, secret, text string) map[string]any {
	refuse := func(code int, text string) map[string]any {
		return map[string]any{"errcode": code, "errmsg": text + ", rid: 5f3a-" + strings.ToLower(rand.Text()[:8])}
	}
	app, known := s.apps[appid]
	switch {
	case appid == "":
		return refuse(41002, "appid missing")
	case secret == "":
		return refuse(41004, "appsecret missing")
	case text == "":
		return refuse(41008, "missing code")
	case !known:
		return refuse(40013, "invalid appid")
	case secret != app.Secret:
		return refuse(40125, "invalid appsecret")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c, minted := s.codes[text]
	switch {
	case !minted || c.app != appid || now.Sub(c.born) > CodeLife:
		return refuse(40029, "invalid code")
	case c.used:
		return refuse(40163, "code been used")
	case s.tooOften(c.openid, now):
		return refuse(45011, "api minute-quota reach limit")
	}
	c.used = true
	session := map[string]any{"openid": c.openid, "session_key": SessionKey(c.openid)}
	if c.unionid != "" && app.Platform != "" {
		session["unionid"] = c.unionid
	}
	return session
}

// tooOften counts a question about a user.
func (s *Server) tooOften(openid string, now time.Time) bool {
	var recent []time.Time
	for _, at := range s.asked[openid] {
		if now.Sub(at) < time.Minute {
			recent = append(recent, at)
		}
	}
	if len(recent) >= PerMinute {
		s.asked[openid] = recent
		return true
	}
	s.asked[openid] = append(recent, now)
	return false
}
