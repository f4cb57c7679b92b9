package web_test

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

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/storage"
)

const private = "table users: password is hunter2"

// answer runs a handler that returns err, and returns the answer and what was logged.
func answer(t *testing.T, err error) (*httptest.ResponseRecorder, string) {
	t.Helper()
	var log bytes.Buffer
	edge := web.New(web.Config{
		Log:       slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		RequestID: func(context.Context) string { return "id-1" },
	})
	engine := gin.New()
	engine.GET("/x", edge.Handle(func(*gin.Context) error { return err }))
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
	return w, log.String()
}

func TestCausesAreLoggedAndNeverSent(t *testing.T) {
	t.Parallel()
	cause := errors.New(private)
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		level  string
	}{
		"unknown":     {cause, 500, "server_error", "ERROR"},
		"presented":   {oauth.Wrap(oauth.InvalidGrant, "no", cause), 400, "invalid_grant", "DEBUG"},
		"wrapped":     {fmt.Errorf("room: %w", oauth.Wrap(oauth.InvalidClient, "no", cause)), 401, "invalid_client", "DEBUG"},
		"store away":  {fmt.Errorf("%s: %w", private, storage.ErrUnavailable), 503, "temporarily_unavailable", "WARN"},
		"deadline":    {fmt.Errorf("%s: %w", private, context.DeadlineExceeded), 503, "temporarily_unavailable", "WARN"},
		"body bigger": {fmt.Errorf("%s: %w", private, &http.MaxBytesError{Limit: 1}), 413, "invalid_request", "DEBUG"},
		"own status":  {&oauth.Error{Code: oauth.InvalidRequest, HTTPStatus: 405, Cause: cause}, 405, "invalid_request", "DEBUG"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, log := answer(t, c.err)
			if w.Code != c.status || !strings.Contains(w.Body.String(), `"error":"`+c.code+`"`) {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(fmt.Sprint(w.Header()), "hunter2") {
				t.Errorf("the cause was sent: %v %s", w.Header(), w.Body)
			}
			if !strings.Contains(log, "hunter2") || !strings.Contains(log, "id-1") || !strings.Contains(log, "level="+c.level) {
				t.Errorf("logged %s", log)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Error("the refusal may be cached")
			}
		})
	}
}

func TestHeadersOfRefusals(t *testing.T) {
	t.Parallel()
	w, _ := answer(t, &oauth.Error{Code: oauth.TemporarilyUnavailable, RetryAfter: 1100 * time.Millisecond})
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q", got)
	}
	w, _ = answer(t, &oauth.Error{Code: oauth.InvalidClient, Challenge: true})
	if got := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Basic realm=") {
		t.Errorf("WWW-Authenticate %q", got)
	}
	w, _ = answer(t, &oauth.Error{Code: oauth.InvalidClient})
	if got := w.Header().Get("WWW-Authenticate"); got != "" {
		t.Errorf("WWW-Authenticate %q without a challenge", got)
	}
}

func TestDescriptionsKeepToTheirAlphabet(t *testing.T) {
	t.Parallel()
	w, _ := answer(t, oauth.New(oauth.InvalidRequest, "the parameter \"\\\n€ is repeated"))
	if !strings.Contains(w.Body.String(), `"the parameter ???? is repeated"`) {
		t.Errorf("got %s", w.Body)
	}
}

func TestAnswerThatHasBegunIsLeftAlone(t *testing.T) {
	t.Parallel()
	engine := gin.New()
	engine.GET("/x", web.New(web.Config{}).Handle(func(c *gin.Context) error {
		c.String(http.StatusOK, "begun")
		return errors.New(private)
	}))
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/x", nil))
	if w.Code != http.StatusOK || w.Body.String() != "begun" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
