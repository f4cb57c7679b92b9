package client_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

func TestMayGrant(t *testing.T) {
	t.Parallel()
	c := storage.Client{Grants: []string{oauth.GrantPassword}}
	if err := client.MayGrant(c, oauth.GrantPassword); err != nil {
		t.Error(err)
	}
	oe := refusal(t, "another grant", client.MayGrant(c, oauth.GrantClientCredentials), oauth.UnauthorizedClient)
	if !strings.Contains(oe.Description, "password") {
		t.Errorf("the refusal does not say what is allowed: %q", oe.Description)
	}
	refusal(t, "no grants", client.MayGrant(storage.Client{}, ""), oauth.UnauthorizedClient)
}

func TestScope(t *testing.T) {
	t.Parallel()
	c := storage.Client{Scopes: []string{"wallet:transfer", "profile", "wallet:read", "profile"}}
	for requested, want := range map[string]string{
		"":                                    "profile wallet:read wallet:transfer",
		"wallet:read":                         "wallet:read",
		"wallet:transfer profile":             "profile wallet:transfer",
		"profile profile":                     "profile",
		"wallet:transfer wallet:read profile": "profile wallet:read wallet:transfer",
	} {
		if got, err := client.Scope(c, requested); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", requested, got, err, want)
		}
	}
	for _, requested := range []string{
		" ", " profile", "profile ", "profile  wallet:read", "a\tb", "a\nb", `a"b`, `a\b`, "ü", "\x7f", strings.Repeat("x", client.MaxScope+1),
	} {
		_, err := client.Scope(c, requested)
		refusal(t, requested, err, oauth.InvalidScope)
	}
	_, err := client.Scope(c, "profile admin wallet:read root")
	if oe := refusal(t, "not allowed", err, oauth.InvalidScope); !strings.Contains(oe.Description, "admin, root") || strings.Contains(oe.Description, "profile") {
		t.Errorf("the refusal should name what is not allowed: %q", oe.Description)
	}
	_, err = client.Scope(c, strings.TrimSpace(strings.Repeat("x ", 512)))
	if oe := refusal(t, "many", err, oauth.InvalidScope); len(oe.Description) > 400 {
		t.Errorf("the description has %d bytes", len(oe.Description))
	}
	if got, err := client.Scope(storage.Client{}, ""); got != "" || err != nil {
		t.Errorf("a client without scopes: %q, %v", got, err)
	}
	if !slices.Equal(c.Scopes, []string{"wallet:transfer", "profile", "wallet:read", "profile"}) {
		t.Error("the client was changed")
	}
}

func FuzzScope(f *testing.F) {
	f.Add("profile wallet:read")
	f.Add(" \x00\"\\")
	c := storage.Client{Scopes: []string{"profile", "wallet:read", "x"}}
	f.Fuzz(func(t *testing.T, requested string) {
		got, err := client.Scope(c, requested)
		if err != nil {
			oe := refusal(t, requested, err, oauth.InvalidScope)
			for _, r := range oe.Description {
				if r < ' ' || r > '~' || r == '"' || r == '\\' {
					t.Fatalf("description %q", oe.Description)
				}
			}
			return
		}
		for s := range strings.SplitSeq(got, " ") {
			if !slices.Contains(c.Scopes, s) {
				t.Fatalf("%q granted %q", requested, got)
			}
		}
		if again, err := client.Scope(c, got); err != nil || again != got {
			t.Fatalf("%q is not canonical: %q, %v", got, again, err)
		}
	})
}

func TestProductAndTerminal(t *testing.T) {
	t.Parallel()
	c := storage.Client{Products: []string{"shop", "music"}, Terminals: []storage.Terminal{storage.Browser, storage.API}}
	for requested, want := range map[string]string{"": "shop", "shop": "shop", "music": "music"} {
		if got, err := client.Product(c, requested); err != nil || got != want {
			t.Errorf("product %q: %q, %v", requested, got, err)
		}
	}
	for requested, want := range map[string]storage.Terminal{"": storage.Browser, "browser": storage.Browser, "api": storage.API} {
		if got, err := client.Terminal(c, requested); err != nil || got != want {
			t.Errorf("terminal %q: %q, %v", requested, got, err)
		}
	}
	for _, requested := range []string{"Shop", "games", "shop ", "\x00"} {
		_, err := client.Product(c, requested)
		refusal(t, "product "+requested, err, oauth.InvalidRequest)
	}
	for _, requested := range []string{"mobile", "tv", "API"} {
		_, err := client.Terminal(c, requested)
		if oe := refusal(t, "terminal "+requested, err, oauth.InvalidRequest); !strings.Contains(oe.Description, "browser, api") {
			t.Errorf("the refusal does not say what is allowed: %q", oe.Description)
		}
	}
	_, err := client.Product(storage.Client{}, "")
	refusal(t, "no products", err, oauth.UnauthorizedClient)
	_, err = client.Terminal(storage.Client{}, "mobile")
	refusal(t, "no terminals", err, oauth.UnauthorizedClient)
}
