package redisstore_test

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/redisstore"
	"github.com/tallystick/tallystick/storage/storagetest"
)

func TestBrakes(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, c redisstore.Config) {
		storagetest.Brakes(t, func(t *testing.T) storage.Brakes {
			own := c
			own.Prefix += rand.Text()[:8] + ":"
			return open(t, own)
		})
	})
}

// guess lets one try fail.
func guess(t *testing.T, s *redisstore.Store, now time.Time) error {
	t.Helper()
	tom := storage.Try{Account: "tom", Pair: "tom@x", Address: "x"}
	if _, err := s.TakeTry(t.Context(), tom, storagetest.BrakeLimits(), now); err != nil {
		return err
	}
	_, err := s.SettleTry(t.Context(), tom, storage.TryRight, storagetest.BrakeLimits(), now)
	if err != nil {
		return err
	}
	if _, err = s.TakeTry(t.Context(), tom, storagetest.BrakeLimits(), now); err != nil {
		return err
	}
	_, err = s.TakeTry(t.Context(), storage.Try{Pair: "amy@y", Address: "y"}, storagetest.BrakeLimits(), now)
	return err
}

func TestBrakesLeaveNothingForEver(t *testing.T) {
	t.Parallel()
	eachURL(t, func(t *testing.T, c redisstore.Config) {
		if err := guess(t, open(t, c), time.Now()); err != nil {
			t.Fatal(err)
		}
		o, err := redis.ParseURL(c.URL.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(o)
		defer client.Close()
		found, err := client.Keys(t.Context(), c.Prefix+"*").Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 4 {
			t.Errorf("keys are %q", found)
		}
		for _, key := range found {
			if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > storagetest.BrakeLimits().Known {
				t.Errorf("%s lives for %v", key, ttl)
			}
		}
	})
}

func TestBrakesRunOnACluster(t *testing.T) {
	t.Parallel()
	if err := guess(t, open(t, redisstore.Config{URL: startCluster(t)}), time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestBrakesSayThatRedisIsAway(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, server server) {
		s := open(t, redisstore.Config{URL: server.URL()})
		server.Stop()
		if err := guess(t, s, time.Now()); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		_, err := s.SettleTry(t.Context(), storage.Try{Pair: "x"}, storage.TryWrong, storagetest.BrakeLimits(), time.Now())
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		server.Again(t)
		within(t, "brakes work again", func() bool { return guess(t, s, time.Now()) == nil })
	})
}
