package configs

import (
	"cmp"
	"maps"
	"slices"

	"github.com/tallystick/tallystick/storage/money"
)

// checkKnown refuses a currency of which nobody says how many digits follow its point: a slip of the pen would be a ledger
// in a currency that there is not.
func checkKnown(f *faults, code string) {
	if _, known := money.Currency(code).Known(); known {
		return
	}
	meant := ""
	if near, found := nearestCurrency(code); found {
		meant = "; did you mean " + near + "?"
	}
	f.add("", "wallet.currencies", "%s is no currency of ISO 4217%s If it is one of your own, say how many digits follow its point: %s.%s: 2",
		code, cmp.Or(meant, "."), digitsPath, code)
}

// nearestCurrency is what a code was probably meant to be: its letters in another order, or one of them different.
func nearestCurrency(code string) (string, bool) {
	if code == "RMB" || code == "CNH" {
		return "CNY", true // what people call it, and how banks write it abroad
	}
	sorted := func(s string) string { b := []byte(s); slices.Sort(b); return string(b) }
	for _, c := range money.Codes() {
		if sorted(c) == sorted(code) {
			return c, true
		}
	}
	return nearest(code, money.Codes())
}

func (c *Config) checkExponents(f *faults) {
	w := &c.Wallet
	for _, currency := range slices.Sorted(maps.Keys(w.Exponents)) {
		at, n := digitsPath+"."+currency, w.Exponents[currency]
		if !slices.Contains(w.Currencies, currency) {
			f.add("", at, "is not one of wallet.currencies")
		}
		if by, known := money.Currency(currency).Known(); known && by != n {
			f.add("", at, "ISO 4217 gives %s %d digits after the point; remove this key", currency, by)
			continue
		}
		between(f, at, n, 0, money.MaxExponent)
	}
}
