package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

const (
	// headerTime bounds the wait for the answer: a server may let streams wait for their turn.
	headerTime = 15 * time.Second
	// silence is how long a stream that was opened may say nothing.
	silence = 3 * time.Second
	// life is how long a stream is read before it is opened anew.
	life = time.Minute
	// maxTransit is how much later than the server wrote it a message may arrive, as far as its clock
	// tells.
	maxTransit = 400 * time.Millisecond
	// drift is the part of a span on the server's clock that is not believed: twice what clocks are
	// slewed at most.
	drift = 1000

	minBackoff = 25 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// source tells a guard what the stream of session events says.
type source struct {
	issuer *issuer
	keys   *keySet
	now    func() time.Time
}

// Why a stream is opened anew.
var (
	errRenew = errors.New("the stream has lived its life")
	errLate  = errors.New("messages arrive late")
	errAhead = errors.New("messages vouch for the future: a clock stood still")
)

// Follow implements [guard.Source]. If the issuer cannot be heard at all, it returns at once.
func (s *source) Follow(ctx context.Context, sink guard.Sink) error {
	if err := s.keys.fetch(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { s.keys.follow(ctx) })
	defer func() {
		cancel()
		running.Wait()
		s.issuer.rest()
	}()
	backoff := minBackoff
	f := &following{source: s, sink: sink}
	for {
		opened := s.now()
		err := f.stream(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !f.ever:
			return err
		case errors.Is(err, errRenew):
			continue
		case s.now().Sub(opened) > maxBackoff: // it was a good one; one that ends at once is not asked for again at once
			backoff = minBackoff
		}
		sink.Lost(err)
		if !pause(ctx, backoff/2+rand.N(backoff)) { //nolint:gosec // G404: jitter.
			return ctx.Err()
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// pause waits; false if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// following is what is kept from one stream to the next.
type following struct {
	*source

	sink     guard.Sink
	position string
	ever     bool // whether anything was ever heard
}

// stream opens a stream and reads it to its end, which is an error.
func (f *following) stream(ctx context.Context) error {
	own, err := f.issuer.access.get(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(headerTime, func() { cancel(errors.New("the stream is silent")) })
	defer watchdog.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.issuer.url+eventsPath, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+own.Reveal())
	r.Header.Set("Accept", "text/event-stream")
	if f.position != "" {
		r.Header.Set("Last-Event-ID", f.position)
	}
	sent := f.now()
	answer, err := f.issuer.hearing.Do(r)
	if err != nil {
		return fmt.Errorf("open stream: %w", errors.Join(err, context.Cause(ctx)))
	}
	defer answer.Body.Close()
	if err := f.accept(answer); err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	l := &listening{following: f, sent: sent, in: newMessages(answer.Body, func() { watchdog.Reset(silence) })}
	if err := l.begin(); err != nil {
		return fmt.Errorf("read stream: %w", errors.Join(err, context.Cause(ctx)))
	}
	for {
		if err := l.step(); err != nil {
			return fmt.Errorf("read stream: %w", errors.Join(err, context.Cause(ctx)))
		}
	}
}

// accept refuses what is no stream. A token that is not taken is not shown again.
func (f *following) accept(answer *http.Response) error {
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		f.issuer.access.drop()
		return refusalOf(answer)
	default:
		return refusalOf(answer)
	}
	if kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return errors.New("the answer is no stream of events")
	}
	return nil
}

// listening is one stream.
type listening struct {
	*following

	in    *messages
	sent  time.Time // before the request: t0
	first int64     // the server's clock when it received the request: s0
	way   string    // how ends come now
}

// begin reads the first message.
func (l *listening) begin() error {
	msg, err := l.in.next()
	if err != nil {
		return err
	}
	var b begun
	if err := json.Unmarshal(msg.data, &b); err != nil || msg.kind != "begin" {
		return errors.New("the stream does not begin as it should")
	}
	if b.Version != wireVersion || b.Moment == nil {
		return fmt.Errorf("the stream is of version %d, which is not known", b.Version)
	}
	l.first, l.way = *b.Moment, "snapshot"
	return nil
}

// step reads one message and acts on it.
func (l *listening) step() error {
	msg, err := l.in.next()
	if err != nil {
		return err
	}
	switch msg.kind {
	case "ended":
		e, err := parseEnded(msg.data)
		if err != nil {
			return err
		}
		l.sink.Take(l.way, []storage.Event{e})
	case "heard":
		return l.hear(&msg)
	case "bye":
		var b farewell
		if err := json.Unmarshal(msg.data, &b); err != nil {
			return err
		}
		if b.Why == "token" {
			l.issuer.access.drop()
		}
		return fmt.Errorf("the server ended the stream: %.32q %.32q", b.Why, b.Reason)
	}
	return nil
}

// hear maps the moment up to which the stream is complete to this process's clock.
func (l *listening) hear(msg *message) error {
	var h heard
	if err := json.Unmarshal(msg.data, &h); err != nil {
		return err
	}
	if h.Moment == nil || *h.Moment < l.first || h.Age < 0 {
		return errors.New("a moment is missing or before the beginning")
	}
	span := time.Duration(*h.Moment-l.first) * time.Millisecond
	at := l.sent.Add(span - span/drift - time.Millisecond)
	now := l.now()
	if at.After(now) {
		return errAhead
	}
	l.sink.Heard(at, guard.Place{})
	l.ever, l.way = true, "stream"
	if msg.id != "" {
		l.position = msg.id
	}
	switch {
	case now.Sub(at)-time.Duration(h.Age)*time.Millisecond > maxTransit:
		return errLate
	case now.Sub(l.sent) > life:
		return errRenew
	}
	return nil
}
