package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Measured against the same statements written down plainly, at their best (64 clients), and against a
// single INSERT that commits by itself, at its best; 10,000 accounts, hot: all pay one of them. MariaDB
// 10.11 with a binary log and sync_binlog=1, on 2 cores that the clients, the server and other work
// shared; all contenders take turns in one run. Two runs, the second with a load of 13 on the 2 cores:
//
//	                        load 5    load 13
//	Group, 64 clients         2.4       1.3     times the plain transaction's best
//	Group, 256 clients        3.7       1.7
//	Group, 64, hot            3.3       2.2
//	Group, 256, hot           4.2       3.0
//	plain, 16, hot            0.57      0.17
//	one INSERT                7.5       4.0
//	hot to cold, 64           1.4       1.7
//	p99 to plain's, 64        0.59      0.51
//	lone client to plain's    0.83      1.3
//
//	go test ./storage/sqlstore -v -run '^$' -bench Post -benchtime 2048x
//
// with TALLYSTICK_TEST_MYSQL_DSN set; at load 5 it was 1536x, with two committers, which made no difference.
// On SQLite, at load 13: 1.4 with 64 clients, 0.6 for a lone one.
//
// The aim was 5 times the plain transaction and 1.2 times the INSERT, with 64 clients. Neither has been
// seen here. A flush of this disk costs little, so what is left is the work of the engine: the
// processor time of the server, read from /proc around batches, was 0.11 ms for a posting in a group of 64 and 0.16 in
// one of 16, where the plain transaction took 0.5 to 0.8 and one INSERT of 64 clients 0.09. That is the
// fivefold in work; in time, one committer has one thread's share of a crowded machine, and the plain
// transactions those of many. In a group of 64 the statements took 7 ms, evenly spread over the rows, and building
// them 2 ms; other sizes of [moveChunk] changed nothing.

// How the outcome of a commit is found out after the connection was lost under it: the server may
// still be committing when the first look-up arrives.
const (
	resolveTries   = 4
	resolvePause   = 25 * time.Millisecond // doubled each time
	resolveTimeout = 5 * time.Second
)

// errAnswered says that the key of a posting has an answer already.
var errAnswered = errors.New("key was answered before")

// errNoAccount says that accounts of a batch are missing, and have to be made first.
var errNoAccount = errors.New("account is missing")

var (
	_ storage.Ledger     = (*DB)(nil)
	_ storage.Books      = (*DB)(nil)
	_ storage.Bookkeeper = (*DB)(nil)
)

// Post implements [storage.Ledger].
//
// It costs nine round trips: begin; the bearer; the accounts; the answer, journal, note to be sealed, entries
// and balances; commit. The key is not looked up beforehand: callers ask [DB.Answered] before they queue
// for a lock, so here it is nearly always new, and a look-up would be a tenth. A key that is not new
// fails the insertion of the answer, and the transaction is rolled back.
func (db *DB) Post(ctx context.Context, p storage.Posting) (storage.Posted, error) {
	var (
		b       *batch
		decided bool // the last try came as far as its commit
	)
	once := func() error {
		return db.write(ctx, "post", func(ctx context.Context, tx *sql.Tx) error {
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
	}
	err := once()
	if errors.Is(err, errNoAccount) {
		if err = db.makeAccounts(ctx, b.missing); err == nil {
			err = once()
		}
	}
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
