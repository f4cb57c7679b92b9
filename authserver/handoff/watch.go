package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/authserver/web"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// HeaderCode carries the device code of a stream, so that it need not stand in an address.
const HeaderCode = "X-Device-Code"

const (
	// lookEvery is how often a stream looks at the store by itself: for steps that another process made.
	lookEvery = time.Second
	// beatEvery is the longest silence of a stream.
	beatEvery = 15 * time.Second
	// writeTime is how long a reader may take to read what is written at once.
	writeTime = 5 * time.Second
	// retryAfter is how long a reader waits before it comes back, and before it tries again when the process is full.
	retryAfter = 2 * time.Second
)

// stateEvent is the data of the events that are named after states.
type stateEvent struct {
	State     string `json:"state"`
	ExpiresIn int64  `json:"expires_in"`
}

// codeEvent is the data of the event qr.
type codeEvent struct {
	UserCode  string `json:"user_code"`
	Complete  string `json:"verification_uri_complete"`
	QR        string `json:"qr_svg"`
	ExpiresIn int64  `json:"expires_in"`
}

// Watch serves what becomes of a request to the device that waits for it: GET /v1/device/events.
func (d *Desk) Watch(c *gin.Context) error {
	query, err := web.ParseQuery(c.Request, "device_code")
	if err != nil {
		return err
	}
	code := query.Get("device_code")
	if header := c.GetHeader(HeaderCode); header != "" {
		if code != "" {
			return oauth.New(oauth.InvalidRequest, "the device code is given twice")
		}
		code = header
	}
	if code == "" {
		return oauth.New(oauth.InvalidRequest, "the device code is missing: send it in the header "+HeaderCode+", or as device_code")
	}
	ctx, held := c.Request.Context(), secret.New(code)
	w, err := d.Look(ctx, held)
	if err != nil {
		return err
	}
	woken, leave, err := d.bell.listen(w.Request.ID)
	if err != nil {
		return &oauth.Error{
			Code: oauth.SlowDown, HTTPStatus: http.StatusTooManyRequests, RetryAfter: retryAfter, Cause: err,
			Description: "too many streams; ask at the token endpoint, or come again later",
		}
	}
	defer leave()
	web.NoStore(c)
	c.Header("Content-Type", "text/event-stream; charset=utf-8")
	c.Header("X-Accel-Buffering", "no")
	c.Status(http.StatusOK)
	s := &stream{desk: d, code: held, out: c.Writer, control: http.NewResponseController(c.Writer), rotation: -1}
	s.run(ctx, woken)
	return nil
}

// stream is one answer.
type stream struct {
	desk     *Desk
	code     secret.Text
	out      io.Writer
	control  *http.ResponseController
	seen     storage.HandoffState
	rotation int64
	spoke    time.Time
}

// run writes until the request is over, its reader leaves, or the server stops.
func (s *stream) run(ctx context.Context, woken <-chan struct{}) {
	if s.write(fmt.Sprintf("retry: %d\n\n", retryAfter.Milliseconds())) != nil {
		return
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if s.look(ctx) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-woken:
		case <-look.C:
		}
	}
}

// look writes what is new. It says whether the stream is over.
func (s *stream) look(ctx context.Context) (over bool) {
	w, err := s.desk.Look(ctx, s.code)
	switch {
	case errors.Is(err, &oauth.Error{Code: oauth.NotFound}):
		_ = s.send(string(storage.HandoffExpired), stateEvent{State: string(storage.HandoffExpired)}) // removed meanwhile; the reader may have gone
		return true
	case err != nil:
		return ctx.Err() != nil // the store is away: what is known stays, and the next look is soon
	}
	state := w.Request.StateAt(w.At)
	if state != s.seen {
		s.seen = state
		if s.send(eventOf(state), stateEvent{eventOf(state), secondsLeft(w.Request.ExpiresAt, w.At)}) != nil {
			return true
		}
	}
	if state == storage.HandoffNew && w.Request.Rotation != s.rotation {
		s.rotation = w.Request.Rotation
		shown := w.Shown
		if s.send("qr", codeEvent{shown.UserCode, shown.Complete, shown.QR, secondsLeft(shown.Until, w.At)}) != nil {
			return true
		}
	}
	if state != storage.HandoffNew && state != storage.HandoffScanned {
		return true
	}
	if time.Since(s.spoke) >= beatEvery { // the connection's time, whatever the room's is
		return s.write(": beat\n\n") != nil
	}
	return false
}

// eventOf is the name of the event of a state: the contract's.
func eventOf(state storage.HandoffState) string {
	if state == storage.HandoffNew {
		return "pending"
	}
	return string(state)
}

func (s *stream) send(event string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	return s.write("event: " + event + "\ndata: " + string(body) + "\n\n")
}

func (s *stream) write(text string) error {
	s.spoke = time.Now()
	// A writer without deadlines, as in tests, is not waited for either.
	_ = s.control.SetWriteDeadline(s.spoke.Add(writeTime))
	if _, err := io.WriteString(s.out, text); err != nil {
		return err
	}
	return s.control.Flush()
}

// secondsLeft is what is left until a time, in whole seconds, rounded down.
func secondsLeft(until, now time.Time) int64 { return max(0, int64(until.Sub(now)/time.Second)) }
