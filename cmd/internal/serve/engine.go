package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// DefaultMaxBody bounds request bodies where nothing is said: 64 KiB.
const DefaultMaxBody = 64 << 10

// Options are what the engine needs to know.
type Options struct {
	Log *slog.Logger
	// Metrics is where the histogram of requests is registered; nil for nowhere.
	Metrics prometheus.Registerer
	// TrustedProxies are the addresses and networks whose X-Forwarded-For is believed.
	TrustedProxies []string
	// RequestTimeout is the deadline of requests that are no streams. It must be above zero.
	RequestTimeout time.Duration
	// MaxBody bounds request bodies in bytes; 0 means [DefaultMaxBody].
	MaxBody int64
	// Streams are the routes without a deadline.
	Streams []Stream
	// CrossOrigin says which pages of other origins may call; none by default.
	CrossOrigin CrossOrigin
	// HTTPS adds Strict-Transport-Security.
	HTTPS bool
	// Describe, if not nil, is called after the handler to fill the access record from what the rooms
	// left in the context of the request. It must not keep the Gin context.
	Describe func(c *gin.Context, r *Record)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Stream names a route that answers for as long as its client stays: server-sent events, a WebSocket,
// a download of any length. It has no deadline and no write timeout; its context ends when the server
// begins to stop.
type Stream struct {
	Method string
	Route  string // the template, such as /v1/session-events
	// Accept, if not empty, narrows the stream to requests whose Accept header names this type.
	Accept string
}

// step is one middleware with the name by which the order is pinned.
type step struct {
	name   string
	handle gin.HandlerFunc
}

// New returns the engine with its middleware. Routes may be added to it until it serves.
func New(o Options) (*gin.Engine, error) {
	if o.Log == nil {
		return nil, errors.New("serve: a logger is required")
	}
	if o.RequestTimeout <= 0 {
		return nil, errors.New("serve: a request timeout is required")
	}
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.MaxMultipartMemory = o.MaxBody
	e.ForwardedByClientIP = len(o.TrustedProxies) > 0
	if err := e.SetTrustedProxies(o.TrustedProxies); err != nil {
		return nil, fmt.Errorf("serve: trusted proxies: %w", err)
	}
	steps, err := o.steps()
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		e.Use(s.handle)
	}
	e.NoRoute(func(c *gin.Context) { refuse(c, http.StatusNotFound, "not_found", "there is no such endpoint") })
	e.NoMethod(func(c *gin.Context) {
		refuse(c, http.StatusMethodNotAllowed, "method_not_allowed", "the Allow header names the methods of this endpoint")
	})
	return e, nil
}

// steps is the order of the middleware. It is the only place that knows it.
func (o *Options) steps() ([]step, error) {
	requests, err := newRequests(o.Metrics)
	if err != nil {
		return nil, err
	}
	return []step{
		{"request id", identify()},
		{"access record", record(o.Log, requests, o.Describe, o.Now)},
		{"recovery", recovery(o.Log)},
		{"security headers", headers(o.HTTPS)},
		{"cross origin", crossOrigin(o.CrossOrigin)},
		{"deadline", deadline(o.RequestTimeout, o.Streams)},
		{"body limit", limitBody(o.MaxBody)},
	}, nil
}

// refusal is the body of the refusals that this package makes itself, in the shape of RFC 6749 §5.2.
type refusal struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	RequestID   string `json:"request_id"`
}

func refuse(c *gin.Context, status int, code, description string) {
	c.Header("Cache-Control", "no-store")
	c.AbortWithStatusJSON(status, refusal{Error: code, Description: description, RequestID: RequestID(c.Request.Context())})
}
