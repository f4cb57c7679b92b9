package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/storage"
)

const (
	// readBlock is how long one reading waits for an entry.
	readBlock = time.Second
	// readSlack is how much longer a reading may take before its connection counts as dead.
	readSlack = time.Second
	// readCount is how many entries one reading takes.
	readCount = 256

	minBackoff = 50 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// start is the position before every entry.
const start = "0-0"

// Follow calls deliver, one call at a time, for each event announced from now on, by this process
// too, until ctx ends; it returns the error of ctx. A broken connection is made anew, a stream that was
// flushed or trimmed is read from where it is, entries that are no events are passed over. Any event
// may be missed, or come twice.
func (s *Store) Follow(ctx context.Context, deliver func(storage.Event)) error {
	position := ""
	backoff := minBackoff
	for {
		before := position
		err := s.followConnection(ctx, &position, deliver)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if position != before {
			backoff = minBackoff
		}
		s.metrics.reconnects.Inc()
		s.log.DebugContext(ctx, "stream of events lost", "err", err)
		pause := time.NewTimer(backoff/2 + rand.N(backoff)) //nolint:gosec // G404: jitter.
		backoff = min(2*backoff, maxBackoff)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// followConnection follows over one connection until that breaks. It is a client of its own, so that
// waiting readers take no connection from anybody, and so that it can be closed to end a wait.
func (s *Store) followConnection(ctx context.Context, position *string, deliver func(storage.Event)) error {
	options := *s.options
	options.PoolSize, options.MaxRetries, options.ContextTimeoutEnabled = 1, -1, true
	client := redis.NewUniversalClient(&options)
	defer client.Close() //nolint:errcheck // nothing is lost with it.
	hangUp := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer hangUp()
	for {
		if *position == "" {
			newest, err := s.newest(ctx, client)
			if err != nil {
				return err
			}
			*position = newest
		}
		if err := s.readOnce(ctx, client, position, deliver); err != nil {
			return err
		}
	}
}

// readOnce waits for entries behind position, delivers them and moves position.
func (s *Store) readOnce(ctx context.Context, client redis.UniversalClient, position *string, deliver func(storage.Event)) error {
	ctx, cancel := context.WithTimeout(ctx, readBlock+readSlack)
	defer cancel()
	streams, err := client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.streamKey(), *position}, Count: readCount, Block: readBlock,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return s.comeBack(ctx, client, position)
	}
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for _, stream := range streams {
		for _, entry := range stream.Messages {
			*position = entry.ID
			s.take(ctx, &entry, deliver)
		}
	}
	return nil
}

// comeBack looks, when nothing has come for a while, whether the stream is still ahead. After a
// flush, or with a server whose clock is behind that of the one before, new entries have lower
// numbers than those seen, and would be waited for in vain.
func (s *Store) comeBack(ctx context.Context, client redis.UniversalClient, position *string) error {
	newest, err := s.newest(ctx, client)
	if err != nil {
		return err
	}
	if compareIDs(newest, *position) < 0 {
		*position = start
	}
	return nil
}

// newest returns the number of the newest entry, or the start of an empty stream.
func (s *Store) newest(ctx context.Context, client redis.UniversalClient) (string, error) {
	entries, err := client.XRevRangeN(ctx, s.streamKey(), "+", "-", 1).Result()
	if err != nil {
		return "", fmt.Errorf("find the newest event: %w", err)
	}
	if len(entries) == 0 {
		return start, nil
	}
	return entries[0].ID, nil
}

func (s *Store) take(ctx context.Context, entry *redis.XMessage, deliver func(storage.Event)) {
	body, _ := entry.Values[field].(string)
	e, err := decode([]byte(body))
	if err != nil {
		s.metrics.garbage.Inc()
		s.log.WarnContext(ctx, "entry in the stream of events that is no event", "entry", entry.ID, "err", err)
		return
	}
	s.metrics.followed.Inc()
	deliver(e)
}

// compareIDs orders the numbers of stream entries, "milliseconds-sequence". What is no such number
// comes first.
func compareIDs(a, b string) int {
	am, as := splitID(a)
	bm, bs := splitID(b)
	return cmp.Or(cmp.Compare(am, bm), cmp.Compare(as, bs))
}

func splitID(id string) (ms, seq uint64) {
	left, right, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseUint(left, 10, 64)
	if err != nil {
		return 0, 0
	}
	seq, err = strconv.ParseUint(right, 10, 64)
	if err != nil {
		return ms, 0
	}
	return ms, seq
}
