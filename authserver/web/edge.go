package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

const contentJSON = "application/json; charset=utf-8"

// Config is what an [Edge] needs.
type Config struct {
	// Log takes the causes of failures; nil for none.
	Log *slog.Logger
	// RequestID tells the id of the request of a context; nil if requests have none.
	RequestID func(context.Context) string
}

// Edge adapts the handlers of the rooms to Gin.
type Edge struct {
	log       *slog.Logger
	requestID func(context.Context) string
}

// New makes an Edge.
func New(cfg Config) *Edge {
	e := &Edge{log: cfg.Log, requestID: cfg.RequestID}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.requestID == nil {
		e.requestID = func(context.Context) string { return "" }
	}
	return e
}

// Handle turns a room's failing handler into a Gin handler. It is the only writer of error bodies:
// rooms return errors, they never render them.
func (e *Edge) Handle(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			e.refuse(c, err)
		}
	}
}

// NotFound answers requests for which there is no route.
func (e *Edge) NotFound() gin.HandlerFunc {
	return e.Handle(func(*gin.Context) error {
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "there is nothing at this path", HTTPStatus: http.StatusNotFound}
	})
}

// NotAllowed answers requests whose method the route does not know. Gin has set Allow by then.
func (e *Edge) NotAllowed() gin.HandlerFunc {
	return e.Handle(func(*gin.Context) error {
		return &oauth.Error{Code: oauth.InvalidRequest, Description: "this path does not take that method", HTTPStatus: http.StatusMethodNotAllowed}
	})
}

func (e *Edge) refuse(c *gin.Context, err error) {
	refusal := presented(err)
	e.record(c, refusal, err)
	if c.Writer.Written() {
		c.Abort()
		return
	}
	body, err := json.Marshal(refusal)
	if err != nil { // an oauth.Error is made of strings and a time
		body = []byte(`{"error":"server_error"}`)
	}
	NoStore(c)
	if refusal.RetryAfter > 0 {
		c.Header("Retry-After", strconv.FormatInt(int64(math.Ceil(refusal.RetryAfter.Seconds())), 10))
	}
	if refusal.Code == oauth.InvalidClient && refusal.Challenge {
		c.Header("WWW-Authenticate", `Basic realm="tallystick", charset="UTF-8"`)
	}
	c.Data(refusal.Status(), contentJSON, body)
	c.Abort()
}

// RefusalOf says what a client sees of an error: for those who answer otherwise than over HTTP. The caller
// must not change it.
func RefusalOf(err error) *oauth.Error { return presented(err) }

// presented is the one table from errors to what a client sees of them.
func presented(err error) *oauth.Error {
	if refusal, ok := errors.AsType[*oauth.Error](err); ok {
		return refusal
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(err)
	}
	for _, passing := range []error{storage.ErrUnavailable, storage.ErrBusy, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, passing) {
			return oauth.Unavailable(err)
		}
	}
	return oauth.ServerError(err)
}

func (e *Edge) record(c *gin.Context, refusal *oauth.Error, err error) {
	ctx := c.Request.Context()
	level := slog.LevelDebug
	if refusal.Status() >= http.StatusInternalServerError {
		level = slog.LevelError
		if errors.Is(ctx.Err(), context.Canceled) {
			level = slog.LevelDebug // the client went away; nobody reads the answer
		} else if refusal.Code == oauth.TemporarilyUnavailable {
			level = slog.LevelWarn
		}
	}
	if !e.log.Enabled(ctx, level) {
		return
	}
	e.log.LogAttrs(ctx, level, "request refused", slog.String("request_id", e.requestID(ctx)),
		slog.String("route", c.FullPath()), slog.Int("status", refusal.Status()), slog.Any("err", err))
}

// NoStore keeps an answer out of every cache (RFC 6749 §5.1).
func NoStore(c *gin.Context) {
	h := c.Writer.Header()
	h["Cache-Control"] = noStore
	h["Pragma"] = noCache
}

// Shared and never changed: net/http only reads header values.
var (
	noStore = []string{"no-store"}
	noCache = []string{"no-cache"}
)

// JSON writes an answer that no cache may keep.
func JSON(c *gin.Context, status int, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	NoStore(c)
	c.Data(status, contentJSON, body)
	return nil
}

// Document serves an answer that is the same for everyone and may be cached: it sends 304 to those
// who have it already (RFC 9110 §13.1.2).
func Document(c *gin.Context, body []byte, etag string, maxAge time.Duration) {
	c.Header("ETag", etag)
	c.Header("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
	if matches(c.GetHeader("If-None-Match"), etag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return
	}
	c.Data(http.StatusOK, contentJSON, body)
}
