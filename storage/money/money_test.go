package money_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/storage/money"
)

func TestParseMinor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		n   int64
		err error
	}{
		"0":                    {0, nil},
		"1":                    {1, nil},
		"1250":                 {1250, nil},
		"-1":                   {-1, nil},
		"9007199254740991":     {money.Max, nil},
		"-9007199254740991":    {-money.Max, nil},
		"9007199254740992":     {0, money.ErrRange},
		"-9007199254740992":    {0, money.ErrRange},
		"9223372036854775807":  {0, money.ErrRange},
		"-9223372036854775808": {0, money.ErrRange},
		"99999999999999999999": {0, money.ErrRange},
		"":                     {0, money.ErrSyntax},
		"-":                    {0, money.ErrSyntax},
		"-0":                   {0, money.ErrSyntax},
		"00":                   {0, money.ErrSyntax},
		"01":                   {0, money.ErrSyntax},
		"-01":                  {0, money.ErrSyntax},
		"+1":                   {0, money.ErrSyntax},
		"--1":                  {0, money.ErrSyntax},
		" 1":                   {0, money.ErrSyntax},
		"1 ":                   {0, money.ErrSyntax},
		"1\n":                  {0, money.ErrSyntax},
		"12.0":                 {0, money.ErrSyntax},
		"12.":                  {0, money.ErrSyntax},
		".5":                   {0, money.ErrSyntax},
		"1e3":                  {0, money.ErrSyntax},
		"1E3":                  {0, money.ErrSyntax},
		"0x10":                 {0, money.ErrSyntax},
		"1_000":                {0, money.ErrSyntax},
		"1,000":                {0, money.ErrSyntax},
		"١":                    {0, money.ErrSyntax}, // a digit, but not one of ours
		"NaN":                  {0, money.ErrSyntax},
		"Infinity":             {0, money.ErrSyntax},
	} {
		n, err := money.ParseMinor(text)
		if n != want.n || !errors.Is(err, want.err) {
			t.Errorf("ParseMinor(%q) = %d, %v; want %d, %v", text, n, err, want.n, want.err)
		}
	}
}

func TestMinorInJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		`{"amount":1250}`: 1250, `{"amount": 0}`: 0, `{"amount":-7}`: -7, `{"amount":9007199254740991}`: money.Max,
	} {
		var got struct{ Amount money.Minor }
		if err := json.Unmarshal([]byte(text), &got); err != nil || int64(got.Amount) != want {
			t.Errorf("%s: %d, %v; want %d", text, got.Amount, err, want)
		}
	}
	for _, text := range []string{
		`{"amount":12.0}`, `{"amount":1e3}`, `{"amount":"12"}`, `{"amount":null}`, `{"amount":true}`, `{"amount":[1]}`,
		`{"amount":{}}`, `{"amount":9007199254740992}`, `{"amount":-0}`, `{"amount":1.5}`, `{"amount":1E2}`,
	} {
		got := struct{ Amount money.Minor }{42}
		if err := json.Unmarshal([]byte(text), &got); err == nil || got.Amount != 42 {
			t.Errorf("%s: %d, %v; want an error and the amount untouched", text, got.Amount, err)
		}
	}
	for _, n := range []int64{0, 1, -1, money.Max, -money.Max} {
		b, err := json.Marshal(money.Minor(n))
		if err != nil || string(b) != strconv.FormatInt(n, 10) {
			t.Errorf("%d: %s, %v", n, b, err)
		}
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b, want int64
		err        error
	}{
		{1, 2, 3, nil},
		{1, -2, -1, nil},
		{money.Max, 0, money.Max, nil},
		{money.Max - 1, 1, money.Max, nil},
		{money.Max, -money.Max, 0, nil},
		{-money.Max + 1, -1, -money.Max, nil},
		{money.Max, 1, 0, money.ErrRange},
		{1, money.Max, 0, money.ErrRange},
		{-money.Max, -1, 0, money.ErrRange},
		{money.Max, money.Max, 0, money.ErrRange},
		{math.MaxInt64, 1, 0, money.ErrRange},
		{1, math.MaxInt64, 0, money.ErrRange},
		{math.MaxInt64, math.MaxInt64, 0, money.ErrRange},
		{math.MinInt64, -1, 0, money.ErrRange},
		{math.MinInt64, math.MinInt64, 0, money.ErrRange},
		{math.MaxInt64, math.MinInt64, -1, nil},
	} {
		got, err := money.Add(c.a, c.b)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("Add(%d, %d) = %d, %v; want %d, %v", c.a, c.b, got, err, c.want, c.err)
		}
	}
}

func TestMovable(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]error{
		1: nil, 1250: nil, money.Max: nil,
		0: money.ErrRange, -1: money.ErrRange, money.Max + 1: money.ErrRange, math.MaxInt64: money.ErrRange, math.MinInt64: money.ErrRange,
	} {
		if err := (money.Amount{Minor: n, Currency: "CNY"}).Movable(); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", n, err, want)
		}
	}
}

func TestAmountForPeople(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]money.Amount{
		"12.50 CNY":                 {Minor: 1250, Currency: "CNY"},
		"0.00 CNY":                  {Minor: 0, Currency: "CNY"},
		"0.05 CNY":                  {Minor: 5, Currency: "CNY"},
		"-0.05 CNY":                 {Minor: -5, Currency: "CNY"},
		"-12.50 CNY":                {Minor: -1250, Currency: "CNY"},
		"1250 JPY":                  {Minor: 1250, Currency: "JPY"},
		"-1250 JPY":                 {Minor: -1250, Currency: "JPY"},
		"1.250 KWD":                 {Minor: 1250, Currency: "KWD"},
		"0.001 KWD":                 {Minor: 1, Currency: "KWD"},
		"0.1250 CLF":                {Minor: 1250, Currency: "CLF"},
		"90071992547409.91 CNY":     {Minor: money.Max, Currency: "CNY"},
		"-92233720368547758.08 CNY": {Minor: math.MinInt64, Currency: "CNY"},
	} {
		if got := a.String(); got != want {
			t.Errorf("%+v prints %q, want %q", a.Minor, got, want)
		}
	}
}

func TestParseCurrency(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"CNY", "USD", "XXX"} {
		if got, err := money.ParseCurrency(code); err != nil || string(got) != code {
			t.Errorf("%q: %q, %v", code, got, err)
		}
	}
	for _, code := range []string{"", "C", "CN", "CNYY", "cny", "Cny", "C1Y", "CN ", " CN", "CN\x00", "元", "ÄÖ", strings.Repeat("A", 1<<16)} {
		got, err := money.ParseCurrency(code)
		if !errors.Is(err, money.ErrCurrency) || got != "" {
			t.Errorf("%.20q: %q, %v", code, got, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("the error repeats %d bytes of what was sent", len(err.Error()))
		}
	}
}

// FuzzParseMinor holds what is accepted against arbitrary integers: nothing else is accepted, and
// what is printed reads back as the same.
func FuzzParseMinor(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1", "-1", "9007199254740991", "9007199254740992", "1e3", "12.0", "01", "", "null", `"1"`, "\u0661"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := money.ParseMinor(text)
		exact, isInt := new(big.Int).SetString(text, 10)
		canonical := isInt && exact.String() == text
		switch {
		case err == nil:
			if !canonical || !exact.IsInt64() || exact.Int64() != n || n > money.Max || n < -money.Max {
				t.Errorf("%q is accepted as %d", text, n)
			}
			if strconv.FormatInt(n, 10) != text {
				t.Errorf("%q reads as %d and prints otherwise", text, n)
			}
		case errors.Is(err, money.ErrRange):
			if !canonical || exact.CmpAbs(big.NewInt(money.Max)) <= 0 {
				t.Errorf("%q is refused as out of range", text)
			}
		case errors.Is(err, money.ErrSyntax):
			if canonical {
				t.Errorf("%q is refused as no integer", text)
			}
		default:
			t.Errorf("%q: %v is no error of the package", text, err)
		}
	})
}

// FuzzMinorJSON holds the reading of JSON against encoding/json's own reading of exact numbers.
func FuzzMinorJSON(f *testing.F) {
	for _, seed := range []string{"0", " 7 ", "-7", "null", "1e3", "12.0", `"12"`, "9007199254740992", "[1]", "true", "-0", "00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m money.Minor
		if err := json.Unmarshal(text, &m); err != nil {
			if m != 0 {
				t.Errorf("%q is refused, but leaves %d", text, m)
			}
			return
		}
		var exact json.Number
		if err := json.Unmarshal(text, &exact); err != nil || exact.String() != strconv.FormatInt(int64(m), 10) {
			t.Errorf("%q reads as %d, exactly it is %s (%v)", text, m, exact, err)
		}
		b, err := json.Marshal(m)
		if err != nil || string(b) != strings.TrimSpace(string(text)) {
			t.Errorf("%q comes back as %s (%v)", text, b, err)
		}
	})
}

// FuzzAdd holds checked addition against numbers that have no end.
func FuzzAdd(f *testing.F) {
	f.Add(int64(1), int64(2))
	f.Add(int64(math.MaxInt64), int64(math.MinInt64))
	f.Add(money.Max, int64(1))
	f.Fuzz(func(t *testing.T, a, b int64) {
		got, err := money.Add(a, b)
		exact := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		fits := exact.CmpAbs(big.NewInt(money.Max)) <= 0
		if fits != (err == nil) || fits && exact.Int64() != got || !fits && !errors.Is(err, money.ErrRange) {
			t.Errorf("%d + %d = %d, %v; exactly %s", a, b, got, err, exact)
		}
	})
}

// Zero is an amount, so that an absent one has to be told apart by its reader; this is how.
func TestAbsentAmountIsNil(t *testing.T) {
	t.Parallel()
	var got struct{ Amount *money.Minor }
	if err := json.Unmarshal([]byte(`{}`), &got); err != nil || got.Amount != nil {
		t.Errorf("absent: %v, %v", got.Amount, err)
	}
	if err := json.Unmarshal([]byte(`{"amount":0}`), &got); err != nil || got.Amount == nil {
		t.Errorf("zero: %v, %v", got.Amount, err)
	}
}

func TestTextOfAnAmount(t *testing.T) {
	t.Parallel()
	for exponent, want := range map[int]string{0: "-1250 PTS", 1: "-125.0 PTS", 2: "-12.50 PTS", 4: "-0.1250 PTS", 8: "-0.00001250 PTS"} {
		if got := (money.Amount{Minor: -1250, Currency: "PTS"}).Text(exponent); got != want {
			t.Errorf("%d digits: %s; want %s", exponent, got, want)
		}
	}
}

func TestCurrenciesThatAreKnown(t *testing.T) {
	t.Parallel()
	for code, want := range map[money.Currency]int{
		"CNY": 2, "EUR": 2, "USD": 2, "XCG": 2, "ZWG": 2, "JPY": 0, "KRW": 0, "ISK": 0, "UYI": 0, "UGX": 0, "XPF": 0, "BHD": 3, "KWD": 3, "TND": 3,
		"CLF": 4, "UYW": 4,
	} {
		if got, known := code.Known(); got != want || !known || code.Exponent() != want {
			t.Errorf("%s: %d, %t; want %d", code, got, known, want)
		}
	}
	for _, code := range []money.Currency{"", "CN", "CNYX", "cny", "NY ", "Y C", "RMB", "HRK", "ANG", "XAU", "XTS", "XXX", "BTC"} {
		if got, known := code.Known(); got != 0 || known {
			t.Errorf("%q is known, with %d digits", code, got)
		}
	}
	codes := money.Codes()
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Errorf("not sorted, or one is there twice: %v", codes)
	}
	for _, code := range codes {
		if c, err := money.ParseCurrency(code); err != nil {
			t.Error(err)
		} else if _, known := c.Known(); !known {
			t.Errorf("%s is listed and not known", code)
		}
	}
}
