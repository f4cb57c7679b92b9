package money

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Max is the largest amount, and the largest balance: 2^53-1 minor units.
const Max int64 = 9007199254740991

// Errors of this package.
var (
	// ErrRange says that an amount is outside what is allowed: 1 to [Max] for what moves.
	ErrRange = errors.New("amount out of range")
	// ErrSyntax says that the text is not an integer amount.
	ErrSyntax = errors.New("amount is not an integer in minor units")
	// ErrCurrency says that a currency code is not three capital letters.
	ErrCurrency = errors.New("currency is not an ISO 4217 code")
)

// Currency is an ISO 4217 code such as "CNY".
type Currency string

// ParseCurrency checks the shape of a code; it does not know which exist.
func ParseCurrency(s string) (Currency, error) {
	if len(s) != 3 {
		return "", fmt.Errorf("%w: %.16q", ErrCurrency, s)
	}
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return "", fmt.Errorf("%w: %.16q", ErrCurrency, s)
		}
	}
	return Currency(s), nil
}

// Amount is a number of minor units of a currency. It may be below zero.
type Amount struct {
	Minor    int64
	Currency Currency
}

// String prints an amount for people: "12.50 CNY".
func (a Amount) String() string { return a.Text(a.Currency.Exponent()) }

// Text is [Amount.String] of a currency that has another exponent than [Currency.Exponent] tells.
func (a Amount) Text(exp int) string {
	sign, u := "", uint64(a.Minor)
	if a.Minor < 0 {
		sign, u = "-", -u
	}
	digits := strconv.FormatUint(u, 10)
	if exp == 0 {
		return sign + digits + " " + string(a.Currency)
	}
	if len(digits) <= exp {
		digits = strings.Repeat("0", exp-len(digits)+1) + digits
	}
	cut := len(digits) - exp
	return sign + digits[:cut] + "." + digits[cut:] + " " + string(a.Currency)
}

// Movable gives [ErrRange] unless the amount can be moved: 1 to [Max].
func (a Amount) Movable() error {
	if a.Minor < 1 || a.Minor > Max {
		return fmt.Errorf("%w: %d is not between 1 and %d", ErrRange, a.Minor, Max)
	}
	return nil
}

// Add adds two numbers of minor units; ErrRange if the sum is beyond ±[Max].
func Add(a, b int64) (int64, error) {
	if (b > 0 && a > math.MaxInt64-b) || (b < 0 && a < math.MinInt64-b) {
		return 0, fmt.Errorf("%w: %d + %d", ErrRange, a, b)
	}
	sum := a + b
	if sum > Max || sum < -Max {
		return 0, fmt.Errorf("%w: %d + %d", ErrRange, a, b)
	}
	return sum, nil
}

// Minor is an amount of minor units as it stands in JSON: an integer literal of at most 16 digits.
// The currency stands in a field of its own.
type Minor int64

// UnmarshalJSON takes an integer literal only: no fraction, no exponent, no string.
func (m *Minor) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return ErrSyntax
	}
	n, err := ParseMinor(string(b))
	if err != nil {
		return err
	}
	*m = Minor(n)
	return nil
}

// MarshalJSON writes the integer.
func (m Minor) MarshalJSON() ([]byte, error) { return json.Marshal(int64(m)) }

// ParseMinor reads an optionally negative integer without leading zeros. ErrSyntax if it is
// something else, ErrRange if it is beyond ±[Max].
func ParseMinor(s string) (int64, error) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || (len(digits) > 1 && digits[0] == '0') || s == "-0" {
		return 0, ErrSyntax
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, ErrSyntax
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > Max || n < -Max {
		return 0, fmt.Errorf("%w: beyond %d", ErrRange, Max)
	}
	return n, nil
}
