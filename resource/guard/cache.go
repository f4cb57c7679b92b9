package guard

import (
	"sync"
	"time"
)

const cacheShards = 64

// cache is a bounded map that keeps what was used lately.
//
// Each shard has two generations. New entries go into the young one; when that is half of the
// shard's room, it becomes the old one, and what the old one held is forgotten, except for what was
// asked for in between, which is young again. So there is no list to maintain, no goroutine, and no
// entry that is asked for often is ever lost.
type cache[K comparable, V any] struct {
	room   int // of one generation of one shard
	shard  func(K) byte
	shards [cacheShards]cacheShard[K, V]
}

type cacheShard[K comparable, V any] struct {
	mu    sync.RWMutex
	young map[K]cached[V]
	old   map[K]cached[V]
	_     [40]byte // a cache line of its own
}

type cached[V any] struct {
	value V
	until time.Time
}

func newCache[K comparable, V any](size int, shard func(K) byte) *cache[K, V] {
	return &cache[K, V]{room: max(1, size/(2*cacheShards)), shard: shard}
}

// get returns the value under k if it is there and good at now.
func (c *cache[K, V]) get(k K, now time.Time) (v V, ok bool) {
	s := &c.shards[c.shard(k)%cacheShards]
	s.mu.RLock()
	e, young := s.young[k]
	if !young {
		e, ok = s.old[k]
	}
	s.mu.RUnlock()
	if !young && !ok || !now.Before(e.until) {
		return v, false
	}
	if !young {
		c.put(k, e.value, e.until)
	}
	return e.value, true
}

// put keeps v under k until a time, or until room is needed.
func (c *cache[K, V]) put(k K, v V, until time.Time) {
	s := &c.shards[c.shard(k)%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.young[k]; !there && len(s.young) >= c.room {
		s.old, s.young = s.young, nil
	}
	if s.young == nil {
		s.young = make(map[K]cached[V])
	}
	s.young[k] = cached[V]{v, until}
}

// len counts what is held, good or not.
func (c *cache[K, V]) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.young) + len(s.old)
		s.mu.RUnlock()
	}
	return n
}
