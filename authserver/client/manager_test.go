package client_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

func TestCreateShowsTheSecretOnceAndStoresItsHash(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	d := client.Draft{
		ID: "shop-web", Kind: storage.Confidential, Grants: []string{oauth.GrantPassword, oauth.GrantRefreshToken, oauth.GrantClientCredentials},
		Products: []string{"shop", "music"}, Terminals: []storage.Terminal{storage.Browser}, Scopes: []string{"b", "a"},
		RedirectURIs: []string{"https://shop.example/cb?x=1", "http://127.0.0.1:8080/cb", "http://[::1]/cb", "http://localhost/cb"},
	}
	c, text, err := b.Create(t.Context(), operator, d)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^tss_[A-Za-z0-9_-]{43}$`).MatchString(text.Reveal()) {
		t.Error("the secret is not tss_ and 256 bits of base64url")
	}
	want := storage.Client{
		ID: "shop-web", Name: "shop-web", Kind: storage.Confidential, Grants: d.Grants, Products: d.Products, Terminals: d.Terminals,
		Scopes: []string{"a", "b"}, RedirectURIs: d.RedirectURIs, Version: 1, CreatedAt: b.clock.now(), UpdatedAt: b.clock.now(),
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	shown, err := b.Show(t.Context(), "shop-web")
	if diff := cmp.Diff(want, shown); err != nil || diff != "" {
		t.Errorf("shown: %v (-want +got):\n%s", err, diff)
	}
	stored, err := b.store.Clients.Client(t.Context(), "shop-web")
	if err != nil || stored.Secret == "" || strings.Contains(string(stored.Secret), text.Reveal()[8:]) {
		t.Errorf("stored: %v", err)
	}
	if printed := fmt.Sprintf("%v %+v %#v", text, text, stored.Secret); strings.Contains(printed, "tss_") || strings.Contains(printed, "hmac") {
		t.Errorf("the secret prints: %s", printed)
	}
	other := b.create(t, "other", nil)
	if other == text.Reveal() {
		t.Error("two clients have one secret")
	}
	if _, _, err := b.Create(t.Context(), operator, d); !errors.Is(err, storage.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
}

// A hash that is copied to another client's row is worth nothing there.
func TestHashesAreBoundToTheirClient(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "one", nil)
	b.create(t, "two", nil)
	one, err1 := b.store.Clients.Client(t.Context(), "one")
	two, err2 := b.store.Clients.Client(t.Context(), "two")
	two.Secret = one.Secret
	if err := errors.Join(err1, err2, b.store.UpdateClient(t.Context(), two, nil)); err != nil {
		t.Fatal(err)
	}
	_, err := b.Authenticate(t.Context(), form("two", text))
	refusal(t, "the secret of one for two", err, oauth.InvalidClient)
}

func TestCreateNamesEveryFault(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	short := secret.New("short")
	_, _, err := b.Create(t.Context(), operator, client.Draft{
		ID: "Shop Web", Name: strings.Repeat("x", 129), Kind: storage.Public, Secret: &short,
		Grants:    []string{oauth.GrantClientCredentials, "implicit", oauth.GrantPassword, oauth.GrantPassword},
		Terminals: []storage.Terminal{"tv"}, Scopes: []string{"a b", "c", "c"}, RedirectURIs: []string{"shop://cb"},
	})
	invalid, ok := errors.AsType[*client.InvalidError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"id:", "name:", "secret: a public client has none", "secret: a chosen", `"implicit"`, `"password" is named twice`, "a public client has no credentials",
		"products: a client that signs", `terminals: "tv"`, `scopes: "a b"`, `scopes: "c" is named twice`, `"shop://cb" is not https`,
	} {
		if !strings.Contains(invalid.Error(), want) {
			t.Errorf("no fault says %q: %v", want, invalid)
		}
	}
	if strings.Contains(invalid.Error(), "\n") || len(invalid.Faults) != 12 {
		t.Errorf("%d faults, in one line: %v", len(invalid.Faults), invalid)
	}
}

func TestDraftsThatMayNotBe(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	redirect := func(u string) func(*client.Draft) {
		return func(d *client.Draft) { d.RedirectURIs = []string{u} }
	}
	for name, change := range map[string]func(*client.Draft){
		"no id":                    func(d *client.Draft) { d.ID = "" },
		"an id too long":           func(d *client.Draft) { d.ID = storage.ClientID(strings.Repeat("x", 64)) },
		"an id that begins odd":    func(d *client.Draft) { d.ID = "-x" },
		"no type":                  func(d *client.Draft) { d.Kind = "" },
		"no grants":                func(d *client.Draft) { d.Grants = nil },
		"refresh alone":            func(d *client.Draft) { d.Grants = []string{oauth.GrantRefreshToken} },
		"sign-in without terminal": func(d *client.Draft) { public(d); d.Terminals = nil },
		"sign-in without product":  func(d *client.Draft) { public(d); d.Products = nil },
		"a product that cannot be": func(d *client.Draft) { public(d); d.Products = []string{"Shop!"} },
		"an empty scope":           func(d *client.Draft) { d.Scopes = []string{""} },
		"scopes too long":          func(d *client.Draft) { d.Scopes = []string{strings.Repeat("x", 1025)} },
		"many redirects":           func(d *client.Draft) { d.RedirectURIs = make([]string, 33) },
		"a long chosen secret":     chosen(strings.Repeat("x", 257)),
		"plain http":               redirect("http://shop.example/cb"),
		"a fragment":               redirect("https://shop.example/cb#x"),
		"an empty fragment":        redirect("https://shop.example/cb#"),
		"a wildcard":               redirect("https://*.shop.example/cb"),
		"a user":                   redirect("https://user:pw@shop.example/cb"),
		"no host":                  redirect("https:///cb"),
		"opaque":                   redirect("https:cb"),
		"relative":                 redirect("/cb"),
		"a space":                  redirect("https://shop.example/c b"),
		"a line break":             redirect("https://shop.example/cb\r\nX: y"),
		"script":                   redirect("javascript:alert(1)"),
		"nearly loopback":          redirect("http://127.0.0.1.shop.example/cb"),
		"nearly localhost":         redirect("http://localhost.shop.example/cb"),
		"a backslash":              redirect(`https://shop.example\@other.example/cb`),
		"too long":                 redirect("https://shop.example/" + strings.Repeat("x", 1024)),
		"empty":                    redirect(""),
	} {
		d := client.Draft{ID: "billing", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}}
		change(&d)
		_, text, err := b.Create(t.Context(), operator, d)
		if _, ok := errors.AsType[*client.InvalidError](err); !ok || !text.Empty() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := b.List(t.Context(), "", 0); err != nil || len(list) != 0 {
		t.Errorf("something was made all the same: %v, %v", list, err)
	}
}

func TestProductsOfTheConfigurationAreEnforced(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	m, err := client.NewManager(client.ManagerConfig{
		Store: b.store, SecretKey: []byte(strings.Repeat("k", 32)), LongestAccess: time.Hour, Products: []string{"shop", "music"},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := client.Draft{ID: "app"}
	public(&d)
	d.Products = []string{"games"}
	if _, _, err := m.Create(t.Context(), operator, d); err == nil || !strings.Contains(err.Error(), `"games" is not one of shop, music`) {
		t.Errorf("got %v", err)
	}
	d.Products = []string{"music"}
	if _, text, err := m.Create(t.Context(), operator, d); err != nil || !text.Empty() {
		t.Errorf("a public client: %v, and a secret: %v", err, !text.Empty())
	}
	withSecret := client.Draft{ID: "billing", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}}
	chosen("a secret of choice")(&withSecret)
	if _, _, err := m.Create(t.Context(), operator, withSecret); err == nil {
		t.Error("a chosen secret was taken without a slow hash to keep it")
	}
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.create(t, "app", public)
	b.create(t, "billing", nil)
	if _, _, err := b.RotateSecret(t.Context(), operator, "app", 0); !errors.Is(err, client.ErrPublic) {
		t.Errorf("public: %v", err)
	}
	if _, _, err := b.RotateSecret(t.Context(), operator, "nobody", 0); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	for _, overlap := range []time.Duration{-1, client.MaxOverlap + 1} {
		_, _, err := b.RotateSecret(t.Context(), operator, "billing", overlap)
		if _, ok := errors.AsType[*client.InvalidError](err); !ok {
			t.Errorf("overlap %s: %v", overlap, err)
		}
	}
}

// Of rotations at once, each that succeeds has given a secret that was in force; the last two are.
func TestRacingRotationsLoseNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.create(t, "billing", nil)
	var mu sync.Mutex
	var texts []string
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, text, err := b.RotateSecret(t.Context(), operator, "billing", time.Hour)
			if errors.Is(err, storage.ErrStale) {
				return // lost every try; nothing was changed
			}
			if err != nil {
				t.Errorf("rotate: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			texts = append(texts, text.Reveal())
		})
	}
	all.Wait()
	good := 0
	for _, text := range texts {
		if _, err := b.Authenticate(t.Context(), form("billing", text)); err == nil {
			good++
		}
	}
	if len(texts) == 0 || good != min(2, len(texts)) {
		t.Errorf("of %d secrets that were given, %d are good, want %d", len(texts), good, min(2, len(texts)))
	}
	c, err := b.Show(t.Context(), "billing")
	if err != nil || c.Version != int64(1+len(texts)) {
		t.Errorf("version %d after %d rotations (%v)", c.Version, len(texts), err)
	}
}

func TestDisableEndsTokensAndEnableLetsIn(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	if err := b.Disable(t.Context(), operator, "billing"); err != nil {
		t.Fatal(err)
	}
	if len(b.events) != 1 || b.events[0].Subject != storage.SubjectClient || b.events[0].Key != "billing" || !b.events[0].Until.Equal(b.clock.now().Add(time.Hour)) {
		t.Errorf("told of %+v", b.events)
	}
	c, err := b.Show(t.Context(), "billing")
	if err != nil || c.DisabledAt == nil || c.TokensFrom == nil {
		t.Errorf("disabled: %+v, %v", c, err)
	}
	if err := b.Enable(t.Context(), operator, "billing"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil {
		t.Errorf("enabled again: %v", err)
	}
	for what, err := range map[string]error{
		"disable": b.Disable(t.Context(), operator, "nobody"), "enable": b.Enable(t.Context(), operator, "nobody"),
	} {
		if !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s an unknown client: %v", what, err)
		}
	}
	if _, err := b.Show(t.Context(), "nobody"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("show: %v", err)
	}
}

func TestEveryChangeLeavesARecord(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	from := audit.Origin{Actor: "client:admin", Client: "admin", Address: "192.0.2.7"}
	d := client.Draft{ID: "billing", Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}}
	_, text, err := b.Create(t.Context(), from, d)
	if err != nil {
		t.Fatal(err)
	}
	var rotated secret.Text
	for _, step := range []func() error{
		func() (err error) {
			_, rotated, err = b.RotateSecret(t.Context(), from, "billing", time.Hour)
			return err
		},
		func() error { return b.Disable(t.Context(), from, "billing") },
		func() error { return b.Enable(t.Context(), from, "billing") },
	} {
		b.clock.advance(time.Second)
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	records, err := b.db.ListAudit(t.Context(), time.Unix(0, 0), "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, r := range records {
		actions = append(actions, r.Action)
		if r.Actor != from.Actor || r.Client != "billing" || r.Address != from.Address || r.Detail["by_client"] != "admin" {
			t.Errorf("%s: %+v", r.Action, r)
		}
		if printed := fmt.Sprint(r); strings.Contains(printed, text.Reveal()) || strings.Contains(printed, rotated.Reveal()) {
			t.Errorf("%s shows a secret", r.Action)
		}
	}
	if diff := cmp.Diff([]string{"client.created", "client.secret_rotated", "client.disabled", "client.enabled"}, actions); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestListPagesInOrderWithoutHashes(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, id := range []string{"c", "a", "b"} {
		b.create(t, id, nil)
	}
	first, err1 := b.List(t.Context(), "", 2)
	rest, err2 := b.List(t.Context(), "b", -1)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var ids []storage.ClientID
	for _, c := range append(first, rest...) {
		ids = append(ids, c.ID)
		if c.Secret != "" {
			t.Errorf("%s comes with its hash", c.ID)
		}
	}
	if diff := cmp.Diff([]storage.ClientID{"a", "b", "c"}, ids); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}
