package guard_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tallystick/tallystick/resource/guard"
	"github.com/tallystick/tallystick/storage"
)

// BenchmarkCheck is a check of a token that was verified before, with so many sessions ended, and in
// turns what it would cost to verify it each time, which is the floor: verifies/check says which
// part of that the check costs.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{0, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("ended=%d", n), func(b *testing.B) {
			s, g, raw := measured(b)
			crowd(g, n)
			const checks, verifies = 256, 4
			var checking, verifying time.Duration
			b.ReportAllocs()
			for b.Loop() {
				began := time.Now()
				for range checks {
					if _, err := g.Check(b.Context(), raw); err != nil {
						b.Fatal(err)
					}
				}
				between := time.Now()
				for range verifies {
					if _, err := s.parser.Access(raw, between); err != nil {
						b.Fatal(err)
					}
				}
				checking += between.Sub(began)
				verifying += time.Since(between)
			}
			check := float64(checking) / float64(b.N*checks)
			b.ReportMetric(check, "ns/check")
			b.ReportMetric(check/(float64(verifying)/float64(b.N*verifies)), "verifies/check")
		})
	}
}

// BenchmarkCheckParallel is the check from all processors at once. It allocates nothing.
func BenchmarkCheckParallel(b *testing.B) {
	_, g, raw := measured(b)
	crowd(g, 1_000_000)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := g.Check(b.Context(), raw); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// measured is a guard that sees, over a feed that costs nothing, and a real token.
func measured(b *testing.B) (*stand, *guard.Guard, string) {
	b.Helper()
	s := newStand(b)
	f := &feed{}
	g, err := guard.New(guard.Config{Tokens: s.parser, Feed: f, Sessions: f, Blind: time.Hour, Poll: time.Minute})
	must(b, err)
	must(b, g.Start(b.Context()))
	b.Cleanup(g.Stop)
	return s, g, s.signIn(s.user("amy"), "phone", "wallet:read", time.Now()).raw
}

func crowd(g *guard.Guard, n int) {
	now := time.Now()
	for i := range n {
		g.Apply([]storage.Event{{
			Subject: storage.SubjectSession, Key: storage.NewID(now), Until: now.Add(time.Hour),
			End: storage.End{Reason: storage.Superseded, At: now, By: &storage.Superseder{Terminal: storage.Mobile, DeviceName: fmt.Sprint("d", i%1000)}},
		}})
	}
}

// BenchmarkGuardedGET sends requests over kept-alive loopback connections to a bare Gin route and to
// a guarded one, in turns, and reports how much of the throughput the guard leaves: the floor is 0.85.
func BenchmarkGuardedGET(b *testing.B) {
	_, g, raw := measured(b)
	crowd(g, 100_000)
	r := gin.New()
	answer := func(c *gin.Context) { c.String(http.StatusOK, "hello") }
	r.GET("/bare", answer)
	r.GET("/guarded", g.Require("wallet:read"), answer)
	server := httptest.NewServer(r)
	defer server.Close()
	client := server.Client()
	const round = 200
	var spent [2]time.Duration
	for b.Loop() {
		for i, path := range []string{"/bare", "/guarded"} {
			began := time.Now()
			for range round {
				get(b, client, server.URL+path, raw)
			}
			spent[i] += time.Since(began)
		}
	}
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "of-bare-throughput")
	b.ReportMetric(float64(spent[1].Nanoseconds())/float64(b.N*round), "ns/guarded-request")
}

func get(b *testing.B, client *http.Client, url, raw string) {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+raw)
	answer, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		b.Fatal(answer.Status)
	}
}
