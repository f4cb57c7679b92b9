package token_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/keys/token"
)

// A server mints an access token; whoever has its key ring parses it.
func Example() {
	ring := newFixed(1) // in a server, a *keys.Ring
	minter := token.NewMinter("https://auth.example.com", ring)
	parser, err := token.NewParser(token.ParserConfig{
		Issuer: "https://auth.example.com", Audience: []string{"https://api.example.com"}, Ring: ring,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	kid, err := minter.KeyID(now)
	if err != nil {
		fmt.Println(err)
		return
	}
	raw, err := minter.Access(token.Access{
		Subject: "7k2m9q4x", Audience: []string{"https://api.example.com"}, Client: "shop-app", JTI: "01jd4w",
		IssuedAt: now, Expires: now.Add(15 * time.Minute),
		Session: "01jd4v", Product: "shop", Terminal: "mobile", Version: 7,
	}, kid)
	if err != nil {
		fmt.Println(err)
		return
	}

	claims, err := parser.Access(raw, now)
	fmt.Println(claims.Subject, claims.Terminal, claims.Version, err)
	// Output: 7k2m9q4x mobile 7 <nil>
}

// An expired token comes with its claims, so that the caller can look up why its session ended: a sign-in
// elsewhere outranks expiry.
func ExampleParser_Access_expired() {
	ring := newFixed(1)
	parser, err := token.NewParser(token.ParserConfig{Issuer: "i", Audience: []string{"a"}, Ring: ring})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	raw, err := token.NewMinter("i", ring).Access(token.Access{
		Subject: "s", Audience: []string{"a"}, Client: "c", JTI: "j", Session: "01jd4v", IssuedAt: now, Expires: now.Add(time.Minute),
	}, "")
	if err != nil {
		fmt.Println(err)
		return
	}

	claims, err := parser.Access(raw, now.Add(time.Hour))
	switch {
	case errors.Is(err, token.ErrExpired):
		fmt.Println("expired; ask what became of session", claims.Session)
	case errors.Is(err, token.ErrInvalid):
		fmt.Println("say nothing but invalid_token")
	}
	// Output: expired; ask what became of session 01jd4v
}
