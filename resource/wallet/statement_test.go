package wallet

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/storage/money"
)

var places3 = []place{{"CNY", 12}, {"USD", money.Max}, {"JPY", 1}}

func equalPlaces(a, b []place) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func TestACursorIsOfItsUserAndItsFilter(t *testing.T) {
	t.Parallel()
	c := writeCursor("tom", "", places3)
	got, err := readCursor("tom", "", c)
	if err != nil || !equalPlaces(places3, got) {
		t.Fatalf("got %v, %v", got, err)
	}
	for name, f := range map[string]func() ([]place, error){
		"another user":     func() ([]place, error) { return readCursor("amy", "", c) },
		"another currency": func() ([]place, error) { return readCursor("tom", "CNY", c) },
		"cut off":          func() ([]place, error) { return readCursor("tom", "", c[:len(c)-1]) },
		"lengthened":       func() ([]place, error) { return readCursor("tom", "", c+"0") },
		"upper case":       func() ([]place, error) { return readCursor("tom", "", "A"+c[1:]) },
		"line break":       func() ([]place, error) { return readCursor("tom", "", c+"\n") },
		"too long":         func() ([]place, error) { return readCursor("tom", "", string(make([]byte, maxCursor+1))) },
	} {
		if _, err := f(); !errors.Is(err, ErrCursor) {
			t.Errorf("%s: %v, want ErrCursor", name, err)
		}
	}
	for i := range c {
		b := []byte(c)
		b[i] = map[bool]byte{true: '1', false: '0'}[b[i] == '0']
		if _, err := readCursor("tom", "", string(b)); !errors.Is(err, ErrCursor) {
			t.Errorf("byte %d changed: %v, want ErrCursor", i, err)
		}
	}
}

func TestPlacesThatNobodyWrote(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"", "CNY", "CNY.", "CNY.0", "CNY.-1", "CNY.01", "cny.1", "CNY.1,", "CNY.1,CNY.2", "CNY.9007199254740992", "CNY.1.2"} {
		text := "1;;" + list
		c := opaque.EncodeToString(append(sumCursor("tom", text), text...))
		if got, err := readCursor("tom", "", c); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: %v, %v, want ErrCursor", list, got, err)
		}
	}
}

// FuzzCursor checks that a cursor is ours to the last bit or refused.
func FuzzCursor(f *testing.F) {
	f.Add(writeCursor("tom", "", places3))
	f.Add(writeCursor("tom", "CNY", places3[:1]))
	f.Add("")
	f.Add("000000000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := readCursor("tom", "", s)
		if err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if again := writeCursor("tom", "", got); again != s {
			t.Fatalf("%q was read as %v, which is %q", s, got, again)
		}
	})
}

func TestHashesTellRequestsApart(t *testing.T) {
	t.Parallel()
	amount := money.Amount{Minor: 12, Currency: "CNY"}
	base := TransferOrder{User: "tom", To: "amy", Amount: amount, Memo: "m", Key: "k"}
	same := base
	same.Key, same.User, same.Bearer.JTI = "other", "other", "other"
	if base.hash("") != same.hash("") {
		t.Error("what identifies the caller changes the hash of the request")
	}
	seen := map[[32]byte]string{base.hash(""): "base"}
	for name, change := range map[string]func(*TransferOrder){
		"to": func(o *TransferOrder) { o.To = "am" }, "amount": func(o *TransferOrder) { o.Amount.Minor = 1 },
		"currency": func(o *TransferOrder) { o.Amount.Currency = "USD" }, "memo": func(o *TransferOrder) { o.Memo = "" },
		"shifted": func(o *TransferOrder) { o.To, o.Memo = "amym", "" },
	} {
		o := base
		change(&o)
		if other, there := seen[o.hash("")]; there {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[o.hash("")] = name
	}
	if other, there := seen[base.hash(`{"a":"b"}`)]; there {
		t.Errorf("a transfer with metadata has the hash of %s", other)
	}
	d := DepositOrder{User: "amy", Amount: amount, Reference: "m"}
	if other, there := seen[d.hash("")]; there {
		t.Errorf("a deposit has the hash of %s", other)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Currencies: []money.Currency{"cny", "USD", "USD"}, MaxAmount: -1, LockWait: -1})
	want := "wallet: no ledger\nno locker\ncurrencies: currency is not an ISO 4217 code: \"cny\"\ncurrencies: USD is there twice\n" +
		"max_amount: -1 is not between 1 and 9007199254740991\nlock.wait: -1ns is not between 0 and 10m0s"
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}
