package events

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// Scope is what a token must grant to watch.
const Scope = "sessions:watch"

const (
	// DefaultBeat is the longest pause between two messages.
	DefaultBeat = 250 * time.Millisecond
	// DefaultWriteTime is how long a reader may take to read what is written at once.
	DefaultWriteTime = 5 * time.Second
	// maxSnapshots is how many streams read from SQL at once, at their beginning; more wait.
	maxSnapshots = 4
	// snapshotWait is how long a stream waits for its turn to begin.
	snapshotWait = 10 * time.Second
	// snapshotTime bounds the beginning of a stream.
	snapshotTime = 2 * time.Minute
	// fullAfter is when a client that has too many streams, or finds the process full, should come again.
	fullAfter = 5 * time.Second
)

// Guard lets watchers in, and says whether one that was let in still stands. [guard.Guard] is one.
type Guard interface {
	Admit(need guard.Need) gin.HandlerFunc
	Standing(ctx context.Context, p guard.Principal) error
}

// Config is what an [Endpoint] needs. Hub, Feed and Guard are required.
type Config struct {
	Hub   *Hub
	Feed  storage.Feed
	Guard Guard
	// Beat is the longest pause between two messages, WriteTime how long a reader may take to read what
	// is written at once; 0 for the defaults.
	Beat, WriteTime time.Duration
}

// Endpoint serves the streams of a hub.
type Endpoint struct {
	hub       *Hub
	feed      storage.Feed
	guard     Guard
	beat      time.Duration
	writeTime time.Duration
	snapshots chan struct{}
}

// New makes the endpoint.
func New(c Config) (*Endpoint, error) {
	if c.Hub == nil || c.Feed == nil || c.Guard == nil {
		return nil, errors.New("events: the hub, the feed and the guard are needed")
	}
	if c.Beat < 0 || c.WriteTime < 0 {
		return nil, errors.New("events: times must not be negative")
	}
	e := &Endpoint{
		hub: c.Hub, feed: c.Feed, guard: c.Guard, beat: c.Beat, writeTime: c.WriteTime, snapshots: make(chan struct{}, maxSnapshots),
	}
	if e.beat == 0 {
		e.beat = DefaultBeat
	}
	if e.writeTime == 0 {
		e.writeTime = DefaultWriteTime
	}
	return e, nil
}

// Admit lets in who may watch.
func (e *Endpoint) Admit() gin.HandlerFunc {
	return e.guard.Admit(guard.Need{Scopes: []string{Scope}, Holder: guard.ClientToken, Strict: true})
}

// Watch serves a stream until its reader leaves, is too slow, or may not watch any more, or the server
// stops. It stands behind [Endpoint.Admit].
func (e *Endpoint) Watch(c *gin.Context) error {
	received := e.hub.now()
	ctx := c.Request.Context()
	p, ok := guard.From(ctx)
	if !ok {
		return oauth.ServerError(errors.New("session events are not guarded"))
	}
	w, err := e.hub.join(&p, received)
	if err != nil {
		return full(err)
	}
	defer e.hub.leave(w)
	// What ended between the guard's check and the registration was told to the guard, not to w.
	if err := e.guard.Standing(ctx, p); err != nil {
		guard.Refuse(c.Writer, c.Request, err)
		c.Abort()
		return nil
	}
	if err := e.turn(ctx); err != nil {
		return err
	}
	start, err := e.begin(ctx, c.GetHeader("Last-Event-ID"))
	if err != nil {
		e.done()
		return err
	}
	s := e.open(c, w, received)
	why := s.run(ctx, &p, start)
	e.hub.metrics.finished.WithLabelValues(why).Inc() // stopping: or the reader left, which looks the same
	if why == whySlow {
		e.hub.log.WarnContext(ctx, "a reader of session events was too slow and was cut off", "client_id", p.Client)
	}
	return nil
}

func full(err error) error {
	if errors.Is(err, errMany) {
		return &oauth.Error{
			Code: oauth.SlowDown, Description: "this client has as many streams open as it may; close some",
			HTTPStatus: http.StatusTooManyRequests, RetryAfter: fullAfter, Cause: err,
		}
	}
	busy := oauth.Unavailable(err)
	busy.RetryAfter = fullAfter
	return busy
}

// turn waits until this stream may read from SQL; done gives the place back.
func (e *Endpoint) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	select {
	case e.snapshots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return oauth.Unavailable(ctx.Err())
	}
}

func (e *Endpoint) done() { <-e.snapshots }

// open sends the header of the answer.
func (e *Endpoint) open(c *gin.Context, w *watcher, received time.Time) *stream {
	web.NoStore(c)
	c.Header("Content-Type", "text/event-stream; charset=utf-8")
	c.Header("X-Accel-Buffering", "no") // proxies that collect answers are told not to
	c.Status(http.StatusOK)
	return &stream{
		endpoint: e, watcher: w, received: received,
		out: &sender{w: c.Writer, control: http.NewResponseController(c.Writer), time: e.writeTime},
	}
}
