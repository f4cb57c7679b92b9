package storagetest

import "testing"

// Ledger checks a driver against every promise written on [storage.Ledger], [storage.Books] and
// [storage.Bookkeeper]. open must return an empty store. Each case proves the books when it is done.
func Ledger(t *testing.T, open func(t *testing.T) LedgerStore) {
	for _, cases := range []map[string]func(*testing.T, *desk){
		ledgerPosts(), ledgerKeys(), ledgerStrict(), ledgerRaces(), ledgerBooks(), ledgerHolds(), ledgerReversals(), ledgerLimits(),
	} {
		for name, check := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t, open(t))
				check(t, d)
				d.prove(t)
			})
		}
	}
}
