package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/seal"
)

var (
	_ storage.Sealer = (*DB)(nil)
	_ storage.Sealed = (*DB)(nil)
)

const (
	blockColumns = `block, first_number, journals, previous_hash, hash, sealed_at`
	sealColumns  = `number, block, journal_id, leaf, after_sequence, after_fence`

	readHead  = `SELECT ` + blockColumns + ` FROM blocks WHERE block > 0 ORDER BY block DESC LIMIT 1`
	readBlock = `SELECT ` + blockColumns + ` FROM blocks WHERE block = ?`
	readSeal  = `SELECT ` + sealColumns + ` FROM seals WHERE journal_id = ?`
	readSeals = `SELECT ` + sealColumns + ` FROM seals WHERE number > ? ORDER BY number LIMIT ?`

	findWaiting  = `SELECT journal_id, after_sequence, after_fence FROM unsealed WHERE journal_id >= ? ORDER BY journal_id LIMIT ?`
	readWaiting  = `SELECT journal_id, after_sequence, after_fence FROM unsealed WHERE journal_id IN ({?|, })`
	countWaiting = `SELECT COUNT(*) FROM (SELECT journal_id FROM unsealed WHERE journal_id >= ? ORDER BY journal_id LIMIT ?) waiting`
	findSealed   = `SELECT journal_id FROM seals WHERE journal_id IN ({?|, })`

	someJournals = `SELECT ` + journalColumns + ` FROM journals WHERE journal_id IN ({?|, })`
	someEntries  = `SELECT ` + entryColumns + ` FROM entries WHERE journal_id IN ({?|, }) ORDER BY journal_id, account_id, sequence`

	insertBlock  = `INSERT INTO blocks (` + blockColumns + `) VALUES (?, ?, ?, ?, ?, ?)`
	insertSeals  = `INSERT INTO seals (` + sealColumns + `) VALUES {(?, ?, ?, ?, ?, ?)|, }`
	dropUnsealed = `DELETE FROM unsealed WHERE journal_id = ?`

	readEnrolled  = `SELECT journal_id FROM enrolment WHERE enrolment_id = 1`
	raiseEnrolled = `UPDATE enrolment SET journal_id = ? WHERE enrolment_id = 1 AND journal_id = ?`
	findOld       = `SELECT journal_id FROM journals WHERE journal_id > ? AND journal_id < ? ORDER BY journal_id LIMIT ?`
	enrolOld      = ` unsealed (journal_id, after_sequence, after_fence) VALUES {(?, -1, -1)|, }`
)

const (
	sealChunk = 250 // rows in one statement
	// sealMargin is how much older a journal may be than the search for what waits begins, as a rule; every
	// sealSweep it begins at the beginning.
	sealMargin = time.Minute
	sealSweep  = 30 * time.Second
	// maxStanding bounds the accounts whose sealed entries are remembered.
	maxStanding = 1 << 16
)

// sealMemory is what a process remembers of its own sealing. Nothing in it has to be there.
type sealMemory struct {
	mu sync.Mutex
	// floor is where the search for what waits begins: below it there was nothing at swept. What is deleted
	// stays in the indexes of InnoDB for as long as a snapshot may ask for it, and would be passed by each time.
	floor string
	swept time.Time
	// sealed is up to which sequence the entries of an account are known to be sealed.
	sealed map[storage.AccountID]int64
}

// from is where to search at now.
func (m *sealMemory) from(now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if age := now.Sub(m.swept); age < 0 || age >= sealSweep {
		return ""
	}
	return m.floor
}

// searched takes note of a search at now that found all there was.
func (m *sealMemory) searched(from string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from == "" {
		m.floor, m.swept = storage.FirstID(now.Add(-sealMargin)), now
	}
}

// forget has the next search begin at the beginning.
func (m *sealMemory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.floor, m.swept = "", time.Time{}
}

func (m *sealMemory) knows(account storage.AccountID, sequence int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sealed[account] >= sequence
}

// learn takes note of entries that are sealed.
func (m *sealMemory) learn(sealed map[storage.AccountID]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sealed == nil || len(m.sealed)+len(sealed) > maxStanding {
		m.sealed = make(map[storage.AccountID]int64)
	}
	for account, sequence := range sealed {
		m.sealed[account] = max(m.sealed[account], sequence)
	}
}

// unsealed is a journal on its way into a block.
type unsealed struct {
	id      storage.JournalID
	after   storage.Standing
	journal storage.Journal // no Kind if it is not there
	entries []storage.Entry
}

// Seal implements [storage.Sealer].
//
// All is read without a lock and before the transaction, which then only writes. That is enough: journals and
// seals are never changed, and the number of the block, which is unique, is that after the last block as it
// was before anything else was read. If somebody has sealed anything meanwhile, it is taken.
func (db *DB) Seal(ctx context.Context, limit int, now time.Time) (int, error) {
	now = storage.Instant(now)
	var (
		head  storage.Block
		batch *sealing
	)
	err := db.read(ctx, "read what to seal", func(ctx context.Context, q querier) (err error) {
		if head, err = headOf(ctx, q); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		batch, err = db.gatherUnsealed(ctx, q, min(limit, storage.MaxSeal), now)
		return err
	})
	if err != nil || batch.empty() {
		return 0, err
	}
	block, seals := chainUp(head, batch.inOrder(), now)
	err = db.write(ctx, "seal", func(ctx context.Context, tx *sql.Tx) error {
		return batch.write(ctx, tx, block, seals)
	})
	if errors.Is(err, storage.ErrExists) {
		return 0, nil // another sealer was faster
	}
	if err != nil {
		return 0, err
	}
	db.sealing.learn(batch.sequences())
	return len(seals), nil
}

func headOf(ctx context.Context, q querier) (storage.Block, error) {
	return scanBlock(q.QueryRowContext(ctx, readHead))
}

// sealing is what one call of [DB.Seal] seals.
type sealing struct {
	journals map[storage.JournalID]*unsealed
	// stale are notes of journals that are sealed already.
	stale []storage.JournalID
}

func (s *sealing) empty() bool { return len(s.journals) == 0 && len(s.stale) == 0 }

// sequences is up to where the accounts are sealed with it.
func (s *sealing) sequences() map[storage.AccountID]int64 {
	out := make(map[storage.AccountID]int64)
	for _, u := range s.journals {
		for _, e := range u.entries {
			out[e.Account] = max(out[e.Account], e.Sequence)
		}
	}
	return out
}

// gatherUnsealed reads the oldest journals that wait, and those that have to come before them.
func (db *DB) gatherUnsealed(ctx context.Context, q querier, limit int, now time.Time) (*sealing, error) {
	s := &sealing{journals: make(map[storage.JournalID]*unsealed)}
	from := db.sealing.from(now)
	waiting, err := collect(ctx, q, scanUnsealed, findWaiting, from, max(limit, 0))
	if err != nil || len(waiting) == 0 {
		db.sealing.searched(from, now)
		return s, err
	}
	if len(waiting) < limit {
		db.sealing.searched(from, now)
	}
	sealed, err := sealedOf(ctx, q, waiting)
	if err != nil {
		return nil, err
	}
	var fresh []*unsealed
	for _, u := range waiting {
		if sealed[u.id] {
			s.stale = append(s.stale, u.id)
			continue
		}
		fresh = append(fresh, u)
	}
	if err := s.add(ctx, q, fresh); err != nil {
		return nil, err
	}
	return s, s.complete(ctx, q, &db.sealing, limit)
}

// add reads journals with their entries.
func (s *sealing) add(ctx context.Context, q querier, list []*unsealed) error {
	for _, u := range list {
		u.journal.ID = u.id
		s.journals[u.id] = u
	}
	for chunk := range slices.Chunk(list, sealChunk) {
		ids := make([]any, len(chunk))
		for i, u := range chunk {
			ids[i] = string(u.id)
		}
		journals, err := collect(ctx, q, scanJournal, spread(someJournals, len(ids)), ids...)
		if err != nil {
			return fmt.Errorf("read journals: %w", err)
		}
		for _, j := range journals {
			s.journals[j.ID].journal = j
		}
		entries, err := collect(ctx, q, scanEntry, spread(someEntries, len(ids)), ids...)
		if err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
		for _, e := range entries {
			s.journals[e.Journal].entries = append(s.journals[e.Journal].entries, e)
		}
	}
	return nil
}

// chainUp makes the block after head of journals in order.
func chainUp(head storage.Block, journals []*unsealed, now time.Time) (storage.Block, []storage.Seal) {
	b := storage.Block{
		Number: head.Number + 1, First: 1, Journals: int64(len(journals)), Previous: head.Hash, SealedAt: now,
	}
	if head.Number > 0 {
		b.First = head.Last() + 1
	}
	var h seal.Hasher
	sum := seal.NewBlock(&b)
	seals := make([]storage.Seal, len(journals))
	for i, u := range journals {
		seals[i] = storage.Seal{
			Number: b.First + int64(i), Block: b.Number, Journal: u.id, Leaf: h.Leaf(&u.journal, u.entries), After: u.after,
		}
		sum.Add(&seals[i])
	}
	b.Hash = sum.Sum()
	return b, seals
}

// write writes the block, if there are journals, and removes the notes. Each is removed by its key in a statement of
// its own: one over many is run as a scan while the table is small, and would wait for postings that have
// not committed.
func (s *sealing) write(ctx context.Context, tx *sql.Tx, b storage.Block, seals []storage.Seal) error {
	if len(seals) > 0 {
		_, err := tx.ExecContext(ctx, insertBlock, b.Number, b.First, b.Journals, b.Previous[:], b.Hash[:], micros(b.SealedAt))
		if err != nil {
			return fmt.Errorf("insert block: %w", err)
		}
	}
	for chunk := range slices.Chunk(seals, sealChunk) {
		args := make([]any, 0, 6*len(chunk))
		for i := range chunk {
			c := &chunk[i]
			args = append(args, c.Number, c.Block, c.Journal, c.Leaf[:], c.After.Sequence, c.After.Fence)
		}
		if _, err := tx.ExecContext(ctx, spread(insertSeals, len(chunk)), args...); err != nil {
			return fmt.Errorf("insert seals: %w", err)
		}
	}
	notes := slices.Concat(s.stale, slices.Collect(maps.Keys(s.journals)))
	slices.Sort(notes)
	for _, id := range notes {
		if _, err := tx.ExecContext(ctx, dropUnsealed, string(id)); err != nil {
			return fmt.Errorf("drop note: %w", err)
		}
	}
	return nil
}

// Enrol implements [storage.Sealer].
func (db *DB) Enrol(ctx context.Context, before time.Time, limit int) (int, error) {
	limit = min(max(limit, 0), storage.MaxSeal)
	var last string
	var found []storage.JournalID
	var missing []any
	err := db.read(ctx, "find journals to enrol", func(ctx context.Context, q querier) (err error) {
		if err = q.QueryRowContext(ctx, readEnrolled).Scan(&last); err != nil {
			return err
		}
		found, err = collect(ctx, q, scanText[storage.JournalID], findOld, last, storage.FirstID(before), limit)
		if err != nil || len(found) == 0 {
			return err
		}
		missing, err = unknown(ctx, q, found)
		return err
	})
	if err != nil || len(found) == 0 {
		return 0, err
	}
	err = db.write(ctx, "enrol journals", func(ctx context.Context, tx *sql.Tx) error {
		for chunk := range slices.Chunk(missing, sealChunk) {
			if _, err := tx.ExecContext(ctx, db.d.InsertIgnore+spread(enrolOld, len(chunk)), chunk...); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, raiseEnrolled, string(found[len(found)-1]), last)
		return err
	})
	if err != nil {
		return 0, err
	}
	if len(missing) > 0 {
		db.sealing.forget()
	}
	return len(found), nil
}

// unknown are those of the journals that neither wait nor are sealed.
func unknown(ctx context.Context, q querier, journals []storage.JournalID) (out []any, err error) {
	for chunk := range slices.Chunk(journals, sealChunk) {
		known := make(map[storage.JournalID]bool, len(chunk))
		ids := anyOf(chunk)
		waiting, err := collect(ctx, q, scanUnsealed, spread(readWaiting, len(ids)), ids...)
		if err != nil {
			return nil, err
		}
		for _, u := range waiting {
			known[u.id] = true
		}
		// Read after what waits, so that a journal that is sealed in between is in one of the two.
		sealed, err := collect(ctx, q, scanText[storage.JournalID], spread(findSealed, len(ids)), ids...)
		if err != nil {
			return nil, err
		}
		for _, id := range sealed {
			known[id] = true
		}
		for _, id := range chunk {
			if !known[id] {
				out = append(out, string(id))
			}
		}
	}
	return out, nil
}

func anyOf[T ~string](list []T) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return out
}

// sealedOf says which of the journals are sealed.
func sealedOf(ctx context.Context, q querier, list []*unsealed) (map[storage.JournalID]bool, error) {
	out := make(map[storage.JournalID]bool)
	for chunk := range slices.Chunk(list, sealChunk) {
		ids := make([]any, len(chunk))
		for i, u := range chunk {
			ids[i] = string(u.id)
		}
		sealed, err := collect(ctx, q, scanText[storage.JournalID], spread(findSealed, len(ids)), ids...)
		if err != nil {
			return nil, fmt.Errorf("find what is sealed: %w", err)
		}
		for _, id := range sealed {
			out[id] = true
		}
	}
	return out, nil
}

func scanUnsealed(row scanner) (*unsealed, error) {
	u := new(unsealed)
	err := row.Scan(&u.id, &u.after.Sequence, &u.after.Fence)
	return u, err
}
