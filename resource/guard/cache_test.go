package guard

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tallystick/tallystick/keys/token"
	"github.com/tallystick/tallystick/storage"
)

func TestCacheForgetsWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	c := newCache[int, int](4*cacheShards, func(int) byte { return 0 }) // two generations of two
	c.put(1, 10, noon.Add(time.Hour))
	for k := 2; k < 100; k++ {
		c.put(k, 10*k, noon.Add(time.Hour))
		if v, ok := c.get(1, noon); !ok || v != 10 {
			t.Fatalf("what is asked for all the time was lost at %d", k)
		}
		if n := c.len(); n > 4 {
			t.Fatalf("%d entries in a shard for 4", n)
		}
	}
	if _, ok := c.get(50, noon); ok {
		t.Error("what nobody asked for is still there")
	}
}

func TestCacheKeepsNothingPastItsTime(t *testing.T) {
	t.Parallel()
	c := newCache[int, int](100, func(k int) byte { return byte(k) })
	c.put(1, 10, noon)
	if _, ok := c.get(1, noon.Add(-1)); !ok {
		t.Error("gone before its time")
	}
	if _, ok := c.get(1, noon); ok {
		t.Error("there at its time")
	}
}

func TestCacheUnderManyHands(t *testing.T) {
	t.Parallel()
	c := newCache[int, int](256, func(k int) byte { return byte(k) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 5000 {
				k := i % 700
				if v, ok := c.get(k, noon); ok && v != k {
					t.Errorf("%d under %d", v, k)
				}
				c.put(k, k, noon.Add(time.Hour))
			}
		})
	}
	wg.Wait()
	if n := c.len(); n > 256 {
		t.Errorf("%d entries in a cache for 256", n)
	}
}

type noTokens struct{}

func (noTokens) Access(string, time.Time) (token.Access, error) {
	return token.Access{}, token.ErrInvalid
}

type noFeed struct{ storage.Feed }

// countedTokens counts how often a signature is checked.
type countedTokens struct {
	checks int
	err    error
}

func (c *countedTokens) Access(string, time.Time) (token.Access, error) {
	c.checks++
	return token.Access{Client: "c", JTI: "j", Expires: noon.Add(time.Hour)}, c.err
}

// stands are sessions that all stand.
type stands struct{}

func (stands) Check(context.Context, storage.Bearer, time.Time) error { return nil }

func TestSignatureIsCheckedOnceAMinute(t *testing.T) {
	t.Parallel()
	tokens := &countedTokens{}
	now := noon
	g, err := New(Config{Tokens: tokens, Feed: noFeed{}, Sessions: stands{}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	check := func(want int) {
		t.Helper()
		for range 3 {
			if _, err := g.Check(t.Context(), "raw"); err != nil {
				t.Fatal(err)
			}
		}
		if tokens.checks != want {
			t.Errorf("signature checked %d times, want %d", tokens.checks, want)
		}
	}
	check(1)
	now = now.Add(verifiedFor - 1)
	check(1)
	now = now.Add(1)
	check(2)
	// Its key was retired in haste.
	tokens.err = token.ErrInvalid
	now = now.Add(verifiedFor)
	if _, err := g.Check(t.Context(), "raw"); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("a token of a retired key: %v", err)
	}
}

func TestBadTokensAreNotKept(t *testing.T) {
	t.Parallel()
	g, err := New(Config{Tokens: noTokens{}, Feed: noFeed{}, Sessions: stands{}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		_, _ = g.Check(t.Context(), string(rune('a'+i)))
	}
	if n := g.verified.len() + g.settled.len(); n != 0 {
		t.Errorf("strangers filled %d places", n)
	}
}
