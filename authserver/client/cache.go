package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tallystick/tallystick/storage"
)

const loadTimeout = 5 * time.Second

// entry is a client as read at some time, or the knowledge that there is none of that name.
type entry struct {
	client storage.Client // without hashes
	known  bool
	read   time.Time
	// current and old are the secrets in force; old counts until oldUntil.
	current, old verifier
	oldUntil     time.Time
}

// verifier is one stored secret, parsed.
type verifier struct {
	stored storage.PasswordHash // empty: there is none
	fast   bool
	mac    mac
	// proved holds, for a slow hash, the process-keyed hash of the secret that proved right.
	proved *atomic.Pointer[mac]
}

func newVerifier(h storage.PasswordHash) verifier {
	v := verifier{stored: h}
	if h == "" {
		return v
	}
	if v.mac, v.fast = decodeMAC(h); !v.fast {
		v.proved = new(atomic.Pointer[mac])
	}
	return v
}

// inherit keeps what was proved against the same stored hash.
func (v *verifier) inherit(before ...verifier) {
	for _, b := range before {
		if v.proved != nil && b.proved != nil && b.stored == v.stored {
			v.proved = b.proved
		}
	}
}

func newEntry(c storage.Client, now time.Time) *entry {
	e := &entry{known: true, read: now, current: newVerifier(c.Secret)}
	if c.OldSecretUntil != nil {
		e.old, e.oldUntil = newVerifier(c.OldSecret), *c.OldSecretUntil
	}
	c.Secret, c.OldSecret = "", ""
	e.client = c
	return e
}

// cache holds entries for a while. Unknown names have a room of their own.
type cache struct {
	store storage.Clients
	ttl   time.Duration
	now   func() time.Time

	mu      sync.RWMutex
	known   map[storage.ClientID]*entry
	unknown map[storage.ClientID]*entry
	limit   int // of known; unknown has a quarter of it
	// forgets counts calls of forget: a load keeps its result only if none came in between.
	forgets uint64

	loads singleflight.Group
}

func newCache(store storage.Clients, ttl time.Duration, limit int, now func() time.Time) *cache {
	return &cache{
		store: store, ttl: ttl, now: now, limit: limit,
		known: make(map[storage.ClientID]*entry), unknown: make(map[storage.ClientID]*entry),
	}
}

// get returns the entry of a name, at most ttl old. Of callers that find none, one loads it.
func (c *cache) get(ctx context.Context, id storage.ClientID) (*entry, error) {
	e, forgets := c.look(id, c.now())
	if e != nil {
		return e, nil
	}
	return c.load(ctx, id, forgets)
}

// look returns the entry of a name if it is fresh, else nil, and the number of forgets as of then.
// Entries from the future are not: a clock that was set back must not keep them alive.
func (c *cache) look(id storage.ClientID, now time.Time) (*entry, uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.known[id]
	if !ok {
		e, ok = c.unknown[id]
	}
	if !ok {
		return nil, c.forgets
	}
	if age := now.Sub(e.read); age < 0 || age >= c.ttl {
		return nil, c.forgets
	}
	return e, c.forgets
}

// load reads the client. The key of the flight holds the number of forgets, so that a caller who
// comes after a forget never joins a read that began before it.
func (c *cache) load(ctx context.Context, id storage.ClientID, forgets uint64) (*entry, error) {
	flight := c.loads.DoChan(fmt.Sprintf("%d/%s", forgets, id), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		now := c.now()
		if e, _ := c.look(id, now); e != nil {
			return e, nil // the caller looked just before the flight that loaded it was over
		}
		stored, err := c.store.Client(ctx, id)
		var e *entry
		switch {
		case err == nil:
			e = newEntry(stored, now)
		case errors.Is(err, storage.ErrNotFound):
			e = &entry{read: now}
		default:
			return nil, fmt.Errorf("read client: %w", err)
		}
		c.put(id, e, forgets)
		return e, nil
	})
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*entry), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("read client: %w", ctx.Err())
	}
}

func (c *cache) put(id storage.ClientID, e *entry, forgets uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, ok := c.known[id]; ok {
		e.current.inherit(before.current, before.old)
		e.old.inherit(before.current, before.old)
	}
	if c.forgets != forgets {
		return // what was read may be what somebody has just changed
	}
	room, other, limit := c.known, c.unknown, c.limit
	if !e.known {
		room, other, limit = c.unknown, c.known, max(1, c.limit/4)
	}
	delete(other, id)
	if _, there := room[id]; !there && len(room) >= limit {
		for victim := range room { // any will do: it is read again when it is asked for
			delete(room, victim)
			break
		}
	}
	room[id] = e
}

func (c *cache) forget(id storage.ClientID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	delete(c.known, id)
	delete(c.unknown, id)
}
