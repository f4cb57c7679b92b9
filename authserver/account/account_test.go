package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/account"
	"github.com/tallystick/tallystick/authserver/password"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// What only a failing neighbour shows; all else is tested through the routes of the server.

// neighbours are the rooms and stores around the account, failing in one place.
type neighbours struct {
	account.Book

	user, client, verify, hash, end error
}

func (n neighbours) User(context.Context, storage.UserID) (storage.User, error) {
	return storage.User{ID: "tom", Username: "tom"}, n.user
}

func (n neighbours) Client(context.Context, storage.ClientID) (storage.Client, error) {
	return storage.Client{ID: "app"}, n.client
}

func (neighbours) Acceptable(string, secret.Text) error { return nil }

func (n neighbours) Verify(context.Context, string, secret.Text) (storage.User, error) {
	return storage.User{ID: "tom", Username: "tom"}, n.verify
}

func (n neighbours) Hash(context.Context, secret.Text) (storage.PasswordHash, error) {
	return "", n.hash
}

func (neighbours) Try(ctx context.Context, _, _ string, prove func(context.Context) (bool, error)) error {
	_, err := prove(ctx)
	return err
}

func (n neighbours) Session(context.Context, storage.SessionID) (storage.Session, error) {
	return storage.Session{}, n.end
}

// changed asks for a change of password, and returns the answer.
func changed(ctx context.Context, t *testing.T, n neighbours) *httptest.ResponseRecorder {
	t.Helper()
	a, err := account.New(account.Config{Book: n, Passwords: n, Brake: n, Users: n, Clients: n})
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	engine.POST("/", web.New(web.Config{}).Handle(a.Password))
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(`{"current_password": "a", "new_password": "b"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, r)
	return w
}

func TestFailuresOfNeighbours(t *testing.T) {
	t.Parallel()
	outage := fmt.Errorf("sql: %w", storage.ErrUnavailable)
	for name, c := range map[string]struct {
		n      neighbours
		status int
		holds  string
	}{
		"users away":         {neighbours{user: outage}, 503, "temporarily_unavailable"},
		"clients away":       {neighbours{client: outage}, 503, "temporarily_unavailable"},
		"crowded at proof":   {neighbours{verify: &password.OverloadError{RetryAfter: 7 * time.Second}}, 503, "temporarily_unavailable"},
		"crowded at hashing": {neighbours{hash: &password.OverloadError{RetryAfter: 7 * time.Second}}, 503, "temporarily_unavailable"},
		"barred":             {neighbours{verify: password.ErrBarred}, 401, `"reason":"banned"`},
		"changed in between": {neighbours{hash: storage.ErrStale}, 403, "wrong_password"},
		"unknown":            {neighbours{verify: errors.New("hunter2")}, 500, "server_error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := changed(guard.NewContext(t.Context(), guard.Principal{User: "tom", Session: "s", Client: "app"}), t, c.n)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.holds) || strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if strings.HasPrefix(name, "crowded") && w.Header().Get("Retry-After") != "7" {
				t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
			}
		})
	}
}

func TestWithoutAGuardNothingIsDone(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{
		"none":   t.Context(),
		"client": guard.NewContext(t.Context(), guard.Principal{Client: "app"}),
	} {
		if w := changed(ctx, t, neighbours{}); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestMissingNeighboursStopTheStart(t *testing.T) {
	t.Parallel()
	if _, err := account.New(account.Config{}); err == nil {
		t.Error("the account was made of nothing")
	}
}
