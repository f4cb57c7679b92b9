package events

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

const (
	// pageSize is how many events one reading of the feed takes.
	pageSize = 1000
	// maxBehind is how far back a stream can be resumed; a snapshot is not longer than that is.
	maxBehind = 50_000
	// chunk is how much is written at once.
	chunk = 32 << 10
)

// start is how a stream begins.
type start struct {
	after   guard.Place // of a resumed one
	because string      // empty for a resumed one
}

func (s start) mode() string {
	if s.because == "" {
		return modeResume
	}
	return modeSnapshot
}

// begin judges the position that a reader gave.
func (e *Endpoint) begin(ctx context.Context, lastID string) (start, error) {
	if lastID == "" {
		return start{because: noPosition}, nil
	}
	place, ok := parsePosition(lastID)
	if !ok {
		return start{because: malformed}, nil
	}
	newest, err := e.feed.Position(ctx)
	switch {
	case err != nil:
		return start{}, err
	case place.Number > newest:
		return start{because: anotherFeed}, nil
	case newest-place.Number > maxBehind:
		return start{because: tooOld}, nil
	}
	events, err := e.feed.Tail(ctx, place.Number-1, 1)
	switch {
	case err != nil:
		return start{}, err
	case len(events) == 0 || events[0].Number != place.Number:
		return start{because: tooOld}, nil // trimmed: there is no telling which event it was
	case events[0].ID != place.Event:
		return start{because: anotherFeed}, nil
	}
	return start{after: place}, nil
}

// stream is one answer.
type stream struct {
	endpoint *Endpoint
	watcher  *watcher
	received time.Time
	out      *sender
}

// run writes the stream and returns why it ended. The place among those that read from SQL is given
// back as soon as the beginning is written.
func (s *stream) run(ctx context.Context, p *guard.Principal, from start) (why string) {
	why, reason := s.catchUp(ctx, from), storage.Reason("")
	s.endpoint.done()
	if why == "" {
		why, reason = s.follow(ctx, p)
	}
	if why != whyGone && s.out.write(frame("", "bye", bye{why, reason})) == nil {
		_ = s.out.flush() // the reader may have gone by now
	}
	return why
}

// catchUp writes what had ended when the reader came. It returns why the stream ends, or nothing.
func (s *stream) catchUp(ctx context.Context, from start) (why string) {
	hub := s.endpoint.hub
	hub.metrics.begun.WithLabelValues(from.mode()).Inc()
	b := begin{Version: version, Mode: from.mode(), Because: from.because, Moment: hub.moment(s.received)}
	err := s.out.write(frame("", "begin", b))
	if err == nil {
		err = s.out.flush() // the reader learns at once that it is heard
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, snapshotTime)
		defer cancel()
		if from.because == "" {
			err = s.resume(ctx, from.after.Number)
		} else {
			err = s.endpoint.feed.Snapshot(ctx, s.received, func(e storage.Event) error { return s.out.write(endedFrame(&e)) })
		}
	}
	if err == nil {
		err = s.hear(mark{at: s.received})
	}
	return s.why(ctx, err)
}

// why says why a stream ends: nothing for no error.
func (s *stream) why(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return ""
	case s.out.err != nil:
		return whyGone
	case errors.Is(ctx.Err(), context.Canceled):
		return whyStopping
	}
	s.endpoint.hub.log.WarnContext(ctx, "session events cannot be read", "err", err)
	return whyUnavailable
}

var errCrowded = errors.New("more events wait for their number than can be read at once")

// resume writes all that is numbered after a number, and all that has no number yet.
func (s *stream) resume(ctx context.Context, after int64) error {
	for {
		events, err := s.endpoint.feed.Tail(ctx, after, pageSize)
		if err != nil {
			return err
		}
		numbered := 0
		for i := range events {
			if events[i].Number > 0 {
				numbered, after = numbered+1, max(after, events[i].Number)
			}
			if err := s.out.write(endedFrame(&events[i])); err != nil {
				return err
			}
		}
		switch waiting := len(events) - numbered; {
		case waiting >= pageSize:
			return errCrowded // the reader comes back, and the guard of this process has numbered them
		case numbered < pageSize:
			return nil
		}
	}
}

// follow writes what comes, until the reader leaves or may not stay. It returns why.
func (s *stream) follow(ctx context.Context, p *guard.Principal) (why string, reason storage.Reason) {
	expiry := time.NewTimer(p.ExpiresAt.Sub(s.endpoint.hub.now()))
	defer expiry.Stop()
	beat := time.NewTimer(s.endpoint.beat)
	defer beat.Stop()
	last := mark{at: s.received}
	for {
		repeat := false
		select {
		case <-ctx.Done():
			return whyStopping, ""
		case <-expiry.C:
			return whyToken, storage.Expired
		case <-beat.C:
			repeat = true
		case <-s.watcher.wake:
		}
		b := s.watcher.take()
		switch {
		case b.end != nil:
			return whyToken, b.end.Reason
		case b.over:
			return whySlow, ""
		}
		news := b.heard.at.After(last.at)
		if news {
			last = b.heard
		}
		if err := s.send(b.frames, last, news || repeat); err != nil {
			return slowOr(err, whyGone), ""
		}
		if news || repeat {
			beat.Reset(s.endpoint.beat)
		}
	}
}

// send writes frames and, if it is to be said, up to when the stream is complete with them.
func (s *stream) send(frames [][]byte, upTo mark, say bool) error {
	for _, f := range frames {
		if err := s.out.write(f); err != nil {
			return err
		}
	}
	if say {
		return s.hear(upTo)
	}
	return s.out.flush()
}

// hear writes up to when the stream is complete.
func (s *stream) hear(m mark) error {
	hub := s.endpoint.hub
	err := s.out.write(frame(position(m.place), "heard", heard{hub.moment(m.at), hub.now().Sub(m.at).Milliseconds()}))
	if err != nil {
		return err
	}
	return s.out.flush()
}

// slowOr tells a reader that did not read in time from one that left.
func slowOr(err error, otherwise string) string {
	if t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err); ok && t.Timeout() {
		return whySlow
	}
	return otherwise
}

// sender collects what is written and writes it in pieces, each within a time.
type sender struct {
	w       io.Writer
	control *http.ResponseController
	time    time.Duration
	buffer  []byte
	err     error // the first; there is no writing after it
}

func (s *sender) write(b []byte) error {
	s.buffer = append(s.buffer, b...)
	if len(s.buffer) < chunk {
		return s.err
	}
	return s.flush()
}

func (s *sender) flush() error {
	if s.err != nil || len(s.buffer) == 0 {
		return s.err
	}
	// The clock of the system, whatever the room's is: the deadline is the connection's. A writer that
	// has none, as in tests, is not waited for either.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.time))
	_, s.err = s.w.Write(s.buffer)
	if s.err == nil {
		s.err = s.control.Flush()
	}
	s.buffer = s.buffer[:0]
	return s.err
}
