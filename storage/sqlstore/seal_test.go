package sqlstore_test

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// TestJournalsOlderThanTheirSchemaAreSealed has journals without a note: all entries of an account are sealed in
// sequence all the same, the new one last.
func TestJournalsOlderThanTheirSchemaAreSealed(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		const old = 40
		db, raw := e.Open(t), e.Raw(t)
		now := storage.Instant(time.Now())
		_, err := raw.ExecContext(t.Context(), "INSERT INTO accounts (account_id, user_id, currency, balance, held, version, fence, created_at) VALUES ('world/cash/CNY', '', 'CNY', 0, 0, 0, 0, 0)")
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for i := range old + 1 {
			id := storage.NewID(now.Add(-time.Hour).Add(-time.Duration(i) * time.Millisecond)) // against the order of commits
			ids = append(ids, id)
			for _, statement := range []string{
				"INSERT INTO journals (journal_id, kind, from_user, to_user, amount, currency, memo, reference, client_id, actor, session_id, created_at, original_id) VALUES (?, 'deposit', '', 'u', 1, 'CNY', '', '', 'c', '', '', 5, '')",
				"INSERT INTO entries (account_id, sequence, journal_id, kind, amount, currency, balance_after, counterparty, memo, created_at) VALUES ('world/cash/CNY', ?, ?, 'deposit', -1, 'CNY', 0, 'u', '', 5)",
				"INSERT INTO unsealed (journal_id, after_sequence, after_fence) VALUES (?, 1, 1)",
			} {
				args := []any{id}
				if statement[12] == 'e' {
					args = []any{i + 1, id}
				}
				if statement[12] == 'u' && i < old {
					continue
				}
				if _, err := raw.ExecContext(t.Context(), statement, args...); err != nil {
					t.Fatal(err)
				}
			}
		}
		for {
			sealed, err := db.Seal(t.Context(), 3, now)
			if err != nil {
				t.Fatal(err)
			}
			looked, err := db.Enrol(t.Context(), now, 7)
			if err != nil {
				t.Fatal(err)
			}
			if sealed == 0 && looked == 0 {
				break
			}
		}
		list, err := db.SealedAfter(t.Context(), 0, storage.MaxSealed)
		if err != nil || len(list) != old+1 {
			t.Fatalf("%d sealed, %v", len(list), err)
		}
		for i, s := range list {
			want := storage.UnknownStanding()
			if i == old {
				want = storage.Standing{Sequence: 1, Fence: 1}
			}
			if s.Seal.Journal != storage.JournalID(ids[i]) || s.Seal.After != want {
				t.Errorf("number %d is %+v, want %s, %+v", i+1, s.Seal, ids[i], want)
			}
		}
	})
}
