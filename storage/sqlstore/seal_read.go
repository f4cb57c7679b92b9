package sqlstore

import (
	"context"
	"fmt"

	"github.com/tallystick/tallystick/storage"
)

// SealedAfter implements [storage.Sealed].
func (db *DB) SealedAfter(ctx context.Context, number int64, limit int) (list []storage.SealedJournal, err error) {
	err = db.read(ctx, "read sealed journals", func(ctx context.Context, q querier) error {
		seals, err := collect(ctx, q, scanSeal, readSeals, number, min(max(limit, 0), storage.MaxSealed))
		if err != nil || len(seals) == 0 {
			return err
		}
		found := &sealing{journals: make(map[storage.JournalID]*unsealed, len(seals))}
		wanted := make([]*unsealed, len(seals))
		for i, s := range seals {
			wanted[i] = &unsealed{id: s.Journal}
		}
		if err := found.add(ctx, q, wanted); err != nil {
			return err
		}
		list = make([]storage.SealedJournal, len(seals))
		for i, s := range seals {
			list[i] = storage.SealedJournal{Seal: s, Journal: wanted[i].journal, Entries: wanted[i].entries}
		}
		return nil
	})
	return list, err
}

// SealOf implements [storage.Sealed].
func (db *DB) SealOf(ctx context.Context, id storage.JournalID) (s storage.Seal, err error) {
	err = db.read(ctx, "read seal", func(ctx context.Context, q querier) (err error) {
		s, err = scanSeal(q.QueryRowContext(ctx, readSeal, string(id)))
		return err
	})
	return s, err
}

// Head implements [storage.Sealed].
func (db *DB) Head(ctx context.Context) (b storage.Block, err error) {
	err = db.read(ctx, "read head", func(ctx context.Context, q querier) (err error) {
		b, err = headOf(ctx, q)
		return err
	})
	return b, err
}

// Block implements [storage.Sealed].
func (db *DB) Block(ctx context.Context, number int64) (b storage.Block, err error) {
	err = db.read(ctx, "read block", func(ctx context.Context, q querier) (err error) {
		b, err = scanBlock(q.QueryRowContext(ctx, readBlock, number))
		return err
	})
	return b, err
}

// Backlog implements [storage.Sealer].
func (db *DB) Backlog(ctx context.Context) (b storage.Backlog, err error) {
	db.sealing.mu.Lock()
	floor := db.sealing.floor
	db.sealing.mu.Unlock()
	err = db.read(ctx, "read what waits to be sealed", func(ctx context.Context, q querier) error {
		if err := q.QueryRowContext(ctx, countWaiting, floor, storage.MaxBacklog).Scan(&b.Journals); err != nil {
			return err
		}
		first, err := collect(ctx, q, scanUnsealed, findWaiting, floor, 1)
		if err != nil || len(first) == 0 {
			return err
		}
		if at, ok := storage.IDTime(string(first[0].id)); ok {
			b.Oldest = &at
		}
		return nil
	})
	return b, err
}

func scanBlock(row scanner) (b storage.Block, err error) {
	var previous, hash []byte
	var at int64
	if err = row.Scan(&b.Number, &b.First, &b.Journals, &previous, &hash, &at); err != nil {
		return storage.Block{}, err
	}
	b.SealedAt = instant(at)
	if b.Previous, err = hashOf(previous); err != nil {
		return b, err
	}
	b.Hash, err = hashOf(hash)
	return b, err
}

func scanSeal(row scanner) (s storage.Seal, err error) {
	var leaf []byte
	if err = row.Scan(&s.Number, &s.Block, &s.Journal, &leaf, &s.After.Sequence, &s.After.Fence); err != nil {
		return storage.Seal{}, err
	}
	s.Leaf, err = hashOf(leaf)
	return s, err
}

func hashOf(b []byte) (h storage.Hash, err error) {
	if len(b) != len(h) {
		return h, fmt.Errorf("a hash of %d bytes", len(b))
	}
	copy(h[:], b)
	return h, nil
}
