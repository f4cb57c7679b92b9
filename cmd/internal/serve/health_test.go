package serve_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/cmd/internal/serve"
)

type answer struct {
	Code   int
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

func ready(t *testing.T, e *gin.Engine) answer {
	t.Helper()
	w := send(e, get("/readyz"))
	a := answer{Code: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return a
}

func health(t *testing.T, details bool, checks map[string]serve.Check) (*gin.Engine, *serve.Health, *journal) {
	t.Helper()
	e, j := engine(t, nil)
	h, err := serve.NewHealth(checks, slog.New(slog.NewJSONHandler(j, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	e.GET("/healthz", h.Alive)
	e.GET("/readyz", h.Ready(details))
	return e, h, j
}

func ok(context.Context) error    { return nil }
func wrong(context.Context) error { return errors.New("dial tcp 10.1.2.3: refused") }

func TestReadiness(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		database, redis func(context.Context) error
		want            answer
	}{
		"all there":             {ok, ok, answer{200, "ready", map[string]string{"database": "ok", "redis": "ok"}}},
		"redis away":            {ok, wrong, answer{200, "degraded", map[string]string{"database": "ok", "redis": "failed"}}},
		"database away":         {wrong, ok, answer{503, "unready", map[string]string{"database": "failed", "redis": "ok"}}},
		"both away":             {wrong, wrong, answer{503, "unready", map[string]string{"database": "failed", "redis": "failed"}}},
		"a check never returns": {ended, ok, answer{503, "unready", map[string]string{"database": "failed", "redis": "ok"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				checks := map[string]serve.Check{"database": {Required: true, Probe: c.database}, "redis": {Probe: c.redis}}
				e, _, _ := health(t, true, checks)
				if diff := cmp.Diff(c.want, ready(t, e)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
				brief, _, _ := health(t, false, checks)
				c.want.Checks = nil
				if diff := cmp.Diff(c.want, ready(t, brief)); diff != "" {
					t.Errorf("without details (-want +got)\n%s", diff)
				}
			})
		})
	}
}

func TestAliveAsksNobody(t *testing.T) {
	t.Parallel()
	e, h, _ := health(t, true, map[string]serve.Check{"database": {Required: true, Probe: func(context.Context) error {
		t.Error("asked")
		return nil
	}}})
	h.Leave()
	if w := send(e, get("/healthz")); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}

func TestChecksRunOnceASecondHoweverManyAsk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		e, _, _ := health(t, true, map[string]serve.Check{"database": {Probe: func(context.Context) error { runs.Add(1); return nil }}})
		ask := func() {
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() { send(e, get("/readyz")) })
			}
			all.Wait()
		}
		ask()
		time.Sleep(999 * time.Millisecond) // of the bubble's clock
		ask()
		if got := runs.Load(); got != 1 {
			t.Errorf("ran %d times within a second", got)
		}
		time.Sleep(2 * time.Millisecond)
		ask()
		if got := runs.Load(); got != 2 {
			t.Errorf("ran %d times in all", got)
		}
	})
}

func TestOneWhoHangsUpDoesNotSpoilTheResult(t *testing.T) {
	t.Parallel()
	e, _, _ := health(t, true, map[string]serve.Check{"database": {Required: true, Probe: func(ctx context.Context) error { return ctx.Err() }}})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	send(e, get("/readyz").WithContext(gone))
	if got := ready(t, e); got.Code != http.StatusOK {
		t.Errorf("%+v", got)
	}
}

func TestLeavingIsUnready(t *testing.T) {
	t.Parallel()
	e, h, _ := health(t, true, nil)
	h.Leave()
	if diff := cmp.Diff(answer{Code: 503, Status: "leaving"}, ready(t, e)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOnlyChangesOfReadinessAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		e, _, j := health(t, true, map[string]serve.Check{"database": {Required: true, Probe: func(context.Context) error {
			if away.Load() {
				return errors.New("away")
			}
			return nil
		}}})
		for _, is := range []bool{false, false, true, true, false} {
			away.Store(is)
			ready(t, e)
			time.Sleep(2 * time.Second)
		}
		var got []any
		for _, r := range j.records(t, "readiness changed") {
			got = append(got, r["to"])
		}
		if diff := cmp.Diff([]any{"unready", "ready"}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
