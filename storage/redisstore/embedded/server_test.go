package embedded_test

import (
	"errors"
	"testing"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tallystick/tallystick/storage/redisstore/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) (*embedded.Server, *redis.Client) {
	t.Helper()
	s, err := embedded.Start(embedded.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() {
		_ = c.Close()
		s.Stop()
		s.Stop()
	})
	return s, c
}

func TestTTLsPassByThemselves(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	if err := c.Set(t.Context(), "k", "v", 30*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for c.Exists(t.Context(), "k").Val() == 1 {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("a key of 30ms is there after 10s")
		}
	}
}

func TestAdvanceAndFlush(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	c.Set(t.Context(), "short", "v", time.Minute)
	c.Set(t.Context(), "long", "v", time.Hour)
	s.Advance(2 * time.Minute)
	if n := c.Exists(t.Context(), "short", "long").Val(); n != 1 {
		t.Errorf("%d keys after two minutes, want the long one", n)
	}
	s.Flush()
	if n := c.DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("%d keys after a flush", n)
	}
}

func TestScriptsOfTheLock(t *testing.T) {
	t.Parallel()
	s, c := start(t)
	locks := redislock.New(c)
	held, err := locks.Obtain(t.Context(), "l", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locks.Obtain(t.Context(), "l", time.Minute, nil); !errors.Is(err, redislock.ErrNotObtained) {
		t.Errorf("obtained twice: %v", err)
	}
	if err := held.Refresh(t.Context(), time.Hour, nil); err != nil {
		t.Errorf("refresh: %v", err)
	}
	s.Advance(2 * time.Minute)
	if ttl, err := held.TTL(t.Context()); err != nil || ttl < 50*time.Minute {
		t.Errorf("TTL %v, %v after a refresh to an hour", ttl, err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	if err := held.Release(t.Context()); !errors.Is(err, redislock.ErrLockNotHeld) {
		t.Errorf("released twice: %v", err)
	}
}

func TestABlockedReaderIsWoken(t *testing.T) {
	t.Parallel()
	_, c := start(t)
	read := make(chan error, 1)
	go func() {
		_, err := c.XRead(t.Context(), &redis.XReadArgs{Streams: []string{"s", "0-0"}, Block: time.Minute}).Result()
		read <- err
	}()
	for i := range 10 {
		add := &redis.XAddArgs{Stream: "s", MaxLen: 5, Approx: true, Values: []any{"n", i}}
		if err := c.XAdd(t.Context(), add).Err(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-read:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a blocked reader was not woken")
	}
	if n := c.XLen(t.Context(), "s").Val(); n != 5 {
		t.Errorf("%d entries in a stream of at most 5", n)
	}
}

func TestRefusesAddressesThatOthersCanReach(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0", "example.com:0", "127.0.0.1", "nonsense"} {
		if s, err := embedded.Start(embedded.Config{Addr: addr}); err == nil {
			t.Errorf("%s: started", addr)
			s.Stop()
		}
	}
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	t.Parallel()
	s, _ := start(t)
	if again, err := embedded.Start(embedded.Config{Addr: s.Addr()}); err == nil {
		t.Error("two servers on one address")
		again.Stop()
	}
}
