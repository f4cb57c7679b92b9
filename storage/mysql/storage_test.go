package mysql_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestMain(m *testing.M) {
	storagetest.FewPlays()
	os.Exit(m.Run())
}

func open(t *testing.T) storagetest.Store {
	t.Helper()
	return engine.MySQL(t).Open(t)
}

func TestUsers(t *testing.T)     { t.Parallel(); storagetest.Users(t, open) }
func TestClients(t *testing.T)   { t.Parallel(); storagetest.Clients(t, open) }
func TestSessions(t *testing.T)  { t.Parallel(); storagetest.Sessions(t, open) }
func TestRefreshes(t *testing.T) { t.Parallel(); storagetest.Refreshes(t, open) }
func TestKeys(t *testing.T)      { t.Parallel(); storagetest.Keys(t, open) }
func TestAudit(t *testing.T)     { t.Parallel(); storagetest.Audit(t, open) }

func TestFederation(t *testing.T) {
	t.Parallel()
	storagetest.Federation(t, func(t *testing.T) storagetest.FederationStore { return engine.MySQL(t).Open(t) })
}

func TestHandoffs(t *testing.T) {
	t.Parallel()
	storagetest.Handoffs(t, func(t *testing.T) storagetest.HandoffStore { return engine.MySQL(t).Open(t) })
}

func TestOutboxes(t *testing.T) {
	t.Parallel()
	storagetest.Outboxes(t, func(t *testing.T) storagetest.OutboxStore { return engine.MySQL(t).Open(t) })
}

func TestUpkeep(t *testing.T) {
	t.Parallel()
	storagetest.Upkeep(t, func(t *testing.T) storagetest.UpkeepStore { return engine.MySQL(t).Open(t) })
}

func TestRunModes(t *testing.T) {
	t.Parallel()
	storagetest.RunModes(t, func(t *testing.T) func(*testing.T) storagetest.ClosingStore {
		e := engine.MySQL(t)
		return func(t *testing.T) storagetest.ClosingStore { return e.Open(t) }
	})
}

func TestFeed(t *testing.T) {
	t.Parallel()
	storagetest.Feed(t, func(t *testing.T) (storagetest.Store, storagetest.SlowEnd) {
		e := engine.MySQL(t)
		return e.Open(t), slowEnd(e.Raw(t))
	})
}

// slowEnd writes events in transactions of their own.
func slowEnd(db *sql.DB) storagetest.SlowEnd {
	return func(t *testing.T, e storage.Event) (commit func()) {
		t.Helper()
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.ExecContext(t.Context(), "INSERT INTO session_events (event_id, number, subject, subject_key, user_id, product, terminal, "+
			"ended_at, end_reason, end_actor, until_at) VALUES (?, 0, ?, ?, '', '', '', ?, ?, ?, ?)",
			string(e.ID), string(e.Subject), e.Key, e.End.At.UnixMicro(), string(e.End.Reason), e.End.Actor, e.Until.UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSeals(t *testing.T) {
	t.Parallel()
	storagetest.Seals(t, func(t *testing.T) storagetest.SealStore { return engine.MySQL(t).Open(t) })
}
