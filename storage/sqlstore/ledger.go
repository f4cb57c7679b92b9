package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Measured, on 2 cores that were busy with other things, MariaDB 10.11 on the same machine with a
// binary log and sync_binlog=1 and a disk whose flush is cheap; transfers a second as multiples of the
// same eight statements written down plainly, all contenders taking turns in one run (absolute plain
// numbers: 839, 1242, 1816, 2034 with 256 accounts; 952, 928, 1115 with two):
//
//	                      256 accounts                2 accounts
//	clients            1     16     64    256      16     64    256
//	plain           1.00   1.00   1.00   1.00    1.00   1.00   1.00
//	Post            0.86   0.76   0.91   0.81    0.87   0.97   0.86
//	Group           0.86   1.2    2.8    3.5     3.9    8.3   10.6
//	one INSERT      4.2    5.4    6.7    7.0    12     13     12
//
// One run, but for Group with 16 clients and 256 accounts: the median of four that gave 0.58, 0.75, 1.6
// and 1.7, the low ones where the disk stalled. On SQLite, the machine busier still: Post 0.6 to 0.8;
// Group 0.5 for a lone client and 1.2 to 3.1 for more. Where a flush costs next to nothing what is left is
// the work of the engine, and one INSERT is a ceiling that groups do not reach; they are worth the
// more the dearer the flush and the hotter the account.
//
//	go test ./storage/sqlstore -run '^$' -bench Post -benchtime 6000x
//
// with TALLYSTICK_TEST_MYSQL_DSN set.

// How the outcome of a commit is found out after the connection was lost under it: the server may
// still be committing when the first look-up arrives.
const (
	resolveTries   = 4
	resolvePause   = 25 * time.Millisecond // doubled each time
	resolveTimeout = 5 * time.Second
)

// errAnswered says that the key of a posting has an answer already.
var errAnswered = errors.New("key was answered before")

var (
	_ storage.Ledger     = (*DB)(nil)
	_ storage.Books      = (*DB)(nil)
	_ storage.Bookkeeper = (*DB)(nil)
)

// Post implements [storage.Ledger].
//
// It costs eight round trips: begin; the bearer; the accounts; the answer, journal, entries and
// balances; commit. The key is not looked up beforehand: callers ask [DB.Answered] before they queue
// for a lock, so here it is nearly always new, and a look-up would be a ninth. A key that is not new
// fails the insertion of the answer, and the transaction is rolled back.
func (db *DB) Post(ctx context.Context, p storage.Posting) (storage.Posted, error) {
	var (
		b       *batch
		decided bool // the last try came as far as its commit
	)
	err := db.write(ctx, "post", func(ctx context.Context, tx *sql.Tx) error {
		decided, b = false, newBatch(db.d, []storage.Posting{p})
		if err := b.run(ctx, tx); err != nil {
			return err
		}
		if err := b.items[0].err; err != nil {
			return err
		}
		decided = true
		return nil
	})
	switch {
	case err == nil:
		return storage.Posted{Answer: b.items[0].answer}, nil
	case decided:
		return db.resolve(ctx, p, err)
	case errors.Is(err, errAnswered), errors.Is(err, storage.ErrStale):
		return db.replay(ctx, p, err)
	}
	return storage.Posted{}, err
}

// replay answers a posting whose key was taken when it came to record its answer, or whose fence has
// moved: by an earlier posting with the same key, or by another.
func (db *DB) replay(ctx context.Context, p storage.Posting, cause error) (storage.Posted, error) {
	a, err := db.Answered(ctx, p.Key, p.RequestHash)
	switch {
	case err == nil:
		return storage.Posted{Answer: a, Replayed: true}, nil
	case errors.Is(err, storage.ErrNotFound) && errors.Is(cause, errAnswered):
		// Trimmed in between. Posting again is what the caller does about this error.
		return storage.Posted{}, fmt.Errorf("post: %w", errors.Join(storage.ErrUnavailable, cause))
	case errors.Is(err, storage.ErrNotFound):
		return storage.Posted{}, cause
	}
	return storage.Posted{}, fmt.Errorf("post: %w", err)
}

// resolve finds out what became of a commit that gave an error, by its key: committed if there is an
// answer. No answer within the tries proves nothing, since the commit may still be under way.
func (db *DB) resolve(ctx context.Context, p storage.Posting, cause error) (storage.Posted, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	pause := resolvePause
	for range resolveTries {
		a, err := db.Answered(ctx, p.Key, p.RequestHash)
		if err == nil {
			return storage.Posted{Answer: a, Replayed: a.Journal != p.Journal.ID}, nil
		}
		if errors.Is(err, storage.ErrKeyReused) {
			return storage.Posted{}, fmt.Errorf("post: %w", err)
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
		}
	}
	if errors.Is(cause, storage.ErrUnavailable) {
		return storage.Posted{}, cause
	}
	return storage.Posted{}, fmt.Errorf("post: outcome of the commit is unknown: %w", errors.Join(storage.ErrUnavailable, cause))
}
