package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Measured against the same statements written down plainly, at their best (24 connections), and against a
// single INSERT that commits by itself, at its best; 10,000 accounts, hot: all pay one of them. MariaDB
// 10.11 on 2 cores that the clients and the server shared, and nobody else used; all contenders take turns in
// one run:
//
//	                          no binary log   binary log, sync_binlog=1
//	Group, 64 clients         2.9             2.8   times the plain transaction's best
//	Group, 256 clients        3.8             3.5
//	Group, 64, hot            3.0             2.7
//	plain, 16, hot            0.58            0.47
//	one INSERT                6.9             5.2
//	hot to cold, 64           1.00            0.95
//	p99 to plain's, 64        0.21            0.25
//	lone client to plain's    0.85            0.86
//
//	go test ./storage/sqlstore -v -run '^$' -bench Post/mysql -benchtime 2048x
//
// with TALLYSTICK_TEST_MYSQL_DSN set; both with a flush at each commit, which costs next to nothing on these disks. On
// cores that other work kept busy (load 18 to 20) it was 1.7.
//
// The aim was 5 times the plain transaction and 1.2 times the INSERT, with 64 clients, and 0.9 for a lone one. None of the three has been
// seen here. A posting writes five rows and changes two, in seven indexes, where the INSERT writes one
// row in two: where a flush costs little, the work of the engine on those rows is what is left, and no grouping
// removes it.

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
// and balances; commit. An account that is not there yet is made first, in a transaction of its own: four more for
// each, and three for the try that missed them. The key is not looked up beforehand: callers ask [DB.Answered] or
// [DB.Footing] before, so here it is nearly always new, and a look-up would be a tenth. A key that is not new
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
