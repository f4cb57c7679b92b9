package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/failpoint"
)

const (
	// maxAnnounced is how many events wait to be pushed; more are dropped.
	maxAnnounced = 8192
	// maxBatch is how many events one pipeline carries.
	maxBatch = 256
	// streamLength is about how many entries the stream keeps. Followers are live or read SQL.
	streamLength = 16384
	// streamTTL is after how long without an event the stream goes away.
	streamTTL = time.Hour
	// drainTime is how long Stop waits for what is still to be pushed.
	drainTime = time.Second
)

// Start begins to push what is announced. Starting again does nothing.
func (s *Store) Start(ctx context.Context) error {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.started || s.stopped {
		return nil
	}
	s.started = true
	run := context.WithoutCancel(ctx)
	s.running.Go(func() { s.push(run) })
	return nil
}

// Stop pushes what waits, for at most a second, and returns when nothing runs any more. What is
// announced afterwards is dropped. Stopping again does nothing.
func (s *Store) Stop() {
	s.lifecycle.Lock()
	defer s.lifecycle.Unlock()
	if s.stopped {
		return
	}
	s.stopped = true
	close(s.stopping)
	s.running.Wait()
}

// Announce hands events to the pusher. It never waits: when too many wait already, they are dropped,
// and followers find them in SQL.
func (s *Store) Announce(_ context.Context, events []storage.Event) {
	for i := range events {
		select {
		case <-s.stopping:
			s.metrics.dropped.WithLabelValues("stopped").Inc()
		case s.announced <- events[i]:
		default:
			s.metrics.dropped.WithLabelValues("queue_full").Inc()
		}
	}
}

func (s *Store) push(ctx context.Context) {
	for {
		select {
		case e := <-s.announced:
			s.send(ctx, s.batch(e))
		case <-s.stopping:
			s.drain(ctx)
			return
		}
	}
}

// drain pushes what waits, as long as Redis takes it and the time allows.
func (s *Store) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case e := <-s.announced:
			s.send(ctx, s.batch(e))
		default:
			return
		}
	}
}

// batch takes what waits behind the first event, without waiting for more.
func (s *Store) batch(first storage.Event) []storage.Event {
	events := []storage.Event{first}
	for len(events) < maxBatch {
		select {
		case e := <-s.announced:
			events = append(events, e)
		default:
			return events
		}
	}
	return events
}

// send pushes events in one round trip. A failure drops them: what comes later is more urgent.
func (s *Store) send(ctx context.Context, events []storage.Event) {
	key := s.streamKey()
	pipe := s.client.Pipeline()
	for i := range events {
		body, err := encode(&events[i])
		if err != nil || len(body) > maxEntry {
			s.metrics.dropped.WithLabelValues("malformed").Inc()
			continue
		}
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: key, MaxLen: streamLength, Approx: true, Values: []any{field, body}})
	}
	pipe.Expire(ctx, key, streamTTL)
	err := s.breaker.run(ctx, func() error {
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		s.metrics.dropped.WithLabelValues("redis_away").Add(float64(len(events)))
		s.log.DebugContext(ctx, "announcements dropped", "events", len(events), "err", err)
		return
	}
	failpoint.Reach("announce", failpoint.Pushed)
	s.metrics.announced.Add(float64(len(events)))
}
