package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tallystick/tallystick/cmd/internal/serve"
)

// journal collects log lines.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// records returns the lines with the given message.
func (j *journal) records(t *testing.T, msg string) []map[string]any {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []map[string]any
	for line := range strings.Lines(j.b.String()) {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if m["msg"] == msg {
			out = append(out, m)
		}
	}
	return out
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func engine(t *testing.T, change func(*serve.Options)) (*gin.Engine, *journal) {
	t.Helper()
	j := &journal{}
	o := serve.Options{Log: slog.New(slog.NewJSONHandler(j, nil)), RequestTimeout: time.Minute}
	if change != nil {
		change(&o)
	}
	e, err := serve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e, j
}

func send(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

func TestRequestID(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sent string
		kept bool
	}{
		"a sane one is kept":        {"Req-1.a_B", true},
		"64 characters are kept":    {strings.Repeat("a", 64), true},
		"65 characters are not":     {strings.Repeat("a", 65), false},
		"none gets a new one":       {"", false},
		"a space is not sane":       {"a b", false},
		"a quote is not sane":       {`a"b`, false},
		"a line break is not sane":  {"a\nb", false},
		"other letters are not too": {"é", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, j := engine(t, nil)
			var seen string
			e.GET("/x", func(c *gin.Context) { seen = serve.RequestID(c.Request.Context()); c.Status(http.StatusNoContent) })
			r := get("/x")
			r.Header.Set(serve.HeaderRequestID, c.sent)
			w := send(e, r)
			echoed := w.Header().Get(serve.HeaderRequestID)
			if echoed != seen || echoed == "" {
				t.Errorf("the answer says %q, the handler saw %q", echoed, seen)
			}
			if got := echoed == c.sent; got != c.kept {
				t.Errorf("sent %q, got %q", c.sent, echoed)
			}
			if !c.kept && len(echoed) != 32 {
				t.Errorf("a new one is %q", echoed)
			}
			if got := j.records(t, "request")[0]["request_id"]; got != seen {
				t.Errorf("the record says %v", got)
			}
		})
	}
	if got := serve.RequestID(t.Context()); got != "" {
		t.Errorf("outside of a request: %q", got)
	}
	serve.RecordOf(t.Context()).Client = "nobody reads this, and nothing breaks"
}

func TestAccessRecord(t *testing.T) {
	t.Parallel()
	clock := time.Unix(1000, 0)
	e, j := engine(t, func(o *serve.Options) {
		o.Now = func() time.Time { clock = clock.Add(time.Millisecond); return clock }
		o.Describe = func(c *gin.Context, r *serve.Record) { r.Terminal = c.GetString("terminal") }
	})
	e.GET("/v1/things/:id", func(c *gin.Context) {
		r := serve.RecordOf(c.Request.Context())
		r.Client, r.Subject, r.Session, r.Product, r.Reason = "shop", "u1", "s1", "music", "superseded"
		c.Set("terminal", "mobile")
		c.String(http.StatusUnauthorized, "no!")
	})
	r := get("/v1/things/secret-path?token=secret-query")
	r.Header.Set(serve.HeaderRequestID, "r1")
	r.Header.Set("Authorization", "Bearer secret-header")
	send(e, r)
	want := map[string]any{
		"level": "INFO", "msg": "request", "request_id": "r1", "method": "GET", "route": "/v1/things/:id", "status": 401.0,
		"latency": 1e6, "bytes": 3.0, "client_id": "shop", "sub": "u1", "sid": "s1", "product": "music", "terminal": "mobile",
		"reason": "superseded",
	}
	got := j.records(t, "request")
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	delete(got[0], "time")
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if strings.Contains(j.String(), "secret") {
		t.Errorf("the log shows what it must not: %s", j)
	}
}

func TestAccessRecordOfNoRouteNamesNoPath(t *testing.T) {
	t.Parallel()
	e, j := engine(t, nil)
	w := send(e, get("/nowhere/secret"))
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `"error":"not_found"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := j.records(t, "request"); len(got) != 1 || got[0]["route"] != "" {
		t.Errorf("records: %v", got)
	}
}

func TestOtherMethodIsRefusedWithAllow(t *testing.T) {
	t.Parallel()
	e, _ := engine(t, nil)
	e.GET("/x", func(*gin.Context) {})
	w := send(e, httptest.NewRequest(http.MethodPost, "/x", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET" {
		t.Errorf("%d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestPanicIsA500WithoutItsText(t *testing.T) {
	t.Parallel()
	e, j := engine(t, nil)
	e.GET("/x", func(*gin.Context) { panic("secret of the database") })
	w := send(e, get("/x"))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), `"error":"server_error"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("the answer shows the panic: %s", w.Body)
	}
	panics, requests := j.records(t, "panic"), j.records(t, "request")
	if len(panics) != 1 || panics[0]["err"] != "secret of the database" || !strings.Contains(panics[0]["stack"].(string), "engine_test.go") {
		t.Errorf("the log has %v", panics)
	}
	if len(requests) != 1 || requests[0]["status"] != 500.0 || requests[0]["level"] != "WARN" || requests[0]["request_id"] != panics[0]["request_id"] {
		t.Errorf("the record is %v", requests)
	}
}

func TestPanicInTheMiddleOfAnAnswerCutsTheConnection(t *testing.T) {
	t.Parallel()
	e, j := engine(t, nil)
	e.GET("/x", func(c *gin.Context) {
		c.Header("Content-Length", "10")
		c.String(http.StatusOK, "half ")
		c.Writer.Flush()
		panic("late")
	})
	s := httptest.NewUnstartedServer(e)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	defer s.Close()
	answer, err := s.Client().Get(s.URL + "/x")
	if err == nil {
		_, err = io.ReadAll(answer.Body)
		answer.Body.Close()
	}
	if err == nil {
		t.Error("the client takes half an answer for a whole one")
	}
	s.Close() // waits for the handler
	if got := j.records(t, "request"); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
}

func TestAbortOnPurposeIsNoPanicInTheLog(t *testing.T) {
	t.Parallel()
	e, j := engine(t, nil)
	e.GET("/x", func(*gin.Context) { panic(http.ErrAbortHandler) })
	func() {
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("recovered %v", err)
			}
		}()
		send(e, get("/x"))
	}()
	if len(j.records(t, "panic")) != 0 || len(j.records(t, "request")) != 1 {
		t.Errorf("log: %s", j)
	}
}

func TestSecurityHeadersAreOnEveryAnswer(t *testing.T) {
	t.Parallel()
	e, _ := engine(t, func(o *serve.Options) { o.HTTPS = true })
	e.GET("/x", func(c *gin.Context) { c.Status(http.StatusOK) })
	e.GET("/panic", func(*gin.Context) { panic("x") })
	e.POST("/x", func(c *gin.Context) { c.Status(http.StatusOK) })
	large := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(strings.Repeat("x", 1<<20)))
	for _, r := range []*http.Request{get("/x"), get("/panic"), get("/none"), large} {
		w := send(e, r)
		for name, want := range map[string]string{
			"X-Content-Type-Options":    "nosniff",
			"X-Frame-Options":           "DENY",
			"Referrer-Policy":           "no-referrer",
			"Content-Security-Policy":   "default-src 'none'; frame-ancestors 'none'",
			"Strict-Transport-Security": "max-age=31536000",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%d: %s is %q", w.Code, name, got)
			}
		}
	}
	plain, _ := engine(t, nil)
	if got := send(plain, get("/x")).Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("over plain HTTP: %q", got)
	}
}

func TestOneAnswersHeadersAreNotAnothers(t *testing.T) {
	t.Parallel()
	e, _ := engine(t, nil)
	e.GET("/adds", func(c *gin.Context) { c.Writer.Header().Add("Referrer-Policy", "origin") })
	e.GET("/x", func(*gin.Context) {})
	send(e, get("/adds"))
	if got := send(e, get("/x")).Header().Values("Referrer-Policy"); len(got) != 1 {
		t.Errorf("the header of one answer shows in the next: %q", got)
	}
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	const limit = serve.DefaultMaxBody
	for name, c := range map[string]struct {
		size    int
		chunked bool
		status  int
	}{
		"at the limit, declared":   {limit, false, http.StatusOK},
		"over the limit, declared": {limit + 1, false, http.StatusRequestEntityTooLarge},
		"at the limit, chunked":    {limit, true, http.StatusOK},
		"over the limit, chunked":  {limit + 1, true, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := engine(t, nil)
			e.POST("/x", func(c *gin.Context) {
				b, err := io.ReadAll(c.Request.Body)
				if err == nil {
					c.String(http.StatusOK, "%d", len(b))
				}
			})
			s := httptest.NewServer(e)
			defer s.Close()
			var body io.Reader = strings.NewReader(strings.Repeat("x", c.size))
			if c.chunked {
				body = io.MultiReader(body) // of unknown length
			}
			answer, err := s.Client().Post(s.URL+"/x", "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != c.status {
				t.Errorf("%d", answer.StatusCode)
			}
		})
	}
}

func TestHandlerMayAnswerATooLongBodyItself(t *testing.T) {
	t.Parallel()
	e, _ := engine(t, nil)
	e.POST("/x", func(c *gin.Context) {
		_, err := io.ReadAll(c.Request.Body)
		if _, is := errors.AsType[*http.MaxBytesError](err); is {
			c.String(http.StatusRequestEntityTooLarge, "mine")
		}
	})
	r := httptest.NewRequest(http.MethodPost, "/x", io.MultiReader(strings.NewReader(strings.Repeat("x", serve.DefaultMaxBody+1))))
	if w := send(e, r); w.Body.String() != "mine" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _ := engine(t, func(o *serve.Options) { o.RequestTimeout = 3 * time.Second })
		e.GET("/slow", func(c *gin.Context) { <-c.Request.Context().Done() })
		e.GET("/answers", func(c *gin.Context) { <-c.Request.Context().Done(); c.String(http.StatusTeapot, "late but whole") })
		start := time.Now()
		w := send(e, get("/slow"))
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("took %s", got)
		}
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "temporarily_unavailable") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := send(e, get("/answers")); w.Code != http.StatusTeapot {
			t.Errorf("an answer is replaced: %d", w.Code)
		}
	})
}

func TestStreamsHaveNoDeadline(t *testing.T) {
	t.Parallel()
	e, _ := engine(t, func(o *serve.Options) {
		o.Streams = []serve.Stream{{Method: "GET", Route: "/events/:id"}, {Method: "GET", Route: "/entries", Accept: "text/csv"}}
	})
	tell := func(c *gin.Context) {
		_, has := c.Request.Context().Deadline()
		c.String(http.StatusOK, "%t", has)
	}
	e.GET("/events/:id", tell)
	e.POST("/events/:id", tell)
	e.GET("/entries", tell)
	csv := get("/entries")
	csv.Header.Set("Accept", "text/csv;q=0.9")
	for _, c := range []struct {
		r    *http.Request
		want string
	}{{get("/events/1"), "false"}, {httptest.NewRequest("POST", "/events/1", nil), "true"}, {get("/entries"), "true"}, {csv, "false"}} {
		if got := send(e, c.r).Body.String(); got != c.want {
			t.Errorf("%s %s: has a deadline: %s", c.r.Method, c.r.URL, got)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted []string
		want    string
	}{
		"nobody by default": {nil, "192.0.2.1"},
		"the one named":     {[]string{"192.0.2.0/24"}, "203.0.113.9"},
		"not another":       {[]string{"10.0.0.0/8"}, "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := engine(t, func(o *serve.Options) { o.TrustedProxies = c.trusted })
			e.GET("/x", func(c *gin.Context) { c.String(http.StatusOK, c.ClientIP()) })
			r := get("/x") // from 192.0.2.1
			r.Header.Set("X-Forwarded-For", "203.0.113.9")
			if got := send(e, r).Body.String(); got != c.want {
				t.Errorf("client is %s, want %s", got, c.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	registry := prometheus.NewRegistry()
	for name, o := range map[string]serve.Options{
		"no log":       {RequestTimeout: time.Second},
		"no timeout":   {Log: log},
		"no addresses": {Log: log, RequestTimeout: time.Second, TrustedProxies: []string{"everyone"}},
	} {
		if _, err := serve.New(o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	o := serve.Options{Log: log, RequestTimeout: time.Second, Metrics: registry}
	if _, err := serve.New(o); err != nil {
		t.Fatal(err)
	}
	if _, err := serve.New(o); err == nil {
		t.Error("two engines share a histogram")
	}
}

func TestMetricsCountByRoute(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	e, _ := engine(t, func(o *serve.Options) {
		o.Metrics = registry
		o.Streams = []serve.Stream{{Method: "GET", Route: "/stream"}}
	})
	e.GET("/v1/things/:id", func(*gin.Context) {})
	e.GET("/stream", func(*gin.Context) {})
	e.GET("/metrics", serve.Metrics(registry))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { send(e, get("/v1/things/1")) })
		all.Go(func() { send(e, get("/v1/things/2")) })
	}
	all.Wait()
	send(e, get("/stream"))
	send(e, get("/a"))
	send(e, httptest.NewRequest("BREW", "/b", nil))
	got := send(e, get("/metrics")).Body.String()
	for _, want := range []string{
		`tallystick_http_request_duration_seconds_count{method="GET",route="/v1/things/:id",status="200"} 40`,
		`tallystick_http_request_duration_seconds_count{method="GET",route="none",status="404"} 1`,
		`tallystick_http_request_duration_seconds_count{method="OTHER",route="none",status="404"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no line %s", want)
		}
	}
	for _, not := range []string{"BREW", "/stream", "things/1"} {
		if strings.Contains(got, not) {
			t.Errorf("%s is in the metrics", not)
		}
	}
}

// ended waits until ctx ends.
func ended(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}
