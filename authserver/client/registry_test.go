package client_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

var operator = audit.Operator("root")

// clock is turned by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// counting counts reads, and can hold them up or fail.
type counting struct {
	storage.Clients

	reads atomic.Int64
	hold  func() // called within a read, after the store has answered
	fail  atomic.Pointer[error]
}

func (s *counting) Client(ctx context.Context, id storage.ClientID) (storage.Client, error) {
	s.reads.Add(1)
	if err := s.fail.Load(); err != nil {
		return storage.Client{}, *err
	}
	c, err := s.Clients.Client(ctx, id)
	if s.hold != nil {
		s.hold()
	}
	return c, err
}

// slow is a slow hash that is not slow: the secret stands in it, reversed.
type slow struct {
	matched atomic.Int64
	err     error
}

func (s *slow) Hash(_ context.Context, pw secret.Text) (storage.PasswordHash, error) {
	return storage.PasswordHash("slow$" + reverse(pw.Reveal())), s.err
}

func (s *slow) Matches(_ context.Context, h storage.PasswordHash, pw secret.Text) (bool, error) {
	s.matched.Add(1)
	return string(h) == "slow$"+reverse(pw.Reveal()), s.err
}

func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// bundle is a registry and a manager over one store that know nothing of each other, as in two
// processes.
type bundle struct {
	*client.Registry
	*client.Manager

	db     storage.Audit
	store  *counting
	clock  *clock
	slow   *slow
	events []storage.Event
}

func setup(t testing.TB, change func(*client.Config)) *bundle {
	t.Helper()
	db := engine.Open(t)
	b := &bundle{db: db, store: &counting{Clients: db}, clock: &clock{t: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}, slow: &slow{}}
	key := []byte(strings.Repeat("k", client.SecretKeyLength))
	cfg := client.Config{Store: b.store, SecretKey: key, Passwords: b.slow, Now: b.clock.now}
	if change != nil {
		change(&cfg)
	}
	var err error
	if b.Registry, err = client.New(cfg); err != nil {
		t.Fatal(err)
	}
	b.Manager, err = client.NewManager(client.ManagerConfig{
		Store: db, SecretKey: key, Passwords: b.slow, LongestAccess: time.Hour, Now: b.clock.now,
		Ended: func(_ context.Context, events []storage.Event) { b.events = append(b.events, events...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// create makes a client of a draft that is good but for what change makes of it.
func (b *bundle) create(t testing.TB, id string, change func(*client.Draft)) string {
	t.Helper()
	d := client.Draft{ID: storage.ClientID(id), Kind: storage.Confidential, Grants: []string{oauth.GrantClientCredentials}, Scopes: []string{"wallet:read"}}
	if change != nil {
		change(&d)
	}
	_, text, err := b.Create(t.Context(), operator, d)
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal()
}

func public(d *client.Draft) {
	d.Kind, d.Grants = storage.Public, []string{oauth.GrantPassword}
	d.Products, d.Terminals = []string{"shop"}, []storage.Terminal{storage.Mobile}
}

func chosen(text string) func(*client.Draft) {
	return func(d *client.Draft) {
		s := secret.New(text)
		d.Secret = &s
	}
}

func basic(id, text string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(text)))
}

func form(id, text string) client.Credentials {
	s := secret.New(text)
	return client.Credentials{ID: id, Secret: &s}
}

// refusal checks that err is an oauth.Error of a code.
func refusal(t *testing.T, what string, err error, code oauth.Code) *oauth.Error {
	t.Helper()
	oe, ok := errors.AsType[*oauth.Error](err)
	if !ok || oe.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
		return &oauth.Error{}
	}
	return oe
}

func TestAuthenticateAcceptsEachMethod(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	b.create(t, "app", public)
	const odd = "pass:word +%/ü-12345678"
	b.create(t, "imported", chosen(odd))
	for name, cr := range map[string]client.Credentials{
		"billing: basic":                       {Basic: basic("billing", text)},
		"billing: basic, scheme in lower case": {Basic: "b" + basic("billing", text)[1:]},
		"billing: basic and client_id":         {Basic: basic("billing", text), ID: "billing"},
		"billing: basic and an empty secret":   {Basic: basic("billing", text), Secret: &secret.Text{}},
		"billing: post":                        form("billing", text),
		"app: none":                            {ID: "app"},
		"app: an empty secret":                 form("app", ""),
		"app: basic with an empty secret":      {Basic: basic("app", "")},
		"imported: basic, form-encoded":        {Basic: basic("imported", odd)},
		"imported: post":                       form("imported", odd),
	} {
		c, err := b.Authenticate(t.Context(), cr)
		if want, _, _ := strings.Cut(name, ":"); err != nil || string(c.ID) != want {
			t.Errorf("%s: %q, %v", name, c.ID, err)
		}
		if c.Secret != "" || c.OldSecret != "" {
			t.Errorf("%s: the client comes with hashes", name)
		}
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	other := b.create(t, "other", nil)
	off := b.create(t, "off", nil)
	b.create(t, "app", public)
	if err := b.Disable(t.Context(), operator, "off"); err != nil {
		t.Fatal(err)
	}
	credentials := func(header string, cr client.Credentials) client.Credentials {
		cr.Basic = header
		return cr
	}
	raw := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, c := range map[string]struct {
		cr        client.Credentials
		code      oauth.Code
		challenge bool
	}{
		"nothing":                       {client.Credentials{}, oauth.InvalidClient, false},
		"a secret without a client":     {form("", text), oauth.InvalidClient, false},
		"wrong secret":                  {form("billing", text+"x"), oauth.InvalidClient, false},
		"wrong secret, basic":           {client.Credentials{Basic: basic("billing", "wrong")}, oauth.InvalidClient, true},
		"another client's secret":       {form("billing", other), oauth.InvalidClient, false},
		"no secret":                     {client.Credentials{ID: "billing"}, oauth.InvalidClient, false},
		"empty secret":                  {form("billing", ""), oauth.InvalidClient, false},
		"endless secret":                {form("billing", strings.Repeat("x", 1<<20)), oauth.InvalidClient, false},
		"unknown client":                {form("nobody", text), oauth.InvalidClient, false},
		"unknown client, basic":         {client.Credentials{Basic: basic("nobody", text)}, oauth.InvalidClient, true},
		"a name that cannot be":         {form("Billing\x00", text), oauth.InvalidClient, false},
		"disabled":                      {form("off", off), oauth.InvalidClient, false},
		"public with a secret":          {form("app", "something"), oauth.InvalidClient, false},
		"both methods":                  {credentials(basic("billing", text), form("billing", text)), oauth.InvalidRequest, false},
		"two clients":                   {credentials(basic("billing", text), client.Credentials{ID: "other"}), oauth.InvalidRequest, false},
		"another scheme":                {client.Credentials{Basic: "Bearer abc"}, oauth.InvalidClient, true},
		"only the scheme":               {client.Credentials{Basic: "Basic "}, oauth.InvalidClient, true},
		"no scheme":                     {client.Credentials{Basic: "x"}, oauth.InvalidClient, true},
		"not base64":                    {client.Credentials{Basic: "Basic !!!"}, oauth.InvalidClient, true},
		"no colon":                      {client.Credentials{Basic: raw("billing")}, oauth.InvalidClient, true},
		"no name":                       {client.Credentials{Basic: raw(":" + text)}, oauth.InvalidClient, true},
		"name not form-encoded":         {client.Credentials{Basic: raw("%zz:" + text)}, oauth.InvalidClient, true},
		"secret not form-encoded":       {client.Credentials{Basic: raw("billing:%")}, oauth.InvalidClient, true},
		"endless header":                {client.Credentials{Basic: raw("billing:" + strings.Repeat("x", 4096))}, oauth.InvalidClient, true},
		"stored form instead of secret": {form("billing", "hmac-sha256$"), oauth.InvalidClient, false},
	} {
		got, err := b.Authenticate(t.Context(), c.cr)
		oe := refusal(t, name, err, c.code)
		if oe.Challenge != c.challenge {
			t.Errorf("%s: challenge %v, want %v", name, oe.Challenge, c.challenge)
		}
		if got.ID != "" {
			t.Errorf("%s: a client comes with the refusal", name)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, c.cr), text) && c.cr.Basic == "" {
			t.Errorf("%s: the secret prints: %v", name, err)
		}
		if strings.Contains(oe.Error(), text) || strings.ContainsAny(oe.Description, "\"\\") {
			t.Errorf("%s: description %q", name, oe.Description)
		}
	}
}

// What is wrong about a client is not told apart.
func TestRefusalsOfClientsAreOneText(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	off := b.create(t, "off", nil)
	if err := b.Disable(t.Context(), operator, "off"); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, cr := range []client.Credentials{form("billing", "wrong"), form("nobody", text), form("off", off), form("off", "wrong"), {ID: "billing"}, {ID: "NOBODY"}} {
		_, err := b.Authenticate(t.Context(), cr)
		texts = append(texts, fmt.Sprint(err))
	}
	for _, text := range texts[1:] {
		if text != texts[0] {
			t.Errorf("%q and %q differ", texts[0], text)
		}
	}
}

func TestClientByName(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.create(t, "app", public)
	b.create(t, "off", nil)
	if err := b.Disable(t.Context(), operator, "off"); err != nil {
		t.Fatal(err)
	}
	if c, err := b.Client(t.Context(), "app"); err != nil || c.ID != "app" {
		t.Errorf("app: %v, %v", c.ID, err)
	}
	for _, id := range []storage.ClientID{"off", "nobody", "NO", ""} {
		_, err := b.Client(t.Context(), id)
		refusal(t, string(id), err, oauth.InvalidClient)
	}
	away := fmt.Errorf("gone: %w", storage.ErrUnavailable)
	b.store.fail.Store(&away)
	b.Forget("app")
	_, err := b.Client(t.Context(), "app")
	refusal(t, "store away", err, oauth.TemporarilyUnavailable)
}

func TestOldSecretIsGoodUntilItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first := b.create(t, "billing", nil)
	_, text, err := b.RotateSecret(t.Context(), operator, "billing", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	second := text.Reveal()
	good := func(when, s string, want bool) {
		t.Helper()
		if _, err := b.Authenticate(t.Context(), form("billing", s)); (err == nil) != want {
			t.Errorf("%s: %v", when, err)
		}
	}
	good("new secret", second, true)
	good("old secret", first, true)
	b.clock.advance(time.Hour - time.Microsecond)
	good("old secret at its last instant", first, true)
	b.clock.advance(time.Microsecond)
	good("old secret at its time", first, false)
	good("new secret then", second, true)
	if _, text, err = b.RotateSecret(t.Context(), operator, "billing", 0); err != nil {
		t.Fatal(err)
	}
	b.Forget("billing")
	good("secret replaced without overlap", second, false)
	good("its successor", text.Reveal(), true)
}

func TestSlowSecretsAreVerifiedOnceForEachHash(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.create(t, "imported", chosen("a secret of choice"))
	for range 3 {
		if _, err := b.Authenticate(t.Context(), form("imported", "a secret of choice")); err != nil {
			t.Fatal(err)
		}
		b.clock.advance(2 * client.DefaultCacheTTL) // read again; the hash is the same
	}
	if n := b.slow.matched.Load(); n != 1 {
		t.Errorf("%d slow verifications, want 1", n)
	}
	if _, err := b.Authenticate(t.Context(), form("imported", "another secret!!")); err == nil {
		t.Error("a wrong secret was accepted after a right one")
	}
	if n := b.slow.matched.Load(); n != 2 {
		t.Errorf("%d slow verifications, want 2", n)
	}
	if _, _, err := b.RotateSecret(t.Context(), operator, "imported", 0); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(2 * client.DefaultCacheTTL)
	if _, err := b.Authenticate(t.Context(), form("imported", "a secret of choice")); err == nil {
		t.Error("what was remembered outlived its hash")
	}
	b.create(t, "second", chosen("another chosen one"))
	b.slow.err = fmt.Errorf("overloaded: %w", storage.ErrUnavailable)
	_, err := b.Authenticate(t.Context(), form("second", "another chosen one"))
	refusal(t, "no time to hash", err, oauth.TemporarilyUnavailable)
}

func TestAChosenSecretMayBeGoodAfterItsRotation(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.create(t, "imported", chosen("a secret of choice"))
	if _, err := b.Authenticate(t.Context(), form("imported", "a secret of choice")); err != nil {
		t.Fatal(err)
	}
	_, text, err := b.RotateSecret(t.Context(), operator, "imported", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.advance(2 * client.DefaultCacheTTL)
	for _, s := range []string{"a secret of choice", text.Reveal()} {
		if _, err := b.Authenticate(t.Context(), form("imported", s)); err != nil {
			t.Errorf("during the overlap: %v", err)
		}
	}
	if n := b.slow.matched.Load(); n != 1 {
		t.Errorf("%d slow verifications, want 1: what was proved moves with the hash", n)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	key := make([]byte, client.SecretKeyLength)
	key[0] = 1
	store := &counting{}
	for name, c := range map[string]client.Config{
		"no store":     {SecretKey: key},
		"no key":       {Store: store},
		"short key":    {Store: store, SecretKey: key[:16]},
		"zero key":     {Store: store, SecretKey: make([]byte, client.SecretKeyLength)},
		"long TTL":     {Store: store, SecretKey: key, CacheTTL: time.Hour},
		"negative TTL": {Store: store, SecretKey: key, CacheTTL: -1},
	} {
		if _, err := client.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, c := range map[string]client.ManagerConfig{
		"no store":    {SecretKey: key, LongestAccess: time.Hour},
		"no key":      {Store: store, LongestAccess: time.Hour},
		"no lifetime": {Store: store, SecretKey: key},
	} {
		if _, err := client.NewManager(c); err == nil {
			t.Errorf("manager, %s: accepted", name)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	b := setup(f, nil)
	text := b.create(f, "billing", nil)
	f.Add(basic("billing", text), "", "")
	f.Add("Basic OjpiOg==", "billing", "x")
	f.Add("", "billing", "tss_")
	f.Fuzz(func(t *testing.T, header, id, given string) {
		cr := form(id, given)
		cr.Basic = header
		c, err := b.Authenticate(t.Context(), cr)
		if err == nil && !proves(header, id, given, text) {
			t.Fatalf("accepted %q with the client_id %q", header, id)
		}
		if err == nil && c.ID != "billing" {
			t.Fatalf("accepted a client %q that does not exist", c.ID)
		}
		if err != nil {
			if oe, ok := errors.AsType[*oauth.Error](err); !ok || oe.Status() >= 500 {
				t.Fatalf("refused with %v", err)
			}
		}
	})
}

// proves says whether the credentials are those of billing, in any of their spellings.
func proves(header, id, given, text string) bool {
	if header == "" {
		return id == "billing" && given == text
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimLeft(header[len("Basic "):], " "))
	name, value, _ := strings.Cut(string(decoded), ":")
	name, err1 := url.QueryUnescape(name)
	value, err2 := url.QueryUnescape(value)
	return errors.Join(err, err1, err2) == nil && name == "billing" && value == text && (id == "" || id == name) && given == ""
}

func TestCallersShareTheClientAndLeaveItAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", func(d *client.Draft) { d.Scopes = []string{"b", "a"} })
	one, err := b.Authenticate(t.Context(), form("billing", text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Scope(one, ""); err != nil {
		t.Fatal(err)
	}
	two, err := b.Authenticate(t.Context(), form("billing", text))
	if diff := cmp.Diff(one, two); err != nil || diff != "" {
		t.Errorf("%v (-one +two):\n%s", err, diff)
	}
}
