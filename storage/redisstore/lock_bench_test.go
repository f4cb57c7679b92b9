package redisstore

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// BenchmarkLock64 has 64 callers of one process take one user's lock in turns, through the queue
// and, as the floor, in Redis alone. It reports how long the unluckiest wait of each, and the ratio.
func BenchmarkLock64(b *testing.B) {
	s := benchStore(b)
	var queued, alone []time.Duration
	for b.Loop() {
		queued = append(queued, crowd(b, s.queue)...)
		alone = append(alone, crowd(b, s.queue.next)...)
	}
	q, a := percentile(queued, 99), percentile(alone, 99)
	b.ReportMetric(float64(q.Milliseconds()), "ms/p99-queued")
	b.ReportMetric(float64(a.Milliseconds()), "ms/p99-alone")
	b.ReportMetric(float64(q)/float64(a), "of-alone")
}

// BenchmarkLock is a lock that nobody else wants, and as the floor two round trips.
func BenchmarkLock(b *testing.B) {
	s := benchStore(b)
	var locking, pinging time.Duration
	for b.Loop() {
		began := time.Now()
		lease, err := s.Lock(b.Context(), "u", 0)
		if err != nil {
			b.Fatal(err)
		}
		lease.Release(b.Context())
		between := time.Now()
		for range 2 {
			if err := s.Ping(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		locking += between.Sub(began)
		pinging += time.Since(between)
	}
	b.ReportMetric(float64(locking)/float64(pinging), "of-two-pings")
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	url := os.Getenv("TALLYSTICK_TEST_REDIS_URL")
	if url == "" {
		b.Skip("SKIPPED: locks are measured on a real Redis: set TALLYSTICK_TEST_REDIS_URL")
	}
	s, err := Open(b.Context(), Config{URL: secret.New(url), Prefix: "tallystick_bench_" + storage.NewID(time.Now()) + ":"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// crowd returns how long each of 64 callers waited for their turn of a millisecond.
func crowd(b *testing.B, l storage.Locker) []time.Duration {
	b.Helper()
	waits := make([]time.Duration, 64)
	var wg sync.WaitGroup
	for i := range waits {
		wg.Go(func() {
			began := time.Now()
			lease, err := l.Lock(context.Background(), "u", time.Minute)
			if err != nil {
				b.Error(err)
				return
			}
			waits[i] = time.Since(began)
			time.Sleep(time.Millisecond) // what is done under the lock
			lease.Release(context.Background())
		})
	}
	wg.Wait()
	return waits
}

func percentile(waits []time.Duration, p int) time.Duration {
	slices.Sort(waits)
	return waits[len(waits)*p/100]
}
