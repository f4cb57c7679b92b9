package events_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/authserver/events"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/sqlstore"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

const (
	issuer   = "https://accounts.example"
	watcher  = storage.ClientID("parcels")
	patience = 20 * time.Second // for what must happen
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(m)
}

// stand is an issuer that serves session events over HTTP.
type stand struct {
	t      testing.TB
	db     *sqlstore.DB
	minter *token.Minter
	parser *token.Parser
	hub    *events.Hub
	guard  *guard.Guard
	server *httptest.Server
	feed   storage.Feed

	hubConfig events.HubConfig
	config    events.Config
	poll      time.Duration
	drain     context.CancelFunc // ends the contexts of all streams
}

type option func(*stand)

func newStand(t testing.TB, options ...option) *stand {
	t.Helper()
	s := &stand{t: t, db: engine.SQLite(t).Open(t), poll: 20 * time.Millisecond}
	s.feed = s.db
	kek := make([]byte, 32)
	rand.Read(kek)
	ring, err := keys.Open(t.Context(), keys.Config{
		Store: &memoryKeys{}, EncryptionKey: secret.New(base64.StdEncoding.EncodeToString(kek)), Keep: 24 * time.Hour,
	})
	must(t, err)
	s.parser, err = token.NewParser(token.ParserConfig{Issuer: issuer, Audience: []string{issuer}, Ring: ring})
	must(t, err)
	s.minter = token.NewMinter(issuer, ring)
	at := storage.Instant(time.Now().Add(-time.Hour))
	must(t, s.db.CreateClient(t.Context(), storage.Client{ID: watcher, Kind: storage.Confidential, CreatedAt: at, UpdatedAt: at}, nil))
	for _, o := range options {
		o(s)
	}
	s.start()
	return s
}

// start brings the server up; after stop it is another process over the same data.
func (s *stand) start() {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.t.Output(), nil))
	var err error
	s.hubConfig.Log = log
	s.hub, err = events.NewHub(s.hubConfig)
	must(s.t, err)
	s.guard, err = guard.New(guard.Config{Tokens: s.parser, Feed: s.db, Sessions: s.db, Relay: s.hub, Poll: s.poll, Log: log})
	must(s.t, err)
	must(s.t, s.guard.Start(s.t.Context()))
	s.t.Cleanup(s.guard.Stop)
	s.config.Hub, s.config.Feed, s.config.Guard = s.hub, s.feed, s.guard
	e, err := events.New(s.config)
	must(s.t, err)
	edge := web.New(web.Config{Log: log})
	stopping, drain := context.WithCancel(context.Background())
	s.drain = drain
	r := gin.New()
	r.Use(func(c *gin.Context) {
		ctx, cancel := context.WithCancel(c.Request.Context())
		defer cancel()
		defer context.AfterFunc(stopping, cancel)()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	})
	r.GET("/v1/session-events", e.Admit(), edge.Handle(e.Watch))
	s.server = httptest.NewServer(r)
	s.t.Cleanup(s.stop)
}

// stop cuts all connections.
func (s *stand) stop() {
	s.drain()
	s.server.CloseClientConnections()
	s.server.Close()
	s.guard.Stop()
}

type memoryKeys struct {
	mu   sync.Mutex
	keys []keys.Record
}

func (m *memoryKeys) ListKeys(context.Context) ([]keys.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.keys), nil
}

func (m *memoryKeys) AddKey(_ context.Context, r keys.Record, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = append(m.keys, r)
	return nil
}

func (m *memoryKeys) RetireKey(context.Context, string, time.Time) error { return nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token mints one of client credentials.
func (s *stand) token(scope string, life time.Duration) (raw, jti string) {
	s.t.Helper()
	jti = storage.NewID(time.Now())
	raw, err := s.minter.Access(token.Access{
		Subject: string(watcher), Audience: []string{issuer}, Client: string(watcher), JTI: jti, Scope: scope,
		IssuedAt: time.Now().Add(-time.Second), Expires: time.Now().Add(life),
	}, "")
	must(s.t, err)
	return raw, jti
}

// user makes a user; session signs them in on their phone and returns the session and what it ended.
func (s *stand) user() storage.UserID {
	s.t.Helper()
	id, now := storage.NewUserID(), storage.Instant(time.Now())
	must(s.t, s.db.CreateUser(s.t.Context(), storage.User{ID: id, Username: string(id), CreatedAt: now, UpdatedAt: now}))
	return id
}

func (s *stand) signIn(user storage.UserID, device string) (storage.SessionID, []storage.Event) {
	s.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	opened, err := s.db.Open(s.t.Context(), storage.Opening{
		Session: storage.Session{
			ID: storage.SessionID(storage.NewID(time.Now())), User: user, Product: "shop", Terminal: storage.Mobile, Mode: storage.Kickout,
			Client: "shop-app", Device: storage.Device{Name: device}, CreatedAt: now, LastSeenAt: now,
			ExpiresAt: now.Add(time.Hour), IdleAt: now.Add(time.Hour), AccessUntil: now.Add(15 * time.Minute),
			Access: storage.Stamp{JTI: storage.NewID(now), KeyID: "k", IssuedAt: now, ExpiresAt: now.Add(15 * time.Minute)},
		},
		MaxSessions: 1, Now: storage.Instant(time.Now()),
	})
	must(s.t, err)
	return opened.Session.ID, opened.Ended
}

// kick signs a new user in twice and returns the session that ended.
func (s *stand) kick(device string) storage.SessionID {
	s.t.Helper()
	user := s.user()
	old, _ := s.signIn(user, "old "+device)
	s.signIn(user, device)
	return old
}

// message is one message as it was read.
type message struct {
	id, kind, raw string

	Version int            `json:"v"`
	Mode    string         `json:"mode"`
	Because string         `json:"because"`
	Moment  int64          `json:"s"`
	Age     int64          `json:"age"`
	Session string         `json:"sid"`
	Client  string         `json:"client_id"`
	JTI     string         `json:"jti"`
	Reason  storage.Reason `json:"reason"`
	Code    int            `json:"code"`
	Why     string         `json:"why"`
}

// reader reads a stream in a goroutine of its own.
type reader struct {
	t        testing.TB
	messages chan message
	cancel   context.CancelFunc
	status   int
	header   http.Header
}

// watch opens a stream. It is closed when the test ends.
func (s *stand) watch(raw, last string) *reader {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server.URL+"/v1/session-events", nil)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+raw)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	answer, err := s.server.Client().Do(req)
	must(s.t, err)
	r := &reader{t: s.t, messages: make(chan message, 1<<16), cancel: cancel, status: answer.StatusCode, header: answer.Header}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(r.messages)
		defer answer.Body.Close()
		r.read(bufio.NewScanner(answer.Body))
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
	return r
}

func (r *reader) read(in *bufio.Scanner) {
	var m message
	for in.Scan() {
		name, value, _ := strings.Cut(in.Text(), ": ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.kind = value
		case "data":
			m.raw = value
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				r.t.Errorf("data %q: %v", value, err)
			}
		case "":
			r.messages <- m
			m = message{}
		}
	}
}

// until reads up to the first message that a test waits for, and returns it with those before.
func (r *reader) until(what string, is func(m message) bool) (found message, before []message) {
	r.t.Helper()
	late := time.After(patience)
	for {
		select {
		case m, open := <-r.messages:
			if !open {
				r.t.Fatalf("%s: the stream ended after %d messages", what, len(before))
			}
			if is(m) {
				return m, before
			}
			before = append(before, m)
		case <-late:
			r.t.Fatalf("%s: not within %v; read %v", what, patience, before)
		}
	}
}

func of(kind string) func(message) bool { return func(m message) bool { return m.kind == kind } }

func ofSession(sid storage.SessionID) func(message) bool {
	return func(m message) bool { return m.Session == string(sid) }
}

// sessions lists the ends among messages.
func sessions(messages []message) (all []string) {
	for _, m := range messages {
		if m.kind == "ended" {
			all = append(all, m.Session)
		}
	}
	return all
}

// placed is a heard with a position of at least so many events.
func placed(number string) func(message) bool {
	return func(m message) bool { return m.kind == "heard" && strings.HasPrefix(m.id, number+"-") }
}
