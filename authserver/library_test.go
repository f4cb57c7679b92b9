package authserver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// The library is used as it is: what it sends by itself must be understood, and what it reads must be
// where it looks.

func (k *kit) serve() string {
	k.t.Helper()
	server := httptest.NewServer(k.http)
	k.t.Cleanup(server.Close)
	return server.URL
}

func TestLibraryClientCredentials(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	base := k.serve()
	for name, style := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams, "whichever": oauth2.AuthStyleAutoDetect} {
		t.Run(name, func(t *testing.T) {
			cfg := clientcredentials.Config{
				ClientID: "billing", ClientSecret: k.secrets["billing"], TokenURL: base + "/oauth2/token",
				Scopes: []string{"wallet:deposit"}, AuthStyle: style,
			}
			token, err := cfg.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !token.Valid() || token.TokenType != "Bearer" || token.Extra("scope") != "wallet:deposit" || time.Until(token.Expiry) < 59*time.Minute {
				t.Errorf("got %v %v %v", token.TokenType, token.Extra("scope"), token.Expiry)
			}
		})
	}
}

func TestLibraryPasswordAndRefresh(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	for name, cfg := range map[string]oauth2.Config{
		"public":       {ClientID: "shop-app"},
		"confidential": {ClientID: "shop-server", ClientSecret: k.secrets["shop-server"]},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Endpoint = oauth2.Endpoint{TokenURL: k.serve() + "/oauth2/token"}
			first, err := cfg.PasswordCredentialsToken(t.Context(), "tom", tomsSecret)
			if err != nil {
				t.Fatal(err)
			}
			old := *first
			old.Expiry = time.Unix(1, 0) // the library refreshes what it holds to be expired
			second, err := cfg.TokenSource(t.Context(), &old).Token()
			if err != nil {
				t.Fatal(err)
			}
			if second.RefreshToken == first.RefreshToken || second.AccessToken == "" || second.Extra("session_id") != first.Extra("session_id") {
				t.Error("the refresh did not rotate within the session")
			}
			if _, err := cfg.PasswordCredentialsToken(t.Context(), "tom", tomsSecret); err != nil {
				t.Fatal(err)
			}
			old.RefreshToken = second.RefreshToken
			_, err = cfg.TokenSource(t.Context(), &old).Token()
			refused, ok := errors.AsType[*oauth2.RetrieveError](err)
			if !ok || refused.ErrorCode != "invalid_grant" || !strings.Contains(string(refused.Body), `"reason":"superseded"`) {
				t.Errorf("after another sign-in: %v", err)
			}
		})
	}
}

func TestClientThatHangsUpDoesNotKeepTheNewsFromOthers(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	k.signIn("shop-app", "mobile").ok(t)
	ctx, cancel := context.WithCancel(t.Context())
	k.ended = nil
	k.announcer.context = func(ctx context.Context) {
		cancel() // the client goes away after the commit
		if ctx.Err() != nil {
			t.Error("the announcement ended with the request")
		}
	}
	w := httptest.NewRecorder()
	k.http.ServeHTTP(w, tokenRequest(form(signInForm()...)).WithContext(ctx))
	if w.Code != http.StatusOK || len(k.announcer.all()) != 1 {
		t.Errorf("status %d, announced %d", w.Code, len(k.announcer.all()))
	}
}
