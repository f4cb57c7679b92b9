package problem

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/resource/wallet"
	"github.com/tallystick/tallystick/storage"
)

// Config is what a [Renderer] is made of.
type Config struct {
	// RequestID reads the request's identifier from its context; nil means that there is none.
	RequestID func(context.Context) string
	// Log gets the causes of answers with status 500 and above; nil means slog.Default.
	Log *slog.Logger
}

// Renderer turns errors into answers.
type Renderer struct{ cfg Config }

// NewRenderer builds a Renderer.
func NewRenderer(cfg Config) *Renderer {
	if cfg.RequestID == nil {
		cfg.RequestID = func(context.Context) string { return "" }
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Renderer{cfg: cfg}
}

// Handle turns a handler that can fail into a Gin handler. Handlers return errors and never render
// them. An answer that had begun is cut, so that nobody takes a part of it for the whole.
func (rd *Renderer) Handle(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		err := h(c)
		if err == nil {
			return
		}
		begun := c.Writer.Written()
		rd.Render(c.Writer, c.Request, c.FullPath(), err)
		c.Abort()
		if begun {
			panic(http.ErrAbortHandler)
		}
	}
}

// Render answers a request with what err stands for. Nothing is written over an answer that has
// begun; its error is logged all the same.
func (rd *Renderer) Render(w gin.ResponseWriter, r *http.Request, route string, err error) {
	ctx := r.Context()
	if errors.Is(err, storage.ErrEnded) && !w.Written() {
		guard.Refuse(w, r, err)
		return
	}
	shown := *From(err)
	p := &shown
	if p.Status() >= http.StatusInternalServerError {
		p.RequestID = rd.cfg.RequestID(ctx)
		rd.log(ctx, route, p)
	}
	if w.Written() {
		return
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and a number: there is nothing that can fail
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	Write(w, p.Status(), body)
}

// Write writes a problem that is rendered already, such as a recorded one.
func Write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // nobody is left to tell
}

// log tells what the caller is not told. A caller who has gone is not a fault.
func (rd *Renderer) log(ctx context.Context, route string, p *Problem) {
	if errors.Is(p.Cause, context.Canceled) {
		return
	}
	level := slog.LevelError
	if p.Code == TemporarilyUnavailable {
		level = slog.LevelWarn
	}
	rd.cfg.Log.Log(ctx, level, "request failed", "request_id", p.RequestID, "route", route, "status", p.Status(), "err", p.Cause)
}

// From finds the problem in an error, or makes the one that it stands for.
func From(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if r, ok := errors.AsType[*wallet.Refusal](err); ok {
		return New(Code(r.Code), r.Detail)
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Problem{Code: BodyTooLarge, Detail: "the body of the request is too large", Cause: err}
	}
	switch {
	case errors.Is(err, storage.ErrKeyReused):
		return &Problem{Code: KeyReused, Detail: "this idempotency key came with another request before; use a new key for a new write", Cause: err}
	case errors.Is(err, wallet.ErrCursor):
		return &Problem{Code: InvalidRequest, Detail: "cursor: not one that this statement gave for these filters; begin again without it", Cause: err}
	case errors.Is(err, storage.ErrBusy):
		return &Problem{Code: WalletBusy, Detail: "another write to this wallet is under way; nothing was done, try again with the same key", RetryAfter: retryAfter, Cause: err}
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Problem{Code: TemporarilyUnavailable, Detail: "try again; a write that is sent again with its key happens once", RetryAfter: retryAfter, Cause: err}
	case errors.Is(err, storage.ErrNotFound):
		return &Problem{Code: NotFound, Detail: "there is nothing here that you may see", Cause: err}
	}
	return &Problem{Code: Internal, Detail: "the server met an unexpected condition; the request id tells its operators which", Cause: err}
}
