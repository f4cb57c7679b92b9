package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/redisstore/embedded"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// recorder is a stream that remembers, and refuses when told to.
type recorder struct {
	mu     sync.Mutex
	got    []storage.LedgerEntry
	refuse int // so many times
}

func (r *recorder) AppendLedger(_ context.Context, entries []storage.LedgerEntry, _ int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse > 0 {
		r.refuse--
		return errors.New("away")
	}
	r.got = append(r.got, entries...)
	return nil
}

// ids are those of what came, each time it did.
func (r *recorder) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for _, e := range r.got {
		ids = append(ids, e.ID)
	}
	return ids
}

func eventIDs(journals []storage.JournalID) []string {
	ids := make([]string, len(journals))
	for i, j := range journals {
		ids[i] = idPrefix + string(j)
	}
	return ids
}

func TestStreamOverRedis(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	server, err := embedded.Start(embedded.Config{Addr: "127.0.0.1:0"})
	s.ok(err)
	t.Cleanup(server.Stop)
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL()})
	s.ok(err)
	t.Cleanup(func() { _ = store.Close() })
	options, err := redis.ParseURL(server.URL().Reveal())
	s.ok(err)
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })

	s.deposit(s.users[0])
	s.seal() // before the stream there was: not in it
	r := s.run(Config{Stream: store, Metrics: prometheus.NewPedanticRegistry()})
	s.eventually("the stream is open", func() bool {
		states, err := s.db.OutboxStates(t.Context())
		return err == nil && len(states) == 1
	})
	want := eventIDs([]storage.JournalID{s.deposit(s.users[0]), s.deposit(s.users[0])})
	s.seal()
	var got []redis.XMessage
	s.eventually("two entries", func() bool {
		got, err = client.XRange(t.Context(), redisstore.DefaultPrefix+"{ledger}:events", "-", "+").Result()
		return err == nil && len(got) == 2
	})
	for i, m := range got {
		if m.Values["id"] != want[i] || m.Values["type"] != TypePosted || m.Values["event"] == "" || m.Values["number"] != []string{"2", "3"}[i] {
			t.Errorf("entry %d is %v", i, m.Values)
		}
	}
	r.Stop()
}

// Redis is away for a while, and a process dies between what it did and what it wrote of it: all comes, in order, and
// what is repeated has its identifier again.
func TestStreamComesAtLeastOnceInOrder(t *testing.T) {
	t.Parallel()
	engine.Each(t, func(t *testing.T, e engine.Engine) {
		s := newStand(t, e, 2)
		s.ok(s.db.OpenStream(t.Context(), 0, time.Now()))
		for i := range 20 {
			s.deposit(s.users[i%2])
		}
		s.seal()
		all, err := s.db.SealedAfter(t.Context(), 0, 100)
		s.ok(err)
		var want []string
		for _, one := range all {
			want = append(want, idPrefix+string(one.Journal.ID))
		}

		to := &recorder{refuse: 1}
		r := s.run(Config{Stream: to, Lease: time.Second})
		s.eventually("all came", func() bool { return len(to.ids()) == len(want) })
		r.Stop()
		if got := to.ids(); !slices.Equal(got, want) {
			t.Errorf("came %v, want %v", got, want)
		}

		// A process that dies here has handed over a batch and not written it; another one takes over.
		claim, err := s.db.Claim(t.Context(), storage.StreamDestination, "dead", time.Millisecond, time.Now())
		s.ok(err)
		if claim.Number != int64(len(want)) {
			t.Errorf("the cursor is at %d, want %d", claim.Number, len(want))
		}
		s.deposit(s.users[0])
		s.seal()
		last, err := s.db.SealedAfter(t.Context(), claim.Number, 10)
		s.ok(err)
		dead, err := New(Config{Store: s.db, Stream: to})
		s.ok(err)
		s.ok(dead.push(t.Context(), last))
		r = s.run(Config{Stream: to, Lease: time.Second})
		s.eventually("it came again", func() bool { return len(to.ids()) == len(want)+2 })
		r.Stop()
		got := to.ids()[len(want):]
		if got[0] != got[1] || got[0] != idPrefix+string(last[0].Journal.ID) {
			t.Errorf("the repetition is %v", got)
		}
	})
}

// Two processes: one delivers, and when it stops the other does.
func TestStreamHasOneDeliverer(t *testing.T) {
	t.Parallel()
	s := newStand(t, engine.SQLite(t), 1)
	s.ok(s.db.OpenStream(t.Context(), 0, time.Now()))
	to := &recorder{}
	first, second := s.run(Config{Stream: to, Lease: time.Second}), s.run(Config{Stream: to, Lease: time.Second})
	for range 5 {
		s.deposit(s.users[0])
		s.seal()
	}
	s.eventually("five came", func() bool { return len(to.ids()) >= 5 })
	first.Stop()
	s.deposit(s.users[0])
	s.seal()
	s.eventually("six came", func() bool { return len(to.ids()) >= 6 })
	second.Stop()
	if got := to.ids(); !slices.Equal(got, eventIDs(s.posted)) {
		t.Errorf("came %v, want %v", got, eventIDs(s.posted))
	}
}
