// Package money is an integer amount with a currency: checked arithmetic, parse, print.
//
// Amounts are in minor units (fen, cents). The largest is [Max], 2^53-1: the largest integer that
// every JSON reader, JavaScript's included, keeps exactly. There are no floats in it anywhere: an
// amount in JSON is an integer literal, and "12.0" or "1e3" is refused. Sums that would leave the
// range give [ErrRange] rather than wrapping around.
//
// Currencies are ISO 4217 codes. [Currency.Known] knows how many digits of the minor unit follow
// the point; which currencies a ledger accepts is its configuration, not this package's business.
package money
