package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// record writes the access record after the answer, also when the handler panics through recovery to
// cut the connection.
func record(log *slog.Logger, requests *requests, describe func(*gin.Context, *Record), now func() time.Time) gin.HandlerFunc {
	handler := log.Handler()
	return func(c *gin.Context) {
		start := now()
		r := requestOf(c.Request.Context())
		defer func() {
			end := now()
			latency := end.Sub(start)
			if describe != nil {
				describe(c, &r.record)
			}
			if !r.record.stream {
				requests.observe(c.Request.Method, c.FullPath(), c.Writer.Status(), latency)
			}
			r.write(c.Request.Context(), c, handler, end, latency)
		}()
		c.Next()
	}
}

// maxAttrs is how many fields an access record can have.
const maxAttrs = 12

// write hands the record to the handler of the log itself: a logger would look for the line of source
// that calls it, which is always this one.
func (r *request) write(ctx context.Context, c *gin.Context, h slog.Handler, at time.Time, latency time.Duration) {
	status, level := c.Writer.Status(), slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	if !h.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, maxAttrs),
		slog.String("request_id", r.id[0]),
		slog.String("method", c.Request.Method),
		slog.String("route", c.FullPath()),
		slog.Int("status", status),
		slog.Duration("latency", latency),
		slog.Int("bytes", max(c.Writer.Size(), 0)),
	)
	for _, f := range [...]struct{ key, value string }{
		{"client_id", r.record.Client}, {"sub", r.record.Subject}, {"sid", r.record.Session},
		{"product", r.record.Product}, {"terminal", r.record.Terminal}, {"reason", r.record.Reason},
	} {
		if f.value != "" {
			attrs = append(attrs, slog.String(f.key, f.value))
		}
	}
	line := slog.NewRecord(at, level, "request", 0)
	line.AddAttrs(attrs...)
	_ = h.Handle(ctx, line) // a log that cannot be written tells it when it is closed
}

// recovery turns a panic into 500 server_error. Where the answer has begun, the connection is cut, so
// that no client takes half an answer for a whole one.
func recovery(log *slog.Logger) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, is := p.(error); is && errors.Is(err, http.ErrAbortHandler) {
				panic(http.ErrAbortHandler) // a handler that cuts the connection on purpose
			}
			log.ErrorContext(c.Request.Context(), "panic", "request_id", RequestID(c.Request.Context()),
				"route", c.FullPath(), "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			if c.Writer.Written() {
				panic(http.ErrAbortHandler)
			}
			refuse(c, http.StatusInternalServerError, "server_error", "the server failed; the request id finds the reason in its log")
		}()
		c.Next()
	}
}

// headers sets what every answer has. A page that needs a policy of its own replaces the value.
func headers(https bool) gin.HandlerFunc {
	fixed := map[string][]string{
		"X-Content-Type-Options":  {"nosniff"},
		"X-Frame-Options":         {"DENY"},
		"Referrer-Policy":         {"no-referrer"},
		"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'"},
	}
	if https {
		fixed["Strict-Transport-Security"] = []string{"max-age=31536000"}
	}
	type header struct {
		name  string
		value []string
	}
	list := make([]header, 0, len(fixed))
	for name, value := range fixed {
		list = append(list, header{name, value[:1:1]}) // no room: an Add copies instead of writing to ours
	}
	return func(c *gin.Context) {
		h := c.Writer.Header()
		for _, one := range list {
			h[one.name] = one.value
		}
		c.Next()
	}
}

// deadline bounds the time of a request, and marks streams, which have none.
func deadline(timeout time.Duration, streams []Stream) gin.HandlerFunc {
	accepts := map[[2]string][]string{}
	for _, s := range streams {
		at := [2]string{s.Method, s.Route}
		accepts[at] = append(accepts[at], s.Accept)
	}
	return func(c *gin.Context) {
		if isStream(c, accepts[[2]string{c.Request.Method, c.FullPath()}]) {
			stream(c)
			return
		}
		r := requestOf(c.Request.Context())
		r.within(timeout)
		c.Next()
		if !c.Writer.Written() && errors.Is(r.Err(), context.DeadlineExceeded) {
			c.Header("Retry-After", "1")
			refuse(c, http.StatusServiceUnavailable, "temporarily_unavailable", "the answer took too long; try again")
		}
	}
}

func isStream(c *gin.Context, accepts []string) bool {
	for _, a := range accepts {
		if a == "" || strings.Contains(c.GetHeader("Accept"), a) {
			return true
		}
	}
	return false
}

// stream lets a request run until its client leaves or the server begins to stop.
func stream(c *gin.Context) {
	RecordOf(c.Request.Context()).stream = true
	ctx, leave, open := drainOf(c.Request.Context()).enter(c.Request.Context())
	if !open {
		c.Header("Retry-After", "1")
		refuse(c, http.StatusServiceUnavailable, "temporarily_unavailable", "this server is stopping; try again")
		return
	}
	defer leave()
	control := http.NewResponseController(c.Writer)
	_ = control.SetWriteDeadline(time.Time{}) // a writer without deadlines, as in tests, has none to lift
	_ = control.SetReadDeadline(time.Time{})
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}

// limitBody refuses what is longer than limit.
func limitBody(limit int64) gin.HandlerFunc {
	text := fmt.Sprintf("the request body is over %d bytes", limit)
	return func(c *gin.Context) {
		switch length := c.Request.ContentLength; {
		case length > limit:
			c.Header("Connection", "close") // the body is not read
			refuse(c, http.StatusRequestEntityTooLarge, "invalid_request", text)
		case length >= 0:
			c.Next() // net/http holds the body to its declared length
		default:
			body := &bounded{ReadCloser: http.MaxBytesReader(c.Writer, c.Request.Body, limit)}
			c.Request.Body = body
			c.Next()
			if body.over && !c.Writer.Written() {
				refuse(c, http.StatusRequestEntityTooLarge, "invalid_request", text)
			}
		}
	}
}

// bounded notes that a body of unknown length was over the limit.
type bounded struct {
	io.ReadCloser

	over bool
}

// Read implements io.Reader. Its error is *http.MaxBytesError, for handlers that answer themselves.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		b.over = true
	}
	return n, err
}
