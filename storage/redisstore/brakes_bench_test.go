package redisstore_test

import (
	"os"
	"testing"
	"time"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/storagetest"
)

// BenchmarkBrakes measures what a right sign-in costs in Redis, a try taken and settled, against as many
// round trips that do nothing, in turns in the same run. It fails if they take more than five times as
// long.
func BenchmarkBrakes(b *testing.B) {
	url := os.Getenv(envRedis)
	if url == "" {
		b.Skipf("SKIPPED: set %s", envRedis)
	}
	s, err := redisstore.Open(b.Context(), redisstore.Config{URL: secret.New(url), Prefix: "tallystick_test_bench:"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	limits, try := storagetest.BrakeLimits(), storage.Try{Account: "tom", Pair: "tom@x", Address: "x"}
	limits.Known = time.Minute // nothing of this is left behind for long
	var brakes, bare time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := s.TakeTry(b.Context(), try, limits, began); err != nil {
			b.Fatal(err)
		}
		if _, err := s.SettleTry(b.Context(), try, storage.TryRight, limits, began); err != nil {
			b.Fatal(err)
		}
		halfway := time.Now()
		for range 2 {
			if err := s.Ping(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		brakes, bare = brakes+halfway.Sub(began), bare+time.Since(halfway)
	}
	ratio := float64(brakes) / float64(bare)
	b.ReportMetric(ratio, "of-bare-trips")
	b.ReportMetric(float64(brakes.Microseconds())/float64(b.N), "µs/sign-in")
	if b.N > 1000 && ratio > 5 {
		b.Errorf("a sign-in takes %.2f times as long as bare round trips", ratio)
	}
}
