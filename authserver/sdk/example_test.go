package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/tallystick/tallystick/authserver/sdk"
)

// issuer stands for an authorization server and an API in the examples: it lets anybody in once, and
// then somebody else signs in.
func issuer() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 900, "session_id": "s", "product": "shop", "terminal": "mobile"}`)
	})
	mux.HandleFunc("GET /v1/wallet", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"balances": []}`)
	})
	mux.HandleFunc("GET /v1/wallet/entries", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error": "invalid_token", "reason": "superseded", "code": 2, "superseded_by": {"terminal": "mobile", "device_name": "new phone", "at": "2026-11-20T08:00:00Z"}}`)
	})
	return httptest.NewServer(mux)
}

func Example() {
	server := issuer() // https://auth.example.com
	defer server.Close()
	ctx := context.Background()
	client, err := sdk.Open(ctx, sdk.Config{Issuer: server.URL, ClientID: "shop-app", Terminal: "mobile", DeviceName: "Tom's phone"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	session, err := client.SignIn(ctx, sdk.Password("tom", "a password"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("signed in to", session.Product, "on", session.Terminal)

	resp, err := client.HTTP().Get(server.URL + "/v1/wallet")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output:
	// signed in to shop on mobile
	// {"balances": []}
}

func ExampleEndedError() {
	server := issuer()
	defer server.Close()
	ctx := context.Background()
	client, err := sdk.Open(ctx, sdk.Config{Issuer: server.URL, ClientID: "shop-app"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if _, err := client.SignIn(ctx, sdk.Password("tom", "a password")); err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.HTTP().Get(server.URL + "/v1/wallet/entries")
	if ended, is := errors.AsType[*sdk.EndedError](err); is {
		switch ended.Code {
		case sdk.CodeTellUser:
			fmt.Printf("you were signed out: %s (%s)\n", ended.Reason, ended.SupersededBy.DeviceName)
		case sdk.CodeSignInAgain:
			fmt.Println("sign in again")
		}
		return
	}
	resp.Body.Close()
	// Output: you were signed out: superseded (new phone)
}

func ExampleFileStore() {
	dir, err := os.MkdirTemp("", "shop-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	server := issuer()
	defer server.Close()
	ctx := context.Background()
	cfg := sdk.Config{Issuer: server.URL, ClientID: "shop-app", Store: sdk.FileStore(filepath.Join(dir, "sign-in"))}
	client, err := sdk.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.SignIn(ctx, sdk.Password("tom", "a password"))
	client.Close()
	if err != nil {
		fmt.Println(err)
		return
	}

	client, err = sdk.Open(ctx, cfg) // after a restart
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	session, in := client.Session()
	fmt.Println(in, session.ID)
	// Output: true s
}
