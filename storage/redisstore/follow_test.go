package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 123456000, time.UTC)

func sample(key string) storage.Event {
	return storage.Event{
		ID: "e-1", Subject: storage.SubjectSession, Key: key, User: "u-1", Product: "shop", Terminal: storage.Mobile,
		End: storage.End{
			Reason: storage.Superseded, At: noon, Actor: "user:u-1",
			By: &storage.Superseder{Terminal: storage.Mobile, DeviceName: "Amy’s phone", At: noon},
		},
		Until: noon.Add(15 * time.Minute),
	}
}

// follower follows a store in the background.
type follower struct {
	events chan storage.Event
	cancel context.CancelFunc
	done   chan error
}

func follow(t *testing.T, s *redisstore.Store) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{events: make(chan storage.Event, 1<<16), cancel: cancel, done: make(chan error, 1)}
	go func() { f.done <- s.Follow(ctx, func(e storage.Event) { f.events <- e }) }()
	t.Cleanup(func() { f.ends(t) })
	return f
}

// ends stops the follower and looks at how it ended.
func (f *follower) ends(t *testing.T) {
	t.Helper()
	f.cancel()
	if f.done == nil {
		return
	}
	if err := receive(t, "the end of Follow", f.done); !errors.Is(err, context.Canceled) {
		t.Errorf("Follow ended with %v, want the error of its context", err)
	}
	f.done = nil
}

// hears announces until one of these announcements arrives: nothing says when a follower has begun.
func (f *follower) hears(t *testing.T, s *redisstore.Store) {
	t.Helper()
	mine := "probe-" + rand.Text()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	s.Announce(t.Context(), []storage.Event{sample(mine)})
	for {
		select {
		case e := <-f.events:
			if e.Key == mine {
				return
			}
		case <-tick.C:
			s.Announce(t.Context(), []storage.Event{sample(mine)})
		case <-late:
			t.Fatalf("follower hears nothing within %v", patience)
		}
	}
}

func TestEventsArriveWholeAndInOrder(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, c redisstore.Config) {
		here, there := open(t, c), open(t, c)
		f := follow(t, there)
		f.hears(t, here)
		var sent []storage.Event
		for i := range 300 {
			e := sample(fmt.Sprintf("s-%d", i))
			if i%2 == 1 {
				e.End = storage.End{Reason: storage.SignedOut, At: noon, Actor: "user:u-1"}
			}
			sent = append(sent, e)
		}
		here.Announce(t.Context(), sent)
		for i := range sent {
			e := receive(t, "an event", f.events)
			for e.Key[:2] == "pr" { // an earlier probe
				e = receive(t, "an event", f.events)
			}
			if diff := cmp.Diff(sent[i], e); diff != "" {
				t.Fatalf("event %d (-sent +received):\n%s", i, diff)
			}
		}
	})
}

func TestFollowSurvives(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, s server){
		"a flush": func(_ *testing.T, s server) { s.Flush() },
		"a restart": func(t *testing.T, s server) {
			s.Stop()
			s.Again(t)
		},
		"a server whose clock is behind": func(t *testing.T, s server) {
			// An entry from the far future, then none: what comes has lower numbers.
			c := client(t, s)
			id := fmt.Sprintf("%d-0", time.Now().Add(1000*time.Hour).UnixMilli())
			must(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: streamKey, ID: id, Values: []any{"event", "x"}}).Err())
			s.Flush()
		},
		"a trim": func(t *testing.T, s server) { must(t, client(t, s).XTrimMaxLen(t.Context(), streamKey, 0).Err()) },
		"garbage": func(t *testing.T, s server) {
			c := client(t, s)
			for _, body := range []string{"", "{", "null", `{"v":2}`, `{"v":1,"subject":"session"}`, string(make([]byte, 10_000))} {
				must(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: streamKey, Values: []any{"event", body}}).Err())
			}
			must(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: streamKey, Values: []any{"other", "1"}}).Err())
		},
		"a key of another kind": func(t *testing.T, s server) {
			c := client(t, s)
			must(t, c.Del(t.Context(), streamKey).Err())
			must(t, c.Set(t.Context(), streamKey, "x", 0).Err())
			must(t, c.Del(t.Context(), streamKey).Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachServer(t, func(t *testing.T, s server) {
				store := open(t, redisstore.Config{URL: s.URL()})
				f := follow(t, store)
				f.hears(t, store)
				harm(t, s)
				f.hears(t, store)
			})
		})
	}
}

const streamKey = redisstore.DefaultPrefix + "{events}"

func client(t *testing.T, s server) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(s.URL().Reveal())
	must(t, err)
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFollowBeginsWithWhatIsAnnouncedFromNowOn(t *testing.T) {
	t.Parallel()
	s := startEmbedded(t)
	store := open(t, redisstore.Config{URL: s.URL()})
	store.Announce(t.Context(), []storage.Event{sample("old")})
	c := client(t, s)
	within(t, "the old event is in the stream", func() bool { return c.XLen(t.Context(), streamKey).Val() == 1 })
	var seen []string
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- store.Follow(ctx, func(e storage.Event) {
			seen = append(seen, e.Key)
			if len(seen) == 1 {
				close(first)
			}
		})
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for heard := false; !heard; {
		store.Announce(ctx, []storage.Event{sample("new")})
		select {
		case <-first:
			heard = true
		case <-tick.C:
		}
	}
	cancel()
	receive(t, "the end of Follow", done)
	if seen[0] != "new" {
		t.Errorf("first event is %q: a follower must not read the past", seen[0])
	}
}

func TestFollowWaitsForRedisAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := startEmbedded(t)
	s.Stop()
	store := open(t, redisstore.Config{URL: s.URL()})
	f := follow(t, store)
	s.Again(t)
	f.hears(t, store)
	s.Stop()
	f.ends(t)
}

func TestAnnounceNeverWaits(t *testing.T) {
	t.Parallel()
	s := startEmbedded(t)
	s.Stop()
	store := open(t, redisstore.Config{URL: s.URL()})
	events := make([]storage.Event, 1000)
	for i := range events {
		events[i] = sample("s")
	}
	began := time.Now()
	for range 50 {
		store.Announce(t.Context(), events)
	}
	if took := time.Since(began); took > 400*time.Millisecond { // less than one connection attempt may take
		t.Errorf("50000 announcements without Redis took %v", took)
	}
	store.Stop()
	store.Announce(t.Context(), events) // after Stop: dropped, no panic
}

func TestStopPushesWhatWaits(t *testing.T) {
	t.Parallel()
	s := startEmbedded(t)
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: s.URL()})
	must(t, err)
	for i := range 700 {
		store.Announce(t.Context(), []storage.Event{sample(fmt.Sprint(i))})
	}
	must(t, store.Start(t.Context()))
	must(t, store.Start(t.Context()))
	store.Stop()
	store.Stop()
	must(t, store.Start(t.Context())) // starts nothing any more
	if n := client(t, s).XLen(t.Context(), streamKey).Val(); n != 700 {
		t.Errorf("%d of 700 announcements were pushed before Stop returned", n)
	}
	must(t, store.Close())
	must(t, store.Close())
}

func TestEveryKeyGoesAwayByItself(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		store := open(t, redisstore.Config{URL: s.URL()})
		lease, err := store.Lock(t.Context(), "u-1", 0)
		must(t, err)
		defer lease.Release(t.Context())
		follow(t, store).hears(t, store)
		c := client(t, s)
		keys := c.Keys(t.Context(), "*").Val()
		if len(keys) != 2 {
			t.Errorf("keys are %q, want the stream and the lock", keys)
		}
		for _, k := range keys {
			if ttl := c.TTL(t.Context(), k).Val(); ttl <= 0 || ttl > time.Hour {
				t.Errorf("TTL of %s is %v", k, ttl)
			}
		}
	})
}
