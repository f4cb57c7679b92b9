package money_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tallystick/tallystick/storage/money"
)

func ExampleAmount_String() {
	fmt.Println(money.Amount{Minor: 1250, Currency: "CNY"})
	fmt.Println(money.Amount{Minor: 1250, Currency: "JPY"})
	fmt.Println(money.Amount{Minor: -5, Currency: "KWD"})
	// Output:
	// 12.50 CNY
	// 1250 JPY
	// -0.005 KWD
}

func ExampleMinor() {
	var order struct {
		Amount   money.Minor    `json:"amount"`
		Currency money.Currency `json:"currency"`
	}
	fmt.Println(json.Unmarshal([]byte(`{"amount": 1250, "currency": "CNY"}`), &order), order.Amount)
	err := json.Unmarshal([]byte(`{"amount": 12.50, "currency": "CNY"}`), &order)
	fmt.Println(errors.Is(err, money.ErrSyntax))
	// Output:
	// <nil> 1250
	// true
}

func ExampleAdd() {
	balance, err := money.Add(700, -300)
	fmt.Println(balance, err)
	_, err = money.Add(money.Max, 1)
	fmt.Println(errors.Is(err, money.ErrRange))
	// Output:
	// 400 <nil>
	// true
}
