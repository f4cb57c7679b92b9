package sqlstore_test

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

func TestLedger(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) engine.Engine{"sqlite": engine.SQLite, "mysql": engine.MySQL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storagetest.Ledger(t, func(t *testing.T) storagetest.LedgerStore { return start(t).Open(t) })
		})
	}
}
