package authserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tallystick/tallystick/authserver"
	"github.com/tallystick/tallystick/authserver/audit"
	"github.com/tallystick/tallystick/authserver/issue"
	"github.com/tallystick/tallystick/authserver/product"
	"github.com/tallystick/tallystick/keys"
	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// What operators change between a sign-in and its refresh.

func (k *kit) restartWith(change func(*authserver.Config)) {
	k.t.Helper()
	k.change = change
	k.restart()
}

func TestScopeTakenFromAClientIsNotRenewed(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	c, err := k.db.Client(t.Context(), "shop-app")
	k.must(err)
	c.Scopes = []string{"wallet:read"}
	k.must(k.db.UpdateClient(t.Context(), c, nil))
	k.restart()
	if b := k.refresh("shop-app", a.Refresh).ok(t); b.Scope != "wallet:read" {
		t.Errorf("scope %q", b.Scope)
	}
}

func TestProductTakenAwayEndsItsSessions(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	k.restartWith(func(cfg *authserver.Config) { cfg.Products = product.Config{"music": nil} })
	k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "expired", 1)
	k.signIn("shop-app", "mobile").refused(t, http.StatusBadRequest, "invalid_request", "", 0)
}

func TestRunModeChangedTakesTheNextSignIn(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "browser").ok(t)
	k.restartWith(func(cfg *authserver.Config) {
		cfg.Products = product.Config{"shop": {storage.Browser: {Mode: storage.Kickout}}}
	})
	k.signIn("shop-app", "browser").ok(t)
	k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "superseded", 2)
}

func TestChangedChainKeyHandsOutNothingThatIsNotStored(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	b := k.refresh("shop-app", a.Refresh).ok(t)
	k.restartWith(func(cfg *authserver.Config) { cfg.ChainKey = secret.New(strings.Repeat("d", 32)) })
	k.refresh("shop-app", a.Refresh).refused(t, http.StatusInternalServerError, "server_error", "", 0)
	k.refresh("shop-app", b.Refresh).ok(t)
}

func TestWithoutAWindowEveryRepetitionIsReuse(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t), with(func(cfg *authserver.Config) { cfg.ReplayWindow = -1 }))
	a := k.signIn("shop-app", "mobile").ok(t)
	k.refresh("shop-app", a.Refresh).ok(t)
	k.clock.Advance(time.Millisecond)
	k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "reuse_detected", 2)
}

// deaf is a parser that cannot tell, because a key is unknown and the key store is away.
type deaf struct{ authserver.Parser }

func (deaf) Refresh(string, time.Time) (token.Refresh, error) {
	return token.Refresh{}, fmt.Errorf("key of token: %w", keys.ErrUnavailable)
}

func TestUnknownKeyWithTheKeyStoreAwayIsNotTheTokensFault(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t))
	a := k.signIn("shop-app", "mobile").ok(t)
	k.restartWith(func(cfg *authserver.Config) { cfg.Parser = deaf{cfg.Parser} })
	k.refresh("shop-app", a.Refresh).refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
}

// mute is a minter whose keys of committed stamps cannot be read.
type mute struct{ issue.Minter }

func (mute) Access(token.Access, string) (string, error) {
	return "", fmt.Errorf("key: %w", keys.ErrUnavailable)
}

func TestKeyStoreAwayWhileMinting(t *testing.T) {
	t.Parallel()
	k := newKit(t, engine.SQLite(t), with(func(cfg *authserver.Config) { cfg.Minter = mute{cfg.Minter} }))
	k.signIn("shop-app", "mobile").refused(t, http.StatusServiceUnavailable, "temporarily_unavailable", "", 0)
}

func TestBookEndsAndTells(t *testing.T) {
	t.Parallel()
	var server *authserver.Server
	k := newKit(t, engine.SQLite(t))
	k.restartWith(func(cfg *authserver.Config) {
		spare := *cfg
		spare.Metrics = nil
		var err error
		server, err = authserver.New(spare)
		k.must(err)
	})
	phone := k.signIn("shop-app", "mobile").ok(t)
	web := k.signIn("shop-app", "browser").ok(t)
	api := k.signIn("shop-app", "api").ok(t)
	var told []storage.Event
	k.ended = func(events []storage.Event) { told = append(told, events...) }
	from := audit.Origin{Actor: "user:" + string(k.users["tom"]), Address: "192.0.2.7"}
	ended, err := server.Book().EndOthers(t.Context(), k.users["tom"], storage.SessionID(phone.Session), storage.Kicked, from)
	k.must(err)
	if len(ended) != 2 || len(told) != 2 || len(k.announcer.all()) != 2 {
		t.Errorf("ended %d, told %d, announced %d", len(ended), len(told), len(k.announcer.all()))
	}
	for _, a := range []answer{web, api} {
		k.refresh("shop-app", a.Refresh).refused(t, http.StatusBadRequest, "invalid_grant", "kicked", 2)
	}
	if err := k.check(phone.Access); err != nil {
		t.Errorf("the one to spare: %v", err)
	}
	k.clock.Advance(time.Second) // the order of records is that of their times
	ended, err = server.Book().End(t.Context(), storage.EndOrder{User: k.users["tom"], Session: storage.SessionID(phone.Session), Reason: storage.SignedOut}, from)
	k.must(err)
	if len(ended) != 1 || ended[0].End.Reason != storage.SignedOut {
		t.Errorf("ended %v", ended)
	}
	records, err := k.db.ListAudit(t.Context(), time.Unix(0, 0), "", 100)
	k.must(err)
	var seen []string
	for _, r := range records {
		if r.Action == audit.SessionEnded {
			seen = append(seen, r.Actor+" "+r.Address+" "+r.Detail["reason"])
		}
	}
	want := []string{from.Actor + " 192.0.2.7 kicked", from.Actor + " 192.0.2.7 signed_out"}
	if d := cmp.Diff(want, seen); d != "" {
		t.Error(d)
	}
	if _, err := server.Book().End(t.Context(), storage.EndOrder{User: "nobody", Reason: storage.Kicked, Account: &storage.AccountChange{}}, from); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("an unknown user: %v", err)
	}
}

func TestUserWhoGoesDuringTheSignIn(t *testing.T) {
	t.Parallel()
	var k *kit
	k = newKit(t, engine.SQLite(t), withPasswords(func() error {
		_, err := k.db.End(context.Background(), storage.EndOrder{
			User: k.users["tom"], Reason: storage.Banned, Actor: "operator:test", Now: k.clock.Now(),
			Account: &storage.AccountChange{Ban: &storage.Ban{At: storage.Instant(k.clock.Now())}},
		})
		return err
	}))
	k.signIn("shop-app", "mobile").refused(t, http.StatusBadRequest, "invalid_grant", "banned", 2)
}
