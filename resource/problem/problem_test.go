package problem_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/resource/problem"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
)

// serve answers one request with an error.
func serve(t *testing.T, err error) (*httptest.ResponseRecorder, string) {
	t.Helper()
	var log bytes.Buffer
	rd := problem.NewRenderer(problem.Config{
		RequestID: func(context.Context) string { return "req-9" }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	r := gin.New()
	r.GET("/x", rd.Handle(func(*gin.Context) error { return err }), func(c *gin.Context) { c.String(http.StatusTeapot, "later handler") })
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
	return w, log.String()
}

const private = "password of the database is hunter2"

func TestEveryErrorHasItsAnswer(t *testing.T) {
	t.Parallel()
	hidden := errors.New(private)
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		retry  string
		logged bool
	}{
		"busy":             {fmt.Errorf("%w: %w", storage.ErrBusy, hidden), 423, "wallet_busy", "1", false},
		"unavailable":      {fmt.Errorf("%w: %w", storage.ErrUnavailable, hidden), 503, "temporarily_unavailable", "1", true},
		"too late":         {fmt.Errorf("%w: %w", context.DeadlineExceeded, hidden), 503, "temporarily_unavailable", "1", true},
		"gone":             {fmt.Errorf("%w: %w", context.Canceled, hidden), 503, "temporarily_unavailable", "1", false},
		"not found":        {fmt.Errorf("%w: %w", storage.ErrNotFound, hidden), 404, "not_found", "", false},
		"key reused":       {fmt.Errorf("%w: %w", storage.ErrKeyReused, hidden), 422, "idempotency_key_reused", "", false},
		"cursor":           {fmt.Errorf("%w: %w", wallet.ErrCursor, hidden), 400, "invalid_request", "", false},
		"too large":        {fmt.Errorf("%w: %w", &http.MaxBytesError{Limit: 1}, hidden), 413, "body_too_large", "", false},
		"refusal":          {fmt.Errorf("%w: %w", &wallet.Refusal{Code: wallet.CodeSameWallet, Detail: "d"}, hidden), 422, "same_wallet", "", false},
		"problem":          {&problem.Problem{Code: problem.InvalidRequest, Detail: "d", Cause: hidden}, 400, "invalid_request", "", false},
		"retry rounded up": {&problem.Problem{Code: problem.WalletBusy, RetryAfter: 1500 * time.Millisecond, Cause: hidden}, 423, "wallet_busy", "2", false},
		"unknown code":     {&problem.Problem{Code: "surprise", Cause: hidden}, 500, "internal", "", true},
		"unknown":          {hidden, 500, "internal", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, log := serve(t, fmt.Errorf("handler: %w", c.err))
			var got struct {
				Type, Title, Detail, Code string
				Status                    int
				RequestID                 string `json:"request_id"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != c.status || got.Status != c.status || got.Code != c.code || got.Type != "urn:tallystick:problem:"+c.code || got.Title == "" {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, c.status, c.code)
			}
			if w.Header().Get("Content-Type") != problem.ContentType || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Retry-After") != c.retry {
				t.Errorf("header: %v", w.Header())
			}
			if strings.Contains(w.Body.String(), private) {
				t.Errorf("the cause is in the body: %s", w.Body)
			}
			if strings.Contains(log, private) != c.logged || (got.RequestID == "req-9") != (c.status >= 500) {
				t.Errorf("request id %q, log %q", got.RequestID, log)
			}
		})
	}
}

func TestAnEndedSessionIsAnsweredByTheGuard(t *testing.T) {
	t.Parallel()
	ended := &storage.EndedError{End: storage.End{
		Reason: storage.Superseded, At: time.Unix(1, 0), By: &storage.Superseder{Terminal: storage.Mobile, DeviceName: "phone", At: time.Unix(1, 0)},
	}}
	w, _ := serve(t, fmt.Errorf("post: %w", ended))
	if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") || !strings.Contains(w.Body.String(), `"reason":"superseded"`) {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if strings.Contains(w.Body.String(), "later handler") {
		t.Error("the chain went on")
	}
}

func TestAnAnswerThatHasBegunIsCutAndNotWrittenOver(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	rd := problem.NewRenderer(problem.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	r := gin.New()
	r.GET("/x", rd.Handle(func(c *gin.Context) error {
		c.String(http.StatusOK, "begun")
		return errors.New(private)
	}))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("the handler panicked with %v", err)
			}
		}()
		r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
	}()
	if w.Code != http.StatusOK || w.Body.String() != "begun" || !strings.Contains(log.String(), private) {
		t.Errorf("got %d %q, log %q", w.Code, w.Body, log.String())
	}
}

func TestARecordedRefusalIsWhatIsAnswered(t *testing.T) {
	t.Parallel()
	r := &wallet.Refusal{Code: wallet.CodeInsufficientFunds, Detail: `"quoted" <&>`}
	w, _ := serve(t, r)
	if diff := cmp.Diff(string(problem.Recorded(r)), w.Body.String()); diff != "" {
		t.Errorf("recorded and answered (-recorded +answered):\n%s", diff)
	}
}

func TestAProblemKeepsItsCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	p := &problem.Problem{Code: problem.InvalidRequest, Detail: "d", Cause: cause}
	if !errors.Is(p, cause) || !strings.Contains(p.Error(), "cause") || problem.New(problem.NotFound, "d").Error() != "not_found: d" {
		t.Errorf("got %v", p)
	}
}
