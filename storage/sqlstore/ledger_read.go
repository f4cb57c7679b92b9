package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"

	"github.com/tallystick/tallystick/storage"
)

// maxWallets bounds the accounts of one user: there are not that many currencies.
const maxWallets = 256

// Answered implements [storage.Ledger].
func (db *DB) Answered(ctx context.Context, key storage.IdempotencyKey, requestHash [32]byte) (storage.Answer, error) {
	f, err := db.footing(ctx, "look up key", footingQuestion{key: key}, requestHash)
	switch {
	case err != nil:
		return storage.Answer{}, err
	case f.Answer == nil:
		return storage.Answer{}, fmt.Errorf("look up key: %w", storage.ErrNotFound)
	}
	return *f.Answer, nil
}

// Footing implements [storage.Ledger].
func (db *DB) Footing(
	ctx context.Context, key storage.IdempotencyKey, requestHash [32]byte, id storage.AccountID,
) (storage.Footing, error) {
	return db.footing(ctx, "look up key and fence", footingQuestion{key, id}, requestHash)
}

// footing asks together with whoever asks at the same time.
func (db *DB) footing(ctx context.Context, what string, q footingQuestion, requestHash [32]byte) (out storage.Footing, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	f, err := db.footings.put(ctx, q)
	if err != nil {
		return out, db.fault(what, err)
	}
	out.Fence = f.fence
	if f.answer == nil {
		return out, nil
	}
	if f.answer.hash != requestHash {
		return out, fmt.Errorf("%s: %w", what, storage.ErrKeyReused)
	}
	a := f.answer.Answer
	a.Body = slices.Clone(a.Body) // others may have asked for it too
	out.Answer = &a
	return out, nil
}

// answeredRow is an answer with the hash of its request.
type answeredRow struct {
	storage.Answer
	hash [32]byte
}

// answeredOf looks up which of the items' keys are answered.
func (db *DB) answeredOf(items []*item) (map[storage.IdempotencyKey]answeredRow, error) {
	found := map[storage.IdempotencyKey]answeredRow{}
	if len(items) == 0 {
		return found, nil
	}
	var args []any
	for _, it := range items {
		args = append(args, string(it.Key.User), string(it.Key.Client), it.Key.Key)
	}
	err := db.read(context.Background(), "look up keys", func(ctx context.Context, q querier) error {
		_, err := collect(ctx, q, func(row scanner) (a answeredRow, err error) {
			var k storage.IdempotencyKey
			var hash, body []byte
			err = row.Scan(&k.Client, &k.User, &k.Key, &a.Journal, &a.Code, &body, &hash)
			a.Body = body
			copy(a.hash[:], hash)
			found[k] = a
			return a, err
		}, spread(readAnswers, len(items)), args...)
		return err
	})
	return found, err
}

// Accounts implements [storage.Ledger].
func (db *DB) Accounts(ctx context.Context, user storage.UserID) ([]storage.Account, error) {
	if user == "" {
		return nil, nil // the system's accounts are nobody's wallet
	}
	var found []storage.Account
	err := db.read(ctx, "read accounts", func(ctx context.Context, q querier) (err error) {
		found, err = collect(ctx, q, scanAccount, readWallets, string(user), maxWallets)
		return err
	})
	return found, err
}

// Entries implements [storage.Ledger].
func (db *DB) Entries(ctx context.Context, id storage.AccountID, before int64, limit int) ([]storage.Entry, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	var found []storage.Entry
	err := db.read(ctx, "read entries", func(ctx context.Context, q querier) (err error) {
		found, err = collect(ctx, q, scanEntry, readEntries, string(id), before, page(limit))
		return err
	})
	return found, err
}

// Journal implements [storage.Ledger].
func (db *DB) Journal(ctx context.Context, id storage.JournalID) (storage.Journal, error) {
	var found storage.Journal
	err := db.read(ctx, "read journal", func(ctx context.Context, q querier) (err error) {
		found, err = scanJournal(q.QueryRowContext(ctx, readJournal, string(id)))
		return err
	})
	return found, err
}

func scanAccount(row scanner) (a storage.Account, err error) {
	var created int64
	var single, daily, frozen sql.NullInt64
	err = row.Scan(&a.ID, &a.User, &a.Currency, &a.Balance, &a.Held, &a.Version, &a.Fence, &created,
		&a.Spent, &a.SpentDay, &single, &daily, &frozen)
	a.CreatedAt, a.FrozenAt = instant(created), instantOrNil(frozen)
	a.Limits = storage.Limits{Single: minorOrNil(single), Daily: minorOrNil(daily)}
	return a, err
}

func minorOrNil(n sql.NullInt64) *int64 {
	if !n.Valid {
		return nil
	}
	return &n.Int64
}

func scanJournal(row scanner) (j storage.Journal, err error) {
	var created int64
	err = row.Scan(journalDest(&j, &created)...)
	j.CreatedAt = instant(created)
	return j, err
}

// journalDest is where the columns of a journal go.
func journalDest(j *storage.Journal, created *int64) []any {
	return []any{
		&j.ID, &j.Kind, &j.From, &j.To, &j.Amount.Minor, &j.Amount.Currency, &j.Memo, &j.Reference,
		&j.Client, &j.Actor, &j.Session, created, &j.Original, &j.Metadata,
	}
}

func scanEntry(row scanner) (e storage.Entry, err error) {
	var created int64
	err = row.Scan(&e.Account, &e.Sequence, &e.Journal, &e.Kind, &e.Amount, &e.Currency, &e.BalanceAfter,
		&e.Counterparty, &e.Memo, &created)
	e.CreatedAt = instant(created)
	return e, err
}
