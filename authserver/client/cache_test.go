package client_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
	"github.com/tallystick/tallystick/storage"
)

func TestAClientIsReadOnceWithinTheTTL(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	for range 100 {
		if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil {
			t.Fatal(err)
		}
		_, err := b.Authenticate(t.Context(), form("nobody", text))
		refusal(t, "unknown", err, oauth.InvalidClient)
		_, err = b.Authenticate(t.Context(), form("Not A Name", text))
		refusal(t, "not a name", err, oauth.InvalidClient)
	}
	if n := b.store.reads.Load(); n != 2 {
		t.Errorf("%d reads, want 2: one of the client, one of the unknown name", n)
	}
	b.clock.advance(client.DefaultCacheTTL)
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil || b.store.reads.Load() != 3 {
		t.Errorf("after the TTL: %v, %d reads", err, b.store.reads.Load())
	}
	b.clock.advance(-client.DefaultCacheTTL / 2)
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil || b.store.reads.Load() != 4 {
		t.Errorf("with the clock set back: %v, %d reads", err, b.store.reads.Load())
	}
}

func TestChangesAreSeenAfterTheTTLOrWhenTold(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	one, two := b.create(t, "one", nil), b.create(t, "two", nil)
	for id, text := range map[string]string{"one": one, "two": two} {
		if _, err := b.Authenticate(t.Context(), form(id, text)); err != nil {
			t.Fatal(err)
		}
		if err := b.Disable(t.Context(), operator, storage.ClientID(id)); err != nil {
			t.Fatal(err)
		}
	}
	b.Forget("one")
	_, err := b.Authenticate(t.Context(), form("one", one))
	refusal(t, "told", err, oauth.InvalidClient)
	b.clock.advance(client.DefaultCacheTTL)
	_, err = b.Authenticate(t.Context(), form("two", two))
	refusal(t, "after the TTL", err, oauth.InvalidClient)
}

func TestAnUnknownNameIsFoundOnceItIsMade(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, err := b.Authenticate(t.Context(), form("late", "x"))
	refusal(t, "before", err, oauth.InvalidClient)
	text := b.create(t, "late", nil)
	b.Forget("late")
	if _, err := b.Authenticate(t.Context(), form("late", text)); err != nil {
		t.Errorf("after: %v", err)
	}
}

// A read that began before the change must not bring back what was forgotten.
func TestForgetOutranksAReadUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	reached, release := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	b.store.hold = func() {
		if held.CompareAndSwap(false, true) { // the first read alone is held up
			close(reached)
			<-release
		}
	}
	first := make(chan error)
	go func() {
		_, err := b.Authenticate(context.Background(), form("billing", text))
		first <- err
	}()
	<-reached // the store has answered, the answer is not in the cache yet
	if err := b.Disable(t.Context(), operator, "billing"); err != nil {
		t.Fatal(err)
	}
	b.Forget("billing")
	_, err := b.Authenticate(t.Context(), form("billing", text)) // must not join the read under way
	refusal(t, "while it is under way", err, oauth.InvalidClient)
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the read that began before: %v", err)
	}
	_, err = b.Authenticate(t.Context(), form("billing", text))
	refusal(t, "afterwards", err, oauth.InvalidClient)
}

func TestManyCallersShareOneRead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.store.hold = func() {
		once.Do(func() { close(reached) })
		<-release
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := b.Authenticate(ctx, form("billing", text))
		first <- err
	}()
	<-reached
	var started, all sync.WaitGroup
	for range 31 {
		started.Add(1)
		all.Go(func() {
			started.Done()
			if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil {
				t.Errorf("a caller that waited: %v", err)
			}
		})
	}
	started.Wait()
	cancel() // the one who began the read goes away; the others must not notice
	refusal(t, "cancelled", <-first, oauth.TemporarilyUnavailable)
	close(release)
	all.Wait()
	if n := b.store.reads.Load(); n != 1 {
		t.Errorf("%d reads, want 1", n)
	}
}

func TestStoreFaultsAreNeverAnAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	text := b.create(t, "billing", nil)
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil {
		t.Fatal(err)
	}
	away := fmt.Errorf("gone: %w", storage.ErrUnavailable)
	b.store.fail.Store(&away)
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil {
		t.Errorf("within the TTL: %v", err)
	}
	b.clock.advance(client.DefaultCacheTTL)
	_, err := b.Authenticate(t.Context(), form("billing", text))
	refusal(t, "after the TTL", err, oauth.TemporarilyUnavailable)
	broken := fmt.Errorf("column 7 is purple")
	b.store.fail.Store(&broken)
	_, err = b.Authenticate(t.Context(), form("billing", text))
	refusal(t, "an internal fault", err, oauth.ServerFault)
	b.store.fail.Store(nil)
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil {
		t.Errorf("when the store is back: %v", err)
	}
}

// Made-up names must neither fill the memory nor push out the clients that are in use.
func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	const size = 8
	b := setup(t, func(c *client.Config) { c.CacheSize = size })
	text := b.create(t, "billing", nil)
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil {
		t.Fatal(err)
	}
	for i := range 50 * size {
		_, err := b.Authenticate(t.Context(), form("made-up-"+strconv.Itoa(i), "x"))
		refusal(t, "made up", err, oauth.InvalidClient)
	}
	if known, unknown := client.CacheSizes(b.Registry); known != 1 || unknown > size {
		t.Errorf("the cache holds %d known and %d unknown names", known, unknown)
	}
	reads := b.store.reads.Load()
	if _, err := b.Authenticate(t.Context(), form("billing", text)); err != nil || b.store.reads.Load() != reads {
		t.Errorf("the client in use was pushed out (%v)", err)
	}
	for i := range 2 * size {
		id := "client-" + strconv.Itoa(i)
		text := b.create(t, id, nil)
		if _, err := b.Authenticate(t.Context(), form(id, text)); err != nil {
			t.Fatal(err)
		}
	}
	if known, _ := client.CacheSizes(b.Registry); known != size {
		t.Errorf("the cache holds %d clients, want %d", known, size)
	}
}
