package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// handle sees to one frame. It is called by the reader and waits for nothing.
func (c *conn) handle(data []byte) {
	f, err := parse(data)
	if err != nil {
		c.refuse(f, err)
		if c.malformed++; c.malformed >= MaxMalformed {
			c.shut(CloseMalformed, "too many frames that were not understood", whyMalformed)
		}
		return
	}
	switch f.typ {
	case typePing:
		c.send(c.rendered(f, typePong, none{}, nil))
	case typeAuth:
		c.sign(f, c.auth)
	case typeLogin:
		if c.live.cfg.SignIn == nil {
			c.refuse(f, c.live.unknown(f.typ))
			return
		}
		c.sign(f, c.login)
	default:
		c.command(f)
	}
}

// commandOf returns what answers a type of frame of signed-in connections.
func (c *conn) commandOf(typ string) (Command, bool) {
	if typ == typeLeave && c.live.cfg.SignOut != nil {
		return Command{Need: guard.Need{Holder: guard.UserToken, Strict: true}, Run: c.signOut}, true
	}
	command, known := c.live.cfg.Commands[typ]
	return command, known
}

// command answers a frame of a signed-in connection.
func (c *conn) command(f frame) {
	command, known := c.commandOf(f.typ)
	if !known {
		c.refuse(f, c.live.unknown(f.typ))
		return
	}
	c.mu.Lock()
	s := c.seat
	c.mu.Unlock()
	if s == nil {
		c.refuse(f, &guard.Refusal{
			Status: http.StatusUnauthorized, Code: guard.InvalidToken, Description: "sign in first: send login or auth, and wait for its answer",
		})
		return
	}
	c.begin(f, s, func(ctx context.Context) (any, error) {
		if err := c.proof(ctx, f.token, s); err != nil {
			return nil, err
		}
		if err := c.live.cfg.Guard.Suffices(ctx, s.who, command.Need); err != nil {
			return nil, err
		}
		if c.live.cfg.Seen != nil {
			c.live.cfg.Seen(s.who)
		}
		answer, err := command.Run(ctx, s.who, f.body)
		if err == nil && f.typ == typeLeave {
			c.tell(s, storage.End{Reason: storage.SignedOut, At: c.live.now()}) // it may have been told already; the first one counts
		}
		return answer, err
	})
}

// begin answers a frame beside the reader, within the bounds of a connection, for a seat, or nil for none. If
// it does not, it has said so.
func (c *conn) begin(f frame, s *seat, run func(context.Context) (any, error)) (begun bool) {
	err := c.enter(func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.live.cfg.CommandTime)
		defer cancel()
		answer, err := c.guarded(ctx, run)
		c.conclude(c.rendered(f, f.typ, answer, err))
		if err != nil && s != nil {
			c.heed(s, err)
		}
	})
	if err != nil {
		c.refuse(f, err)
	}
	return err == nil
}

// enter takes a place for an answer and lets f answer, or says why it does not.
func (c *conn) enter(f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.leaving || c.over || c.gone:
		return &guard.Refusal{
			Status: http.StatusServiceUnavailable, Code: guard.TemporarilyUnavailable, RetryAfter: time.Second,
			Description: "this connection is being closed; connect again",
		}
	case c.inFlight >= c.live.limits.MaxInFlight:
		return slowDown("more than %d frames are waiting for their answers", c.live.limits.MaxInFlight)
	}
	c.inFlight++
	c.spawn(f)
	return nil
}

// conclude sends an answer and gives its place back, in one step: whoever has the answer may send the next
// frame, and a connection that waits to depart waits no longer.
func (c *conn) conclude(answer []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(answer)
	c.inFlight--
	c.depart()
}

// guarded turns a panic into an error: a fault in one answer must not end the process.
func (c *conn) guarded(ctx context.Context, run func(context.Context) (any, error)) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}

// refuse tells the sender of a frame why it is not answered.
func (c *conn) refuse(f frame, err error) { c.send(c.rendered(f, "", nil, err)) }

// rendered is the frame that answers another one: of a type with an answer's members, or an error; and it is counted,
// and logged if it is the server's fault.
func (c *conn) rendered(f frame, typ string, answer any, err error) []byte {
	if err == nil {
		var b []byte
		if b, err = render(f.id, typ, answer); err == nil {
			c.live.metrics.frames.WithLabelValues(c.live.label(f.typ), "ok").Inc()
			return b
		}
	}
	r := refused(err)
	label := c.live.label(f.typ)
	c.live.metrics.frames.WithLabelValues(label, r.code).Inc()
	c.note(label, r, err)
	b, err := render(f.id, typeError, struct {
		Error rawObject `json:"error"`
	}{rawObject(r.body)})
	if err != nil { // it is made of JSON
		c.live.log.Error("refuse a frame", "type", label, "err", err)
	}
	return b
}

// note tells the log of an answer that failed for the server's fault. Whoever has gone is not a fault, nor is
// a connection that is being closed.
func (c *conn) note(typ string, r refusal, err error) {
	passing := r.code == string(guard.TemporarilyUnavailable)
	if r.status < http.StatusInternalServerError || errors.Is(err, context.Canceled) || passing && errors.Unwrap(err) == nil {
		return
	}
	level := slog.LevelError
	if passing {
		level = slog.LevelWarn
	}
	c.live.log.Log(c.ctx, level, "a frame was not answered", "type", typ, "connection_id", c.id, "status", r.status, "err", err)
}

// rawObject is JSON that is rendered already.
type rawObject []byte

// MarshalJSON implements json.Marshaler.
func (o rawObject) MarshalJSON() ([]byte, error) { return o, nil }

// heed ends a connection when an answer shows that its session has ended, and the feed has not told yet.
func (c *conn) heed(s *seat, err error) {
	if err == nil {
		return
	}
	end, ok := endOf(err)
	if ok {
		c.tell(s, end)
	}
}

// endOf is how a session ended, if that is what an error says.
func endOf(err error) (storage.End, bool) {
	if e, ok := errors.AsType[*storage.EndedError](err); ok {
		return e.End, true
	}
	if r, ok := errors.AsType[*guard.Refusal](err); ok && r.End != nil && r.End.Reason != guard.IllegalSource {
		return *r.End, true
	}
	return storage.End{}, false
}

func slowDown(format string, args ...any) error {
	return &guard.Refusal{
		Status: http.StatusTooManyRequests, Code: codeSlowDown, Description: fmt.Sprintf(format, args...), RetryAfter: time.Second,
	}
}
