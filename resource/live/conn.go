package live

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/tallystick/tallystick/storage"
)

// The codes with which connections are closed, beside those of RFC 6455.
const (
	CloseEnded     websocket.StatusCode = 4001 // the session has ended
	CloseRate      websocket.StatusCode = 4008 // too many frames
	CloseReplaced  websocket.StatusCode = 4009 // a newer connection of the same user took its place
	CloseMalformed websocket.StatusCode = 4400 // too many frames that were not understood
	CloseNobody    websocket.StatusCode = 4401 // no sign-in in time
)

// The bounds of the pause that connections are asked to make before they come back to a server that stops,
// so that they do not all come at once.
const (
	leastPause = 500 * time.Millisecond
	mostPause  = 5 * time.Second
)

// recheck is how soon a session whose time is over is asked about again, when there was no telling how it
// ended.
const recheck = time.Second

// conn is one connection.
//
//	open ──► over ──► gone
//
// Open, it reads, answers and is told of ends. Over, its last frames are being written, then its close; what it
// sends is not looked at any more. Gone, nothing more begins, and whoever serves it waits for what runs.
type conn struct {
	live    *Live
	ws      *websocket.Conn
	id      string
	address string
	agent   string
	ctx     context.Context //nolint:containedctx // what is being answered ends with its connection.
	cancel  context.CancelFunc
	work    sync.WaitGroup
	heard   atomic.Bool // something came since the last ping was due

	// Of the reader alone.
	bucket    bucket
	malformed int

	mu       sync.Mutex
	seat     *seat // nil while nobody is signed in
	signing  bool  // a login or auth is under way
	inFlight int
	queue    [][]byte
	writing  bool // somebody writes the queue
	leaving  bool // the server stops
	over     bool
	gone     bool
	code     websocket.StatusCode
	reason   string
	why      string
	timer    *time.Timer
	signBy   time.Time
	expires  time.Time // of the seat, or when to ask again
	nextPing time.Time
}

func newConn(l *Live, ws *websocket.Conn, r *http.Request, address string) *conn {
	c := &conn{
		live: l, ws: ws, id: rand.Text(), address: address, agent: r.UserAgent(),
		bucket: bucket{perSecond: l.limits.Frames, burst: l.limits.Burst},
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(r.Context()))
	return c
}

// hello is the first frame.
type hello struct {
	Connection string   `json:"connection_id"`
	Version    int      `json:"v"`
	Types      []string `json:"types"`
	MaxFrame   int      `json:"max_frame"`
	PerSecond  int      `json:"frames_per_second"`
	InFlight   int      `json:"max_in_flight"`
	SignInTime int64    `json:"sign_in_within"`
}

// version is that of the wire format.
const version = 1

// run serves the connection until it is gone. stopping ends when the server begins to stop.
func (c *conn) run(stopping context.Context) {
	now, l := c.live.now(), &c.live.limits
	first, err := render(nil, typeHello, hello{
		c.id, version, c.live.types, l.MaxFrame, l.Frames, l.MaxInFlight, int64(l.SignInTime / time.Second),
	})
	if err != nil {
		c.live.log.Error("greet a connection", "err", err)
		_ = c.ws.CloseNow()
		return
	}
	c.mu.Lock()
	c.signBy = now.Add(l.SignInTime)
	c.nextPing = now.Add(l.PingEvery/2 + mathrand.N(l.PingEvery/2+1)) //nolint:gosec // G404: jitter.
	c.timer = time.AfterFunc(time.Hour, c.tick)
	c.schedule(now)
	c.push(first)
	c.mu.Unlock()
	forget := context.AfterFunc(stopping, c.leave)
	why := c.read() //nolint:contextcheck // answers have the context of the connection, which outlives the beginning of a stop.
	forget()
	c.finish(why)
}

// read takes frames until the connection breaks. It returns why.
func (c *conn) read() string {
	for {
		kind, data, err := c.ws.Read(context.Background())
		switch {
		case errors.Is(err, websocket.ErrMessageTooBig):
			return whyTooBig // the library has closed it with 1009
		case err != nil:
			return whyClient
		}
		c.heard.Store(true)
		if c.isOver() {
			continue // until the close is answered
		}
		switch {
		case kind != websocket.MessageText:
			c.shut(websocket.StatusUnsupportedData, "frames are text", whyBinary)
		case !c.bucket.take(c.live.now()):
			c.refuse(frame{}, slowDown("more than %d frames a second", c.live.limits.Frames))
			c.shut(CloseRate, "too many frames", whyRate)
		default:
			c.handle(data)
		}
	}
}

// finish ends what runs for a connection that is broken, and waits for it.
func (c *conn) finish(why string) {
	c.mu.Lock()
	c.gone = true
	s := c.seat
	c.seat = nil
	c.timer.Stop()
	c.mu.Unlock()
	c.live.seats.remove(s)
	c.cancel()
	_ = c.ws.CloseNow() // nobody is left to tell
	c.work.Wait()
	if c.why != "" { // the server's reason comes before what the reader saw of it; nobody changes it any more
		why = c.why
	}
	c.live.metrics.closed.WithLabelValues(why).Inc()
	if why == whySlow {
		c.live.log.Warn("a connection that did not read was dropped", "connection_id", c.id)
	}
}

func (c *conn) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// spawn runs f beside the reader, unless the connection is gone. The lock is held.
func (c *conn) spawn(f func()) {
	if !c.gone {
		c.work.Go(f)
	}
}

// send queues a frame.
func (c *conn) send(f []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(f)
}

// push queues a frame. One that finds the queue full drops the connection: nobody waits for a reader. The lock
// is held.
func (c *conn) push(f []byte) {
	switch {
	case c.over || c.gone:
	case len(c.queue) >= c.live.limits.MaxQueued:
		c.drop(whySlow)
	default:
		c.queue = append(c.queue, f)
		c.rouse()
	}
}

// rouse sees that the queue is written. The goroutine that does it lives as long as there is something to
// write: an idle connection has none. The lock is held.
func (c *conn) rouse() {
	if !c.writing {
		c.writing = true
		c.spawn(c.write)
	}
}

// drop cuts the connection without a word. The lock is held.
func (c *conn) drop(why string) {
	c.over, c.queue = true, nil
	if c.why == "" {
		c.why = why
	}
	c.spawn(func() { _ = c.ws.CloseNow() }) // the reader finds it closed
}

// close ends the connection with a code, after what is queued and one last frame; nil is none. The first to
// do so counts. The lock is held.
func (c *conn) close(code websocket.StatusCode, reason, why string, last []byte) {
	if c.over || c.gone {
		return
	}
	c.over, c.code, c.reason, c.why = true, code, reason, why
	if last != nil {
		c.queue = append(c.queue, last)
	}
	c.rouse()
}

func (c *conn) shut(code websocket.StatusCode, reason, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(code, reason, why, nil)
}

// write writes the queue, and closes a connection that is over.
func (c *conn) write() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.queue = nil
			over := c.over
			c.writing = over
			c.mu.Unlock()
			if over {
				_ = c.ws.Close(c.code, c.reason) // waits a little for the peer's; then it is closed in any case
			}
			return
		}
		f := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), c.live.limits.WriteTime)
		err := c.ws.Write(ctx, websocket.MessageText, f)
		late := ctx.Err() != nil
		cancel()
		if err != nil || late { // written at the last moment is late too: the library may have closed it for that
			why := whyClient
			if late {
				why = whySlow
			}
			c.mu.Lock()
			c.drop(why)
			c.mu.Unlock()
			return
		}
	}
}

// ended is what a connection is told whose session has ended.
type ended struct {
	Reason       storage.Reason `json:"reason"`
	Code         int            `json:"code"`
	SupersededBy *superseder    `json:"superseded_by,omitempty"`
}

type superseder struct {
	Terminal   storage.Terminal `json:"terminal"`
	DeviceName string           `json:"device_name"`
	At         time.Time        `json:"at"`
}

// tell ends a seat, and with it the connection if it is its present one. It waits for nothing.
func (c *conn) tell(s *seat, end storage.End) {
	e := ended{Reason: end.Reason, Code: end.Reason.Code()}
	if by := end.By; by != nil {
		e.SupersededBy = &superseder{by.Terminal, by.DeviceName, by.At.UTC()}
	}
	last, err := render(nil, typeEnded, e)
	c.mu.Lock()
	defer c.mu.Unlock()
	s.end = &end
	if c.seat != s || c.over || c.gone {
		return
	}
	if err != nil { // two texts and a time: there is nothing that can fail
		last = nil
	}
	c.live.metrics.ended.Inc()
	c.close(CloseEnded, "session ended: "+string(end.Reason), whyEnded, last)
}

// bye is the last frame of a connection that ends for no fault of its own.
type bye struct {
	Why   string `json:"why"`
	Pause int64  `json:"retry_after_ms,omitempty"`
}

// leave is called when the server begins to stop: what is being answered is answered, and nothing new is.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	c.depart()
}

// depart closes a connection of a server that stops once nothing is being answered. The lock is held.
func (c *conn) depart() {
	if !c.leaving || c.inFlight > 0 {
		return
	}
	pause := leastPause + mathrand.N(mostPause-leastPause) //nolint:gosec // G404: jitter.
	c.close(websocket.StatusGoingAway, "the server is stopping", whyStopping, farewell(whyStopping, pause))
}

// farewell renders a bye; nil if that fails, which it cannot.
func farewell(why string, pause time.Duration) []byte {
	f, err := render(nil, typeBye, bye{why, pause.Milliseconds()})
	if err != nil {
		return nil
	}
	return f
}

// replaced closes a connection whose place a newer one of its user took.
func (c *conn) replaced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close(CloseReplaced, "the user has too many connections", whyReplaced, farewell(whyReplaced, 0))
}

// tick does what is due by time.
func (c *conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.gone {
		return
	}
	now := c.live.now()
	if c.seat == nil && !c.signing && !now.Before(c.signBy) {
		c.close(CloseNobody, "no sign-in in time", whyNobody, nil)
		return
	}
	if s := c.seat; s != nil && !now.Before(c.expires) {
		c.expires = now.Add(recheck)
		c.spawn(func() { c.expired(s) })
	}
	if !now.Before(c.nextPing) {
		c.nextPing = now.Add(c.live.limits.PingEvery)
		if !c.heard.Swap(false) {
			c.spawn(c.ping)
		}
	}
	c.schedule(now)
}

// schedule sets the timer to what is due next. The lock is held.
func (c *conn) schedule(now time.Time) {
	next := c.nextPing
	if c.seat == nil && !c.signing && c.signBy.Before(next) {
		next = c.signBy
	}
	if c.seat != nil && c.expires.Before(next) {
		next = c.expires
	}
	c.timer.Reset(max(next.Sub(now), 0))
}

// ping asks a silent peer for a sign of life.
func (c *conn) ping() {
	ctx, cancel := context.WithTimeout(context.Background(), c.live.limits.PongTime)
	defer cancel()
	if c.ws.Ping(ctx) == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(whySilent)
}
