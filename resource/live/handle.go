package live

import (
	"context"
	"errors"
	"fmt"
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
		c.live.metrics.frames.WithLabelValues(typePing, "ok").Inc()
		c.answer(f.id, typePong, none{})
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

// command answers a frame of a signed-in connection.
func (c *conn) command(f frame) {
	command, known := c.live.cfg.Commands[f.typ]
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
	c.begin(f, func(ctx context.Context) (any, error) {
		if err := c.proof(ctx, f.token, s); err != nil {
			return nil, err
		}
		if err := c.live.cfg.Guard.Suffices(ctx, s.who, command.Need); err != nil {
			c.heed(s, err)
			return nil, err
		}
		if c.live.cfg.Seen != nil {
			c.live.cfg.Seen(s.who)
		}
		answer, err := command.Run(ctx, s.who, f.body)
		c.heed(s, err)
		return answer, err
	})
}

// begin answers a frame beside the reader, within the bounds of a connection. If it does not, it has said so.
func (c *conn) begin(f frame, run func(context.Context) (any, error)) (begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over || c.gone:
		return false
	case c.leaving:
		c.refuseLocked(f, &guard.Refusal{
			Status: http.StatusServiceUnavailable, Code: guard.TemporarilyUnavailable, RetryAfter: time.Second,
			Description: "the server is stopping; connect again",
		})
		return false
	case c.inFlight >= c.live.limits.MaxInFlight:
		c.refuseLocked(f, slowDown("more than %d frames are waiting for their answers", c.live.limits.MaxInFlight))
		return false
	}
	c.inFlight++
	c.spawn(func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.live.cfg.CommandTime)
		defer cancel()
		answer, err := c.guarded(ctx, run)
		if err != nil {
			c.refuse(f, err)
		} else {
			c.live.metrics.frames.WithLabelValues(c.live.label(f.typ), "ok").Inc()
			c.answer(f.id, f.typ, answer)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight--
		c.depart()
	})
	return true
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

// refuse tells the sender of a frame why it is not answered, and the log if that is the server's fault.
func (c *conn) refuse(f frame, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuseLocked(f, err)
}

func (c *conn) refuseLocked(f frame, err error) {
	r := refused(err)
	label := c.live.label(f.typ)
	c.live.metrics.frames.WithLabelValues(label, r.code).Inc()
	if r.status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		c.live.log.Error("a frame was not answered", "type", label, "connection_id", c.id, "status", r.status, "err", err)
	}
	answer, err := render(f.id, typeError, struct {
		Error rawObject `json:"error"`
	}{rawObject(r.body)})
	if err != nil {
		c.live.log.Error("refuse a frame", "type", label, "err", err)
		return
	}
	c.push(answer)
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
