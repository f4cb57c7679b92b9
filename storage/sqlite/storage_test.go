package sqlite_test

import (
	"os"
	"testing"

	"github.com/tallystick/tallystick/storage/storagetest"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

func TestMain(m *testing.M) {
	storagetest.FewPlays()
	os.Exit(m.Run())
}

func open(t *testing.T) storagetest.Store {
	t.Helper()
	return engine.SQLite(t).Open(t)
}

func TestUsers(t *testing.T)     { t.Parallel(); storagetest.Users(t, open) }
func TestClients(t *testing.T)   { t.Parallel(); storagetest.Clients(t, open) }
func TestSessions(t *testing.T)  { t.Parallel(); storagetest.Sessions(t, open) }
func TestRefreshes(t *testing.T) { t.Parallel(); storagetest.Refreshes(t, open) }
func TestKeys(t *testing.T)      { t.Parallel(); storagetest.Keys(t, open) }
func TestAudit(t *testing.T)     { t.Parallel(); storagetest.Audit(t, open) }

func TestFederation(t *testing.T) {
	t.Parallel()
	storagetest.Federation(t, func(t *testing.T) storagetest.FederationStore { return engine.SQLite(t).Open(t) })
}

func TestHandoffs(t *testing.T) {
	t.Parallel()
	storagetest.Handoffs(t, func(t *testing.T) storagetest.HandoffStore { return engine.SQLite(t).Open(t) })
}

func TestOutboxes(t *testing.T) {
	t.Parallel()
	storagetest.Outboxes(t, func(t *testing.T) storagetest.OutboxStore { return engine.SQLite(t).Open(t) })
}

func TestUpkeep(t *testing.T) {
	t.Parallel()
	storagetest.Upkeep(t, func(t *testing.T) storagetest.UpkeepStore { return engine.SQLite(t).Open(t) })
}

func TestRunModes(t *testing.T) {
	t.Parallel()
	storagetest.RunModes(t, func(t *testing.T) func(*testing.T) storagetest.ClosingStore {
		e := engine.SQLite(t)
		return func(t *testing.T) storagetest.ClosingStore { return e.Open(t) }
	})
}

func TestFeed(t *testing.T) {
	t.Parallel()
	storagetest.Feed(t, func(t *testing.T) (storagetest.Store, storagetest.SlowEnd) { return open(t), nil })
}

func TestSeals(t *testing.T) {
	t.Parallel()
	storagetest.Seals(t, func(t *testing.T) storagetest.SealStore { return engine.SQLite(t).Open(t) })
}
