package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/storage"
)

// ledgerKey is the stream of ledger events. The braces are its hash tag: a cluster keeps what shares it in one place.
func (s *Store) ledgerKey() string { return s.prefix + "{ledger}:events" }

// AppendLedger appends ledger events to their stream, all or none and in order, and lets the stream keep about length
// entries. An entry has the fields id, type, number and event, the last being the event as JSON. After an
// error they may have been appended all the same: storage.ErrUnavailable says to do it again.
func (s *Store) AppendLedger(ctx context.Context, entries []storage.LedgerEntry, length int64) error {
	if len(entries) == 0 {
		return nil
	}
	pipe := s.client.TxPipeline()
	for i := range entries {
		e := &entries[i]
		pipe.XAdd(ctx, &redis.XAddArgs{
			Stream: s.ledgerKey(), MaxLen: length, Approx: true,
			Values: []any{"id", e.ID, "type", e.Type, "number", strconv.FormatInt(e.Number, 10), "event", e.Body},
		})
	}
	err := s.breaker.run(ctx, func() error {
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("append ledger events: %w", errors.Join(storage.ErrUnavailable, err))
	}
	return nil
}
