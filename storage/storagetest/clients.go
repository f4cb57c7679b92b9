package storagetest

import (
	"testing"
	"time"

	"github.com/tallystick/tallystick/storage"
)

// Clients checks a driver against every promise written on [storage.Clients]. open must return an
// empty store.
func Clients(t *testing.T, open func(t *testing.T) Store) {
	cases{
		"what was created is found":                                   clientRoundTrip,
		"a taken id is refused":                                       clientTaken,
		"unknown clients are not found":                               clientUnknown,
		"ids are compared as bytes":                                   clientBytes,
		"clients are listed in the order of ids, page after page":     clientPages,
		"an update stores what it may and raises the version":         clientUpdate,
		"an update of what changed in between is refused":             clientStale,
		"of racing updates one wins":                                  clientUpdateRace,
		"disabling writes its event and kills the tokens issued":      clientDisabled,
		"enabling lets new tokens in and leaves the ended ones ended": clientEnabled,
	}.run(t, open)
}

func (w *world) client(id storage.ClientID) storage.Client {
	w.Helper()
	c := NewClient(id, w.now())
	w.ok(w.CreateClient(w.ctx(), c, nil))
	return c
}

func (w *world) storedClient(id storage.ClientID) storage.Client {
	w.Helper()
	c, err := w.Client(w.ctx(), id)
	w.ok(err)
	return c
}

func clientRoundTrip(w *world) {
	c := NewClient("shop-server", w.now())
	until := storage.Instant(w.now().Add(time.Hour))
	c.Kind, c.Secret, c.OldSecret, c.OldSecretUntil = storage.Confidential, "hash-1", "hash-0", &until
	audit := NewAudit("client.created", w.now())
	w.ok(w.CreateClient(w.ctx(), c, audit))
	w.same(w.storedClient(c.ID), c)
	w.audited(*audit)

	bare := storage.Client{ID: "billing", Kind: storage.Confidential, CreatedAt: c.CreatedAt, UpdatedAt: c.CreatedAt}
	w.ok(w.CreateClient(w.ctx(), bare, nil))
	w.same(w.storedClient("billing"), bare)
}

func clientTaken(w *world) {
	c := w.client("shop-app")
	other := NewClient("shop-app", w.now())
	other.Name = "Thief"
	w.is(w.CreateClient(w.ctx(), other, NewAudit("client.created", w.now())), storage.ErrExists)
	w.same(w.storedClient(c.ID), c)
	w.audited()
}

func clientUnknown(w *world) {
	_, err := w.Client(w.ctx(), "nobody")
	w.is(err, storage.ErrNotFound)
	w.is(w.UpdateClient(w.ctx(), NewClient("nobody", w.now()), nil), storage.ErrNotFound)
	_, err = w.DisableClient(w.ctx(), "nobody", "operator:test", w.now(), NewAudit("client.disabled", w.now()), w.now())
	w.is(err, storage.ErrNotFound)
	w.is(w.EnableClient(w.ctx(), "nobody", NewAudit("client.enabled", w.now()), w.now()), storage.ErrNotFound)
	w.audited()
	w.same(len(w.tail(0)), 0)
}

func clientBytes(w *world) {
	w.client("shop-app")
	w.client("Shop-App")
	for _, other := range []storage.ClientID{"SHOP-APP", "shop-app ", "shop-äpp", "' OR ''='"} {
		_, err := w.Client(w.ctx(), other)
		w.is(err, storage.ErrNotFound)
	}
}

func clientPages(w *world) {
	for _, id := range []storage.ClientID{"c", "B", "b", "a"} {
		w.client(id)
	}
	var ids []storage.ClientID
	for after := storage.ClientID(""); ; after = ids[len(ids)-1] {
		page, err := w.ListClients(w.ctx(), after, 3)
		w.ok(err)
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			ids = append(ids, c.ID)
		}
	}
	w.same(ids, []storage.ClientID{"B", "a", "b", "c"})
}

func clientUpdate(w *world) {
	c := w.client("shop-app")
	at := storage.Instant(w.clock.Advance(time.Minute))
	changed := c
	changed.Name, changed.Secret, changed.OldSecret, changed.OldSecretUntil = "New", "s1", "s0", &at
	changed.Products, changed.Terminals, changed.Grants = []string{"music"}, nil, []string{"password"}
	changed.Scopes, changed.RedirectURIs, changed.UpdatedAt = nil, nil, at
	// These are not its business:
	changed.Kind, changed.CreatedAt, changed.DisabledAt, changed.TokensFrom = storage.Confidential, at, &at, &at
	audit := NewAudit("client.updated", w.now())
	w.ok(w.UpdateClient(w.ctx(), changed, audit))
	want := changed
	want.Kind, want.CreatedAt, want.DisabledAt, want.TokensFrom, want.Version = c.Kind, c.CreatedAt, nil, nil, c.Version+1
	w.same(w.storedClient(c.ID), want)
	w.audited(*audit)
}

func clientStale(w *world) {
	c := w.client("shop-app")
	w.ok(w.UpdateClient(w.ctx(), c, nil))
	c.Name = "Late"
	w.is(w.UpdateClient(w.ctx(), c, NewAudit("client.updated", w.now())), storage.ErrStale)
	if got := w.storedClient(c.ID); got.Name == "Late" {
		w.Error("a stale update was stored")
	}
	w.audited()
}

func clientUpdateRace(w *world) {
	const callers = 10
	c := w.client("shop-app")
	errs := make([]error, callers)
	race(callers, func(i int) { errs[i] = w.UpdateClient(w.ctx(), c, nil) })
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		w.is(err, storage.ErrStale)
	}
	w.same(winners, 1)
	w.same(w.storedClient(c.ID).Version, c.Version+1)
}

func clientDisabled(w *world) {
	c := w.client("billing")
	issued := w.now().Truncate(time.Second)
	bearer := storage.Bearer{Client: c.ID, JTI: "a", IssuedAt: issued}
	w.ok(w.Check(w.ctx(), bearer, w.now()))

	now := storage.Instant(w.clock.Advance(1500 * time.Millisecond))
	until := now.Add(AccessTTL)
	audit := NewAudit("client.disabled", now)
	event, err := w.DisableClient(w.ctx(), c.ID, "operator:tom", until, audit, now)
	w.ok(err)
	want := storage.Event{
		ID: event.ID, Subject: storage.SubjectClient, Key: "billing",
		End: storage.End{Reason: storage.Kicked, At: now, Actor: "operator:tom"}, Until: until,
	}
	w.same(event, want)
	w.same(w.tail(0), []storage.Event{want})
	w.audited(*audit)
	got := w.storedClient(c.ID)
	w.same(got.DisabledAt, &now)
	w.same(got.TokensFrom, &now)
	w.same(got.Version, c.Version+1)
	w.ended(w.Check(w.ctx(), bearer, now), storage.Kicked)
	bearer.IssuedAt = now.Add(time.Hour) // a client that is disabled has no good token at all
	w.ended(w.Check(w.ctx(), bearer, now), storage.Kicked)

	again := storage.Instant(w.clock.Advance(time.Minute))
	_, err = w.DisableClient(w.ctx(), c.ID, "operator:tom", until, nil, again)
	w.ok(err)
	w.same(w.storedClient(c.ID).DisabledAt, &now)
	w.same(w.storedClient(c.ID).TokensFrom, &again)
}

func clientEnabled(w *world) {
	c := w.client("billing")
	issued := w.now().Truncate(time.Second)
	at := w.clock.Advance(time.Second)
	_, err := w.DisableClient(w.ctx(), c.ID, "operator:tom", at.Add(AccessTTL), nil, at)
	w.ok(err)
	audit := NewAudit("client.enabled", w.now())
	w.ok(w.EnableClient(w.ctx(), c.ID, audit, w.now()))
	w.audited(*audit)
	if got := w.storedClient(c.ID); got.DisabledAt != nil || got.TokensFrom == nil {
		w.Errorf("after enabling: disabled at %v, tokens from %v", got.DisabledAt, got.TokensFrom)
	}
	old := storage.Bearer{Client: c.ID, JTI: "a", IssuedAt: issued}
	w.ended(w.Check(w.ctx(), old, w.now()), storage.Kicked)
	old.IssuedAt = at // "at now or before": the instant itself is dead too
	w.ended(w.Check(w.ctx(), old, w.now()), storage.Kicked)
	w.ok(w.Check(w.ctx(), storage.Bearer{Client: c.ID, JTI: "b", IssuedAt: at.Add(time.Second)}, w.now()))
}
